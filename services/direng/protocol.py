"""What DirEng promises its clients (the terminal, the HMI).

PlatformError
├── InvalidRequestError
│   └── ContextOverflowError    direng.context_overflow      the question does not fit into the model's context
├── NotFoundError
│   ├── SessionNotFoundError    direng.session_not_found
│   └── NothingToAcceptError    direng.nothing_to_accept
├── LimitExceededError
│   └── NothingLeftError        direng.nothing_left          the session's cap is spent
└── ConflictError
    ├── TurnInProgressError     direng.turn_in_progress
    ├── NothingPendingError     direng.nothing_pending       an approval came, but nothing waits for one
    └── NothingToStopError      direng.nothing_to_stop       no answer is being told
"""

from collections.abc import AsyncIterator
from typing import Protocol

from services.direng.models import (
    Accept,
    Change,
    Check,
    Diff,
    Grant,
    NewSession,
    Session,
    SetCap,
    TurnEvent,
    TurnInput,
)
from services.kernel.caller import Caller
from services.kernel.errors import ConflictError, InvalidRequestError, LimitExceededError, NotFoundError
from services.kernel.ids import RunId, SessionId


class ContextOverflowError(InvalidRequestError):
    """What cannot be left out does not fit into the model's context; nothing was paid."""

    code = "direng.context_overflow"


class NothingLeftError(LimitExceededError):
    """The cap of the session is spent; nothing was started."""

    code = "direng.nothing_left"


class SessionNotFoundError(NotFoundError):
    """No session has that id."""

    code = "direng.session_not_found"


class NothingToAcceptError(NotFoundError):
    """No finished run with changes."""

    code = "direng.nothing_to_accept"


class TurnInProgressError(ConflictError):
    """The session's last turn is still running."""

    code = "direng.turn_in_progress"


class NothingPendingError(ConflictError):
    """Nothing waits for an approval."""

    code = "direng.nothing_pending"


class NothingToStopError(ConflictError):
    """No answer is being told; a run is ended with PAS."""

    code = "direng.nothing_to_stop"


class Sessions(Protocol):
    """Conversations; every method needs scope session.use."""

    async def open_session(self, caller: Caller, new: NewSession) -> Session:
        """Open a session; refuses what is no usable git repository with one clear line."""
        ...

    async def list_sessions(self, caller: Caller, repo: str | None = None) -> tuple[Session, ...]:
        """Return sessions, newest first."""
        ...

    async def get_session(self, caller: Caller, session_id: SessionId) -> Session:
        """Return one session, with what its models have cost."""
        ...

    async def set_cap(self, caller: Caller, session_id: SessionId, cap: SetCap) -> Session:
        """Set the most that the session's models may cost; below what is spent, nothing more is paid."""
        ...

    async def stop_answer(self, caller: Caller, session_id: SessionId) -> Session:
        """End the answer that is being told; what came of it is kept. Raises NothingToStopError."""
        ...

    def take_turn(self, caller: Caller, session_id: SessionId, turn: TurnInput) -> AsyncIterator[TurnEvent]:
        """Do what the user said, telling it live.

        The last event is `end`. Leaving the iterator leaves the run running.
        """
        ...

    def watch_session(self, caller: Caller, session_id: SessionId, after_seq: int = 0) -> AsyncIterator[TurnEvent]:
        """Yield stored events after `after_seq`, then live ones while the last turn is running."""
        ...


class Changes(Protocol):
    """The user's word on results; every method needs scope session.use."""

    async def accept(self, caller: Caller, session_id: SessionId, accept: Accept) -> Change:
        """Merge exactly the run's own hunks into the user's tree and branch (invariant 12)."""
        ...

    async def undo(self, caller: Caller, session_id: SessionId) -> Change:
        """Take the last accept back."""
        ...

    async def get_diff(self, caller: Caller, session_id: SessionId, run_id: RunId | None = None) -> Diff:
        """Return the diff of a run (None: the session's newest)."""
        ...

    async def list_grants(self, caller: Caller) -> tuple[Grant, ...]:
        """Return what is allowed without asking."""
        ...

    async def examine(self, caller: Caller, repo: str | None = None) -> tuple[Check, ...]:
        """Return the findings of `direng doctor`, as seen by the server."""
        ...


class DirEng(Sessions, Changes, Protocol):
    """Both halves; one object serves them."""
