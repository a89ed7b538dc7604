"""Where providers' keys come from: the environment that was handed in, or the file vault."""

from collections.abc import Mapping

from services.broker.core.ports import WireError
from services.broker.models import AttemptOutcome
from services.kernel.errors import NotFoundError, PlatformError
from services.security.vault import Vault

MAX_KEY_CHARS = 16_384


class ReferencedKeys:
    """Satisfies core.ports.KeySource. `environ` is read at each call, so a changed key counts at once."""

    def __init__(self, environ: Mapping[str, str], vault: Vault) -> None:
        self._environ = environ
        self._vault = vault

    def __repr__(self) -> str:
        # The default of neither attribute may be shown: an environment holds keys.
        return f"ReferencedKeys(vault={self._vault!r})"

    def resolve(self, ref: str) -> str:
        kind, _, name = ref.partition(":")
        if kind == "env":
            return self._read_environment(ref, name)
        if kind == "vault":
            return self._read_vault(ref, name)
        raise _missing("the key reference is neither env:NAME nor vault:NAME; configure the model again")

    def _read_environment(self, ref: str, name: str) -> str:
        key = self._environ.get(name, "").strip()
        if not key:
            raise _missing(f"the key {ref} is missing: set {name} where the server is started, then start it again")
        return _check_key(ref, key)

    def _read_vault(self, ref: str, name: str) -> str:
        try:
            return _check_key(ref, self._vault.get(name))
        except NotFoundError:
            raise _missing(
                f"the key {ref} is missing: the vault holds no {name}; put it there with `direng model add`"
            ) from None
        except PlatformError as error:
            raise _missing(f"the key {ref} cannot be read: {error.detail}") from None


def _check_key(ref: str, key: str) -> str:
    if not (key.isascii() and key.isprintable()) or " " in key or len(key) > MAX_KEY_CHARS:
        raise _missing(f"what {ref} holds is no key: it has blanks or characters that no HTTP header can carry")
    return key


def _missing(detail: str) -> WireError:
    return WireError(AttemptOutcome.KEY_MISSING, detail)
