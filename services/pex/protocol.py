"""What PEX promises its neighbours.

PlatformError
├── InvalidRequestError
│   └── ModelNeededError          pex.model_needed          a card needs a model: says what to configure
├── DeadlineExceededError
│   └── StillRunningError         pex.still_running         planning or a rehearsal takes longer; ask again
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
from services.kernel.errors import ConflictError, DeadlineExceededError, InvalidRequestError, NotFoundError
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
    SimulateProject,
    Simulation,
    StartProject,
)
from services.plms.models import Estimate


class ModelNeededError(InvalidRequestError):
    """The plan has cards that only a model can do, and none is configured."""

    code = "pex.model_needed"


class StillRunningError(DeadlineExceededError):
    """A planning run or a rehearsal goes on; asking again waits for the same run and pays nothing twice."""

    code = "pex.still_running"


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
        """Say what would be done, spending and keeping nothing; needs pex.start.

        A recipe where one fits; else one agent card on the lane's model; without a model a refusal that says how to add
        one.
        """
        ...

    async def delegate(self, caller: Caller, request: DelegationRequest) -> Delegation:
        """Plan, create the project, estimate.

        Returns awaiting_approval, or failed with a question or a refusal. Where no recipe fits, a model plans, under a
        cap of its own: that is returned at once as `planning`, to be watched until it rests. Needs pex.start.
        """
        ...

    async def get_delegation(self, caller: Caller, delegation_id: DelegationId) -> Delegation:
        """Return one delegation; needs pas.read_status."""
        ...

    async def list_delegations(self, caller: Caller, repo: str | None = None) -> tuple[Delegation, ...]:
        """Return delegations, newest first; needs pas.read_status."""
        ...

    async def approve(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        """Approve the estimate and start the run; repeating it changes nothing. Needs plms.approve.

        Raises ModelNeededError, changing nothing, when its cards need a model that is no longer there.
        """
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
        """Plan the project's PRD and have PLMS estimate it. Needs pex.start.

        A model plans where no recipe fits; without a model the estimate is led by the public priors. Raises
        InvalidRequestError with a question, StillRunningError while a model plans.
        """
        ...

    async def simulate_project(self, caller: Caller, project_id: ProjectId, order: SimulateProject) -> Simulation:
        """Rehearse a fraction of the project's cards on the untouched snapshot and estimate again. Needs pex.start.

        At least one card per stratum (kind x complexity x lane); recipe cards are free and need none. The result is
        never offered. Asking again for the same estimate waits for the same run. Raises StillRunningError.
        """
        ...

    async def start_project(self, caller: Caller, project_id: ProjectId, start: StartProject) -> Delegation:
        """Run an approved project; while it runs, starting it again returns the same delegation. Needs pex.start.

        Raises ModelNeededError when its cards need a model that is not configured.
        """
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
