"""Plans that a model makes: one `plan` card in a run of its own, under a cap of its own (ADR-0017).

Everything may be repeated: the run's id is given, PAS keeps one run per id and journals its calls, PLMS keeps actuals
once. So whoever was killed while a model planned goes on with the same run and pays no call twice.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from random import Random

from pydantic import ValidationError

from services.kernel.errors import InternalError, PlatformError
from services.kernel.ids import DelegationId, ProjectId, RunId, SessionId, Sha256
from services.kernel.vocabulary import RUN_TRANSITIONS, BreachPolicy, Lane, RunState, TaskState, is_final
from services.pas.models import CONTRACT_VERSION, LaneModel, PassportBasis, RunView, StartRun, TaskTree
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.core.cards import AGENT_RECIPE, PLAN, plan_thinking, plan_tree
from services.pex.core.money import format_usd
from services.pex.core.packing import pack_context
from services.pex.core.planning import Planner, find_model, refuse, warn_of_stamp
from services.pex.core.prediction import Prediction
from services.pex.core.reporting import list_actuals
from services.pex.models import Plan, Planning, PlanningCost, Question

PLANNING_TIME_S = 900.0
RECONNECT_S = 0.5


@dataclass(frozen=True)
class PlanningOrder:
    """What to plan: `run_id` is the planning run's, `cap_microusd` the most that it may cost."""

    run_id: RunId
    project_id: ProjectId
    intent: str
    repo: str
    cap_microusd: int
    session_id: SessionId | None = None


@dataclass(frozen=True)
class Thought:
    """What planning led to, and what it cost (None: no model was asked)."""

    planning: Planning
    cost: PlanningCost | None = None

    def tell(self) -> str:
        """Return what planning cost, in one line for people; empty when no model was asked."""
        return (
            "" if self.cost is None else f"planning cost {format_usd(self.cost.cost_microusd)} with {self.cost.model}"
        )


def planning_run_of(delegation_id: DelegationId) -> RunId:
    """Return the id of the run in which a model plans a delegation."""
    return RunId(f"plan-{delegation_id.partition('-')[2] or delegation_id}")


