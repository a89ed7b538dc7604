"""What PAS promises its neighbours.

PlatformError
├── InvalidRequestError
│   ├── PassportBasisMissingError   pas.passport_basis_missing   no basis, or one that names no usable repository
│   ├── CardGraphError              pas.card_graph               unknown dependency, cycle, duplicate task id
│   └── ModelMissingError           pas.model_missing            a card needs a model; says what to configure
├── NotFoundError
│   ├── RunNotFoundError            pas.run_not_found
│   ├── TaskNotFoundError           pas.task_not_found
│   └── ArtifactNotFoundError       pas.artifact_not_found
├── ConflictError
│   ├── RunExistsError              pas.run_exists               the id belongs to a run with another body
│   ├── RunStartedError             pas.run_started              cards can be added only before the start
│   └── NoNextModelError            pas.no_next_model            nothing is left in the chain to pass over to
└── UnavailableError
    └── IsolationUnavailableError   pas.isolation_unavailable    no isolation, no run (core/isolation.py)
"""

from collections.abc import AsyncIterator
from typing import Protocol

from services.kernel.caller import Caller
from services.kernel.errors import ConflictError, InvalidRequestError, NotFoundError
from services.kernel.ids import RunId, Sha256
from services.pas.models import (
    ArtifactRef,
    CardAccepted,
    CardSubmission,
    LaneModel,
    Portfolio,
    Receipt,
    RunCommand,
    RunEvent,
    RunView,
    SignedPassport,
    StartRun,
)


class PassportBasisMissingError(InvalidRequestError):
    """A run needs a valid passport basis before it may start."""

    code = "pas.passport_basis_missing"


class CardGraphError(InvalidRequestError):
    """The cards do not form an acyclic graph over known task ids."""

    code = "pas.card_graph"


class ModelMissingError(InvalidRequestError):
    """A card of the run needs a model and its lane has none."""

    code = "pas.model_missing"


class RunNotFoundError(NotFoundError):
    """No run has that id."""

    code = "pas.run_not_found"


class TaskNotFoundError(NotFoundError):
    """The run has no such card."""

    code = "pas.task_not_found"


class ArtifactNotFoundError(NotFoundError):
    """Nothing is stored under that digest."""

    code = "pas.artifact_not_found"


class RunExistsError(ConflictError):
    """The run id is taken by a run with another body."""

    code = "pas.run_exists"


class RunStartedError(ConflictError):
    """The run has started; its cards are settled."""

    code = "pas.run_started"


class NoNextModelError(ConflictError):
    """A run cannot go on with the next model of the chain: there is none."""

    code = "pas.no_next_model"


class Runs(Protocol):
    """Start runs and look at them."""

    async def submit_card(self, caller: Caller, submission: CardSubmission) -> CardAccepted:
        """Queue a card for a run that has not started; the same card twice is one card. Needs pas.submit."""
        ...

    async def start_run(self, caller: Caller, start: StartRun) -> RunView:
        """Snapshot the repository and start the run durably; returns at once. Needs pas.submit.

        Raises PassportBasisMissingError, CardGraphError, ModelMissingError, RunExistsError,
        IsolationUnavailableError.
        """
        ...

    async def get_run(self, caller: Caller, run_id: RunId) -> RunView:
        """Return a run with its cards, findings and artifacts; needs pas.read_status."""
        ...

    async def list_runs(
        self, caller: Caller, repo: str | None = None, *, is_active: bool = False
    ) -> tuple[RunView, ...]:
        """Return runs, newest first, of one repository or all; needs pas.read_status."""
        ...

    def watch_run(self, caller: Caller, run_id: RunId, after_seq: int = 0) -> AsyncIterator[RunEvent]:
        """Yield the events after `after_seq`, then live ones, until the run ends; needs pas.read_status."""
        ...

    async def list_receipts(self, caller: Caller, run_id: RunId) -> tuple[Receipt, ...]:
        """Return the receipts of a run in the order they were recorded; needs pas.read_status."""
        ...

    async def get_passport(self, caller: Caller, run_id: RunId) -> SignedPassport:
        """Return the signed passport of a run that has ended; needs pas.read_status."""
        ...


class RunControl(Protocol):
    """Steer runs."""

    async def pause_run(self, caller: Caller, command: RunCommand) -> RunView:
        """Start no further card; agent cards stop at their next step, others finish. Twice is once. Needs pas.pause."""
        ...

    async def resume_run(self, caller: Caller, command: RunCommand) -> RunView:
        """Go on with a paused run, if asked with another ceiling of spend or the next model of the chain.

        Of a run that is going on already only the ceiling is changed. Raises NoNextModelError. Needs pas.pause.
        """
        ...

    async def terminate_run(self, caller: Caller, command: RunCommand) -> RunView:
        """Stop all cards now and end the run; partial results stay as artifacts. Needs pas.pause."""
        ...

    async def cancel_card(self, caller: Caller, command: RunCommand) -> RunView:
        """Stop one card; cards that depend on it are skipped. Needs pas.pause."""
        ...

    async def get_portfolio(self, caller: Caller) -> Portfolio:
        """Return the load of all lanes; needs pas.read_status."""
        ...

    async def list_lane_models(self, caller: Caller) -> tuple[LaneModel, ...]:
        """Return the model of every lane, or why it has none; needs pas.read_status."""
        ...


class Artifacts(Protocol):
    """Content-addressed files of runs."""

    async def put_artifact(self, caller: Caller, content: bytes) -> ArtifactRef:
        """Store bytes under their SHA-256; needs artifact.write."""
        ...

    async def get_artifact(self, caller: Caller, sha256: Sha256) -> bytes:
        """Return verified bytes; needs artifact.read. Raises ArtifactNotFoundError."""
        ...


class Pas(Runs, RunControl, Artifacts, Protocol):
    """All three; one object serves them."""
