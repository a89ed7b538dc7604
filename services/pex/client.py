"""PEX behind a URL; satisfies `protocol.Pex`."""

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from services.kernel.caller import Caller
from services.kernel.http import HttpCall
from services.kernel.ids import DelegationId, ProjectId, new_id
from services.pas.models import ArtifactRef, Receipt
from services.pex.models import (
    ApprovalReply,
    Delegation,
    DelegationEvent,
    DelegationRequest,
    Planning,
    PlanRequest,
    ProjectRunCommand,
    ProjectStatus,
    SimulateProject,
    Simulation,
    StartProject,
)
from services.plms.models import Estimate

M = TypeVar("M", bound=BaseModel)


class HttpPex:
    """Sends each call to a PEX server; errors come back as the class that was raised there."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def plan(self, caller: Caller, request: PlanRequest) -> Planning:
        return Planning.model_validate_json(await self._call.send("POST", "/plans", caller, body=request))

    async def delegate(self, caller: Caller, request: DelegationRequest) -> Delegation:
        return Delegation.model_validate_json(await self._write("/delegations", caller, request))

    async def get_delegation(self, caller: Caller, delegation_id: DelegationId) -> Delegation:
        return Delegation.model_validate_json(await self._call.send("GET", _delegation(delegation_id), caller))

    async def list_delegations(self, caller: Caller, repo: str | None = None) -> tuple[Delegation, ...]:
        return await self._read_all(Delegation, "/delegations", caller, {} if repo is None else {"repo": repo})

    async def approve(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        path = _delegation(delegation_id, "/approve")
        return Delegation.model_validate_json(await self._write(path, caller, reply, reply.idempotency_key))

    async def reject(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        path = _delegation(delegation_id, "/reject")
        return Delegation.model_validate_json(await self._write(path, caller, reply, reply.idempotency_key))

    async def watch_delegation(
        self, caller: Caller, delegation_id: DelegationId, after_seq: int = 0
    ) -> AsyncIterator[DelegationEvent]:
        path = _delegation(delegation_id, "/events")
        async for data in self._call.stream("GET", path, caller, query={"after_seq": str(after_seq)}):
            yield DelegationEvent.model_validate_json(data)

    async def estimate_project(self, caller: Caller, project_id: ProjectId) -> Estimate:
        return Estimate.model_validate_json(await self._write(_project(project_id, "/estimate"), caller, None))

    async def simulate_project(self, caller: Caller, project_id: ProjectId, order: SimulateProject) -> Simulation:
        return Simulation.model_validate_json(await self._write(_project(project_id, "/simulate"), caller, order))

    async def start_project(self, caller: Caller, project_id: ProjectId, start: StartProject) -> Delegation:
        return Delegation.model_validate_json(await self._write(_project(project_id, "/start"), caller, start))

    async def pause_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        return ProjectStatus.model_validate_json(await self._write(_project(project_id, "/pause"), caller, command))

    async def resume_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        return ProjectStatus.model_validate_json(await self._write(_project(project_id, "/resume"), caller, command))

    async def terminate_project(
        self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand
    ) -> ProjectStatus:
        return ProjectStatus.model_validate_json(await self._write(_project(project_id, "/terminate"), caller, command))

    async def get_status(self, caller: Caller, project_id: ProjectId) -> ProjectStatus:
        return ProjectStatus.model_validate_json(await self._call.send("GET", _project(project_id, "/status"), caller))

    async def list_receipts(self, caller: Caller, project_id: ProjectId) -> tuple[Receipt, ...]:
        return await self._read_all(Receipt, _project(project_id, "/receipts"), caller)

    async def list_artifacts(self, caller: Caller, project_id: ProjectId) -> tuple[ArtifactRef, ...]:
        return await self._read_all(ArtifactRef, _project(project_id, "/artifacts"), caller)

    async def _write(self, path: str, caller: Caller, body: BaseModel | None, key: str | None = None) -> bytes:
        return await self._call.send("POST", path, caller, body=body, idempotency_key=key or new_id("key"))

    async def _read_all(
        self, model: type[M], path: str, caller: Caller, query: Mapping[str, str] | None = None
    ) -> tuple[M, ...]:
        answer = await self._call.send("GET", path, caller, query=query)
        return TypeAdapter(tuple[model, ...]).validate_json(answer)  # type: ignore[valid-type]  # a type made at run time


def _delegation(delegation_id: DelegationId, suffix: str = "") -> str:
    return f"/delegations/{quote(delegation_id, safe='')}{suffix}"


def _project(project_id: ProjectId, suffix: str) -> str:
    return f"/api/projects/{quote(project_id, safe='')}{suffix}"
