"""What DirEng's core needs from outside: a store for conversations, and the user's repository."""

from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, JsonValue

from services.direng.core.conversation import Summary
from services.direng.core.packing import ContextAudit
from services.direng.models import Handling, Session, TurnEvent, TurnEventKind, TurnState
from services.kernel.ids import DelegationId, RunId, SessionId
from services.pas.models import Passport, RunView


class Following(BaseModel):
    """What a running turn follows, and the newest event of it that was told; so a restart goes on there.

    `is_planning`: the delegation has not asked for the user's word yet; `max_cost_usd` is what it may cost at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["delegation", "run"]
    id: str
    cursor: int = 0
    is_planning: bool = False
    max_cost_usd: str | None = None


class Pending(BaseModel):
    """What the next turn may answer. `options` are the intents, or for the other kinds the words, behind A, B, C.

    `following` is what a paused run's next turn goes on with, `raise_microusd` how much more it may be given. `purpose`
    and `max_cost_usd` are those of the turn which the answer continues. `behind` is what was waiting before, and waits
    again afterwards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["approval", "paid", "question", "handling", "paused"]
    trace_id: str
    intent: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    handling: Handling = Handling.AUTO
    purpose: str = "auto"
    max_cost_usd: str | None = None
    following: Following | None = None
    raise_microusd: int = 0
    behind: "Pending | None" = None


@dataclass(frozen=True)
class EventDraft:
    """A turn event before it has its number."""

    kind: TurnEventKind
    text: str
    step: int | None = None
    data: dict[str, JsonValue] | None = None


@dataclass(frozen=True)
class OpenTurn:
    """A turn in progress."""

    session_id: SessionId
    turn_index: int
    repo: str
    text: str
    trace_id: str
    following: Following | None


class Store(Protocol):
    """Conversations as rows; each method is one transaction."""

    async def add_session(self, session: Session) -> None:
        """Keep a new session."""
        ...

    async def read_session(self, session_id: SessionId) -> Session | None:
        """Return a session with its turns."""
        ...

    async def list_sessions(self, repo: str | None) -> tuple[Session, ...]:
        """Return sessions, newest first."""
        ...

    async def read_pending(self, session_id: SessionId) -> Pending | None:
        """Return what the session waits for."""
        ...

    async def begin_turn(self, session_id: SessionId, text: str, trace_id: str) -> OpenTurn | None:
        """Reserve the next turn index; None when the last turn is still running."""
        ...

    async def list_running(self) -> tuple[OpenTurn, ...]:
        """Return the turns that a stopped server left."""
        ...

    async def tell(self, turn: OpenTurn, events: tuple[EventDraft, ...], following: Following | None = None) -> None:
        """Append events; with `following`, keep the cursor in the same transaction."""
        ...

    async def point_to(
        self, turn: OpenTurn, *, delegation_id: DelegationId | None = None, run_id: RunId | None = None
    ) -> None:
        """Make these the session's newest delegation and run."""
        ...

    async def end_turn(
        self, turn: OpenTurn, state: TurnState, events: tuple[EventDraft, ...], pending: Pending | None
    ) -> None:
        """Close a turn with its last events and what the session now waits for."""
        ...

    async def list_events(self, session_id: SessionId, after_seq: int) -> tuple[TurnEvent, ...]:
        """Return events after `after_seq` in order."""
        ...

    async def last_seq(self, session_id: SessionId) -> int:
        """Return the number of the newest event; 0 when there is none."""
        ...

    async def list_told(self, session_id: SessionId, after_turn: int) -> tuple[TurnEvent, ...]:
        """Return what turns after `after_turn` told that a later question may refer to."""
        ...

    async def read_summary(self, session_id: SessionId) -> Summary:
        """Return the session's rolling summary; an empty one when there is none."""
        ...

    async def put_summary(self, session_id: SessionId, summary: Summary) -> None:
        """Replace the session's rolling summary."""
        ...

    async def add_audit(self, turn: OpenTurn, call_id: str, audit: ContextAudit) -> None:
        """Keep what a context is made of, before its call."""
        ...

    async def settle_audit(self, call_id: str, cost_microusd: int) -> None:
        """Note what the call cost."""
        ...

    async def allow_paid(self, session_id: SessionId) -> None:
        """Remember that the user agreed to pay for models in this session."""
        ...

    async def is_paid_allowed(self, session_id: SessionId) -> bool:
        """Return whether the user agreed to pay for models in this session."""
        ...

    async def note_accept(self, session_id: SessionId, repo: str, run_id: RunId) -> None:
        """Remember that a run was accepted, and when."""
        ...

    async def list_accepted(self, repo: str) -> tuple[RunId, ...]:
        """Return runs that were accepted in a repository, the last accept first."""
        ...


@dataclass(frozen=True)
class Whereabouts:
    """A user's repository as it is now."""

    root: str
    branch: str
    modified_files: tuple[str, ...]


@dataclass(frozen=True)
class Merged:
    """What accept or undo did; `commit` empty when only untracked files changed."""

    commit: str
    branch: str
    paths: tuple[str, ...]


class Worktree(Protocol):
    """The user's repository: the only door through which DirEng changes it."""

    async def locate(self, path: str) -> str:
        """Return the root of the repository around `path`; raise the one clear line for one that cannot be used."""
        ...

    async def describe(self, repo: str) -> Whereabouts:
        """Return branch and modified files."""
        ...

    async def read_lines(self, repo: str, path: str) -> tuple[str, ...] | None:
        """Return a file's lines as they are on disk; None for one that is missing, large, binary or never read."""
        ...

    async def accept(self, run: RunView, passport: Passport, message: str) -> Merged:
        """Merge exactly the run's own hunks (invariant 12); raises ConflictError with nothing changed."""
        ...

    async def undo(self, repo: str, run_id: RunId) -> Merged:
        """Take an accepted run back."""
        ...

    async def is_accepted(self, run_id: RunId) -> bool:
        """Return whether a run is accepted and not undone."""
        ...

    async def recover(self) -> tuple[str, ...]:
        """End every accept and undo that a killed server left half done; return one line each."""
        ...
