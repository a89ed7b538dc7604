"""PEX over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

from typing import Annotated

from fastapi import FastAPI, Header, Path, Query
from sse_starlette import EventSourceResponse

from services.kernel.http import CallerOf
from services.kernel.ids import ID_PATTERN, DelegationId, ProjectId
from services.pas.models import ArtifactRef, Receipt
from services.pex.models import (
    ApprovalReply,
    Delegation,
    DelegationRequest,
    Health,
    Planning,
    PlanRequest,
    ProjectRunCommand,
    ProjectStatus,
    SimulateProject,
    Simulation,
    StartProject,
)
from services.pex.protocol import Delegations, Pex, ProjectRuns
from services.plms.models import Estimate
from services.wire.sse import read_cursor, stream_events

DelegationPath = Annotated[DelegationId, Path(pattern=ID_PATTERN)]
ProjectPath = Annotated[ProjectId, Path(pattern=ID_PATTERN)]


def add_routes(app: FastAPI, service: Pex, health: Health) -> None:
    """Add the endpoints of PEX to `app`."""

    @app.get("/health")
    async def get_health() -> Health:
        return health

    _add_delegations(app, service)
    _add_watching(app, service)
    _add_project_runs(app, service)
    _add_project_control(app, service)


def _add_delegations(app: FastAPI, service: Delegations) -> None:
    @app.post("/plans")
    async def plan(caller: CallerOf, request: PlanRequest) -> Planning:
        return await service.plan(caller, request)

    @app.post("/delegations")
    async def delegate(caller: CallerOf, request: DelegationRequest) -> Delegation:
        return await service.delegate(caller, request)

    @app.get("/delegations")
    async def list_delegations(caller: CallerOf, repo: str | None = None) -> tuple[Delegation, ...]:
        return await service.list_delegations(caller, repo)

    @app.get("/delegations/{delegation_id}")
    async def get_delegation(caller: CallerOf, delegation_id: DelegationPath) -> Delegation:
        return await service.get_delegation(caller, delegation_id)

    @app.post("/delegations/{delegation_id}/approve")
    async def approve(caller: CallerOf, delegation_id: DelegationPath, reply: ApprovalReply) -> Delegation:
        return await service.approve(caller, delegation_id, reply)

    @app.post("/delegations/{delegation_id}/reject")
    async def reject(caller: CallerOf, delegation_id: DelegationPath, reply: ApprovalReply) -> Delegation:
        return await service.reject(caller, delegation_id, reply)


def _add_watching(app: FastAPI, service: Delegations) -> None:
    @app.get("/delegations/{delegation_id}/events")
    async def watch_delegation(
        caller: CallerOf,
        delegation_id: DelegationPath,
        after_seq: Annotated[int, Query(ge=0)] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> EventSourceResponse:
        events = service.watch_delegation(caller, delegation_id, read_cursor(last_event_id, after_seq))
        return await stream_events(events, lambda event: event.seq)


def _add_project_runs(app: FastAPI, service: ProjectRuns) -> None:
    @app.post("/api/projects/{project_id}/estimate")
    async def estimate_project(caller: CallerOf, project_id: ProjectPath) -> Estimate:
        return await service.estimate_project(caller, project_id)

    @app.post("/api/projects/{project_id}/simulate")
    async def simulate_project(caller: CallerOf, project_id: ProjectPath, order: SimulateProject) -> Simulation:
        return await service.simulate_project(caller, project_id, order)

    @app.post("/api/projects/{project_id}/start")
    async def start_project(caller: CallerOf, project_id: ProjectPath, start: StartProject) -> Delegation:
        return await service.start_project(caller, project_id, start)

    @app.get("/api/projects/{project_id}/status")
    async def get_status(caller: CallerOf, project_id: ProjectPath) -> ProjectStatus:
        return await service.get_status(caller, project_id)

    @app.get("/api/projects/{project_id}/receipts")
    async def list_receipts(caller: CallerOf, project_id: ProjectPath) -> tuple[Receipt, ...]:
        return await service.list_receipts(caller, project_id)

    @app.get("/api/projects/{project_id}/artifacts")
    async def list_artifacts(caller: CallerOf, project_id: ProjectPath) -> tuple[ArtifactRef, ...]:
        return await service.list_artifacts(caller, project_id)


def _add_project_control(app: FastAPI, service: ProjectRuns) -> None:
    @app.post("/api/projects/{project_id}/pause")
    async def pause_project(caller: CallerOf, project_id: ProjectPath, command: ProjectRunCommand) -> ProjectStatus:
        return await service.pause_project(caller, project_id, command)

    @app.post("/api/projects/{project_id}/resume")
    async def resume_project(caller: CallerOf, project_id: ProjectPath, command: ProjectRunCommand) -> ProjectStatus:
        return await service.resume_project(caller, project_id, command)

    @app.post("/api/projects/{project_id}/terminate")
    async def terminate_project(caller: CallerOf, project_id: ProjectPath, command: ProjectRunCommand) -> ProjectStatus:
        return await service.terminate_project(caller, project_id, command)
