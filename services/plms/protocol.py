"""What PLMS promises its neighbours.

PlatformError
├── NotFoundError
│   ├── ProjectNotFoundError      plms.project_not_found
│   └── EstimateNotFoundError     plms.estimate_not_found
└── ConflictError
    ├── ProjectExistsError        plms.project_exists          the id is taken by another body
    ├── EstimateOutdatedError     plms.estimate_outdated       a newer estimate replaced the one being approved
    └── kernel.illegal_transition
"""

from typing import Protocol

from services.kernel.caller import Caller
from services.kernel.errors import ConflictError, NotFoundError
from services.kernel.ids import ProjectId, RunId
from services.kernel.vocabulary import ProjectState
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


class ProjectNotFoundError(NotFoundError):
    """No project has that id."""

    code = "plms.project_not_found"


class EstimateNotFoundError(NotFoundError):
    """The project has no such estimate."""

    code = "plms.estimate_not_found"


class ProjectExistsError(ConflictError):
    """The chosen id belongs to a project with another body."""

    code = "plms.project_exists"


class EstimateOutdatedError(ConflictError):
    """A newer estimate exists."""

    code = "plms.estimate_outdated"


class Projects(Protocol):
    """Projects and their lifecycle."""

    async def create_project(self, caller: Caller, new: NewProject) -> Project:
        """Create a project in state `ideation`; needs project.write. Raises ProjectExistsError."""
        ...

    async def list_projects(
        self, caller: Caller, state: ProjectState | None = None, tag: str | None = None
    ) -> tuple[Project, ...]:
        """Return projects, newest first; needs plms.read_metrics."""
        ...

    async def get_project(self, caller: Caller, project_id: ProjectId) -> Project:
        """Return one project; needs plms.read_metrics. Raises ProjectNotFoundError."""
        ...

    async def delete_project(self, caller: Caller, project_id: ProjectId) -> Project:
        """Cancel a project (its history stays); needs project.write."""
        ...

    async def change_state(self, caller: Caller, project_id: ProjectId, change: StateChange) -> Project:
        """Move along the lifecycle table; moving to the present state changes nothing. Needs project.write."""
        ...


class Estimates(Protocol):
    """Estimates, approvals, and the actuals they learn from."""

    async def estimate(self, caller: Caller, project_id: ProjectId, request: EstimateRequest) -> Estimate:
        """Return and keep a predictive distribution; moves the project to pending_approval. Needs project.write.

        Seconds, and for agent and plan cards tokens and micro-USD, are each a Student-t of the logarithm from a
        Normal-Inverse-Gamma posterior per lane and configuration (docs/adr/0005, 0018), moved by the project's own
        rehearsals; the totals are a Monte-Carlo over the cards, their failures and dependencies.
        """
        ...

    async def list_estimates(self, caller: Caller, project_id: ProjectId) -> tuple[Estimate, ...]:
        """Return a project's estimates, newest first; needs plms.read_metrics."""
        ...

    async def approve(self, caller: Caller, project_id: ProjectId, approval: Approval) -> Project:
        """Record a yes; moves the project to approved. Needs plms.approve. Raises EstimateOutdatedError."""
        ...

    async def record_actuals(self, caller: Caller, run_id: RunId, actuals: RunActuals) -> None:
        """Keep what a run cost, once; needs pas.submit.

        Successes move the posteriors in verified baseline and hotfix runs only, failed attempts in any of those; a
        rehearsal moves its own project's estimates.
        """
        ...

    async def record_kpis(self, caller: Caller, run_id: RunId, kpis: RunKpis) -> None:
        """Keep a run's validator findings, once. Needs pas.submit."""
        ...

    async def get_metrics(self, caller: Caller, project_id: ProjectId) -> Metrics:
        """Return estimates against actuals; needs plms.read_metrics."""
        ...

    async def list_kpis(self, caller: Caller, project_id: ProjectId) -> tuple[KpiEntry, ...]:
        """Return the KPI history of a project, newest first; needs plms.read_metrics."""
        ...


class Plms(Projects, Estimates, Protocol):
    """Both halves; one object serves them."""
