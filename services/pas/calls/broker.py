"""PAS -> broker: calls of models, caps of runs, routes of lanes.

A paid call is not repeated here: the broker retries providers itself, and a call id that was settled is answered from
its ledger. Everything else is safe to repeat.
"""

from random import Random

from services.broker.models import (
    BrokerFacts,
    Budget,
    BudgetScope,
    Completion,
    CompletionRequest,
    ModelView,
    Route,
    RoutingReceipt,
    SetBudget,
)
from services.broker.protocol import Broker
from services.kernel.caller import CallerSource, ScopeMissingError
from services.kernel.errors import InternalError, UnauthenticatedError
from services.kernel.vocabulary import Lane, ServiceName
from services.wire.edge import Edge


class BrokerEdge:
    """The part of the broker that PAS uses."""

    def __init__(self, broker: Broker, callers: CallerSource, random: Random) -> None:
        self._broker = broker
        self._edge = Edge(ServiceName.BROKER, callers, random)

    async def complete(self, request: CompletionRequest) -> Completion:
        """Return the answer to one call; raises what the broker raises, KeyRefusedError included."""
        caller = await self._edge.caller()
        try:
            return await self._broker.complete(caller, request)
        except (UnauthenticatedError, ScopeMissingError) as error:
            raise InternalError(f"the broker refused this service's own identity: {error.detail}") from error

    async def list_attempts(self, scope: BudgetScope) -> tuple[RoutingReceipt, ...]:
        """Return the newest attempts of one budget, newest first."""
        return await self._edge.call(lambda caller: self._broker.list_attempts(caller, scope))

    async def get_budget(self, scope: BudgetScope) -> Budget:
        """Return a budget as it stands."""
        return await self._edge.call(lambda caller: self._broker.get_budget(caller, scope))

    async def set_budget(self, change: SetBudget) -> Budget:
        """Set a cap or a downshift."""
        return await self._edge.call(lambda caller: self._broker.set_budget(caller, change))

    async def close_budget(self, scope: BudgetScope, rationale: str) -> Budget:
        """Let nothing more be reserved in a budget."""
        return await self._edge.call(lambda caller: self._broker.close_budget(caller, scope, rationale))

    async def list_models(self) -> tuple[ModelView, ...]:
        """Return the configured models."""
        return await self._edge.call(self._broker.list_models)

    async def get_route(self, lane: Lane, scope: BudgetScope | None = None) -> Route:
        """Return the models that a lane's calls try now, downshifts of `scope` included."""
        return await self._edge.call(lambda caller: self._broker.get_route(caller, lane, scope))

    async def get_facts(self) -> BrokerFacts:
        """Return what a passport says of the broker."""
        return await self._edge.call(self._broker.get_facts)
