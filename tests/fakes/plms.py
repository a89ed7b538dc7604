"""PLMS in memory, for the tests of its neighbours: a small ledger with the same rules of order and repetition."""

from datetime import UTC, datetime

from services.kernel.caller import Caller
from services.kernel.clock import to_iso
from services.kernel.errors import ConflictError
from services.kernel.ids import EstimateId, ProjectId, RunId, new_id
from services.kernel.vocabulary import PROJECT_TRANSITIONS, ProjectState, RunKind, Scope, check_transition
from services.plms.models import (
    ZERO,
    Approval,
    CardEstimate,
    Estimate,
    EstimateRequest,
    KpiEntry,
    Label,
    Metrics,
    NewProject,
    PlannedCard,
    Project,
    Quantiles,
    RunActuals,
    RunKpis,
    StateChange,
)
from services.plms.protocol import EstimateNotFoundError, EstimateOutdatedError, ProjectNotFoundError


def make_quantiles(median_s: float) -> Quantiles:
    """Return a wide distribution around a median."""
    factors = {"p05": 0.3, "p10": 0.4, "p25": 0.7, "p50": 1, "p75": 1.5, "p80": 1.7, "p90": 2.5, "p95": 4}
    return Quantiles(**{name: factor * median_s for name, factor in factors.items()})


def _needs_model(card: PlannedCard) -> bool:
    return not card.configuration.startswith("recipe/")


