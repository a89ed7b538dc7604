"""DirEng -> PEX: plan, delegate, decide, follow. Only safe repetitions are retried."""

from collections.abc import AsyncIterator
from random import Random

from services.kernel.caller import CallerSource
from services.kernel.ids import DelegationId, ProjectId
from services.kernel.vocabulary import ServiceName
from services.pex.models import (
    ApprovalReply,
    Delegation,
    DelegationEvent,
    DelegationRequest,
    Planning,
    PlanRequest,
    ProjectStatus,
)
from services.pex.protocol import Pex
from services.wire.edge import Edge


class PexEdge:
    """The part of PEX that DirEng uses."""

    def __init__(self, pex: Pex, callers: CallerSource, random: Random) -> None:
        self._pex = pex
        self._edge = Edge(ServiceName.PEX, callers, random)

    async def plan(self, intent: str, repo: str) -> Planning:
        """Return what PEX would do."""
        request = PlanRequest(intent=intent, repo=repo)
        return await self._edge.call(lambda caller: self._pex.plan(caller, request))

    async def delegate(self, request: DelegationRequest) -> Delegation:
        """Hand work over; sent once, because a second time would be a second delegation."""
        return await self._pex.delegate(await self._edge.caller(), request)

    async def get_delegation(self, delegation_id: DelegationId) -> Delegation:
        """Return a delegation."""
        return await self._edge.call(lambda caller: self._pex.get_delegation(caller, delegation_id))

    async def approve(self, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        """Say yes; repeating it changes nothing."""
        return await self._edge.call(lambda caller: self._pex.approve(caller, delegation_id, reply))

    async def reject(self, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        """Say no; repeating it changes nothing."""
        return await self._edge.call(lambda caller: self._pex.reject(caller, delegation_id, reply))

    async def get_status(self, project_id: ProjectId) -> ProjectStatus:
        """Return where a project's run stands, with its budget."""
        return await self._edge.call(lambda caller: self._pex.get_status(caller, project_id))

    async def watch(self, delegation_id: DelegationId, after_seq: int) -> AsyncIterator[DelegationEvent]:
        """Yield events after `after_seq` until the delegation waits or ends; the caller reconnects by its cursor."""
        async for event in self._pex.watch_delegation(await self._edge.caller(), delegation_id, after_seq):
            yield event
