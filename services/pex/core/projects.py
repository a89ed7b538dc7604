"""Runs of projects that were made and approved through the ledger (`vp`): each run is a delegation like any other."""

from dataclasses import replace

from services.kernel.clock import Clock, to_iso
from services.kernel.errors import InvalidRequestError
from services.kernel.ids import DelegationId, ProjectId, RunId
from services.kernel.log import current_trace_id
from services.kernel.vocabulary import DelegationState, ProjectState
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.core.journal import Journal
from services.pex.core.planning import REFUSAL, Planner
from services.pex.core.ports import EventDraft, Record
from services.pex.core.reporting import find_overrun_pct
from services.pex.models import MAX_INTENT_CHARS, Delegation, Plan, ProjectStatus, Question
from services.pex.protocol import NoRecipeFitsError, NoRunYetError, NotApprovedError
from services.plms.models import Estimate, Project

_S = DelegationState
_ACTIVE = frozenset({_S.APPROVED, _S.RUNNING, _S.REPORTING})
DEFAULT_TIMEOUT_MINUTES = 60.0


class ProjectRunner:
    """Finds and makes the delegations of projects."""

    def __init__(self, journal: Journal, plms: PlmsEdge, pas: PasEdge, clock: Clock) -> None:
        self._journal = journal
        self._plms = plms
        self._pas = pas
        self._clock = clock

    async def plan(self, planner: Planner, project: Project) -> Plan:
        """Return the plan of a project's PRD; raise NoRecipeFitsError, or InvalidRequestError with the question."""
        if len(project.prd) > MAX_INTENT_CHARS:
            raise NoRecipeFitsError(REFUSAL)
        planning = await planner.plan(project.prd, project.repo)
        if planning.question is not None:
            raise InvalidRequestError(ask_in_one_line(planning.question))
        if planning.plan is None:
            raise NoRecipeFitsError(planning.refusal)
        return planning.plan

    async def keep_plan(self, project: Project, plan: Plan, estimate: Estimate, delegation_id: DelegationId) -> None:
        """Keep a delegation that waits for the estimate's approval; one that waited before expires."""
        for old in await self._journal.store.list_records(
            project_id=project.project_id, states=(_S.AWAITING_APPROVAL,)
        ):
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
        await self._await_approval(record)

    async def _await_approval(self, record: Record) -> Record:
        added = await self._journal.add(record, EventDraft(3, "estimate", "estimated"))
        return await self._journal.move(
            added, _S.AWAITING_APPROVAL, EventDraft(4, "approval_required", "to be approved")
        )

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
        overrun = None
        if delegation is not None and run is not None:
            overrun = find_overrun_pct(delegation.estimate, run, self._clock.now())
        return ProjectStatus(
            project_id=project_id,
            delegation=delegation,
            run=run,
            projected_overrun_pct=overrun,
            approved_estimate_id=project.approved_estimate_id,
        )


def ask_in_one_line(question: Question) -> str:
    """Return a question with its options on one line."""
    options = "; ".join(f"{letter}) {option}" for letter, option in zip("ABC", question.options, strict=False))
    return f"{question.text} {options}".strip()
