"""Runs of projects that were made and approved through the ledger (`vp`): each run is a delegation like any other."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.kernel.clock import Clock, to_iso
from services.kernel.errors import InternalError, InvalidRequestError
from services.kernel.ids import DelegationId, ProjectId, RunId
from services.kernel.log import current_trace_id
from services.kernel.vocabulary import (
    PROJECT_TRANSITIONS,
    DelegationState,
    Lane,
    ProjectState,
    RunState,
    check_transition,
)
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.core.bounds import describe_estimate
from services.pex.core.cards import needs_model
from services.pex.core.guard import Guard
from services.pex.core.intake import Intake
from services.pex.core.journal import Journal
from services.pex.core.planning import Planner, find_model
from services.pex.core.ports import EventDraft, Record
from services.pex.core.thinking import PlanningOrder, Thinker, Thought
from services.pex.models import MAX_INTENT_CHARS, Delegation, Plan, Planning, ProjectStatus, Question
from services.pex.protocol import ModelNeededError, NoRunYetError, NotApprovedError, StillRunningError
from services.plms.models import Estimate, Project

_S = DelegationState
_ESTIMABLE = frozenset({ProjectState.PLANNING, ProjectState.ESTIMATING})
_ACTIVE = frozenset({_S.APPROVED, _S.RUNNING, _S.REPORTING})
DEFAULT_TIMEOUT_MINUTES = 60.0
WAIT_S = 240.0
"""How long a request waits for a plan or a rehearsal; these go on after that, and asking again waits for the same."""
MAX_PLANNING_RUNS = 20


@dataclass(frozen=True)
class ProjectParts:
    """What project runs need."""

    journal: Journal
    planner: Planner
    thinker: Thinker
    intake: Intake
    plms: PlmsEdge
    pas: PasEdge
    guard: Guard
    clock: Clock
    new_id: Callable[[str], str]
    planning_cap_microusd: int


class ProjectRunner:
    """Finds and makes the delegations of projects."""

    def __init__(self, parts: ProjectParts) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._plms = parts.plms
        self._pas = parts.pas
        self._clock = parts.clock

    async def estimate(self, project_id: ProjectId) -> Estimate:
        """Plan a project's PRD, have it estimated and let it wait for approval.

        Raises IllegalTransitionError before anything is spent on a plan that could not be estimated now.
        """
        project = await self._plms.get_project(project_id)
        if project.state is not ProjectState.ESTIMATING and not PROJECT_TRANSITIONS[project.state] & _ESTIMABLE:
            check_transition(PROJECT_TRANSITIONS, project.state, ProjectState.ESTIMATING)
        return await self.estimate_again(project, await self.plan(project))

    async def estimate_again(self, project: Project, plan: Plan) -> Estimate:
        """Have a plan estimated and let it wait for approval, in the place of what waited before."""
        estimate = await self._parts.intake.estimate_plan(project.project_id, plan)
        await self.keep_plan(project, plan, estimate, DelegationId(self._parts.new_id("dlg")))
        return estimate

    async def plan(self, project: Project) -> Plan:
        """Return the plan of a project's PRD: by a recipe, else by a model, else one card that priors alone estimate.

        Raises InvalidRequestError with the question or the refusal, StillRunningError while a model plans.
        """
        if len(project.prd) > MAX_INTENT_CHARS:
            length = f"the PRD has {len(project.prd)} characters"
            raise InvalidRequestError(f"{length}; at most {MAX_INTENT_CHARS} can be planned: split the project")
        planning = await self._parts.planner.match(project.prd, project.repo)
        if planning is None:
            model = find_model(await self._pas.list_lane_models(), Lane.CODE_IMPL)
            if model.problem:
                return await self._parts.planner.plan_agent(project.prd, project.repo, None)
            planning = await self._think(project)
        if planning.question is not None:
            raise InvalidRequestError(ask_in_one_line(planning.question))
        if planning.plan is None:
            raise InvalidRequestError(planning.refusal)
        return planning.plan

    async def _think(self, project: Project) -> Planning:
        """Wait for the plan of a model; who asks again meanwhile, or after it, waits for the same run."""
        order = PlanningOrder(
            run_id=await self._find_planning_run(project),
            project_id=project.project_id,
            intent=project.prd,
            repo=project.repo,
            cap_microusd=self._parts.planning_cap_microusd,
        )
        try:
            async with asyncio.timeout(WAIT_S):
                return (await self._parts.thinker.think(order)).planning
        except TimeoutError:
            raise StillRunningError(f"a model still plans (run {order.run_id}); ask for the estimate again") from None

    async def _find_planning_run(self, project: Project) -> RunId:
        """Return the planning run of this PRD on this content of the repository; one that failed is not taken again."""
        stamp = (await self._parts.planner.predict(project.prd, project.repo)).stamp
        facts = [project.project_id, project.prd_sha256, stamp.head_commit, *stamp.dirty_paths]
        digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
        for number in range(1, MAX_PLANNING_RUNS):
            run_id = RunId(f"plan-{digest}-{number}")
            run = await self._pas.find_run(run_id)
            if run is None or run.state not in {RunState.FAILED, RunState.TERMINATED}:
                return run_id
        raise InvalidRequestError(f"planning failed {MAX_PLANNING_RUNS} times; look at run {run_id}, or change the PRD")

    async def check_models(self, delegation: Delegation) -> None:
        """Raise ModelNeededError unless every card of a plan that needs a model has one, and had one when estimated."""
        plan = delegation.plan
        lanes = {card.lane for card in plan.cards if needs_model(card)} if plan else set()
        if plan is None or not lanes:
            return
        known = await self._pas.list_lane_models()
        for lane in sorted(lanes):
            model = find_model(known, lane)
            if model.problem:
                cure = "" if "direng model add" in model.problem else "; connect one with `direng model add`"
                problem = f"the plan needs a model on lane {lane}: {model.problem}{cure}"
                raise ModelNeededError(f'{problem} (see "Connect a model" in the README), then estimate again')
        if not plan.models:
            raise ModelNeededError("the estimate was made before a model was connected; estimate the project again")

    async def keep_plan(self, project: Project, plan: Plan, estimate: Estimate, delegation_id: DelegationId) -> None:
        """Keep a delegation that waits for the estimate's approval; one that waited before expires.

        What the user allowed with the older one (a cap, a time, a session's cap) holds for the newer one too.
        """
        older = await self._journal.store.list_records(project_id=project.project_id, states=(_S.AWAITING_APPROVAL,))
        for old in older:
            await self._journal.move(old, _S.EXPIRED, reason="a newer estimate replaced this one")
        at = to_iso(self._clock.now())
        delegation = Delegation(
            delegation_id=delegation_id,
            trace_id=current_trace_id(),
            intent=project.prd,
            repo=project.repo,
            state=_S.ESTIMATING,
            reason="",
            project_id=project.project_id,
            plan=plan,
            question=None,
            estimate=estimate,
            run_id=None,
            report=None,
            created_at=at,
            updated_at=at,
            last_seq=0,
        )
        record = Record(delegation, f"estimate of project {project.project_id}", DEFAULT_TIMEOUT_MINUTES)
        if older:
            record = replace(
                record,
                rationale=older[0].rationale,
                timeout_minutes=older[0].timeout_minutes,
                max_cost_microusd=older[0].max_cost_microusd,
                session_id=older[0].session_id,
            )
        await self._await_approval(record)

    async def find_planned(self, project_id: ProjectId) -> Delegation | None:
        """Return the newest delegation of a project that waits for approval, if any."""
        waiting = await self._journal.store.list_records(project_id=project_id, states=(_S.AWAITING_APPROVAL,))
        return waiting[0].delegation if waiting else None

    async def _await_approval(self, record: Record) -> Record:
        estimate, plan = record.delegation.estimate, record.delegation.plan
        if estimate is None or plan is None:
            raise InternalError(f"delegation {record.delegation.delegation_id} has no estimate to approve")
        estimated, waiting = describe_estimate(estimate, plan, record.max_cost_microusd)
        added = await self._journal.add(record, *_tell_planning(plan), estimated)
        return await self._journal.move(added, _S.AWAITING_APPROVAL, waiting)

    async def find_startable(self, project_id: ProjectId, delegation_id: DelegationId) -> Record:
        """Return the delegation that runs or may run for an approved project.

        `delegation_id` names the new one when the approved plan has run before. Raises NotApprovedError.
        """
        records = await self._journal.store.list_records(project_id=project_id)
        for record in records:
            if record.delegation.state in _ACTIVE:
                return record
        project = await self._plms.get_project(project_id)
        if project.state is not ProjectState.APPROVED or project.approved_estimate_id is None:
            raise NotApprovedError(f"project {project_id} is {project.state}; estimate and approve it first")
        for record in records:
            estimate = record.delegation.estimate
            if estimate is not None and estimate.estimate_id == project.approved_estimate_id:
                return await self._reopen(record, delegation_id)
        raise NotApprovedError(f"the approved estimate of {project_id} has no plan; estimate and approve it again")

    async def _reopen(self, record: Record, delegation_id: DelegationId) -> Record:
        if record.delegation.state is _S.AWAITING_APPROVAL:
            return record
        at = to_iso(self._clock.now())
        fresh = {
            "delegation_id": delegation_id,
            "trace_id": current_trace_id(),
            "state": _S.ESTIMATING,
            "reason": "",
            "run_id": None,
            "report": None,
            "created_at": at,
            "updated_at": at,
            "last_seq": 0,
        }
        again = replace(
            record,
            delegation=record.delegation.model_copy(update=fresh),
            approval_key="",
            decision_rationale="",
            pas_cursor=0,
            guard_bound=0,  # a newer run has a guard of its own
            guard_next_pct=0.0,
        )
        return await self._await_approval(again)

    async def find_run(self, project_id: ProjectId) -> RunId:
        """Return the newest run of a project; raise NoRunYetError."""
        for record in await self._journal.store.list_records(project_id=project_id):
            if record.delegation.run_id is not None:
                return record.delegation.run_id
        await self._plms.get_project(project_id)
        raise NoRunYetError(f"project {project_id} was never started")

    async def get_status(self, project_id: ProjectId) -> ProjectStatus:
        """Return where a project stands."""
        project = await self._plms.get_project(project_id)
        records = await self._journal.store.list_records(project_id=project_id)
        delegation = records[0].delegation if records else None
        run = None
        if delegation is not None and delegation.run_id is not None:
            run = await self._pas.get_run(delegation.run_id)
        budget = await self._parts.guard.measure(records[0], run) if run is not None else None
        return ProjectStatus(
            project_id=project_id,
            delegation=delegation,
            run=run,
            projected_overrun_pct=budget.projected_overrun_pct if budget else None,
            t_minus_depletion_min=budget.t_minus_depletion_min if budget else None,
            budget=budget,
            approved_estimate_id=project.approved_estimate_id,
        )


def _tell_planning(plan: Plan) -> tuple[EventDraft, ...]:
    cost = plan.planning
    return () if cost is None else (EventDraft(2, "planning_cost", Thought(Planning(plan=plan), cost).tell()),)


def ask_in_one_line(question: Question) -> str:
    """Return a question with its options on one line."""
    options = "; ".join(f"{letter}) {option}" for letter, option in zip("ABC", question.options, strict=False))
    return f"{question.text} {options}".strip()
