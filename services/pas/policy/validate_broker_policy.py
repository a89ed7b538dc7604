"""Validate a model broker policy against the broker's model_broker.schema.json.

    python services/pas/policy/validate_broker_policy.py POLICY.json

Prints VALID and exits 0, or INVALID with every reason and exits 1; 2 when the file cannot be read.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from services.broker.policy.validation import MAX_POLICY_BYTES, find_faults, load_schema

__all__ = ["find_faults", "load_schema", "main"]


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
