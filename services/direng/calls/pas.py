"""DirEng -> PAS: direct runs, and looking at any run. Every call is safe to repeat: run ids are chosen by DirEng."""

from collections.abc import AsyncIterator
from random import Random

from services.kernel.caller import CallerSource
from services.kernel.ids import RunId, Sha256
from services.kernel.vocabulary import ServiceName
from services.pas.models import LaneModel, Passport, Receipt, RunCommand, RunEvent, RunView, StartRun
from services.pas.protocol import Pas
from services.wire.edge import Edge


class PasEdge:
    """The part of PAS that DirEng uses."""

    def __init__(self, pas: Pas, callers: CallerSource, random: Random) -> None:
        self._pas = pas
        self._edge = Edge(ServiceName.PAS, callers, random)

    async def start_run(self, start: StartRun) -> RunView:
        """Start a direct run."""
        return await self._edge.call(lambda caller: self._pas.start_run(caller, start))

    async def get_run(self, run_id: RunId) -> RunView:
        """Return a run."""
        return await self._edge.call(lambda caller: self._pas.get_run(caller, run_id))

    async def list_runs(self, repo: str) -> tuple[RunView, ...]:
        """Return a repository's runs, newest first."""
        return await self._edge.call(lambda caller: self._pas.list_runs(caller, repo))

    async def watch(self, run_id: RunId, after_seq: int) -> AsyncIterator[RunEvent]:
        """Yield events after `after_seq` until the run ends."""
        async for event in self._pas.watch_run(await self._edge.caller(), run_id, after_seq):
            yield event

    async def get_passport(self, run_id: RunId) -> Passport:
        """Return what an ended run was made from."""
        signed = await self._edge.call(lambda caller: self._pas.get_passport(caller, run_id))
        return Passport.model_validate_json(signed.document)

    async def get_artifact(self, sha256: Sha256) -> bytes:
        """Return the bytes of an artifact."""
        return await self._edge.call(lambda caller: self._pas.get_artifact(caller, sha256))

    async def list_receipts(self, run_id: RunId) -> tuple[Receipt, ...]:
        """Return a run's receipts in the order they were recorded."""
        return await self._edge.call(lambda caller: self._pas.list_receipts(caller, run_id))

    async def list_lane_models(self) -> tuple[LaneModel, ...]:
        """Return the model of every lane, or why it has none."""
        return await self._edge.call(self._pas.list_lane_models)

    async def resume_run(
        self, run_id: RunId, reason: str, max_cost_microusd: int | None = None, *, is_downshift: bool = False
    ) -> RunView:
        """Go on with a paused run, under a new cap or with the next model where that is said."""
        command = RunCommand(
            run_id=run_id, reason=reason, max_cost_microusd=max_cost_microusd, is_downshift=is_downshift
        )
        return await self._edge.call(lambda caller: self._pas.resume_run(caller, command))

    async def terminate_run(self, run_id: RunId, reason: str) -> RunView:
        """Stop a run now."""
        command = RunCommand(run_id=run_id, reason=reason)
        return await self._edge.call(lambda caller: self._pas.terminate_run(caller, command))
