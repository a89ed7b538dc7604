"""A Broker that answers from a script, one reply a call, with a ledger and caps of its own; counts what it is asked.

A reply is a `Reply`, or an exception to raise. A call id that was answered is answered again from the ledger, which
lies in a file when a path is given: so it outlives a killed server, as the real one's does.
"""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.broker.models import (
    AttemptOutcome,
    AttemptState,
    BrokerFacts,
    Budget,
    BudgetKind,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    ModelProbe,
    ModelView,
    NewModel,
    Price,
    Provider,
    Role,
    Route,
    RoutingReceipt,
    SetBudget,
    ToolCall,
    ToolStyle,
    Usage,
)
from services.broker.protocol import BudgetExceededError, CallConflictError, ModelMissingError, ModelNotFoundError
from services.kernel.caller import Caller
from services.kernel.vocabulary import Lane, Scope

NOW = "2026-11-21T06:00:00.000+00:00"


@dataclass(frozen=True)
class Reply:
    """One answer of the model: text and tool calls as (name, arguments)."""

    text: str = ""
    calls: tuple[tuple[str, object], ...] = ()
    cost_microusd: int = 1000
    finish_reason: str = ""
    fallback_from: str | None = None


def call(name: str, **arguments: object) -> Reply:
    """Return a reply that calls one tool."""
    return Reply(calls=((name, arguments),))


Step = Reply | Exception
Script = Sequence[Step] | Callable[[CompletionRequest, int], Step]


def make_model(alias: str, context_tokens: int = 100_000) -> ModelView:
    """Return a configured model with a price."""
    return ModelView(
        alias=alias,
        provider=Provider.LOCAL_LLAMA,
        model=f"model-{alias}",
        base_url="http://127.0.0.1:9/v1",
        key_ref=None,
        price=Price(input_microusd=1_000_000, output_microusd=2_000_000, source="operator"),
        context_tokens=context_tokens,
        tool_style=ToolStyle.NATIVE,
        is_default=True,
    )


