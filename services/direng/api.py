"""DirEng over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

from typing import Annotated

from fastapi import FastAPI, Header, Path, Query
from sse_starlette import EventSourceResponse

from services.direng.models import (
    Accept,
    Change,
    Check,
    Diff,
    Grant,
    Health,
    NewSession,
    Session,
    SetCap,
    TurnInput,
)
from services.direng.protocol import Changes, DirEng, Sessions
from services.kernel.http import CallerOf
from services.kernel.ids import ID_PATTERN, RunId, SessionId
from services.wire.sse import read_cursor, stream_events

SessionPath = Annotated[SessionId, Path(pattern=ID_PATTERN)]


def add_routes(app: FastAPI, service: DirEng, health: Health) -> None:
    """Add the endpoints of DirEng to `app`."""

    @app.get("/health")
    async def get_health() -> Health:
        return health

    _add_sessions(app, service)
    _add_changes(app, service)


def _add_sessions(app: FastAPI, service: Sessions) -> None:
    @app.post("/sessions")
    async def open_session(caller: CallerOf, new: NewSession) -> Session:
        return await service.open_session(caller, new)

    @app.get("/sessions")
    async def list_sessions(caller: CallerOf, repo: str | None = None) -> tuple[Session, ...]:
        return await service.list_sessions(caller, repo)

    @app.get("/sessions/{session_id}")
    async def get_session(caller: CallerOf, session_id: SessionPath) -> Session:
        return await service.get_session(caller, session_id)

    @app.post("/sessions/{session_id}/budget")
    async def set_cap(caller: CallerOf, session_id: SessionPath, cap: SetCap) -> Session:
        return await service.set_cap(caller, session_id, cap)

    @app.post("/sessions/{session_id}/stop")
    async def stop_answer(caller: CallerOf, session_id: SessionPath) -> Session:
        return await service.stop_answer(caller, session_id)

    @app.post("/sessions/{session_id}/turns")
    async def take_turn(caller: CallerOf, session_id: SessionPath, turn: TurnInput) -> EventSourceResponse:
        return await stream_events(service.take_turn(caller, session_id, turn), lambda event: event.seq)

    @app.get("/sessions/{session_id}/events")
    async def watch_session(
        caller: CallerOf,
        session_id: SessionPath,
        after_seq: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> EventSourceResponse:
        events = service.watch_session(caller, session_id, read_cursor(last_event_id, after_seq))
        return await stream_events(events, lambda event: event.seq)


def _add_changes(app: FastAPI, service: Changes) -> None:
    @app.post("/sessions/{session_id}/accept")
    async def accept(caller: CallerOf, session_id: SessionPath, accept: Accept) -> Change:
        return await service.accept(caller, session_id, accept)

    @app.post("/sessions/{session_id}/undo")
    async def undo(caller: CallerOf, session_id: SessionPath) -> Change:
        return await service.undo(caller, session_id)

    @app.get("/sessions/{session_id}/diff")
    async def get_diff(
        caller: CallerOf, session_id: SessionPath, run_id: Annotated[RunId | None, Query(pattern=ID_PATTERN)] = None
    ) -> Diff:
        return await service.get_diff(caller, session_id, run_id)

    @app.get("/grants")
    async def list_grants(caller: CallerOf) -> tuple[Grant, ...]:
        return await service.list_grants(caller)

    @app.get("/doctor")
    async def examine(caller: CallerOf, repo: str | None = None) -> tuple[Check, ...]:
        return await service.examine(caller, repo)
