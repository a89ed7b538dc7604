"""Spend and caps, as their owners see them."""

from dataclasses import replace
from functools import partial

from services.broker.core.binding import check_owner, check_scope
from services.broker.core.ledger import Books, Ledger, Store
from services.broker.core.policy import PolicySource
from services.broker.models import Budget, BudgetKind, BudgetScope, RoutingReceipt, SetBudget
from services.broker.protocol import PolicyBrokenError
from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import InvalidRequestError
from services.kernel.vocabulary import Scope

MAX_LISTED = 1000
MAX_MONEY_MICROUSD = 10**15
MAX_CAP_TOKENS = 10**15


class Budgets:
    """Satisfies `protocol.Ledger`. `offsets` are the downshifts known to this process, shared with its calls."""

    def __init__(self, store: Store, clock: Clock, policy: PolicySource, offsets: dict[str, int]) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._offsets = offsets

    async def list_attempts(
        self, caller: Caller, scope: BudgetScope | None = None, limit: int = 100
    ) -> tuple[RoutingReceipt, ...]:
        """Return attempts, newest first."""
        caller.require(Scope.MODEL_CALL)
        key = None if scope is None else scope.key
        most = max(1, min(limit, MAX_LISTED))
        return await self._store.transact(lambda ledger: ledger.list_receipts(key, most))

    async def get_budget(self, caller: Caller, scope: BudgetScope) -> Budget:
        """Return a budget as it stands."""
        caller.require(Scope.MODEL_CALL)
        found = await self._store.transact(lambda ledger: ledger.read_budgets([scope.key]))
        return self._view(scope, found[0] if found else Books(scope.key))

    async def set_budget(self, caller: Caller, change: SetBudget) -> Budget:
        """Set a cap or a downshift; a closed budget is open again."""
        check_owner(caller)
        _check_changeable(change.scope)
        if (change.cap_microusd or 0) > MAX_MONEY_MICROUSD or (change.cap_tokens or 0) > MAX_CAP_TOKENS:
            raise InvalidRequestError(f"a cap is at most {MAX_MONEY_MICROUSD} micro-USD and {MAX_CAP_TOKENS} tokens")
        at = to_iso(self._clock.now())
        books = await self._store.transact(partial(_set_budget, change=change, author=caller.subject, at=at))
        self._offsets[books.key] = books.chain_offset
        return self._view(change.scope, books)

    async def close_budget(self, caller: Caller, scope: BudgetScope, rationale: str) -> Budget:
        """Let nothing more be reserved."""
        check_owner(caller)
        _check_changeable(scope)
        change = SetBudget(scope=scope, rationale=rationale)
        at = to_iso(self._clock.now())
        return self._view(
            scope, await self._store.transact(partial(_close_budget, change=change, author=caller.subject, at=at))
        )

    def _view(self, scope: BudgetScope, books: Books) -> Budget:
        cap = books.cap_microusd
        if scope.kind is BudgetKind.MONTH:
            cap = self._find_month_cap()
        return Budget(
            scope=scope,
            cap_microusd=cap,
            cap_tokens=books.cap_tokens,
            spent_microusd=books.spent_microusd,
            reserved_microusd=books.reserved_microusd,
            tokens=books.tokens,
            chain_offset=books.chain_offset,
            attempts=books.attempts,
        )

    def _find_month_cap(self) -> int | None:
        try:
            return self._policy.read().month_cap_microusd
        except PolicyBrokenError:
            return 0


def _check_changeable(scope: BudgetScope) -> None:
    check_scope(scope)
    if scope.kind is BudgetKind.MONTH:
        raise InvalidRequestError(
            "a month's cap is the policy's: set cost_optimization.budget_cap_usd in model_broker.json"
        )


def _set_budget(ledger: Ledger, change: SetBudget, author: str, at: str) -> Books:
    """Keep a change; one that changes nothing leaves no second record. A new cap opens a closed budget again."""
    [old] = ledger.lock_budgets([change.scope.key])
    new = replace(
        old,
        cap_microusd=old.cap_microusd if change.cap_microusd is None else change.cap_microusd,
        cap_tokens=old.cap_tokens if change.cap_tokens is None else change.cap_tokens,
        chain_offset=old.chain_offset if change.chain_offset is None else change.chain_offset,
        is_closed=old.is_closed and change.cap_microusd is None,
    )
    if new != old:
        ledger.put_budget(new, change, author, at)
    return new


def _close_budget(ledger: Ledger, change: SetBudget, author: str, at: str) -> Books:
    [old] = ledger.lock_budgets([change.scope.key])
    if old.is_closed:
        return old
    new = replace(old, cap_microusd=old.spent_microusd + old.reserved_microusd, is_closed=True)
    ledger.put_budget(new, change, author, at)
    return new
