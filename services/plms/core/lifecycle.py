"""How a project moves; every move is an event with its author and reason."""

from dataclasses import dataclass

from services.kernel.caller import Caller
from services.kernel.errors import ForbiddenError
from services.kernel.ids import EstimateId, ProjectId
from services.kernel.vocabulary import PROJECT_TRANSITIONS, ProjectState, Scope, check_transition
from services.plms.core.ledger import Event, Ledger
from services.plms.models import Project
from services.plms.protocol import ProjectNotFoundError

_UNAPPROVED = frozenset({ProjectState.PLANNING, ProjectState.ESTIMATING, ProjectState.CLARIFYING})


class NotByHandError(ForbiddenError):
    """That state is reached by an operation of its own."""

    code = "plms.not_by_hand"


@dataclass(frozen=True)
class Move:
    """Who moves a project, when and why."""

    author: str
    at: str
    rationale: str


def get_project(ledger: Ledger, project_id: ProjectId) -> Project:
    """Return the project; raise ProjectNotFoundError."""
    project = ledger.find_project(project_id)
    if project is None:
        raise ProjectNotFoundError(f"no project {project_id}; `vp list` shows the projects there are")
    return project


def move_project(ledger: Ledger, project: Project, target: ProjectState, move: Move) -> Project:
    """Take one arrow of the lifecycle and record it; a project that goes back to planning loses its approval."""
    check_transition(PROJECT_TRANSITIONS, project.state, target)
    approved = None if target in _UNAPPROVED else project.approved_estimate_id
    moved = project.model_copy(
        update={
            "state": target,
            "reason": move.rationale,
            "approved_estimate_id": approved,
            "updated_at": move.at,
        }
    )
    ledger.update_project(moved)
    ledger.add_event(Event(project.project_id, move.at, move.author, project.state, target, move.rationale))
    return moved


def walk_to_estimating(ledger: Ledger, project: Project, move: Move) -> Project:
    """Bring a project to `estimating` along legal arrows, through `planning` where it must."""
    if project.state is ProjectState.ESTIMATING:
        return project
    if ProjectState.ESTIMATING not in PROJECT_TRANSITIONS[project.state]:
        project = move_project(ledger, project, ProjectState.PLANNING, move)
    return move_project(ledger, project, ProjectState.ESTIMATING, move)


def await_approval(ledger: Ledger, project: Project, estimate_id: EstimateId, move: Move) -> Project:
    """Make `estimate_id` the estimate that waits for a yes."""
    return move_project(
        ledger,
        project.model_copy(update={"current_estimate_id": estimate_id, "approved_estimate_id": None}),
        ProjectState.PENDING_APPROVAL,
        move,
    )


def check_by_hand(caller: Caller, project: Project, target: ProjectState) -> None:
    """Refuse moves that would go round an approval, an estimate or a failed KPI.

    `approved` is only *returned* to (a run that failed or was terminated); `pending_approval` needs an estimate;
    to call a run that needs review completed is an override and needs kpi.override.
    """
    if target is ProjectState.APPROVED and project.state in {ProjectState.PENDING_APPROVAL, ProjectState.NEEDS_REVIEW}:
        raise NotByHandError("a project is approved by approving its estimate, not by setting its state")
    if target is ProjectState.PENDING_APPROVAL and project.state is ProjectState.ESTIMATING:
        raise NotByHandError("a project waits for approval once it has been estimated; ask for an estimate")
    if target is ProjectState.COMPLETED and project.state is ProjectState.NEEDS_REVIEW:
        caller.require(Scope.KPI_OVERRIDE)
