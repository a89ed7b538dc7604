"""The broker over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.broker.chat import add_chat
from services.broker.models import (
    BrokerFacts,
    Budget,
    BudgetKind,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    Health,
    ModelProbe,
    ModelView,
    NewModel,
    Route,
    RoutingReceipt,
    SetBudget,
)
from services.broker.protocol import Broker, Completions, Ledger, Registry
from services.kernel.errors import InvalidRequestError, PlatformError
from services.kernel.http import CallerOf
from services.kernel.vocabulary import Lane

AliasPath = Annotated[str, Path(max_length=64)]
KindQuery = Annotated[BudgetKind | None, Query()]
NameQuery = Annotated[str | None, Query(alias="id", min_length=1, max_length=300)]
LimitQuery = Annotated[int, Query(ge=1, le=1000)]


class CloseBudget(BaseModel):
    """The body of a closing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: BudgetScope
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")


def add_routes(app: FastAPI, service: Broker, read_health: Callable[[], Awaitable[Health]]) -> None:
    """Add the endpoints of the broker to `app`."""

    @app.get("/health")
    async def get_health() -> Health:
        return await read_health()

    _add_calls(app, service)
    add_chat(app, service)
    _add_budgets(app, service)
    _add_models(app, service)
    _add_model_changes(app, service)


def _add_calls(app: FastAPI, service: Completions) -> None:
    @app.post("/v1/complete")
    async def complete(caller: CallerOf, request: CompletionRequest) -> Completion:
        return await service.complete(caller, request)

    @app.post("/v1/stream")
    async def stream(caller: CallerOf, request: CompletionRequest) -> EventSourceResponse:
        deltas = service.stream(caller, request)
        first = await anext(deltas)  # a refusal before the first piece becomes a plain answer
        return EventSourceResponse(_send(first, deltas))


async def _send(first: Delta, rest: AsyncIterator[Delta]) -> AsyncIterator[ServerSentEvent]:
    """Yield deltas as events; an error ends the stream as an event that carries its wire form."""
    yield ServerSentEvent(data=first.model_dump_json())
    try:
        async for delta in rest:
            yield ServerSentEvent(data=delta.model_dump_json())
    except PlatformError as error:
        yield ServerSentEvent(data=json.dumps({**error.to_wire(), "status": error.status}), event="error")


def _add_budgets(app: FastAPI, service: Ledger) -> None:
    @app.get("/v1/ledger")
    async def list_attempts(
        caller: CallerOf, kind: KindQuery = None, name: NameQuery = None, limit: LimitQuery = 100
    ) -> tuple[RoutingReceipt, ...]:
        return await service.list_attempts(caller, _to_scope(kind, name), limit)

    @app.get("/v1/budgets")
    async def get_budget(
        caller: CallerOf, kind: BudgetKind, name: Annotated[str, Query(alias="id", min_length=1, max_length=300)]
    ) -> Budget:
        return await service.get_budget(caller, BudgetScope(kind=kind, id=name))

    @app.put("/v1/budgets")
    async def set_budget(caller: CallerOf, change: SetBudget) -> Budget:
        return await service.set_budget(caller, change)

    @app.post("/v1/budgets/close")
    async def close_budget(caller: CallerOf, closing: CloseBudget) -> Budget:
        return await service.close_budget(caller, closing.scope, closing.rationale)


def _to_scope(kind: BudgetKind | None, name: str | None) -> BudgetScope | None:
    if (kind is None) != (name is None):
        raise InvalidRequestError("a budget is named by both kind and id, such as kind=run&id=RUN_ID")
    return None if kind is None or name is None else BudgetScope(kind=kind, id=name)


def _add_models(app: FastAPI, service: Registry) -> None:
    @app.get("/v1/models")
    async def list_models(caller: CallerOf) -> tuple[ModelView, ...]:
        return await service.list_models(caller)

    @app.get("/v1/models/check")
    async def check_models(caller: CallerOf) -> tuple[ModelProbe, ...]:
        return await service.check_models(caller)

    @app.get("/v1/route")
    async def get_route(caller: CallerOf, lane: Lane, kind: KindQuery = None, name: NameQuery = None) -> Route:
        return await service.get_route(caller, lane, _to_scope(kind, name))

    @app.get("/v1/facts")
    async def get_facts(caller: CallerOf) -> BrokerFacts:
        return await service.get_facts(caller)


def _add_model_changes(app: FastAPI, service: Registry) -> None:
    @app.put("/v1/models/{alias}")
    async def add_model(caller: CallerOf, alias: AliasPath, new: NewModel) -> ModelView:
        if new.alias != alias:
            raise InvalidRequestError(f"the path names {alias!r} but the body {new.alias!r}; they must be the same")
        return await service.add_model(caller, new)

    @app.delete("/v1/models/{alias}")
    async def remove_model(caller: CallerOf, alias: AliasPath) -> None:
        await service.remove_model(caller, alias)

    @app.post("/v1/models/{alias}/default")
    async def set_default(caller: CallerOf, alias: AliasPath) -> ModelView:
        return await service.set_default(caller, alias)

    @app.post("/v1/models/{alias}/test")
    async def test_model(caller: CallerOf, alias: AliasPath) -> ModelProbe:
        return await service.test_model(caller, alias)