class Thinker:
    """Has a model plan."""

    def __init__(self, planner: Planner, plms: PlmsEdge, pas: PasEdge, random: Random) -> None:
        self._planner = planner
        self._plms = plms
        self._pas = pas
        self._random = random

    async def think(self, order: PlanningOrder) -> Thought:
        """Start the planning run, or go on with it, and return what it found once it has ended."""
        run = await self._pas.find_run(order.run_id)
        if run is None:
            model = find_model(await self._pas.list_lane_models(), Lane.CODE_IMPL)
            if model.problem:
                return Thought(Planning(refusal=refuse(model)))
            await self._start(order, model)
        run = await self._await_end(order.run_id)
        receipts = await self._pas.list_receipts(run.run_id)
        await self._plms.record_actuals(run.run_id, list_actuals(run, receipts, order.project_id))
        asked = [receipt for receipt in receipts if receipt.step > 0]
        cost = PlanningCost(
            run_id=run.run_id,
            model=asked[-1].model if asked else "no model",
            cost_microusd=max(run.cost_microusd, sum(receipt.cost_microusd for receipt in receipts)),
        )
        return Thought(await self._read(order, run, cost), cost if asked else None)

    async def _start(self, order: PlanningOrder, model: LaneModel) -> None:
        context = pack_context(await self._planner.predict(order.intent, order.repo))
        start = StartRun(
            project_id=order.project_id,
            run_id=order.run_id,
            title="Plan the work",
            passport_basis=PassportBasis(
                repo=order.repo,
                prd_sha256=Sha256(hashlib.sha256(order.intent.encode()).hexdigest()),
                contract_version=CONTRACT_VERSION,
                provider_matrix={model.lane.value: f"{model.provider}/{model.model}"},
                price_table_version=model.price_table_version or "unknown",
            ),
            cards=(plan_thinking(order.intent, context, model),),
            max_time_s=PLANNING_TIME_S,
            max_cost_microusd=order.cap_microusd,
            session_id=order.session_id,
            # A plan that would pass its cap is no plan: there is nothing to resume.
            breach_policy=BreachPolicy.KILL,
        )
        await self._pas.start_run(start)

    async def _await_end(self, run_id: RunId) -> RunView:
        cursor = 0
        while True:
            try:
                async for event in self._pas.watch_run(run_id, cursor):
                    cursor = event.seq
                    await self._stop_if_paused(run_id)
            except PlatformError as error:
                if not error.is_retryable:
                    raise
            run = await self._pas.get_run(run_id)
            if is_final(RUN_TRANSITIONS, run.state):
                return run
            await asyncio.sleep(self._random.uniform(0.1, RECONNECT_S))

    async def _stop_if_paused(self, run_id: RunId) -> None:
        """End a planning run that was paused, by its cap or its time: there is nothing to resume by hand."""
        run = await self._pas.get_run(run_id)
        if run.state is RunState.PAUSED:
            await self._pas.terminate_run(run_id, run.reason or "planning was paused")

    async def _read(self, order: PlanningOrder, run: RunView, cost: PlanningCost) -> Planning:
        card = next((card for card in run.cards if card.task_id == PLAN), None)
        if card is None or card.state is not TaskState.SUCCEEDED or card.outcome is None or card.outcome.detail is None:
            why = run.reason or (card.reason if card else "") or f"the run is {run.state}"
            cap = f"planning may cost {format_usd(order.cap_microusd)} (PEX_PLANNING_CAP_USD, or your own cap)"
            hint = f"; {cap}" if run.state is RunState.TERMINATED else ""
            return Planning(refusal=f"planning did not succeed: {why}{hint}; nothing was changed")
        content = await self._pas.get_artifact(card.outcome.detail.sha256)
        try:
            tree = TaskTree.model_validate_json(content)
        except ValidationError as error:
            raise InternalError(f"the task tree of {run.run_id} is unreadable") from error
        if tree.question:
            return Planning(question=make_question(order.intent, tree))
        if not tree.tasks:
            return Planning(refusal=f"the model found nothing to do: {tree.summary or 'it said no more'}")
        return await self._make_plan(order, tree, cost)

    async def _make_plan(self, order: PlanningOrder, tree: TaskTree, cost: PlanningCost) -> Planning:
        known = await self._pas.list_lane_models()
        lanes = tuple(dict.fromkeys(task.lane for task in tree.tasks))
        models = tuple(find_model(known, lane) for lane in lanes)
        for model in models:
            if model.problem:
                return Planning(refusal=f"the plan needs lane {model.lane}, which has no model: {model.problem}")
        prediction = await self._planner.predict(order.intent, order.repo)
        return Planning(plan=make_plan(tree, models, prediction, cost))


def make_plan(tree: TaskTree, models: tuple[LaneModel, ...], prediction: Prediction, cost: PlanningCost) -> Plan:
    """Return the plan of a checked task tree, `models` being those of its lanes."""
    cards = plan_tree(tree, models)
    files = tuple(sorted({path for task in tree.tasks for path in task.files})) or prediction.files
    lanes = ", ".join(model.lane.value for model in models)
    title = " ".join((tree.summary or tree.tasks[0].title).split()).replace(";", ",")
    count = len(tree.tasks)
    work = cards[1:-1]  # between the two test cards, in the order of the tasks
    return Plan(
        summary=f"{title}; {count} task{'' if count == 1 else 's'} on {lanes}; {len(files)} files expected to change; "
        "the tests before and after",
        recipe=AGENT_RECIPE,
        cards=cards,
        files_expected=files,
        warnings=warn_of_stamp(prediction.stamp),
        models=models,
        complexities={card.task_id: task.complexity for card, task in zip(work, tree.tasks, strict=True)},
        planning=cost,
    )


def make_question(intent: str, tree: TaskTree) -> Question:
    """Return the model's question: each option is the whole intent with that answer, so it can be sent instead."""
    question = " ".join(tree.question.split())
    head = f'{intent.rstrip()} (asked "{question}": '
    return Question(
        text=question,
        options=tuple(f"{head}{' '.join(option.split())})" for option in tree.options),
        answer=f"{head.replace('{answer}', 'answer')}{{answer}})",
    )
