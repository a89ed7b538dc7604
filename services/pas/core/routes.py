"""Which model the cards of each lane would use, and the refusal of runs that have none."""

from collections.abc import Sequence

from services.broker.models import BrokerFacts, ModelView, Route
from services.kernel.vocabulary import Lane
from services.pas.calls.broker import BrokerEdge
from services.pas.models import AgentPayload, JobCard, LaneModel, PlanPayload
from services.pas.protocol import ModelMissingError

NO_BROKER = "this server was started without a model broker; start the platform's own server"


def uses_model(card: JobCard) -> bool:
    """Return whether the card calls a model."""
    return isinstance(card.payload, AgentPayload | PlanPayload)


class LaneRoutes:
    """Asks the broker for routes; without a broker no lane has a model."""

    def __init__(self, broker: BrokerEdge | None) -> None:
        self._broker = broker

    async def list_models(self) -> tuple[LaneModel, ...]:
        """Return every lane's model, or why it has none."""
        if self._broker is None:
            return tuple(LaneModel(lane=lane, problem=NO_BROKER) for lane in Lane)
        facts = await self._broker.get_facts()
        return tuple([describe_route(await self._broker.get_route(lane), facts) for lane in Lane])

    async def check(self, cards: Sequence[JobCard]) -> None:
        """Raise ModelMissingError when a card needs a model and there is none for it."""
        wanted = [card for card in cards if uses_model(card)]
        if not wanted:
            return
        if self._broker is None:
            raise ModelMissingError(NO_BROKER)
        models = {model.alias: model for model in await self._broker.list_models()}
        for card in wanted:
            alias = card.payload.alias if isinstance(card.payload, AgentPayload | PlanPayload) else None
            problem = _explain_alias(alias, models) if alias else _explain_lane(await self._broker.get_route(card.lane))
            if problem:
                raise ModelMissingError(problem)


def _explain_alias(alias: str, models: dict[str, ModelView]) -> str:
    if alias in models:
        return _explain_model(models[alias])
    known = ", ".join(sorted(models)) or "none"
    return f"no model is named {alias}; there are: {known}. Add it with `direng model add {alias} ...`"


def _explain_model(model: ModelView) -> str:
    if model.problem:
        return f"{model.alias} ({model.model}): {model.problem}"
    if model.price is None:
        return f"the price of {model.alias} ({model.model}) is not known; set it with `direng model add`"
    return ""


def _explain_lane(route: Route) -> str:
    """Return why no call of the lane could be answered; a fallback that can be asked is no reason to refuse."""
    if not route.models:
        return route.problem or f"no model is configured for {route.lane}; add one with `direng model add`"
    first = route.models[0]
    if first.price is None or all(model.problem for model in route.models):
        return _explain_model(first)
    return ""


def describe_route(route: Route, facts: BrokerFacts) -> LaneModel:
    """Return a lane's model for estimates and lists."""
    problem = _explain_lane(route)
    if problem:
        return LaneModel(lane=route.lane, problem=problem)
    first = route.models[0]
    return LaneModel(
        lane=route.lane,
        alias=first.alias,
        provider=first.provider.value,
        model=first.model,
        input_microusd=first.price.input_microusd if first.price else 0,
        output_microusd=first.price.output_microusd if first.price else 0,
        context_tokens=first.context_tokens,
        price_table_version=facts.price_table_version,
        chain=tuple(model.alias for model in route.models),
    )
