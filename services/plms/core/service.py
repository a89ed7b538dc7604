"""PLMS itself: each method authorises its caller and runs one use case in one transaction."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256

from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.ids import EstimateId, ProjectId, RunId
from services.kernel.vocabulary import IllegalTransitionError, ProjectState, Scope
from services.plms.core.accuracy import measure_project
from services.plms.core.calibration import Calibration
from services.plms.core.estimation import estimate_plan
from services.plms.core.intake import (
    check_attempts,
    check_binding,
    check_findings,
    check_project,
    clean_finding,
    clean_rationale,
)
from services.plms.core.ledger import Event, Ledger, Run, Store
from services.plms.core.lifecycle import (
    Move,
    await_approval,
    check_by_hand,
    get_project,
    move_project,
    walk_to_estimating,
)
from services.plms.models import (
    Approval,
    Estimate,
    EstimateRequest,
    KpiEntry,
    Metrics,
    NewProject,
    Project,
    RunActuals,
    RunKpis,
    StateChange,
)
from services.plms.protocol import EstimateNotFoundError, EstimateOutdatedError, ProjectExistsError

_APPROVABLE = frozenset({ProjectState.PENDING_APPROVAL, ProjectState.NEEDS_REVIEW})


class PlmsService:
    """The project ledger; satisfies `protocol.Plms`."""

    def __init__(self, store: Store, clock: Clock, calibration: Calibration, new_id: Callable[[str], str]) -> None:
        self._store = store
        self._clock = clock
        self._calibration = calibration
        self._new_id = new_id

    async def create_project(self, caller: Caller, new: NewProject) -> Project:
        caller.require(Scope.PROJECT_WRITE)
        check_project(new)
        project_id = new.project_id or ProjectId(self._new_id("prj"))
        move = Move(caller.subject, to_iso(self._clock.now()), "created")
        return await self._store.transact(partial(_create, new=new, project_id=project_id, move=move))

    async def list_projects(
        self, caller: Caller, state: ProjectState | None = None, tag: str | None = None
    ) -> tuple[Project, ...]:
        caller.require(Scope.PLMS_READ_METRICS)
        return await self._store.transact(lambda ledger: ledger.list_projects(state, tag))

    async def get_project(self, caller: Caller, project_id: ProjectId) -> Project:
        caller.require(Scope.PLMS_READ_METRICS)
        return await self._store.transact(lambda ledger: get_project(ledger, project_id))

    async def delete_project(self, caller: Caller, project_id: ProjectId) -> Project:
        caller.require(Scope.PROJECT_WRITE)
        return await self._move(caller, project_id, ProjectState.CANCELLED, "deleted by its user")

    async def change_state(self, caller: Caller, project_id: ProjectId, change: StateChange) -> Project:
        caller.require(Scope.PROJECT_WRITE)
        return await self._move(caller, project_id, change.target, clean_rationale(change.rationale))

    async def _move(self, caller: Caller, project_id: ProjectId, target: ProjectState, rationale: str) -> Project:
        move = Move(caller.subject, to_iso(self._clock.now()), rationale)

        def use_case(ledger: Ledger) -> Project:
            project = get_project(ledger, project_id)
            if project.state is target:
                return project
            check_by_hand(caller, project, target)
            return move_project(ledger, project, target, move)

        return await self._store.transact(use_case)

    async def estimate(self, caller: Caller, project_id: ProjectId, request: EstimateRequest) -> Estimate:
        caller.require(Scope.PROJECT_WRITE)
        estimate_id = EstimateId(self._new_id("est"))
        rationale = f"estimate {estimate_id} of {len(request.cards)} cards"
        move = Move(caller.subject, to_iso(self._clock.now()), rationale)

        def use_case(ledger: Ledger) -> Estimate:
            project = walk_to_estimating(ledger, get_project(ledger, project_id), move)
            estimate = estimate_plan(
                ledger,
                self._calibration,
                request,
                project=project,
                estimate_id=estimate_id,
                created_at=move.at,
            )
            ledger.add_estimate(estimate)
            await_approval(ledger, project, estimate_id, move)
            return estimate

        return await self._store.transact(use_case)

    async def list_estimates(self, caller: Caller, project_id: ProjectId) -> tuple[Estimate, ...]:
        caller.require(Scope.PLMS_READ_METRICS)
        return await self._store.transact(
            lambda ledger: ledger.list_estimates(get_project(ledger, project_id).project_id)
        )

    async def approve(self, caller: Caller, project_id: ProjectId, approval: Approval) -> Project:
        caller.require(Scope.PLMS_APPROVE)
        move = Move(caller.subject, to_iso(self._clock.now()), clean_rationale(approval.rationale))
        return await self._store.transact(partial(_approve, project_id=project_id, approval=approval, move=move))

    async def record_actuals(self, caller: Caller, run_id: RunId, actuals: RunActuals) -> None:
        caller.require(Scope.PAS_SUBMIT)
        check_binding(caller, actuals.project_id, run_id)
        check_attempts(actuals)
        recorded_at = to_iso(self._clock.now())
        run = Run(run_id, actuals.project_id, actuals.run_kind, actuals.final_state, actuals.is_verified, recorded_at)

        def use_case(ledger: Ledger) -> None:
            project = get_project(ledger, actuals.project_id)
            if ledger.find_run(run_id) is not None:
                return
            scored = self._calibration.score(ledger, project, actuals)
            ledger.add_run(run, scored)
            self._calibration.learn(ledger, scored)

        await self._store.transact(use_case)

    async def record_kpis(self, caller: Caller, run_id: RunId, kpis: RunKpis) -> None:
        caller.require(Scope.PAS_SUBMIT)
        check_binding(caller, kpis.project_id, run_id)
        check_findings(kpis)
        recorded_at = to_iso(self._clock.now())
        entries = [KpiEntry(run_id=run_id, recorded_at=recorded_at, kpi=clean_finding(kpi)) for kpi in kpis.kpis]

        def use_case(ledger: Ledger) -> None:
            get_project(ledger, kpis.project_id)
            if not ledger.has_kpis(run_id):
                ledger.add_kpis(kpis.project_id, entries)

        await self._store.transact(use_case)

    async def get_metrics(self, caller: Caller, project_id: ProjectId) -> Metrics:
        caller.require(Scope.PLMS_READ_METRICS)
        return await self._store.transact(
            lambda ledger: measure_project(ledger, self._calibration, get_project(ledger, project_id))
        )

    async def list_kpis(self, caller: Caller, project_id: ProjectId) -> tuple[KpiEntry, ...]:
        caller.require(Scope.PLMS_READ_METRICS)
        return await self._store.transact(lambda ledger: ledger.list_kpis(get_project(ledger, project_id).project_id))


def _create(ledger: Ledger, new: NewProject, project_id: ProjectId, move: Move) -> Project:
    body = new.model_copy(update={"project_id": project_id})
    digest = sha256(body.model_dump_json().encode()).hexdigest()
    existing = ledger.find_project(project_id)
    if existing is not None:
        if ledger.find_creation_digest(project_id) == digest:
            return existing
        raise ProjectExistsError(f"project {project_id} exists with another body; choose another id")
    project = Project(
        project_id=project_id,
        title=new.title,
        prd=new.prd,
        prd_sha256=sha256(new.prd.encode()).hexdigest(),
        repo=new.repo,
        tags=new.tags,
        state=ProjectState.IDEATION,
        reason=move.rationale,
        current_estimate_id=None,
        approved_estimate_id=None,
        created_at=move.at,
        updated_at=move.at,
    )
    ledger.add_project(project, digest)
    ledger.add_event(Event(project_id, move.at, move.author, None, ProjectState.IDEATION, move.rationale))
    return project


def _approve(ledger: Ledger, project_id: ProjectId, approval: Approval, move: Move) -> Project:
    project = get_project(ledger, project_id)
    if ledger.find_estimate(project_id, approval.estimate_id) is None:
        raise EstimateNotFoundError(f"project {project_id} has no estimate {approval.estimate_id}")
    if approval.estimate_id != project.current_estimate_id:
        raise EstimateOutdatedError(
            f"estimate {approval.estimate_id} was replaced by {project.current_estimate_id}; look at that one"
        )
    if project.state is ProjectState.APPROVED and project.approved_estimate_id == approval.estimate_id:
        return project
    if project.state not in _APPROVABLE:
        raise IllegalTransitionError(f"project {project_id} is {project.state}; only a waiting one can be approved")
    approved = project.model_copy(update={"approved_estimate_id": approval.estimate_id})
    moved = move_project(ledger, approved, ProjectState.APPROVED, move)
    ledger.add_approval(project_id, approval.model_copy(update={"rationale": move.rationale}), move.author, move.at)
    return moved
