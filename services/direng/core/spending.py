"""The money of a session: its cap, what is spent of it, and the word that paying needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from services.broker.models import Budget, BudgetKind, BudgetScope, ModelView, Route, SetBudget
from services.direng.calls.broker import BrokerEdge
from services.direng.core.money import format_usd
from services.direng.core.ports import EventDraft, Store
from services.direng.models import Spend, TurnEventKind
from services.kernel.ids import SessionId
from services.kernel.vocabulary import Lane
from services.pas.models import LaneModel

ANSWER_LANE = Lane.CODE_IMPL
"""The lane whose model answers questions about the code."""


def scope_of(session_id: SessionId) -> BudgetScope:
    """Return the budget of a session."""
    return BudgetScope(kind=BudgetKind.SESSION, id=session_id)


@dataclass(frozen=True)
class Tariff:
    """What a model costs, micro-USD per million tokens; None: its price is not known."""

    alias: str
    model: str
    input_microusd: int | None
    output_microusd: int | None

    @property
    def is_free(self) -> bool:
        """Return whether it costs nothing for sure."""
        return self.input_microusd == 0 and self.output_microusd == 0


def tariffs_of_route(models: Sequence[ModelView]) -> tuple[Tariff, ...]:
    """Return what the models of a route cost."""
    return tuple(
        Tariff(
            model.alias,
            model.model,
            None if model.price is None else model.price.input_microusd,
            None if model.price is None else model.price.output_microusd,
        )
        for model in models
    )


def tariffs_of_lanes(models: Sequence[LaneModel]) -> tuple[Tariff, ...]:
    """Return what the models of a plan's lanes cost."""
    return tuple(Tariff(one.alias, one.model, one.input_microusd, one.output_microusd) for one in models)


@dataclass(frozen=True)
class Purse:
    """Reads and sets session budgets; the broker keeps them."""

    broker: BrokerEdge
    store: Store
    default_cap_microusd: int

    async def open(self, session_id: SessionId) -> Budget:
        """Return a session's budget, with the default cap set when it had none."""
        budget = await self.broker.get_budget(scope_of(session_id))
        if budget.cap_microusd is not None:
            return budget
        return await self.set_cap(session_id, self.default_cap_microusd, "the default cap of a session")

    async def read(self, session_id: SessionId) -> Spend:
        """Return what a session may spend and has spent; reading sets nothing."""
        budget = await self.broker.get_budget(scope_of(session_id))
        if budget.cap_microusd is None:
            budget = budget.model_copy(update={"cap_microusd": self.default_cap_microusd})
        return Spend(
            cap_microusd=budget.cap_microusd,
            spent_microusd=budget.spent_microusd,
            reserved_microusd=budget.reserved_microusd,
            tokens=budget.tokens,
            text=describe_budget(budget),
        )

    async def set_cap(self, session_id: SessionId, cap_microusd: int, rationale: str) -> Budget:
        """Set a session's cap."""
        change = SetBudget(scope=scope_of(session_id), cap_microusd=cap_microusd, rationale=rationale)
        return await self.broker.set_budget(change)

    async def make_room(self, session_id: SessionId, needed_microusd: int) -> str:
        """Raise the cap so that `needed_microusd` more fits, on the user's word; return what was done, or nothing."""
        budget = await self.open(session_id)
        if left_of(budget) >= needed_microusd:
            return ""
        cap = budget.spent_microusd + budget.reserved_microusd + needed_microusd
        await self.set_cap(session_id, cap, "the user approved more than was left")
        return f"the session's cap is now {format_usd(cap)}, as you approved"

    async def route(self, session_id: SessionId, lane: Lane = ANSWER_LANE) -> Route:
        """Return the models that would be tried now."""
        return await self.broker.get_route(lane, scope_of(session_id))

    async def ask(self, session_id: SessionId, tariffs: Sequence[Tariff]) -> EventDraft | None:
        """Return the question to ask before these models are used: once a session, never for free ones."""
        if all(tariff.is_free for tariff in tariffs) or await self.store.is_paid_allowed(session_id):
            return None
        text = ask_for_word(tariffs[0], await self.open(session_id))
        data: dict[str, JsonValue] = {"is_payment": True, "model": tariffs[0].alias}
        return EventDraft(TurnEventKind.APPROVAL_REQUIRED, text, data=data)


def left_of(budget: Budget) -> int:
    """Return what may still be spent, in micro-USD."""
    if budget.cap_microusd is None:
        return 0
    return max(0, budget.cap_microusd - budget.spent_microusd - budget.reserved_microusd)


def describe_budget(budget: Budget) -> str:
    """Return `$0.05 of $5.00 spent in this session, 12,345 tokens`."""
    cap = "" if budget.cap_microusd is None else f" of {format_usd(budget.cap_microusd)}"
    held = f" ({format_usd(budget.reserved_microusd)} more reserved)" if budget.reserved_microusd else ""
    return f"{format_usd(budget.spent_microusd)}{cap} spent in this session{held}, {budget.tokens:,} tokens"


def ask_for_word(tariff: Tariff, budget: Budget) -> str:
    """Return the question that a session's first paid use asks."""
    price = "at a price that is not known"
    if tariff.input_microusd is not None and tariff.output_microusd is not None:
        per_in, per_out = format_usd(tariff.input_microusd), format_usd(tariff.output_microusd)
        price = f"{per_in} in and {per_out} out per million tokens"
    bound = f"up to {format_usd(left_of(budget))} in this session"
    return f"this uses the model {tariff.alias} ({tariff.model}, {price}; {bound}); go on? (yes/no)"
