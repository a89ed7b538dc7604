"""PLMS behind a URL; satisfies `protocol.Plms`."""

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from services.kernel.caller import Caller
from services.kernel.errors import UnavailableError
from services.kernel.http import HttpCall
from services.kernel.ids import ProjectId, RunId, new_id
from services.kernel.vocabulary import ProjectState
from services.plms.models import (
    Approval,
    Estimate,
    EstimateRequest,
    KpiEntry,
    Metrics,
    NewProject,
    Project,
    RunActuals,
    RunKpis,
    StateChange,
)

M = TypeVar("M", bound=BaseModel)


class HttpPlms:
    """Sends each call to a PLMS server; errors come back as the class that was raised there."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def create_project(self, caller: Caller, new: NewProject) -> Project:
        return Project.model_validate_json(await self._write("POST", "/api/projects", caller, new))

    async def list_projects(
        self, caller: Caller, state: ProjectState | None = None, tag: str | None = None
    ) -> tuple[Project, ...]:
        query = {"status": None if state is None else state.value, "tag": tag}
        given = {name: value for name, value in query.items() if value is not None}
        return await self._read_all(Project, "/api/projects", caller, given)

    async def get_project(self, caller: Caller, project_id: ProjectId) -> Project:
        return Project.model_validate_json(await self._call.send("GET", _project_path(project_id), caller))

    async def delete_project(self, caller: Caller, project_id: ProjectId) -> Project:
        return Project.model_validate_json(await self._write("DELETE", _project_path(project_id), caller))

    async def change_state(self, caller: Caller, project_id: ProjectId, change: StateChange) -> Project:
        path = _project_path(project_id, "/state")
        return Project.model_validate_json(await self._write("POST", path, caller, change))

    async def estimate(self, caller: Caller, project_id: ProjectId, request: EstimateRequest) -> Estimate:
        path = _project_path(project_id, "/estimate")
        return Estimate.model_validate_json(await self._write("POST", path, caller, request))

    async def list_estimates(self, caller: Caller, project_id: ProjectId) -> tuple[Estimate, ...]:
        return await self._read_all(Estimate, _project_path(project_id, "/estimates"), caller)

    async def approve(self, caller: Caller, project_id: ProjectId, approval: Approval) -> Project:
        path = _project_path(project_id, "/approve")
        return Project.model_validate_json(await self._write("POST", path, caller, approval))

    async def record_actuals(self, caller: Caller, run_id: RunId, actuals: RunActuals) -> None:
        await self._write("POST", f"/api/runs/{quote(run_id, safe='')}/actuals", caller, actuals)

    async def record_kpis(self, caller: Caller, run_id: RunId, kpis: RunKpis) -> None:
        await self._write("POST", f"/api/runs/{quote(run_id, safe='')}/kpis", caller, kpis)

    async def get_metrics(self, caller: Caller, project_id: ProjectId) -> Metrics:
        return Metrics.model_validate_json(await self._call.send("GET", _project_path(project_id, "/metrics"), caller))

    async def list_kpis(self, caller: Caller, project_id: ProjectId) -> tuple[KpiEntry, ...]:
        return await self._read_all(KpiEntry, _project_path(project_id, "/kpis"), caller)

    async def _write(self, method: str, path: str, caller: Caller, body: BaseModel | None = None) -> bytes:
        """Send a write under a key of its own, so that one retry after a broken connection cannot act twice."""
        key = new_id("plms")
        try:
            return await self._call.send(method, path, caller, body=body, idempotency_key=key)
        except UnavailableError:
            return await self._call.send(method, path, caller, body=body, idempotency_key=key)

    async def _read_all(
        self, model: type[M], path: str, caller: Caller, query: Mapping[str, str] | None = None
    ) -> tuple[M, ...]:
        answer = await self._call.send("GET", path, caller, query=query)
        return TypeAdapter(tuple[model, ...]).validate_json(answer)  # type: ignore[valid-type]  # a type made at run time


def _project_path(project_id: ProjectId, rest: str = "") -> str:
    return f"/api/projects/{quote(project_id, safe='')}{rest}"
