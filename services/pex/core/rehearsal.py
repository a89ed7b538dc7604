"""Rehearsals: a fraction of a plan's cards run for real beforehand, and the estimate is made again with what they took.

Each card is run alone on the untouched snapshot, without the cards it depends on: what is learned is what such a card
costs, not what it produces. The result is never offered. Recipe cards are free and known; they are not rehearsed.
"""

import asyncio
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.kernel.ids import EstimateId, ProjectId, RunId
from services.kernel.vocabulary import RUN_TRANSITIONS, BreachPolicy, RunKind, RunState, is_final
from services.pas.models import JobCard, RunView, StartRun
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.core.bounds import describe_cost
from services.pex.core.cards import needs_model
from services.pex.core.driver import make_basis
from services.pex.core.money import format_usd, parse_usd
from services.pex.core.projects import WAIT_S, ProjectRunner
from services.pex.core.reporting import list_actuals
from services.pex.models import Plan, SimulateProject, Simulation
from services.pex.protocol import StillRunningError
from services.plms.models import Estimate, Project

POLL_S = 0.2


@dataclass(frozen=True)
class Planned:
    """What waits for approval, to be rehearsed."""

    project: Project
    plan: Plan
    estimate: Estimate


class Rehearser:
    """Rehearses the plans of projects."""

    def __init__(self, projects: ProjectRunner, plms: PlmsEdge, pas: PasEdge) -> None:
        self._projects = projects
        self._plms = plms
        self._pas = pas

    async def simulate(self, project_id: ProjectId, order: SimulateProject) -> Simulation:
        """Rehearse what waits for approval (it is estimated first when nothing does) and estimate it again.

        The run's id is a function of the estimate and the fraction: who asks again, also after a kill, gets the same
        run, and its actuals are kept once. Raises StillRunningError when it takes longer than a request may.
        """
        planned = await self._find_planned(project_id)
        cards = [card for card in planned.plan.cards if needs_model(card)]
        strata = list_strata(planned.plan)
        if not cards or not planned.plan.models:
            return _without_run(planned, order, len(strata))
        chosen = choose_cards(planned.plan, order.rehearsal, planned.estimate.estimate_id)
        run_id = rehearsal_run_of(planned.estimate.estimate_id, order.rehearsal)
        run = await self._run(planned, chosen, order, run_id)
        receipts = await self._pas.list_receipts(run_id)
        await self._plms.record_actuals(run_id, list_actuals(run, receipts, project_id))
        after = await self._projects.estimate_again(planned.project, planned.plan)
        return Simulation(
            project_id=project_id,
            rehearsal=order.rehearsal,
            strata=len(strata),
            cards_rehearsed=len(chosen),
            run=run,
            before=planned.estimate,
            after=after,
            note=_describe(order, f"{len(chosen)} of {len(cards)}", run, planned.estimate, after),
        )

    async def _find_planned(self, project_id: ProjectId) -> Planned:
        project = await self._plms.get_project(project_id)
        waiting = await self._projects.find_planned(project_id)
        if waiting is None:
            await self._projects.estimate(project_id)
            waiting = await self._projects.find_planned(project_id)
        if waiting is None or waiting.plan is None or waiting.estimate is None:
            raise StillRunningError(f"the estimate of project {project_id} was replaced this moment; ask again")
        return Planned(project, waiting.plan, waiting.estimate)

    async def _run(
        self, planned: Planned, chosen: tuple[JobCard, ...], order: SimulateProject, run_id: RunId
    ) -> RunView:
        if await self._pas.find_run(run_id) is None:
            await self._pas.start_run(make_rehearsal(planned, chosen, order, run_id))
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._await_end(run_id)
        except TimeoutError:
            raise StillRunningError(
                f"the rehearsal (run {run_id}) goes on; ask for it again with the same fraction"
            ) from None

    async def _await_end(self, run_id: RunId) -> RunView:
        """Wait for the end; one that is paused, by its cap or by hand, has shown what it could, and is ended."""
        while True:
            run = await self._pas.get_run(run_id)
            if is_final(RUN_TRANSITIONS, run.state):
                return run
            if run.state is RunState.PAUSED:
                await self._pas.terminate_run(run_id, run.reason or "a rehearsal is not resumed")
            await asyncio.sleep(POLL_S)


