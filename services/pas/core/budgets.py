"""The caps of a run's spend at the broker: set before its first card, changed on resume, closed at its end."""

import logging
from collections.abc import Sequence

from services.broker.models import BudgetKind, BudgetScope, SetBudget
from services.kernel.errors import PlatformError
from services.kernel.ids import RunId, TaskId
from services.pas.calls.broker import BrokerEdge
from services.pas.core.records import ModelFacts, RunRecord
from services.pas.core.routes import uses_model
from services.pas.models import JobCard, RunCommand, StartRun
from services.pas.protocol import NoNextModelError

LOG = logging.getLogger("direng.pas")


def run_scope(run_id: RunId) -> BudgetScope:
    """Return the budget of a run."""
    return BudgetScope(kind=BudgetKind.RUN, id=run_id)


def card_scope(run_id: RunId, task_id: TaskId) -> BudgetScope:
    """Return the budget of one card of a run."""
    return BudgetScope(kind=BudgetKind.CARD, id=f"{run_id}/{task_id}")


def project_scope(start: StartRun) -> BudgetScope:
    """Return the budget of all runs of a project."""
    return BudgetScope(kind=BudgetKind.PROJECT, id=start.project_id)


def scopes_of(run_id: RunId, start: StartRun, task_id: TaskId) -> tuple[BudgetScope, ...]:
    """Return all budgets that must hold a card's calls, outermost first."""
    session = () if start.session_id is None else (BudgetScope(kind=BudgetKind.SESSION, id=start.session_id),)
    return (*session, project_scope(start), run_scope(run_id), card_scope(run_id, task_id))


class RunBudgets:
    """Keeps the broker's caps as the run says; without a broker there is nothing to cap."""

    def __init__(self, broker: BrokerEdge | None) -> None:
        self._broker = broker

    async def open(self, run: RunRecord, cards: Sequence[JobCard]) -> ModelFacts | None:
        """Set the caps of a run that calls models, before its first card; return what its passport says of them.

        Part of the run's first durable step, which may be repeated: so a stored run never calls a model uncapped.
        """
        models = [card for card in cards if uses_model(card)]
        if self._broker is None or not models:
            return None
        start = run.start
        await _cap(self._broker, run_scope(run.run_id), start.max_cost_microusd, "the run's ceiling")
        if start.max_project_cost_microusd is not None:
            await _cap(self._broker, project_scope(start), start.max_project_cost_microusd, "the project's ceiling")
        for card in models:
            if card.max_cost_microusd is not None:
                scope = card_scope(run.run_id, card.task_id)
                await _cap(self._broker, scope, card.max_cost_microusd, "the card's ceiling")
        facts = await self._broker.get_facts()
        return ModelFacts(
            policy_sha256=facts.policy_sha256,
            price_table_version=facts.price_table_version,
            provider_matrix=dict(facts.provider_matrix),
        )

    async def change(self, run: RunRecord, cards: Sequence[JobCard], command: RunCommand) -> tuple[str, ...]:
        """Raise the run's cap or pass over its model, as the resuming command says; return lines for people.

        What the run may still spend, its unfinished cards may too. The project's cap goes along only where it was the
        run's own figure; one that somebody set apart stands. Raises NoNextModelError with nothing changed.
        """
        if self._broker is None:
            return ()
        lines = []
        if command.is_downshift:
            await _check_next(self._broker, run.run_id, cards)
        if command.max_cost_microusd is not None:
            await _raise(self._broker, run, cards, command.max_cost_microusd, command.reason)
            lines.append(f"the run may now cost up to ${command.max_cost_microusd / 1_000_000:.4f}")
        if command.is_downshift:
            held = await self._broker.get_budget(run_scope(run.run_id))
            await self._broker.set_budget(
                SetBudget(
                    scope=held.scope,
                    cap_microusd=held.cap_microusd,
                    cap_tokens=held.cap_tokens,
                    chain_offset=held.chain_offset + 1,
                    rationale=command.reason,
                )
            )
            lines.append("the run goes on with the next model of the chain")
        return tuple(lines)

    async def close(self, run_id: RunId, cards: Sequence[JobCard]) -> None:
        """Let nothing more be spent for a run that ends; a broker that is away is no reason not to end."""
        if self._broker is None or not any(uses_model(card) for card in cards):
            return
        try:
            await self._broker.close_budget(run_scope(run_id), "the run has ended")
        except PlatformError as error:
            LOG.warning("the budget of %s was not closed: %s", run_id, error.detail)


async def _check_next(broker: BrokerEdge, run_id: RunId, cards: Sequence[JobCard]) -> None:
    lanes = dict.fromkeys(card.lane for card in cards if uses_model(card))
    routes = [await broker.get_route(lane, run_scope(run_id)) for lane in lanes]
    if all(len(route.models) < 2 for route in routes):  # noqa: PLR2004 - the present one and the next
        raise NoNextModelError("there is no further model in the chain; resume with a higher cap instead")


async def _raise(broker: BrokerEdge, run: RunRecord, cards: Sequence[JobCard], cap_microusd: int, reason: str) -> None:
    left = max(cap_microusd - await _cap(broker, run_scope(run.run_id), cap_microusd, reason), 0)
    scopes = [card_scope(run.run_id, card.task_id) for card in cards if card.max_cost_microusd is not None]
    if run.start.max_project_cost_microusd == run.start.max_cost_microusd:
        scopes.append(project_scope(run.start))
    for scope in scopes:
        held = await broker.get_budget(scope)
        wanted = held.spent_microusd + held.reserved_microusd + left
        if held.cap_microusd is not None and held.cap_microusd < wanted:
            await _cap(broker, scope, wanted, reason)


async def _cap(broker: BrokerEdge, scope: BudgetScope, cap_microusd: int, rationale: str) -> int:
    """Set a cap; return what is spent and reserved."""
    budget = await broker.set_budget(SetBudget(scope=scope, cap_microusd=cap_microusd, rationale=rationale))
    return budget.spent_microusd + budget.reserved_microusd
