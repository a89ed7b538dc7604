"""The operator's policy: which model each lane uses, what it may cost, and what to try next (SPEC.md section 6)."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any, Protocol

from services.broker.models import Provider
from services.kernel.vocabulary import Lane

MICROUSD_PER_USD = 1_000_000
DEFAULT_TIMEOUT_S = 120.0
DEFAULT_TEMPERATURE = 0.7
DEFAULT_MAX_TOKENS = 4096
HOUSE_TEMPERATURE = 0.2
"""Of calls without a policy file: code wants little chance."""


@dataclass(frozen=True)
class Entry:
    """A model as a policy names it: its provider's name for it, or the alias under which it was added."""

    provider: Provider
    model: str

    def __str__(self) -> str:
        return f"{self.provider.value}/{self.model}"


@dataclass(frozen=True)
class LaneRule:
    """What a lane's calls use; `entry` None is the registry's default model. The caps hold one task (its card)."""

    entry: Entry | None = None
    temperature: float = HOUSE_TEMPERATURE
    max_tokens: int = DEFAULT_MAX_TOKENS
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_cost_per_task_microusd: int | None = None
    max_tokens_per_task: int | None = None


@dataclass(frozen=True)
class Policy:
    """A valid policy. `sha256` is of its file's bytes; None when there is no file."""

    default: LaneRule = LaneRule()
    lanes: Mapping[Lane, LaneRule] = field(default_factory=dict)
    chain: tuple[Entry, ...] = ()
    month_cap_microusd: int | None = None
    is_caching: bool = True
    is_local_preferred: bool = False
    sha256: str | None = None

    def find_rule(self, lane: Lane) -> LaneRule:
        """Return the lane's own rule, or the default."""
        return self.lanes.get(lane, self.default)


class PolicySource(Protocol):
    """Where the policy is kept."""

    def read(self) -> Policy:
        """Return the policy as it stands now, or the house policy without a file; cheap when nothing changed.

        Raises PolicyBrokenError that names every reason.
        """
        ...


def parse_policy(content: bytes) -> Policy:
    """Return the policy that a text says which the schema accepts."""
    body: dict[str, Any] = json.loads(content)
    thrift: dict[str, Any] = body.get("cost_optimization", {})
    return Policy(
        default=_parse_rule(body["default_provider"]),
        lanes={Lane(lane): _parse_rule(rule) for lane, rule in body["lane_overrides"].items()},
        chain=tuple(_parse_entry(entry) for entry in body["fallback_chain"]),
        month_cap_microusd=_to_microusd(thrift.get("budget_cap_usd")),
        is_caching=thrift.get("enable_caching", True),
        is_local_preferred=thrift.get("prefer_local", False),
        sha256=sha256(content).hexdigest(),
    )


def _parse_entry(body: Mapping[str, Any]) -> Entry:
    return Entry(Provider(body["provider"]), body["model"])


def _parse_rule(body: Mapping[str, Any]) -> LaneRule:
    constraints: Mapping[str, Any] = body.get("constraints", {})
    return LaneRule(
        entry=_parse_entry(body),
        temperature=float(body.get("temperature", DEFAULT_TEMPERATURE)),
        max_tokens=int(body.get("max_tokens", DEFAULT_MAX_TOKENS)),
        timeout_s=float(constraints.get("timeout_seconds", DEFAULT_TIMEOUT_S)),
        max_cost_per_task_microusd=_to_microusd(constraints.get("max_cost_per_task_usd")),
        max_tokens_per_task=constraints.get("max_tokens_per_task"),
    )


def _to_microusd(usd: float | None) -> int | None:
    """Return micro-USD, rounded down: a cap is never read as more than was written."""
    return None if usd is None else math.floor(Decimal(str(usd)) * MICROUSD_PER_USD)
