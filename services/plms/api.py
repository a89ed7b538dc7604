"""PLMS over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

from typing import Annotated

from fastapi import FastAPI, Path

from services.kernel.http import CallerOf
from services.kernel.ids import ID_PATTERN, ProjectId, RunId
from services.kernel.vocabulary import ProjectState
from services.plms.models import (
    Approval,
    Estimate,
    EstimateRequest,
    Health,
    KpiEntry,
    Metrics,
    NewProject,
    Project,
    RunActuals,
    RunKpis,
    StateChange,
)
from services.plms.protocol import Estimates, Plms, Projects

ProjectPath = Annotated[ProjectId, Path(pattern=ID_PATTERN)]
RunPath = Annotated[RunId, Path(pattern=ID_PATTERN)]


def add_routes(app: FastAPI, service: Plms, health: Health) -> None:
    """Add the endpoints of PLMS to `app`."""

    @app.get("/health")
    async def get_health() -> Health:
        return health

    _add_projects(app, service)
    _add_estimates(app, service)
    _add_runs(app, service)


def _add_projects(app: FastAPI, service: Projects) -> None:
    @app.post("/api/projects")
    async def create_project(caller: CallerOf, new: NewProject) -> Project:
        return await service.create_project(caller, new)

    @app.get("/api/projects")
    async def list_projects(
        caller: CallerOf, status: ProjectState | None = None, tag: str | None = None
    ) -> tuple[Project, ...]:
        return await service.list_projects(caller, status, tag)

    @app.get("/api/projects/{project_id}")
    async def get_project(caller: CallerOf, project_id: ProjectPath) -> Project:
        return await service.get_project(caller, project_id)

    @app.delete("/api/projects/{project_id}")
    async def delete_project(caller: CallerOf, project_id: ProjectPath) -> Project:
        return await service.delete_project(caller, project_id)

    @app.post("/api/projects/{project_id}/state")
    async def change_state(caller: CallerOf, project_id: ProjectPath, change: StateChange) -> Project:
        return await service.change_state(caller, project_id, change)


def _add_estimates(app: FastAPI, service: Estimates) -> None:
    @app.post("/api/projects/{project_id}/estimate")
    async def estimate(caller: CallerOf, project_id: ProjectPath, request: EstimateRequest) -> Estimate:
        return await service.estimate(caller, project_id, request)

    @app.get("/api/projects/{project_id}/estimates")
    async def list_estimates(caller: CallerOf, project_id: ProjectPath) -> tuple[Estimate, ...]:
        return await service.list_estimates(caller, project_id)

    @app.post("/api/projects/{project_id}/approve")
    async def approve(caller: CallerOf, project_id: ProjectPath, approval: Approval) -> Project:
        return await service.approve(caller, project_id, approval)

    @app.get("/api/projects/{project_id}/metrics")
    async def get_metrics(caller: CallerOf, project_id: ProjectPath) -> Metrics:
        return await service.get_metrics(caller, project_id)


def _add_runs(app: FastAPI, service: Estimates) -> None:
    @app.post("/api/runs/{run_id}/actuals")
    async def record_actuals(caller: CallerOf, run_id: RunPath, actuals: RunActuals) -> None:
        await service.record_actuals(caller, run_id, actuals)

    @app.post("/api/runs/{run_id}/kpis")
    async def record_kpis(caller: CallerOf, run_id: RunPath, kpis: RunKpis) -> None:
        await service.record_kpis(caller, run_id, kpis)

    @app.get("/api/projects/{project_id}/kpis")
    async def list_kpis(caller: CallerOf, project_id: ProjectPath) -> tuple[KpiEntry, ...]:
        return await service.list_kpis(caller, project_id)
