"""DirEng -> broker: answers and their budget. An answer proposes nothing that runs, so it needs no card (ADR-0012).

Paid calls are sent once: the broker itself retries, under its ledger. Reading and setting budgets may be repeated.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from random import Random

from services.broker.models import (
    Budget,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    ModelProbe,
    ModelView,
    Route,
    SetBudget,
)
from services.broker.protocol import Broker
from services.kernel.caller import CallerSource
from services.kernel.vocabulary import Lane, ServiceName
from services.wire.edge import Edge


class BrokerEdge:
    """The part of the broker that DirEng uses."""

    def __init__(self, broker: Broker, callers: CallerSource, random: Random) -> None:
        self._broker = broker
        self._edge = Edge(ServiceName.BROKER, callers, random)

    async def stream(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        """Yield an answer as it comes; sent once. Closing the iterator stops the call."""
        deltas = self._broker.stream(await self._edge.caller(), request)
        try:
            async for delta in deltas:
                yield delta
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()  # now, not when it is collected: the call is settled when this returns

    async def complete(self, request: CompletionRequest) -> Completion:
        """Return an answer; sent once."""
        return await self._broker.complete(await self._edge.caller(), request)

    async def list_models(self) -> tuple[ModelView, ...]:
        """Return the configured models."""
        return await self._edge.call(self._broker.list_models)

    async def check_models(self) -> tuple[ModelProbe, ...]:
        """Return whether each model's endpoint is there, without a paid call."""
        return await self._edge.call(self._broker.check_models)

    async def get_route(self, lane: Lane, scope: BudgetScope | None = None) -> Route:
        """Return the models that a lane's calls try now."""
        return await self._edge.call(lambda caller: self._broker.get_route(caller, lane, scope))

    async def get_budget(self, scope: BudgetScope) -> Budget:
        """Return what is spent of a cap."""
        return await self._edge.call(lambda caller: self._broker.get_budget(caller, scope))

    async def set_budget(self, change: SetBudget) -> Budget:
        """Set a cap; repeating it changes nothing."""
        return await self._edge.call(lambda caller: self._broker.set_budget(caller, change))
