"""Validate a model broker policy against model_broker.schema.json.

    python services/pas/policy/validate_broker_policy.py POLICY.json

Prints VALID and exits 0, or INVALID with every reason and exits 1; 2 when the file cannot be read.
"""

import json
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jsonschema import Draft202012Validator

MAX_POLICY_BYTES = 1_000_000


class DuplicateKeyError(ValueError):
    """The same key stands twice in one object: which one counts would be a guess."""


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise DuplicateKeyError(f"duplicate key {key!r}")
    return dict(pairs)


def load_schema() -> dict[str, object]:
    """Return the policy's JSON Schema, as shipped with the package."""
    schema: dict[str, object] = json.loads(
        (files("services.pas.policy") / "model_broker.schema.json").read_text("utf-8")
    )
    return schema


def find_faults(text: str) -> list[str]:
    """Return every fault of a policy text, one line each; an empty list means that it is valid."""
    try:
        policy = json.loads(text, object_pairs_hook=_refuse_duplicates)
    except DuplicateKeyError as error:
        return [str(error)]
    except ValueError as error:
        return [f"not JSON: {error}"]
    errors = sorted(
        Draft202012Validator(load_schema()).iter_errors(policy), key=lambda error: list(map(str, error.path))
    )
    return [f"{'.'.join(map(str, error.path)) or 'policy'}: {error.message}" for error in errors]


def _read_policy(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > MAX_POLICY_BYTES:
        raise ValueError(f"larger than {MAX_POLICY_BYTES} bytes")
    return content.decode("utf-8")


def main(argv: Sequence[str]) -> int:
    """Validate the file named by the one argument; return the exit code."""
    if len(argv) != 1:
        sys.stderr.write("usage: validate_broker_policy.py POLICY.json\n")
        return 2
    try:
        text = _read_policy(Path(argv[0]))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {argv[0]} cannot be read as a policy: {error}\n")
        return 2
    faults = find_faults(text)
    sys.stdout.write("INVALID\n" + "".join(f"  {fault}\n" for fault in faults) if faults else "VALID\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
