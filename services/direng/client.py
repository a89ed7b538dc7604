"""DirEng behind a URL; satisfies `protocol.DirEng`."""

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from services.direng.models import Accept, Change, Check, Diff, Grant, NewSession, Session, SetCap, TurnEvent, TurnInput
from services.kernel.caller import Caller
from services.kernel.http import HttpCall
from services.kernel.ids import RunId, SessionId, new_id

M = TypeVar("M", bound=BaseModel)


class HttpDirEng:
    """Sends each call to a DirEng server; errors come back as the class that was raised there."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def open_session(self, caller: Caller, new: NewSession) -> Session:
        return Session.model_validate_json(await self._write("/sessions", caller, new))

    async def list_sessions(self, caller: Caller, repo: str | None = None) -> tuple[Session, ...]:
        return await self._read_all(Session, "/sessions", caller, {} if repo is None else {"repo": repo})

    async def get_session(self, caller: Caller, session_id: SessionId) -> Session:
        return Session.model_validate_json(await self._call.send("GET", _session(session_id), caller))

    async def set_cap(self, caller: Caller, session_id: SessionId, cap: SetCap) -> Session:
        return Session.model_validate_json(await self._write(_session(session_id, "/budget"), caller, cap))

    async def stop_answer(self, caller: Caller, session_id: SessionId) -> Session:
        return Session.model_validate_json(await self._write(_session(session_id, "/stop"), caller, None))

    async def take_turn(self, caller: Caller, session_id: SessionId, turn: TurnInput) -> AsyncIterator[TurnEvent]:
        async for data in self._call.stream("POST", _session(session_id, "/turns"), caller, body=turn):
            yield TurnEvent.model_validate_json(data)

    async def watch_session(
        self, caller: Caller, session_id: SessionId, after_seq: int = 0
    ) -> AsyncIterator[TurnEvent]:
        query = {"after_seq": str(after_seq)}
        async for data in self._call.stream("GET", _session(session_id, "/events"), caller, query=query):
            yield TurnEvent.model_validate_json(data)

    async def accept(self, caller: Caller, session_id: SessionId, accept: Accept) -> Change:
        return Change.model_validate_json(await self._write(_session(session_id, "/accept"), caller, accept))

    async def undo(self, caller: Caller, session_id: SessionId) -> Change:
        return Change.model_validate_json(await self._write(_session(session_id, "/undo"), caller, None))

    async def get_diff(self, caller: Caller, session_id: SessionId, run_id: RunId | None = None) -> Diff:
        query = {} if run_id is None else {"run_id": str(run_id)}
        return Diff.model_validate_json(
            await self._call.send("GET", _session(session_id, "/diff"), caller, query=query)
        )

    async def list_grants(self, caller: Caller) -> tuple[Grant, ...]:
        return await self._read_all(Grant, "/grants", caller, {})

    async def examine(self, caller: Caller, repo: str | None = None) -> tuple[Check, ...]:
        return await self._read_all(Check, "/doctor", caller, {} if repo is None else {"repo": repo})

    async def _write(self, path: str, caller: Caller, body: BaseModel | None) -> bytes:
        return await self._call.send("POST", path, caller, body=body, idempotency_key=new_id("key"))

    async def _read_all(self, model: type[M], path: str, caller: Caller, query: Mapping[str, str]) -> tuple[M, ...]:
        answer = await self._call.send("GET", path, caller, query=query)
        return TypeAdapter(tuple[model, ...]).validate_json(answer)  # type: ignore[valid-type]  # a type made at run time


def _session(session_id: SessionId, suffix: str = "") -> str:
    return f"/sessions/{quote(session_id, safe='')}{suffix}"