def rehearsal_run_of(estimate_id: EstimateId, rehearsal: float) -> RunId:
    """Return the id of the run that rehearses an estimate's plan."""
    return RunId(f"rehearsal-{hashlib.sha256(f'{estimate_id}:{rehearsal!r}'.encode()).hexdigest()[:20]}")


def list_strata(plan: Plan) -> Mapping[tuple[str, str, str], tuple[JobCard, ...]]:
    """Return the cards that need a model by kind, complexity and lane."""
    strata: dict[tuple[str, str, str], tuple[JobCard, ...]] = {}
    for card in plan.cards:
        if needs_model(card):
            key = (card.payload.kind, plan.complexities.get(card.task_id, "medium"), card.lane.value)
            strata[key] = (*strata.get(key, ()), card)
    return strata


def choose_cards(plan: Plan, rehearsal: float, estimate_id: EstimateId) -> tuple[JobCard, ...]:
    """Return the cards to rehearse: of each stratum the fraction rounded up, so at least one.

    Which ones is chance, but the same chance each time: the order of their digests with the estimate's id.
    """
    chosen: list[JobCard] = []
    for cards in list_strata(plan).values():
        count = math.ceil(rehearsal * len(cards))
        mixed = sorted(cards, key=lambda card: hashlib.sha256(f"{estimate_id}:{card.task_id}".encode()).digest())
        chosen += mixed[:count]
    return tuple(chosen)


def make_rehearsal(planned: Planned, chosen: tuple[JobCard, ...], order: SimulateProject, run_id: RunId) -> StartRun:
    """Return the start of a rehearsal; its cap is what the user allows, else the sum of its cards' P95."""
    p95 = {card.task_id: card.cost_microusd.p95 for card in planned.estimate.cards}
    times = {card.task_id: card.time_s.p95 for card in planned.estimate.cards}
    cap = math.ceil(sum(p95.get(card.task_id, 0.0) for card in chosen))
    time_s = sum(times.get(card.task_id, 0.0) for card in chosen)
    return StartRun(
        project_id=planned.project.project_id,
        run_id=run_id,
        run_kind=RunKind.REHEARSAL,
        title=f"Rehearsal of {planned.plan.title}"[:200],
        passport_basis=make_basis(planned.project.repo, planned.project.prd, planned.plan, planned.estimate),
        cards=tuple(card.model_copy(update={"deps": ()}) for card in chosen),
        max_time_s=max(60.0, time_s),
        max_cost_microusd=cap if order.max_cost_usd is None else parse_usd(order.max_cost_usd),
        breach_policy=BreachPolicy.KILL,
    )


def echo_fraction(rehearsal: float) -> str:
    """Return the fraction with its percentage: `0.01 = 1%`."""
    return f"{rehearsal:g} = {100 * rehearsal:g}%"


def _without_run(planned: Planned, order: SimulateProject, strata: int) -> Simulation:
    has_cards = any(needs_model(card) for card in planned.plan.cards)
    why = (
        "no model is configured: connect one with `direng model add`, then estimate and rehearse again"
        if has_cards
        else "only recipes work here: they cost nothing, and every run of theirs teaches the estimate"
    )
    return Simulation(
        project_id=planned.project.project_id,
        rehearsal=order.rehearsal,
        strata=strata,
        cards_rehearsed=0,
        run=None,
        before=planned.estimate,
        after=planned.estimate,
        note=f"{echo_fraction(order.rehearsal)}: nothing was rehearsed; {why}",
    )


def _describe(order: SimulateProject, count: str, run: RunView, before: Estimate, after: Estimate) -> str:
    ended = "" if run.state in {RunState.COMPLETED, RunState.NEEDS_REVIEW} else f" (the run {run.state}: {run.reason})"
    return (
        f"{echo_fraction(order.rehearsal)}: {count} cards rehearsed for "
        f"{format_usd(run.cost_microusd)}{ended}; {describe_cost(before.cost_microusd)} before, "
        f"{describe_cost(after.cost_microusd)} after; the new estimate waits for approval"
    )
