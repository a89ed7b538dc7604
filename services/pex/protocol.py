"""What PEX promises its neighbours.

PlatformError
├── InvalidRequestError
│   └── NoRecipeFitsError         pex.no_recipe_fits        names the recipes and how to configure a model
├── NotFoundError
│   ├── DelegationNotFoundError   pex.delegation_not_found
│   └── NoRunYetError             pex.no_run_yet            the project was never started
└── ConflictError
    ├── NotAwaitingApprovalError  pex.not_awaiting_approval
    └── NotApprovedError          pex.not_approved          the project has no approved estimate
"""

from collections.abc import AsyncIterator
from typing import Protocol

from services.kernel.caller import Caller
from services.kernel.errors import ConflictError, InvalidRequestError, NotFoundError
from services.kernel.ids import DelegationId, ProjectId
from services.pas.models import ArtifactRef, Receipt
from services.pex.models import (
    ApprovalReply,
    Delegation,
    DelegationEvent,
    DelegationRequest,
    Planning,
    PlanRequest,
    ProjectRunCommand,
    ProjectStatus,
    StartProject,
)
from services.plms.models import Estimate


class NoRecipeFitsError(InvalidRequestError):
    """No recipe fits the intent and no model is configured."""

    code = "pex.no_recipe_fits"


class DelegationNotFoundError(NotFoundError):
    """No delegation has that id."""

    code = "pex.delegation_not_found"


class NoRunYetError(NotFoundError):
    """The project was never started."""

    code = "pex.no_run_yet"


class NotAwaitingApprovalError(ConflictError):
    """The delegation is not waiting for a word."""

    code = "pex.not_awaiting_approval"


class NotApprovedError(ConflictError):
    """The project has no approved estimate."""

    code = "pex.not_approved"


class Delegations(Protocol):
    """From words to a finished run."""

    async def plan(self, caller: Caller, request: PlanRequest) -> Planning:
        """Say what would be done, without keeping anything; needs pex.start."""
        ...

    async def delegate(self, caller: Caller, request: DelegationRequest) -> Delegation:
        """Plan, create the project, estimate.

        Returns awaiting_approval, or failed with a question or a refusal. Needs pex.start.
        """
        ...

    async def get_delegation(self, caller: Caller, delegation_id: DelegationId) -> Delegation:
        """Return one delegation; needs pas.read_status."""
        ...

    async def list_delegations(self, caller: Caller, repo: str | None = None) -> tuple[Delegation, ...]:
        """Return delegations, newest first; needs pas.read_status."""
        ...

    async def approve(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        """Approve the estimate and start the run; repeating it changes nothing. Needs plms.approve."""
        ...

    async def reject(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        """Decline; nothing runs. Needs plms.approve."""
        ...

    def watch_delegation(
        self, caller: Caller, delegation_id: DelegationId, after_seq: int = 0
    ) -> AsyncIterator[DelegationEvent]:
        """Yield events after `after_seq`, then live ones, until the delegation waits for a word or ends."""
        ...


class ProjectRuns(Protocol):
    """Run control of projects (SPEC.md section 4)."""

    async def estimate_project(self, caller: Caller, project_id: ProjectId) -> Estimate:
        """Plan the project's PRD and have PLMS estimate it. Raises NoRecipeFitsError. Needs pex.start."""
        ...

    async def start_project(self, caller: Caller, project_id: ProjectId, start: StartProject) -> Delegation:
        """Run an approved project; while it runs, starting it again returns the same delegation. Needs pex.start."""
        ...

    async def pause_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        """Pause the present run; needs pas.pause."""
        ...

    async def resume_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        """Resume the present run; needs pas.pause."""
        ...

    async def terminate_project(
        self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand
    ) -> ProjectStatus:
        """End the present run; needs pas.pause."""
        ...

    async def get_status(self, caller: Caller, project_id: ProjectId) -> ProjectStatus:
        """Return where the project stands; needs pas.read_status."""
        ...

    async def list_receipts(self, caller: Caller, project_id: ProjectId) -> tuple[Receipt, ...]:
        """Return the receipts of the newest run; needs pas.read_status."""
        ...

    async def list_artifacts(self, caller: Caller, project_id: ProjectId) -> tuple[ArtifactRef, ...]:
        """Return the artifacts of the newest run; needs artifact.read."""
        ...


class Pex(Delegations, ProjectRuns, Protocol):
    """Both halves; one object serves them."""
