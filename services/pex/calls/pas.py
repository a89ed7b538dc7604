"""PEX -> PAS: start, follow and steer runs. Every call is safe to repeat: run ids are chosen by PEX."""

from collections.abc import AsyncIterator
from random import Random

from services.kernel.caller import CallerSource
from services.kernel.ids import RunId, Sha256
from services.kernel.vocabulary import ServiceName
from services.pas.models import LaneModel, Receipt, RunCommand, RunEvent, RunView, StartRun
from services.pas.protocol import Pas, RunNotFoundError
from services.wire.edge import Edge


class PasEdge:
    """The part of PAS that PEX uses."""

    def __init__(self, pas: Pas, callers: CallerSource, random: Random) -> None:
        self._pas = pas
        self._edge = Edge(ServiceName.PAS, callers, random)

    async def start_run(self, start: StartRun) -> RunView:
        """Start the run, or return the one with the same id and body."""
        return await self._edge.call(lambda caller: self._pas.start_run(caller, start))

    async def get_run(self, run_id: RunId) -> RunView:
        """Return a run."""
        return await self._edge.call(lambda caller: self._pas.get_run(caller, run_id))

    async def watch_run(self, run_id: RunId, after_seq: int) -> AsyncIterator[RunEvent]:
        """Yield events after `after_seq`; not retried here: the follower reconnects from its stored cursor."""
        async for event in self._pas.watch_run(await self._edge.caller(), run_id, after_seq):
            yield event

    async def list_receipts(self, run_id: RunId) -> tuple[Receipt, ...]:
        """Return the receipts of a run."""
        return await self._edge.call(lambda caller: self._pas.list_receipts(caller, run_id))

    async def get_artifact(self, sha256: Sha256) -> bytes:
        """Return the bytes of an artifact."""
        return await self._edge.call(lambda caller: self._pas.get_artifact(caller, sha256))

    async def list_lane_models(self) -> tuple[LaneModel, ...]:
        """Return the model of every lane, or why it has none."""
        return await self._edge.call(self._pas.list_lane_models)

    async def find_run(self, run_id: RunId) -> RunView | None:
        """Return a run, or None when there is none of that id."""
        try:
            return await self.get_run(run_id)
        except RunNotFoundError:
            return None

    async def pause_run(self, run_id: RunId, reason: str) -> RunView:
        """Start no further card."""
        command = RunCommand(run_id=run_id, reason=reason)
        return await self._edge.call(lambda caller: self._pas.pause_run(caller, command))

    async def resume_run(
        self, run_id: RunId, reason: str, *, max_cost_microusd: int | None = None, is_downshift: bool = False
    ) -> RunView:
        """Go on with a paused run, under a new ceiling of spend or with the next model of the chain when asked."""
        command = RunCommand(
            run_id=run_id, reason=reason, max_cost_microusd=max_cost_microusd, is_downshift=is_downshift
        )
        return await self._edge.call(lambda caller: self._pas.resume_run(caller, command))

    async def terminate_run(self, run_id: RunId, reason: str) -> RunView:
        """Stop the run now."""
        command = RunCommand(run_id=run_id, reason=reason)
        return await self._edge.call(lambda caller: self._pas.terminate_run(caller, command))
