"""PEX -> PLMS: projects, estimates, approvals, actuals, KPIs, lifecycle. Every call is safe to repeat."""

from random import Random

from services.kernel.caller import CallerSource
from services.kernel.ids import ProjectId, RunId
from services.kernel.vocabulary import ProjectState, ServiceName
from services.plms.models import (
    Approval,
    Estimate,
    EstimateRequest,
    NewProject,
    Project,
    RunActuals,
    RunKpis,
    StateChange,
)
from services.plms.protocol import Plms
from services.wire.edge import Edge

_AFTER_RUN = (ProjectState.COMPLETED, ProjectState.NEEDS_REVIEW)


class PlmsEdge:
    """The part of PLMS that PEX uses."""

    def __init__(self, plms: Plms, callers: CallerSource, random: Random) -> None:
        self._plms = plms
        self._edge = Edge(ServiceName.PLMS, callers, random)

    async def create_project(self, new: NewProject) -> Project:
        """Create the project, or return the one with the same id and body."""
        return await self._edge.call(lambda caller: self._plms.create_project(caller, new))

    async def get_project(self, project_id: ProjectId) -> Project:
        """Return a project."""
        return await self._edge.call(lambda caller: self._plms.get_project(caller, project_id))

    async def estimate(self, project_id: ProjectId, request: EstimateRequest) -> Estimate:
        """Return a new estimate; the project waits for approval after it."""
        return await self._edge.call(lambda caller: self._plms.estimate(caller, project_id, request))

    async def list_estimates(self, project_id: ProjectId) -> tuple[Estimate, ...]:
        """Return all estimates of a project, newest first."""
        return await self._edge.call(lambda caller: self._plms.list_estimates(caller, project_id))

    async def approve(self, project_id: ProjectId, approval: Approval) -> Project:
        """Approve an estimate; repeating it changes nothing."""
        project = await self.get_project(project_id)
        waits = project.state is ProjectState.PENDING_APPROVAL
        if project.approved_estimate_id == approval.estimate_id and not waits:
            return project
        return await self._edge.call(lambda caller: self._plms.approve(caller, project_id, approval))

    async def begin_execution(self, project_id: ProjectId, rationale: str) -> None:
        """Move an approved project to executing; a project that is further stays where it is."""
        project = await self.get_project(project_id)
        if project.state is ProjectState.APPROVED:
            await self._change(project_id, ProjectState.EXECUTING, rationale)

    async def finish_execution(self, project_id: ProjectId, target: ProjectState, rationale: str) -> None:
        """Move an executing project on: through validating to its verdict, or back to approved."""
        project = await self.get_project(project_id)
        if project.state is ProjectState.EXECUTING and target in _AFTER_RUN:
            project = await self._change(project_id, ProjectState.VALIDATING, rationale)
        if project.state in {ProjectState.EXECUTING, ProjectState.VALIDATING}:
            await self._change(project_id, target, rationale)

    async def cancel_project(self, project_id: ProjectId, rationale: str) -> None:
        """Cancel a project that came to no plan, or whose estimate was declined."""
        project = await self.get_project(project_id)
        if project.state in {ProjectState.IDEATION, ProjectState.PENDING_APPROVAL}:
            await self._change(project_id, ProjectState.CANCELLED, rationale)

    async def record_actuals(self, run_id: RunId, actuals: RunActuals) -> None:
        """Post what a run cost (PLMS keeps it once)."""
        await self._edge.call(lambda caller: self._plms.record_actuals(caller, run_id, actuals))

    async def record_kpis(self, run_id: RunId, kpis: RunKpis) -> None:
        """Post a run's findings (PLMS keeps them once)."""
        await self._edge.call(lambda caller: self._plms.record_kpis(caller, run_id, kpis))

    async def _change(self, project_id: ProjectId, target: ProjectState, rationale: str) -> Project:
        change = StateChange(target=target, rationale=rationale[:2000])
        return await self._edge.call(lambda caller: self._plms.change_state(caller, project_id, change))
