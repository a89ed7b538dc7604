"""A broker in memory that streams: answers one after the other, real arithmetic of money and caps, nothing stored.

A reply is a text, a Completion-like `Reply`, an error to raise, or a function from the request to one of these.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from services.broker.models import (
    AttemptOutcome,
    AttemptState,
    BrokerFacts,
    Budget,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    ModelProbe,
    ModelView,
    NewModel,
    Price,
    Provider,
    Route,
    RoutingReceipt,
    SetBudget,
    ToolCall,
    ToolStyle,
    Usage,
)
from services.broker.protocol import (
    BudgetExceededError,
    CallConflictError,
    ModelMissingError,
    ModelNotFoundError,
    PriceUnknownError,
)
from services.kernel.caller import Caller
from services.kernel.errors import PlatformError
from services.kernel.vocabulary import Lane, Scope

PRICE = Price(input_microusd=3_000_000, output_microusd=15_000_000, source="operator")
FREE = Price(input_microusd=0, output_microusd=0, source="operator")
VERSION = "test prices 1"
MILLION = 1_000_000


def make_model(alias: str = "big", **fields) -> ModelView:
    """Return a configured model: 3 and 15 USD per million tokens, 32k of context."""
    known = {
        "alias": alias,
        "provider": Provider.OPENAI,
        "model": f"{alias}-1",
        "base_url": None,
        "key_ref": None,
        "price": PRICE,
        "context_tokens": 32_000,
        "tool_style": ToolStyle.NATIVE,
        "is_default": True,
    }
    return ModelView(**(known | fields))


@dataclass(frozen=True)
class Reply:
    """What the model says, and what it cost; `usage` None counts a token per four characters.

    `gate`, when given, is waited for after the first piece of a stream.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    finish_reason: str = "stop"
    gate: asyncio.Event | None = None
    restarts: int = 0
    opaque: str = ""


Spoken = str | Reply | PlatformError | Callable[[CompletionRequest], "str | Reply | PlatformError"]


