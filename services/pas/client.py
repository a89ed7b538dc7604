"""PAS behind a URL; satisfies `protocol.Pas`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from services.kernel.caller import Caller
from services.kernel.errors import UnavailableError
from services.kernel.http import HttpCall
from services.kernel.ids import RunId, Sha256, new_id
from services.kernel.vocabulary import RUN_TRANSITIONS, is_final
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

M = TypeVar("M", bound=BaseModel)
RECONNECT_S = 1.0
MAX_RECONNECTS = 30
"""Tries in a row without one event; the server restarts in a few seconds."""


class HttpPas:
    """Sends each call to a PAS server; errors come back as the class that was raised there."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def submit_card(self, caller: Caller, submission: CardSubmission) -> CardAccepted:
        return CardAccepted.model_validate_json(await self._write("/pas/v1/jobcards", caller, submission))

    async def start_run(self, caller: Caller, start: StartRun) -> RunView:
        # The id is chosen here, so that a repeated request after a broken connection is the same run.
        named = start if start.run_id else start.model_copy(update={"run_id": RunId(new_id("run"))})
        return RunView.model_validate_json(await self._write("/pas/v1/runs/start", caller, named))

    async def get_run(self, caller: Caller, run_id: RunId) -> RunView:
        answer = await self._call.send("GET", "/pas/v1/runs/status", caller, query={"run_id": run_id})
        return RunView.model_validate_json(answer)

    async def list_runs(
        self, caller: Caller, repo: str | None = None, *, is_active: bool = False
    ) -> tuple[RunView, ...]:
        query = {"is_active": "true"} if is_active else {}
        if repo is not None:
            query["repo"] = repo
        return await self._read_all(RunView, "/pas/v1/runs", caller, query)

    async def watch_run(self, caller: Caller, run_id: RunId, after_seq: int = 0) -> AsyncIterator[RunEvent]:
        """Yield events; a broken stream is taken up again after the last event that came."""
        seen, failures = after_seq, 0
        path = f"/pas/v1/runs/{quote(run_id, safe='')}/events"
        while True:
            try:
                async for data in self._call.stream("GET", path, caller, query={"after_seq": str(seen)}):
                    event = RunEvent.model_validate_json(data)
                    seen, failures = event.seq, 0
                    yield event
                run = await self.get_run(caller, run_id)
            except UnavailableError:
                failures += 1
                if failures > MAX_RECONNECTS:
                    raise
            else:
                if is_final(RUN_TRANSITIONS, run.state) and seen >= run.last_seq:
                    return
            await asyncio.sleep(RECONNECT_S)

    async def list_receipts(self, caller: Caller, run_id: RunId) -> tuple[Receipt, ...]:
        return await self._read_all(Receipt, f"/pas/v1/runs/{quote(run_id, safe='')}/receipts", caller, {})

    async def get_passport(self, caller: Caller, run_id: RunId) -> SignedPassport:
        answer = await self._call.send("GET", f"/pas/v1/runs/{quote(run_id, safe='')}/passport", caller)
        return SignedPassport.model_validate_json(answer)

    async def pause_run(self, caller: Caller, command: RunCommand) -> RunView:
        return RunView.model_validate_json(await self._write("/pas/v1/runs/pause", caller, command))

    async def resume_run(self, caller: Caller, command: RunCommand) -> RunView:
        return RunView.model_validate_json(await self._write("/pas/v1/runs/resume", caller, command))

    async def terminate_run(self, caller: Caller, command: RunCommand) -> RunView:
        return RunView.model_validate_json(await self._write("/pas/v1/runs/terminate", caller, command))

    async def cancel_card(self, caller: Caller, command: RunCommand) -> RunView:
        return RunView.model_validate_json(await self._write("/pas/v1/jobcards/cancel", caller, command))

    async def get_portfolio(self, caller: Caller) -> Portfolio:
        return Portfolio.model_validate_json(await self._call.send("GET", "/pas/v1/portfolio/status", caller))

    async def list_lane_models(self, caller: Caller) -> tuple[LaneModel, ...]:
        return await self._read_all(LaneModel, "/pas/v1/models", caller, {})

    async def put_artifact(self, caller: Caller, content: bytes) -> ArtifactRef:
        answer = await self._call.send("POST", "/pas/v1/artifacts", caller, content=content)
        return ArtifactRef.model_validate_json(answer)

    async def get_artifact(self, caller: Caller, sha256: Sha256) -> bytes:
        return await self._call.send("GET", f"/pas/v1/artifacts/{quote(sha256, safe='')}", caller)

    async def _write(self, path: str, caller: Caller, body: BaseModel) -> bytes:
        """Send a write under a key of its own, so that one retry after a broken connection cannot act twice."""
        key = new_id("pas")
        try:
            return await self._call.send("POST", path, caller, body=body, idempotency_key=key)
        except UnavailableError:
            return await self._call.send("POST", path, caller, body=body, idempotency_key=key)

    async def _read_all(self, model: type[M], path: str, caller: Caller, query: Mapping[str, str]) -> tuple[M, ...]:
        answer = await self._call.send("GET", path, caller, query=query)
        return TypeAdapter(tuple[model, ...]).validate_json(answer)  # type: ignore[valid-type]  # a type made at run time
