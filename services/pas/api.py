"""PAS over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.kernel.http import CallerOf
from services.kernel.ids import ID_PATTERN, RunId, Sha256
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
from services.pas.protocol import Artifacts, Pas, RunControl, Runs

RunPath = Annotated[RunId, Path(pattern=ID_PATTERN)]
Digest = Annotated[Sha256, Path(pattern=r"^[0-9a-f]{64}$")]
KEEP_ALIVE_S = 15


class Health(BaseModel):
    """The server answers; `isolation` names the sandbox tier, `none` when nothing can run."""

    model_config = ConfigDict(frozen=True)

    status: str = "ok"
    version: str
    isolation: str


def add_routes(app: FastAPI, service: Pas, health: Health) -> None:
    """Add the endpoints of PAS to `app`."""

    @app.get("/health")
    async def get_health() -> Health:
        return health

    _add_runs(app, service)
    _add_events(app, service)
    _add_control(app, service)
    _add_artifacts(app, service)


def _add_runs(app: FastAPI, service: Runs) -> None:
    @app.post("/pas/v1/jobcards")
    async def submit_card(caller: CallerOf, submission: CardSubmission) -> CardAccepted:
        return await service.submit_card(caller, submission)

    @app.post("/pas/v1/runs/start")
    async def start_run(caller: CallerOf, start: StartRun) -> RunView:
        return await service.start_run(caller, start)

    @app.get("/pas/v1/runs")
    async def list_runs(caller: CallerOf, repo: str | None = None, *, is_active: bool = False) -> tuple[RunView, ...]:
        return await service.list_runs(caller, repo, is_active=is_active)

    @app.get("/pas/v1/runs/status")
    async def get_run(caller: CallerOf, run_id: Annotated[RunId, Query(pattern=ID_PATTERN)]) -> RunView:
        return await service.get_run(caller, run_id)

    @app.get("/pas/v1/runs/{run_id}/receipts")
    async def list_receipts(caller: CallerOf, run_id: RunPath) -> tuple[Receipt, ...]:
        return await service.list_receipts(caller, run_id)

    @app.get("/pas/v1/runs/{run_id}/passport")
    async def get_passport(caller: CallerOf, run_id: RunPath) -> SignedPassport:
        return await service.get_passport(caller, run_id)


def _add_events(app: FastAPI, service: Runs) -> None:
    @app.get("/pas/v1/runs/{run_id}/events")
    async def watch_run(
        request: Request,
        caller: CallerOf,
        run_id: RunPath,
        after_seq: int = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        del request
        run = await service.get_run(caller, run_id)
        seen = parse_cursor(last_event_id, after_seq)
        if is_final(RUN_TRANSITIONS, run.state) and seen >= run.last_seq:
            return Response(status_code=204)  # nothing will ever come: tells a browser not to reconnect
        return EventSourceResponse(_encode(service.watch_run(caller, run_id, seen)), ping=KEEP_ALIVE_S)


async def _encode(events: AsyncIterator[RunEvent]) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        yield ServerSentEvent(data=event.model_dump_json(), id=str(event.seq), event=event.kind.value)


def parse_cursor(last_event_id: str | None, after_seq: int) -> int:
    """Return the number of the last event seen: `Last-Event-ID` when it is a number, else the query's `after_seq`."""
    if last_event_id is not None and last_event_id.isascii() and last_event_id.isdecimal():
        return int(last_event_id)
    return max(after_seq, 0)


def _add_control(app: FastAPI, service: RunControl) -> None:
    @app.post("/pas/v1/runs/pause")
    async def pause_run(caller: CallerOf, command: RunCommand) -> RunView:
        return await service.pause_run(caller, command)

    @app.post("/pas/v1/runs/resume")
    async def resume_run(caller: CallerOf, command: RunCommand) -> RunView:
        return await service.resume_run(caller, command)

    @app.post("/pas/v1/runs/terminate")
    async def terminate_run(caller: CallerOf, command: RunCommand) -> RunView:
        return await service.terminate_run(caller, command)

    @app.post("/pas/v1/jobcards/cancel")
    async def cancel_card(caller: CallerOf, command: RunCommand) -> RunView:
        return await service.cancel_card(caller, command)

    @app.get("/pas/v1/portfolio/status")
    async def get_portfolio(caller: CallerOf) -> Portfolio:
        return await service.get_portfolio(caller)

    @app.get("/pas/v1/models")
    async def list_lane_models(caller: CallerOf) -> tuple[LaneModel, ...]:
        return await service.list_lane_models(caller)


def _add_artifacts(app: FastAPI, service: Artifacts) -> None:
    @app.post("/pas/v1/artifacts")
    async def put_artifact(caller: CallerOf, request: Request) -> ArtifactRef:
        return await service.put_artifact(caller, await request.body())

    @app.get("/pas/v1/artifacts/{sha256}")
    async def get_artifact(caller: CallerOf, sha256: Digest) -> Response:
        content = await service.get_artifact(caller, sha256)
        return Response(content, media_type="application/octet-stream")
