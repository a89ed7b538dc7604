"""What PEX's core needs to keep: delegations, their events, and the cursor of the run behind each."""

from dataclasses import dataclass
from typing import Protocol

from services.kernel.ids import DelegationId, ProjectId, RunId, SessionId
from services.kernel.vocabulary import DelegationState
from services.pex.models import Delegation, DelegationEvent


@dataclass(frozen=True)
class EventDraft:
    """An event before it has its number."""

    step: int
    kind: str
    text: str


@dataclass(frozen=True)
class GuardMark:
    """Where the budget guard stands: the bound it measured against, and the overrun at which it pauses next.

    `bound` is in micro-USD; 0 before the first look.
    """

    bound: int = 0
    next_pct: float = 0.0


@dataclass(frozen=True)
class Record:
    """A delegation and what only PEX needs of it.

    `rationale` is why it was asked for, `decision_rationale` why it was approved or declined; `pas_cursor` the newest
    event of the run that was relayed. `max_cost_microusd` is what the user allows, None for the estimate's upper bound;
    `planning_run_id` names the run in which a model plans (None: a recipe did).
    """

    delegation: Delegation
    rationale: str
    timeout_minutes: float
    approval_key: str = ""
    decision_rationale: str = ""
    pas_cursor: int = 0
    max_cost_microusd: int | None = None
    session_id: SessionId | None = None
    planning_run_id: RunId | None = None
    guard_bound: int = 0
    guard_next_pct: float = 0.0

    @property
    def guard_mark(self) -> GuardMark:
        """Where the guard stands."""
        return GuardMark(self.guard_bound, self.guard_next_pct)


class Store(Protocol):
    """Delegations as rows; each method is one transaction."""

    async def add(self, record: Record, events: tuple[EventDraft, ...]) -> Record:
        """Keep a new delegation with its first events."""
        ...

    async def read(self, delegation_id: DelegationId) -> Record | None:
        """Return a delegation, or None."""
        ...

    async def list_records(
        self,
        *,
        repo: str | None = None,
        project_id: ProjectId | None = None,
        states: tuple[DelegationState, ...] = (),
    ) -> tuple[Record, ...]:
        """Return delegations, newest first."""
        ...

    async def change(self, record: Record, source: DelegationState, events: tuple[EventDraft, ...]) -> Record | None:
        """Replace a delegation that is in state `source`, and append events; None when it is in another state."""
        ...

    async def relay(self, delegation_id: DelegationId, pas_seq: int, events: tuple[EventDraft, ...]) -> bool:
        """Append events and move the cursor to `pas_seq`; False when it was there already (then nothing is kept)."""
        ...

    async def mark(self, delegation_id: DelegationId, mark: GuardMark, events: tuple[EventDraft, ...]) -> None:
        """Keep where the guard stands, with what it told."""
        ...

    async def list_events(self, delegation_id: DelegationId, after_seq: int) -> tuple[DelegationEvent, ...]:
        """Return events after `after_seq` in order."""
        ...