class FakePlms:
    """Keeps projects, estimates and what runs cost."""

    def __init__(self, card_median_s: float = 2.0) -> None:
        self.projects: dict[ProjectId, Project] = {}
        self.estimates: dict[ProjectId, list[Estimate]] = {}
        self.actuals: dict[RunId, RunActuals] = {}
        self.kpis: dict[RunId, RunKpis] = {}
        self.posts: list[str] = []
        self.approvals: list[Approval] = []
        self.requests: list[EstimateRequest] = []
        self.card_cost_microusd = 100_000
        self._card_median_s = card_median_s

    async def create_project(self, caller: Caller, new: NewProject) -> Project:
        caller.require(Scope.PROJECT_WRITE)
        project_id = new.project_id or ProjectId(new_id("prj"))
        if project_id in self.projects:
            return self.projects[project_id]
        at = to_iso(datetime.now(UTC))
        project = Project(
            project_id=project_id,
            title=new.title,
            prd=new.prd,
            prd_sha256="0" * 64,
            repo=new.repo,
            tags=new.tags,
            state=ProjectState.IDEATION,
            reason="created",
            current_estimate_id=None,
            approved_estimate_id=None,
            created_at=at,
            updated_at=at,
        )
        self.projects[project_id] = project
        return project

    async def list_projects(
        self, caller: Caller, state: ProjectState | None = None, tag: str | None = None
    ) -> tuple[Project, ...]:
        return tuple(p for p in reversed(self.projects.values()) if state in {None, p.state})

    async def get_project(self, caller: Caller, project_id: ProjectId) -> Project:
        if project_id not in self.projects:
            raise ProjectNotFoundError(f"no project {project_id}")
        return self.projects[project_id]

    async def delete_project(self, caller: Caller, project_id: ProjectId) -> Project:
        return await self.change_state(
            caller, project_id, StateChange(target=ProjectState.CANCELLED, rationale="deleted")
        )

    async def change_state(self, caller: Caller, project_id: ProjectId, change: StateChange) -> Project:
        caller.require(Scope.PROJECT_WRITE)
        project = await self.get_project(caller, project_id)
        if project.state is change.target:
            return project
        check_transition(PROJECT_TRANSITIONS, project.state, change.target)
        return self._put(project, state=change.target, reason=change.rationale)

    async def estimate(self, caller: Caller, project_id: ProjectId, request: EstimateRequest) -> Estimate:
        caller.require(Scope.PROJECT_WRITE)
        project = await self.get_project(caller, project_id)
        if project.state in {ProjectState.EXECUTING, ProjectState.VALIDATING, ProjectState.CANCELLED}:
            raise ConflictError(f"project {project_id} is {project.state}")
        self.requests.append(request)
        cards = tuple(
            CardEstimate(
                task_id=card.task_id,
                lane=card.lane,
                configuration=card.configuration,
                time_s=make_quantiles(self._card_median_s * card.size_units),
                cost_microusd=self._cost_of(card),
                attempts_observed=0,
                label=Label.PRIOR_LED,
            )
            for card in request.cards
        )
        cost = make_quantiles(sum(card.cost_microusd.p50 for card in cards))
        rehearsed = [run for run in self.actuals.values() if run.run_kind is RunKind.REHEARSAL]
        estimate = Estimate(
            estimate_id=EstimateId(new_id("est")),
            project_id=project_id,
            time_s=make_quantiles(sum(card.time_s.p50 for card in cards)),
            cost_microusd=cost,
            cost_microusd_p95=round(cost.p95),
            tokens_p95=0,
            uses_model=any(_needs_model(card) for card in request.cards),
            rehearsed_cards=len(rehearsed),
            label=Label.PRIOR_LED,
            cards=cards,
            created_at=to_iso(datetime.now(UTC)),
        )
        self.estimates.setdefault(project_id, []).insert(0, estimate)
        state = ProjectState.PENDING_APPROVAL
        self._put(project, state=state, current_estimate_id=estimate.estimate_id, approved_estimate_id=None)
        return estimate

    def _cost_of(self, card: PlannedCard) -> Quantiles:
        """Ten cents a card that needs a model; half of it once such a card was rehearsed."""
        rehearsed = {
            actual.configuration
            for run in self.actuals.values()
            if run.run_kind is RunKind.REHEARSAL
            for actual in run.actuals
        }
        median = self.card_cost_microusd * (0.5 if card.configuration in rehearsed else 1)
        return make_quantiles(median) if _needs_model(card) else ZERO

    async def list_estimates(self, caller: Caller, project_id: ProjectId) -> tuple[Estimate, ...]:
        return tuple(self.estimates.get(project_id, ()))

    async def approve(self, caller: Caller, project_id: ProjectId, approval: Approval) -> Project:
        caller.require(Scope.PLMS_APPROVE)
        project = await self.get_project(caller, project_id)
        self.approvals.append(approval)
        known = [estimate.estimate_id for estimate in self.estimates.get(project_id, ())]
        if approval.estimate_id not in known:
            raise EstimateNotFoundError(f"project {project_id} has no estimate {approval.estimate_id}")
        if approval.estimate_id != known[0]:
            raise EstimateOutdatedError("a newer estimate exists")
        if project.approved_estimate_id == approval.estimate_id:
            return project
        check_transition(PROJECT_TRANSITIONS, project.state, ProjectState.APPROVED)
        return self._put(project, state=ProjectState.APPROVED, approved_estimate_id=approval.estimate_id)

    async def record_actuals(self, caller: Caller, run_id: RunId, actuals: RunActuals) -> None:
        caller.require(Scope.PAS_SUBMIT)
        self.posts.append(f"actuals {run_id}")
        self.actuals.setdefault(run_id, actuals)

    async def record_kpis(self, caller: Caller, run_id: RunId, kpis: RunKpis) -> None:
        caller.require(Scope.PAS_SUBMIT)
        self.posts.append(f"kpis {run_id}")
        self.kpis.setdefault(run_id, kpis)

    async def get_metrics(self, caller: Caller, project_id: ProjectId) -> Metrics:
        runs = [actuals for actuals in self.actuals.values() if actuals.project_id == project_id]
        total_s = sum(actual.time_s for run in runs for actual in run.actuals)
        spent = sum(actual.cost_microusd for run in runs for actual in run.actuals)
        return Metrics(project_id=project_id, runs=len(runs), total_time_s=total_s, total_cost_microusd=spent, lanes=())

    async def list_kpis(self, caller: Caller, project_id: ProjectId) -> tuple[KpiEntry, ...]:
        return tuple(
            KpiEntry(run_id=run_id, recorded_at="", kpi=kpi)
            for run_id, kpis in self.kpis.items()
            if kpis.project_id == project_id
            for kpi in kpis.kpis
        )

    def _put(self, project: Project, **fields: object) -> Project:
        self.projects[project.project_id] = project.model_copy(update=fields)
        return self.projects[project.project_id]