@dataclass
class ScriptedBroker:
    """Satisfies services.broker.protocol.Broker. `script` is a list by turn of the conversation, or a function of it.

    The turn is the number of assistant messages in the request: so a repeated or restarted conversation is answered as
    it was the first time.
    """

    script: Script = ()
    models: tuple[ModelView, ...] = (make_model("first"), make_model("second"))
    ledger_path: Path | None = None
    requests: list[CompletionRequest] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    budgets: dict[str, Budget] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._answers: dict[str, tuple[str, Completion]] = {}
        self._attempts: list[tuple[tuple[str, ...], RoutingReceipt]] = []
        if self.ledger_path is not None and self.ledger_path.exists():
            for line in self.ledger_path.read_text().splitlines():
                self._take_up(json.loads(line))

    def _take_up(self, row: dict[str, str]) -> None:
        if row["kind"] == "budget":
            budget = Budget.model_validate_json(row["budget"])
            self.budgets[budget.scope.key] = budget
            return
        completion = Completion.model_validate_json(row["completion"])
        self._answers[completion.call_id] = (row["body"], completion)
        self.paid.append(completion.call_id)
        self._attempts.extend((tuple(row["scopes"]), receipt) for receipt in completion.receipts)

    def _write(self, row: dict[str, object]) -> None:
        if self.ledger_path is not None:
            with self.ledger_path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    async def complete(self, caller: Caller, request: CompletionRequest) -> Completion:
        caller.require(Scope.MODEL_CALL)
        self.requests.append(request)
        body = request.model_copy(update={"call_id": "same-body"}).model_dump_json()
        known = self._answers.get(request.call_id)
        if known is not None:
            if known[0] != body:
                raise CallConflictError(f"the call id {request.call_id} was used with another body")
            return known[1].model_copy(update={"is_replayed": True})
        if not self.models:
            raise ModelMissingError(f"no model is configured for {request.lane}")
        step = self._next(request)
        if isinstance(step, Exception):
            raise step
        self._reserve(request, step.cost_microusd)
        completion = self._complete(request, step)
        self._answers[request.call_id] = (body, completion)
        self.paid.append(request.call_id)
        scopes = [scope.key for scope in request.scopes]
        self._attempts.extend((tuple(scopes), receipt) for receipt in completion.receipts)
        self._write({"kind": "call", "body": body, "completion": completion.model_dump_json(), "scopes": scopes})
        return completion

    def _next(self, request: CompletionRequest) -> Step:
        turn = sum(message.role is Role.ASSISTANT for message in request.messages)
        if callable(self.script):
            return self.script(request, turn)
        if turn >= len(self.script):
            return Reply(text="I have nothing more to say.")
        return self.script[turn]

    def _reserve(self, request: CompletionRequest, cost_microusd: int) -> None:
        held = [self._budget(scope) for scope in request.scopes]
        for budget in held:
            if budget.cap_microusd is not None and budget.spent_microusd + cost_microusd > budget.cap_microusd:
                raise BudgetExceededError(
                    f"the next call could cost ${cost_microusd / 1e6:.4f}; "
                    f"{budget.scope.key} has ${(budget.cap_microusd - budget.spent_microusd) / 1e6:.4f} left"
                )
        for budget in held:
            self._keep(budget.model_copy(update={"spent_microusd": budget.spent_microusd + cost_microusd}))

    def _complete(self, request: CompletionRequest, reply: Reply) -> Completion:
        model = self._chain(request)[0]
        calls = tuple(
            ToolCall(
                call_id=f"tool-{len(self.paid)}-{index}",
                name=name,
                arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
            )
            for index, (name, arguments) in enumerate(reply.calls)
        )
        usage = Usage(tokens_in=100, tokens_out=10)
        receipts = [self._receipt(request, 0, model.alias, usage, reply.cost_microusd)]
        if reply.fallback_from is not None:
            failed = self._receipt(request, 0, reply.fallback_from, Usage(), 0, outcome=AttemptOutcome.RATE_LIMITED)
            good = self._receipt(request, 1, model.alias, usage, reply.cost_microusd)
            receipts = [failed, good.model_copy(update={"fallback_from": reply.fallback_from})]
        return Completion(
            call_id=request.call_id,
            text=reply.text,
            tool_calls=calls,
            finish_reason=reply.finish_reason or ("tool_calls" if calls else "stop"),
            usage=usage,
            cost_microusd=reply.cost_microusd,
            alias=model.alias,
            provider=model.provider,
            model=model.model,
            receipts=tuple(receipts),
        )

    def _receipt(
        self,
        request: CompletionRequest,
        position: int,
        alias: str,
        usage: Usage,
        cost_microusd: int,
        *,
        outcome: AttemptOutcome = AttemptOutcome.OK,
    ) -> RoutingReceipt:
        return RoutingReceipt(
            attempt_id=f"{request.call_id}.{position}",
            call_id=request.call_id,
            position=position,
            alias=alias,
            provider=Provider.LOCAL_LLAMA,
            model=f"model-{alias}",
            state=AttemptState.SETTLED if outcome is AttemptOutcome.OK else AttemptState.FAILED,
            outcome=outcome,
            usage=usage,
            reserved_microusd=cost_microusd,
            cost_microusd=cost_microusd,
            price_table_version="test",
            time_ms=5,
            started_at=NOW,
        )

    def _chain(self, request: CompletionRequest) -> tuple[ModelView, ...]:
        offset = max(self._budget(scope).chain_offset for scope in request.scopes)
        return self.models[offset:] or self.models[-1:]

    async def stream(self, caller: Caller, request: CompletionRequest) -> AsyncIterator[Delta]:
        yield Delta(completion=await self.complete(caller, request))

    async def list_attempts(
        self, caller: Caller, scope: BudgetScope | None = None, limit: int = 100
    ) -> tuple[RoutingReceipt, ...]:
        found = [receipt for scopes, receipt in self._attempts if scope is None or scope.key in scopes]
        return tuple(reversed(found))[:limit]

    def _budget(self, scope: BudgetScope) -> Budget:
        empty = Budget(scope=scope, cap_microusd=None, spent_microusd=0, reserved_microusd=0)
        return self.budgets.get(scope.key, empty)

    def _keep(self, budget: Budget) -> None:
        self.budgets[budget.scope.key] = budget
        self._write({"kind": "budget", "budget": budget.model_dump_json()})

    async def get_budget(self, caller: Caller, scope: BudgetScope) -> Budget:
        return self._budget(scope)

    async def set_budget(self, caller: Caller, change: SetBudget) -> Budget:
        caller.require(Scope.PAS_SUBMIT)
        fields: dict[str, object] = {"cap_microusd": change.cap_microusd, "cap_tokens": change.cap_tokens}
        if change.chain_offset is not None:
            fields["chain_offset"] = change.chain_offset
        self._keep(self._budget(change.scope).model_copy(update=fields))
        return self._budget(change.scope)

    async def close_budget(self, caller: Caller, scope: BudgetScope, rationale: str) -> Budget:
        held = self._budget(scope)
        self._keep(held.model_copy(update={"cap_microusd": held.spent_microusd + held.reserved_microusd}))
        return self._budget(scope)

    async def list_models(self, caller: Caller) -> tuple[ModelView, ...]:
        return self.models

    async def add_model(self, caller: Caller, new: NewModel) -> ModelView:
        view = make_model(new.alias)
        self.models = (*self.models, view)
        return view

    async def remove_model(self, caller: Caller, alias: str) -> None:
        if alias not in {model.alias for model in self.models}:
            raise ModelNotFoundError(f"no model is named {alias}")
        self.models = tuple(model for model in self.models if model.alias != alias)

    async def set_default(self, caller: Caller, alias: str) -> ModelView:
        return next(model for model in self.models if model.alias == alias)

    async def test_model(self, caller: Caller, alias: str) -> ModelProbe:
        return ModelProbe(alias=alias, is_good=True, detail="answers")

    async def check_models(self, caller: Caller) -> tuple[ModelProbe, ...]:
        return tuple(ModelProbe(alias=model.alias, is_good=True, detail="answers") for model in self.models)

    async def get_route(self, caller: Caller, lane: Lane, scope: BudgetScope | None = None) -> Route:
        offset = 0 if scope is None else self._budget(scope).chain_offset
        problem = "" if self.models else f"no model is configured for {lane}; add one: direng model add"
        return Route(
            lane=lane,
            models=self.models[offset:] or self.models[-1:],
            max_tokens=1024,
            timeout_s=60,
            problem=problem,
        )

    async def get_facts(self, caller: Caller) -> BrokerFacts:
        return BrokerFacts(
            policy_sha256="b" * 64,
            price_table_version="test",
            provider_matrix={lane.value: "local_llama/model-first" for lane in Lane},
        )


def run_budget(run_id: str) -> BudgetScope:
    """Return the budget of a run."""
    return BudgetScope(kind=BudgetKind.RUN, id=run_id)
