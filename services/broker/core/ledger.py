"""The port behind which the broker keeps its books, and what stands in them.

A use case is a plain function of a `Ledger`. `Store.transact` runs it in one transaction that nothing else can come
between for the budgets it locked, and commits once; it may run it again when it lost a race, so a use case has no
effect but through the ledger.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.broker.models import (
    AttemptOutcome,
    AttemptState,
    NewModel,
    Provider,
    Purpose,
    RoutingReceipt,
    SetBudget,
    Usage,
)
from services.kernel.vocabulary import Lane

R = TypeVar("R")


@dataclass(frozen=True)
class Books:
    """A budget as it is kept. `reserved` belongs to attempts under way."""

    key: str
    cap_microusd: int | None = None
    cap_tokens: int | None = None
    spent_microusd: int = 0
    reserved_microusd: int = 0
    tokens: int = 0
    reserved_tokens: int = 0
    attempts: int = 0
    chain_offset: int = 0
    is_closed: bool = False


@dataclass(frozen=True)
class LastAttempt:
    """What the books know of a call: its newest attempt, and the answer when there is one."""

    position: int
    digest: str
    state: AttemptState
    owner: str
    expires_at: str
    answer: str | None


@dataclass(frozen=True)
class NewAttempt:
    """An attempt that is about to be made, as it is written before the call."""

    call_id: str
    position: int
    digest: str
    owner: str
    expires_at: str
    lane: Lane
    purpose: Purpose
    alias: str
    provider: Provider
    model: str
    fallback_from: str | None
    price: str
    price_table_version: str
    reserved_microusd: int
    reserved_tokens: int
    started_at: str
    state: AttemptState = AttemptState.RESERVED
    outcome: AttemptOutcome = AttemptOutcome.OPEN
    detail: str = ""


@dataclass(frozen=True)
class Settlement:
    """How an attempt ended. `charged_tokens` is what its budgets count: the usage, or the reservation when unknown."""

    state: AttemptState
    outcome: AttemptOutcome
    status: int | None
    usage: Usage
    charged_tokens: int
    cost_microusd: int
    is_estimated: bool
    time_ms: int
    detail: str


@dataclass(frozen=True)
class OpenAttempt:
    """An attempt whose end was never written, and the budgets it holds."""

    sequence: int
    reserved_microusd: int
    reserved_tokens: int
    scope_keys: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """How much the books of some budgets change."""

    spent_microusd: int = 0
    reserved_microusd: int = 0
    tokens: int = 0
    reserved_tokens: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class KeptModel:
    """A configured model and whether it is the default."""

    new: NewModel
    is_default: bool


class Ledger(Protocol):
    """The books inside one transaction."""

    def find_call(self, call_id: str) -> LastAttempt | None:
        """Return the newest attempt of a call."""
        ...

    def list_call(self, call_id: str) -> tuple[RoutingReceipt, ...]:
        """Return the attempts of a call in their order."""
        ...

    def lock_budgets(self, keys: Sequence[str]) -> Sequence[Books]:
        """Return the budgets of sorted `keys`, made where missing; nobody else can change them before the commit."""
        ...

    def read_budgets(self, keys: Sequence[str]) -> Sequence[Books]:
        """Return those of the budgets that there are."""
        ...

    def hold_budgets(self, keys: Sequence[str]) -> None:
        """Lock budgets that there are, in the order of their sorted `keys`."""
        ...

    def change_budgets(self, keys: Sequence[str], change: Change) -> None:
        """Add `change` to locked budgets."""
        ...

    def put_budget(self, books: Books, change: SetBudget, author: str, at: str) -> None:
        """Keep a locked budget's cap, offset and closing, and who changed them why."""
        ...

    def cap_budget(self, key: str, cap_microusd: int) -> None:
        """Give a locked budget its first cap."""
        ...

    def add_attempt(self, attempt: NewAttempt, scope_keys: Sequence[str]) -> int:
        """Write an attempt; return its sequence number."""
        ...

    def settle_attempt(self, sequence: int, settlement: Settlement, expected: AttemptState) -> bool:
        """Write how an attempt ended; return False, changing nothing, when its state is not `expected`."""
        ...

    def add_answer(self, call_id: str, body: str, kept_at: str) -> None:
        """Keep a call's answer."""
        ...

    def list_open_attempts(self, expired_before: str | None) -> tuple[OpenAttempt, ...]:
        """Return attempts still reserved: all of them, or those that expired before a moment."""
        ...

    def list_receipts(self, scope_key: str | None, limit: int) -> tuple[RoutingReceipt, ...]:
        """Return attempts, newest first."""
        ...

    def list_models(self) -> tuple[KeptModel, ...]:
        """Return the configured models, by alias."""
        ...

    def put_model(self, kept: KeptModel, author: str, at: str) -> None:
        """Keep a model in place of any of that alias."""
        ...

    def delete_model(self, alias: str) -> bool:
        """Forget a model; return whether there was one."""
        ...

    def mark_default(self, alias: str) -> None:
        """Make this model the only default."""
        ...

    def forget_answers(self, kept_before: str) -> None:
        """Drop answers kept before a moment; their attempts stay."""
        ...


class Store(Protocol):
    """Runs use cases. `is_shared`: other brokers may work on the same books."""

    is_shared: bool

    async def transact(self, use_case: Callable[[Ledger], R]) -> R:
        """Run `use_case` in one transaction off the event loop and return its result; commit once, or not at all.

        Raises UnavailableError when the database is locked, full or away.
        """
        ...
