"""The policy file of a home, read again when it changes."""

import os
from pathlib import Path

from services.broker.core.policy import Policy, parse_policy
from services.broker.protocol import PolicyBrokenError

POLICY_FILE = "model_broker.json"
_HOUSE_POLICY = Policy()


class PolicyFile:
    """Reads `model_broker.json`; satisfies `core.policy.PolicySource`. One stat per call while nothing changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._policy = _HOUSE_POLICY
        self._faults: list[str] = []

    def read(self) -> Policy:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - half the time of Path.stat, before every call
        except FileNotFoundError:
            self._stamp, self._policy, self._faults = None, _HOUSE_POLICY, []
            return self._policy
        except OSError as error:
            raise PolicyBrokenError(f"{self._path} cannot be read ({error.strerror}); mend or remove it") from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._load(found.st_size)
            self._stamp = stamp
        if self._faults:
            raise PolicyBrokenError(
                f"{self._path} is not valid, so no model is called: {'; '.join(self._faults)}; mend it, or remove it"
                " to use the default model"
            )
        return self._policy

    def _load(self, size_bytes: int) -> None:
        # The schema library is only needed where there is a policy file.
        from services.broker.policy.validation import MAX_POLICY_BYTES, find_faults  # noqa: PLC0415

        if size_bytes > MAX_POLICY_BYTES:
            self._faults = [f"larger than {MAX_POLICY_BYTES} bytes"]
            return
        try:
            content = self._path.read_bytes()
            faults = find_faults(content.decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyBrokenError(
                f"{self._path} cannot be read as text ({error.__class__.__name__}); mend or remove it"
            ) from error
        self._faults = [" ".join(fault.split()) for fault in faults]
        if not self._faults:
            self._policy = parse_policy(content)
