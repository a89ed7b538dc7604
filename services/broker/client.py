"""The broker behind a URL; satisfies `protocol.Broker`."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

from services.broker.models import (
    BrokerFacts,
    Budget,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    ModelProbe,
    ModelView,
    NewModel,
    Route,
    RoutingReceipt,
    SetBudget,
)
from services.kernel.caller import Caller
from services.kernel.errors import UnavailableError, WireError, error_from_wire
from services.kernel.http import HttpCall
from services.kernel.ids import new_id
from services.kernel.vocabulary import Lane

M = TypeVar("M", bound=BaseModel)


class _Closing(BaseModel):
    scope: BudgetScope
    rationale: str


class HttpBroker:
    """Sends each call to a broker; errors come back as the class that was raised there.

    A completion takes as long as its models do: give the HttpCall a timeout of all attempts together (900 s or more).
    """

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def complete(self, caller: Caller, request: CompletionRequest) -> Completion:
        return Completion.model_validate_json(await self._call.send("POST", "/v1/complete", caller, body=request))

    async def stream(self, caller: Caller, request: CompletionRequest) -> AsyncIterator[Delta]:
        async for data in self._call.stream("POST", "/v1/stream", caller, body=request):
            _raise_for_error_event(data)
            delta = Delta.model_validate_json(data)
            yield delta
            if delta.completion is not None:
                return
        raise UnavailableError("the stream ended without its answer; ask again with the same call id")

    async def list_attempts(
        self, caller: Caller, scope: BudgetScope | None = None, limit: int = 100
    ) -> tuple[RoutingReceipt, ...]:
        return await self._read_all(RoutingReceipt, "/v1/ledger", caller, {**_name(scope), "limit": str(limit)})

    async def get_budget(self, caller: Caller, scope: BudgetScope) -> Budget:
        return Budget.model_validate_json(await self._call.send("GET", "/v1/budgets", caller, query=_name(scope)))

    async def set_budget(self, caller: Caller, change: SetBudget) -> Budget:
        return Budget.model_validate_json(await self._write("PUT", "/v1/budgets", caller, change))

    async def close_budget(self, caller: Caller, scope: BudgetScope, rationale: str) -> Budget:
        closing = _Closing(scope=scope, rationale=rationale)
        return Budget.model_validate_json(await self._write("POST", "/v1/budgets/close", caller, closing))

    async def list_models(self, caller: Caller) -> tuple[ModelView, ...]:
        return await self._read_all(ModelView, "/v1/models", caller)

    async def add_model(self, caller: Caller, new: NewModel) -> ModelView:
        return ModelView.model_validate_json(await self._write("PUT", _model(new.alias), caller, new))

    async def remove_model(self, caller: Caller, alias: str) -> None:
        await self._write("DELETE", _model(alias), caller)

    async def set_default(self, caller: Caller, alias: str) -> ModelView:
        return ModelView.model_validate_json(await self._write("POST", _model(alias, "/default"), caller))

    async def test_model(self, caller: Caller, alias: str) -> ModelProbe:
        return ModelProbe.model_validate_json(await self._call.send("POST", _model(alias, "/test"), caller))

    async def check_models(self, caller: Caller) -> tuple[ModelProbe, ...]:
        return await self._read_all(ModelProbe, "/v1/models/check", caller)

    async def get_route(self, caller: Caller, lane: Lane, scope: BudgetScope | None = None) -> Route:
        query = {"lane": lane.value, **_name(scope)}
        return Route.model_validate_json(await self._call.send("GET", "/v1/route", caller, query=query))

    async def get_facts(self, caller: Caller) -> BrokerFacts:
        return BrokerFacts.model_validate_json(await self._call.send("GET", "/v1/facts", caller))

    async def _write(self, method: str, path: str, caller: Caller, body: BaseModel | None = None) -> bytes:
        """Send a write under a key of its own, so that one retry after a broken connection cannot act twice."""
        key = new_id("broker")
        try:
            return await self._call.send(method, path, caller, body=body, idempotency_key=key)
        except UnavailableError:
            return await self._call.send(method, path, caller, body=body, idempotency_key=key)

    async def _read_all(
        self, model: type[M], path: str, caller: Caller, query: Mapping[str, str] | None = None
    ) -> tuple[M, ...]:
        answer = await self._call.send("GET", path, caller, query=query)
        return TypeAdapter(tuple[model, ...]).validate_json(answer)  # type: ignore[valid-type]  # a type made at run time


def _model(alias: str, rest: str = "") -> str:
    return f"/v1/models/{quote(alias, safe='')}{rest}"


def _name(scope: BudgetScope | None) -> dict[str, str]:
    return {} if scope is None else {"kind": scope.kind.value, "id": scope.id}


def _raise_for_error_event(data: str) -> None:
    body = json.loads(data)
    if "code" in body:
        wire = WireError(code=str(body["code"]), detail=str(body["detail"]), retryable=bool(body["retryable"]))
        raise error_from_wire(int(body["status"]), wire)
