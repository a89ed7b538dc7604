"""From words to an estimate that waits for approval: by a recipe within the request, by a model in the background."""

from dataclasses import dataclass

from services.kernel.errors import InternalError
from services.kernel.ids import DelegationId, ProjectId
from services.kernel.vocabulary import DelegationState, Lane
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.calls.vector_ops import VectorOpsEdge
from services.pex.core.bounds import describe_estimate
from services.pex.core.cards import describe_for_estimate
from services.pex.core.journal import Journal
from services.pex.core.money import format_usd
from services.pex.core.planning import Planner, find_model, refuse
from services.pex.core.ports import EventDraft, Record
from services.pex.core.thinking import PlanningOrder, Thinker, planning_run_of
from services.pex.models import Plan, Planning
from services.plms.models import Estimate, EstimateRequest, NewProject

_S = DelegationState


@dataclass(frozen=True)
class IntakeParts:
    """What taking in work needs; `planning_cap_microusd` is the most that one plan made by a model may cost."""

    journal: Journal
    planner: Planner
    thinker: Thinker
    plms: PlmsEdge
    pas: PasEdge
    index: VectorOpsEdge
    planning_cap_microusd: int


class Intake:
    """Plans and estimates delegations; every step may be repeated after a kill."""

    def __init__(self, parts: IntakeParts) -> None:
        self._parts = parts

    async def open(self, record: Record) -> Record:
        """Plan a received delegation by a recipe; leave it `planning` when a model has to do it."""
        parts, delegation = self._parts, record.delegation
        planning = await parts.planner.match(delegation.intent, delegation.repo)
        if planning is not None:
            return await self._take(await parts.journal.move(record, _S.PLANNING), planning)
        model = find_model(await parts.pas.list_lane_models(), Lane.CODE_IMPL)
        if model.problem:
            return await self._take(await parts.journal.move(record, _S.PLANNING), Planning(refusal=refuse(model)))
        cap = format_usd(self._planning_cap(record))
        told = EventDraft(2, "planning", f"no recipe fits these words; {model.model} plans, for at most {cap}")
        own = {"planning_run_id": planning_run_of(delegation.delegation_id)}
        return await parts.journal.move(record, _S.PLANNING, told, own=own)

    async def think(self, record: Record) -> None:
        """Have a model plan, or go on with its planning run, and estimate what it planned."""
        delegation = record.delegation
        if record.planning_run_id is None:
            raise InternalError(f"delegation {delegation.delegation_id} has no planning run")
        project_id = await self._create_project(record)
        order = PlanningOrder(
            run_id=record.planning_run_id,
            project_id=project_id,
            intent=delegation.intent,
            repo=delegation.repo,
            cap_microusd=self._planning_cap(record),
            session_id=record.session_id,
        )
        thought = await self._parts.thinker.think(order)
        told = (EventDraft(2, "planning_cost", thought.tell()),) if thought.cost else ()
        if thought.planning.plan is None:
            await self._parts.plms.cancel_project(project_id, "planning led to no plan")
        await self._take(record, thought.planning, *told)

    async def _take(self, record: Record, planning: Planning, *told: EventDraft) -> Record:
        """Go on with what planning led to: a plan is estimated, anything else ends the delegation with its reason."""
        if planning.plan is None:
            reason = planning.question.text if planning.question else planning.refusal
            last = EventDraft(2, "failed", reason)
            return await self._parts.journal.move(
                record, _S.FAILED, *told, last, reason=reason, question=planning.question
            )
        plan = planning.plan
        record = await self._parts.journal.move(
            record, _S.ESTIMATING, *told, EventDraft(2, "plan", plan.summary), plan=plan
        )
        return await self.estimate(record)

    async def estimate(self, record: Record) -> Record:
        """Have the plan estimated and wait for approval."""
        plan = record.delegation.plan
        if plan is None:
            raise InternalError(f"delegation {record.delegation.delegation_id} has no plan to estimate")
        project_id = await self._create_project(record)
        estimate = await self.estimate_plan(project_id, plan)
        return await self._parts.journal.move(
            record,
            _S.AWAITING_APPROVAL,
            *describe_estimate(estimate, plan, record.max_cost_microusd),
            estimate=estimate,
            project_id=project_id,
        )

    async def estimate_plan(self, project_id: ProjectId, plan: Plan) -> Estimate:
        """Return PLMS's estimate of a plan; the project then waits for approval."""
        files = len(plan.files_expected)
        if not files and plan.recipe in {"format", "lint-fix"}:
            project = await self._parts.plms.get_project(project_id)
            files = (await self._parts.index.snapshot(project.repo)).files
        request = EstimateRequest(cards=describe_for_estimate(plan, files))
        return await self._parts.plms.estimate(project_id, request)

    async def _create_project(self, record: Record) -> ProjectId:
        delegation = record.delegation
        new = NewProject(
            title=" ".join(delegation.intent.split())[:100],
            prd=delegation.intent,
            repo=delegation.repo,
            tags=("delegation",),
            project_id=project_id_of(delegation.delegation_id),
        )
        return (await self._parts.plms.create_project(new)).project_id

    def _planning_cap(self, record: Record) -> int:
        allowed = record.max_cost_microusd
        cap = self._parts.planning_cap_microusd
        return cap if allowed is None else min(cap, allowed)


def project_id_of(delegation_id: DelegationId) -> ProjectId:
    """Return the id of the project that a delegation creates."""
    return ProjectId(f"prj-{delegation_id.partition('-')[2] or delegation_id}")