@dataclass
class SpeakingBroker:
    """Keeps every request; `replies` are used up in order, then `otherwise` answers."""

    models: list[ModelView] = field(default_factory=list)
    replies: deque[Spoken] = field(default_factory=deque)
    otherwise: Spoken = "nothing was scripted"
    requests: list[CompletionRequest] = field(default_factory=list)
    completions: dict[str, Completion] = field(default_factory=dict)
    bodies: dict[str, CompletionRequest] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    attempts: list[RoutingReceipt] = field(default_factory=list)
    max_tokens: int = 1024

    @classmethod
    def of(cls, *replies: Spoken, models: Iterable[ModelView] | None = None) -> "SpeakingBroker":
        """Return a broker with one priced model unless others are given."""
        return cls(models=[make_model()] if models is None else list(models), replies=deque(replies))

    # --- completions

    async def complete(self, caller: Caller, request: CompletionRequest) -> Completion:
        caller.require(Scope.MODEL_CALL)
        if (stored := self._find_stored(request)) is not None:
            return stored
        model, reply = self._begin(request)
        return self._settle(request, model, reply)

    async def stream(self, caller: Caller, request: CompletionRequest) -> AsyncIterator[Delta]:
        caller.require(Scope.MODEL_CALL)
        if (stored := self._find_stored(request)) is not None:
            yield Delta(text=stored.text)
            yield Delta(completion=stored)
            return
        model, reply = self._begin(request)
        try:
            for _ in range(reply.restarts):
                yield Delta(text=reply.text[: len(reply.text) // 2])
                yield Delta(is_restart=True)
            for number, piece in enumerate(_pieces(reply.text)):
                if number == 1 and reply.gate is not None:
                    await reply.gate.wait()
                yield Delta(text=piece)
                await asyncio.sleep(0)
        except (GeneratorExit, asyncio.CancelledError):
            self._settle(request, model, reply)  # what was asked for is owed, read or not
            raise
        yield Delta(completion=self._settle(request, model, reply))

    def _find_stored(self, request: CompletionRequest) -> Completion | None:
        known = self.bodies.get(request.call_id)
        if known is not None and known != request:
            raise CallConflictError(f"call {request.call_id} had another body")
        stored = self.completions.get(request.call_id)
        return None if stored is None else stored.model_copy(update={"is_replayed": True})

    def _begin(self, request: CompletionRequest) -> tuple[ModelView, Reply]:
        model = self._pick(request)
        self._reserve(request, model)
        self.requests.append(request)
        self.bodies[request.call_id] = request
        scripted = self.replies.popleft() if self.replies else self.otherwise
        found = scripted(request) if callable(scripted) else scripted
        if isinstance(found, PlatformError):
            raise found
        return model, Reply(found) if isinstance(found, str) else found

    def _pick(self, request: CompletionRequest) -> ModelView:
        for model in self.models:
            if request.alias in {None, model.alias}:
                if model.price is None:
                    raise PriceUnknownError(f"the price of {model.alias} is not known; set one with `direng model add`")
                return model
        raise ModelMissingError("no model is configured; add one with `direng model add`")

    def _reserve(self, request: CompletionRequest, model: ModelView) -> None:
        size = sum(len(message.content.encode()) for message in request.messages)
        worst = _cost(model, Usage(tokens_in=size, tokens_out=request.max_tokens or self.max_tokens))
        for scope in request.scopes:
            budget = self._budget(scope)
            if budget.cap_microusd is not None and budget.spent_microusd + worst > budget.cap_microusd:
                left = budget.cap_microusd - budget.spent_microusd
                raise BudgetExceededError(
                    f"the next call could cost ${worst / MILLION:.4f}, {scope.key} has ${left / MILLION:.4f} left"
                )

    def _settle(self, request: CompletionRequest, model: ModelView, reply: Reply) -> Completion:
        size = sum(len(message.content) for message in request.messages)
        usage = reply.usage or Usage(tokens_in=size // 4, tokens_out=max(1, len(reply.text) // 4))
        cost = _cost(model, usage)
        for scope in request.scopes:
            budget = self._budget(scope)
            self.budgets[scope.key] = budget.model_copy(
                update={
                    "spent_microusd": budget.spent_microusd + cost,
                    "tokens": budget.tokens + usage.tokens_in + usage.tokens_out,
                    "attempts": budget.attempts + 1,
                }
            )
        receipt = RoutingReceipt(
            attempt_id=f"att-{len(self.attempts) + 1}",
            call_id=request.call_id,
            position=0,
            alias=model.alias,
            provider=model.provider,
            model=model.model,
            state=AttemptState.SETTLED,
            outcome=AttemptOutcome.OK,
            usage=usage,
            reserved_microusd=cost,
            cost_microusd=cost,
            price_table_version=VERSION,
            started_at="2026-11-21T00:00:00.000+00:00",
        )
        self.attempts.append(receipt)
        done = Completion(
            call_id=request.call_id,
            text=reply.text,
            tool_calls=reply.tool_calls,
            finish_reason="tool_calls" if reply.tool_calls else reply.finish_reason,
            usage=usage,
            cost_microusd=cost,
            alias=model.alias,
            provider=model.provider,
            model=model.model,
            receipts=(receipt,),
            opaque=reply.opaque,
        )
        self.completions[request.call_id] = done
        return done

    # --- ledger

    def _budget(self, scope: BudgetScope) -> Budget:
        empty = Budget(scope=scope, cap_microusd=None, spent_microusd=0, reserved_microusd=0)
        return self.budgets.setdefault(scope.key, empty)

    async def list_attempts(
        self, caller: Caller, scope: BudgetScope | None = None, limit: int = 100
    ) -> tuple[RoutingReceipt, ...]:
        ids = {body.call_id for body in self.bodies.values() if scope is None or scope in body.scopes}
        return tuple(attempt for attempt in reversed(self.attempts) if attempt.call_id in ids)[:limit]

    async def get_budget(self, caller: Caller, scope: BudgetScope) -> Budget:
        caller.require(Scope.MODEL_CALL)
        return self._budget(scope)

    async def set_budget(self, caller: Caller, change: SetBudget) -> Budget:
        caller.require(Scope.PAS_SUBMIT)
        given = {"cap_microusd": change.cap_microusd, "cap_tokens": change.cap_tokens}
        if change.chain_offset is not None:
            given["chain_offset"] = change.chain_offset
        self.budgets[change.scope.key] = self._budget(change.scope).model_copy(update=given)
        return self.budgets[change.scope.key]

    async def close_budget(self, caller: Caller, scope: BudgetScope, rationale: str) -> Budget:
        caller.require(Scope.PAS_SUBMIT)
        budget = self._budget(scope)
        closed = budget.model_copy(update={"cap_microusd": budget.spent_microusd + budget.reserved_microusd})
        self.budgets[scope.key] = closed
        return closed

    # --- registry

    async def list_models(self, caller: Caller) -> tuple[ModelView, ...]:
        return tuple(sorted(self.models, key=lambda model: model.alias))

    async def add_model(self, caller: Caller, new: NewModel) -> ModelView:
        caller.require(Scope.AUTH_ADMIN)
        view = make_model(
            new.alias, provider=new.provider, model=new.model, price=new.price, is_default=not self.models
        )
        self.models = [model for model in self.models if model.alias != new.alias] + [view]
        return view

    async def remove_model(self, caller: Caller, alias: str) -> None:
        caller.require(Scope.AUTH_ADMIN)
        self.models = [model for model in self.models if model is not self._find(alias)]

    async def set_default(self, caller: Caller, alias: str) -> ModelView:
        caller.require(Scope.AUTH_ADMIN)
        chosen = self._find(alias)
        self.models = [model.model_copy(update={"is_default": model is chosen}) for model in self.models]
        return self._find(alias)

    async def test_model(self, caller: Caller, alias: str) -> ModelProbe:
        return ModelProbe(alias=self._find(alias).alias, is_good=True, detail="answers")

    async def check_models(self, caller: Caller) -> tuple[ModelProbe, ...]:
        return tuple(ModelProbe(alias=model.alias, is_good=True, detail="is there") for model in self.models)

    async def get_route(self, caller: Caller, lane: Lane, scope: BudgetScope | None = None) -> Route:
        offset = 0 if scope is None else self._budget(scope).chain_offset
        models = tuple(self.models[offset:]) or tuple(self.models[-1:])
        problem = "" if models else "no model is configured; add one with `direng model add`"
        return Route(lane=lane, models=models, max_tokens=self.max_tokens, timeout_s=60, problem=problem)

    async def get_facts(self, caller: Caller) -> BrokerFacts:
        matrix = {lane.value: self.models[0].alias for lane in Lane} if self.models else {}
        return BrokerFacts(policy_sha256="0" * 64, price_table_version=VERSION, provider_matrix=matrix)

    def _find(self, alias: str) -> ModelView:
        for model in self.models:
            if model.alias == alias:
                return model
        raise ModelNotFoundError(f"no model has the alias {alias}; see `direng model list`")


def _pieces(text: str) -> list[str]:
    """Return the text as a model streams it: a few characters at a time."""
    return [text[start : start + 7] for start in range(0, len(text), 7)]


def _cost(model: ModelView, usage: Usage) -> int:
    assert model.price is not None
    paid = usage.tokens_in * model.price.input_microusd + usage.tokens_out * model.price.output_microusd
    return -(-paid // MILLION)
