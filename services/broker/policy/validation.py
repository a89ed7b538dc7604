"""Hold a policy text against its one JSON Schema; `services/pas/policy/validate_broker_policy.py` is its command."""

import json
import math
from functools import cache
from importlib.resources import files

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


def _refuse_infinite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


@cache
def load_schema() -> dict[str, object]:
    """Return the policy's JSON Schema, as shipped with the package."""
    schema: dict[str, object] = json.loads((files("services.broker.policy") / "model_broker.schema.json").read_bytes())
    return schema


def find_faults(text: str) -> list[str]:
    """Return every fault of a policy text, one line each; an empty list means that it is valid."""
    try:
        policy = json.loads(
            text, object_pairs_hook=_refuse_duplicates, parse_float=_refuse_infinite, parse_constant=_refuse_infinite
        )
    except DuplicateKeyError as error:
        return [str(error)]
    except (ValueError, RecursionError) as error:
        return [f"not JSON: {error}"]
    errors = sorted(
        Draft202012Validator(load_schema()).iter_errors(policy), key=lambda error: list(map(str, error.path))
    )
    return [f"{'.'.join(map(str, error.path)) or 'policy'}: {error.message}" for error in errors]
