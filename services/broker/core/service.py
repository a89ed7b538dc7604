"""The broker itself: each method authorises its caller and hands over to the part that knows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256

from services.broker.core.binding import check_scopes, list_keys, list_policy_caps, name_month
from services.broker.core.booking import recover_lost
from services.broker.core.budgets import Budgets
from services.broker.core.calling import Call, CallInProgress, CallTools
from services.broker.core.lineup import Candidate, Lineup
from services.broker.core.ports import WireError
from services.broker.core.probing import PROBE_AGAIN, TEXT_ONLY_CURE, has_called_tool, make_probe
from services.broker.core.registry import Models
from services.broker.models import (
    AttemptOutcome,
    BrokerFacts,
    Budget,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    ModelProbe,
    ModelView,
    NewModel,
    Provider,
    Route,
    RoutingReceipt,
    SetBudget,
    ToolStyle,
)
from services.broker.protocol import CallConflictError, PolicyBrokenError
from services.kernel.caller import Caller
from services.kernel.clock import to_iso
from services.kernel.errors import InvalidRequestError, PlatformError
from services.kernel.vocabulary import Lane, Scope

RECOVER_EVERY_S = 60.0


@dataclass(frozen=True)
class _UnderWay:
    digest: str
    task: "asyncio.Task[Completion]"


class BrokerService:
    """Satisfies `protocol.Broker`.

    A call that was begun is brought to its end and kept even when its caller goes away: it is paid for anyway, and the
    caller finds the answer under the same call id.
    """

    def __init__(self, tools: CallTools, models: Models, budgets: Budgets, new_id: Callable[[str], str]) -> None:
        self._tools = tools
        self._models = models
        self._budgets = budgets
        self._new_id = new_id
        self._under_way: dict[str, _UnderWay] = {}
        self._recovered_at_s = tools.clock.monotonic_s()

    async def close(self) -> None:
        """Stop the calls under way; each is settled with its whole reservation."""
        tasks = [entry.task for entry in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def complete(self, caller: Caller, request: CompletionRequest) -> Completion:
        task, is_new = await self._begin(caller, request, None)
        completion = await asyncio.shield(task)
        return completion if is_new else completion.model_copy(update={"is_replayed": True})

    async def stream(self, caller: Caller, request: CompletionRequest) -> AsyncIterator[Delta]:
        pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        task, is_new = await self._begin(caller, request, pieces.put_nowait)
        task.add_done_callback(lambda _task: pieces.put_nowait(None))
        while (piece := await pieces.get()) is not None:
            yield piece
        completion = await asyncio.shield(task)
        yield Delta(completion=completion if is_new else completion.model_copy(update={"is_replayed": True}))

    async def _begin(
        self, caller: Caller, request: CompletionRequest, on_delta: Callable[[Delta], None] | None
    ) -> tuple["asyncio.Task[Completion]", bool]:
        """Return the task of a call, and whether it was started for this caller."""
        caller.require(Scope.MODEL_CALL)  # before anything of the request is looked at
        check_scopes(caller, request.scopes)
        if not request.call_id.isprintable():
            raise InvalidRequestError("a call id has printable characters only")
        await self._recover_expired()
        lineup = await self._models.get_lineup()
        body = request.model_dump_json().encode()
        digest = sha256(body).hexdigest()
        under_way = self._under_way.get(request.call_id)
        if under_way is not None:
            if under_way.digest != digest:
                raise CallConflictError(f"call {request.call_id} is under way with another body; use a new call id")
            return under_way.task, False
        chain = lineup.choose_chain(request.lane, request.alias)
        call = self._prepare(request, body, digest, lineup, chain)
        return self._start(call, on_delta), True

    async def _recover_expired(self) -> None:
        """Count what other brokers, which died, have left; now and then, and only where there are others."""
        now_s = self._tools.clock.monotonic_s()
        if not self._tools.store.is_shared or now_s - self._recovered_at_s < RECOVER_EVERY_S:
            return
        self._recovered_at_s = now_s
        at = to_iso(self._tools.clock.now())
        await self._tools.store.transact(lambda ledger: recover_lost(ledger, at))

    def _prepare(
        self, request: CompletionRequest, body: bytes, digest: str, lineup: Lineup, chain: tuple[Candidate, ...]
    ) -> Call:
        month = name_month(self._tools.clock.now())
        rule = lineup.policy.find_rule(request.lane)
        return Call(
            request=request,
            digest=digest,
            size_bytes=len(body),
            keys=list_keys(request, month),
            rule=rule,
            chain=chain,
            policy_caps=list_policy_caps(request, month, lineup.policy, rule),
        )

    def _start(self, call: Call, on_delta: Callable[[Delta], None] | None) -> "asyncio.Task[Completion]":
        call_id = call.request.call_id
        task = asyncio.create_task(CallInProgress(self._tools, call, on_delta).run())
        self._under_way[call_id] = _UnderWay(call.digest, task)

        def forget(done: "asyncio.Task[Completion]") -> None:
            self._under_way.pop(call_id, None)
            if not done.cancelled():
                done.exception()  # looked at, even when its caller went away

        task.add_done_callback(forget)
        return task

    async def list_attempts(
        self, caller: Caller, scope: BudgetScope | None = None, limit: int = 100
    ) -> tuple[RoutingReceipt, ...]:
        return await self._budgets.list_attempts(caller, scope, limit)

    async def get_budget(self, caller: Caller, scope: BudgetScope) -> Budget:
        return await self._budgets.get_budget(caller, scope)

    async def set_budget(self, caller: Caller, change: SetBudget) -> Budget:
        return await self._budgets.set_budget(caller, change)

    async def close_budget(self, caller: Caller, scope: BudgetScope, rationale: str) -> Budget:
        return await self._budgets.close_budget(caller, scope, rationale)

    async def list_models(self, caller: Caller) -> tuple[ModelView, ...]:
        return await self._models.list_models(caller)

    async def add_model(self, caller: Caller, new: NewModel) -> ModelView:
        return await self._models.add_model(caller, new)

    async def remove_model(self, caller: Caller, alias: str) -> None:
        await self._models.remove_model(caller, alias)

    async def set_default(self, caller: Caller, alias: str) -> ModelView:
        return await self._models.set_default(caller, alias)

    async def get_route(self, caller: Caller, lane: Lane, scope: BudgetScope | None = None) -> Route:
        return await self._models.get_route(caller, lane, scope)

    async def get_facts(self, caller: Caller) -> BrokerFacts:
        return await self._models.get_facts(caller)

    async def count_models(self) -> int:
        """Return how many models are configured."""
        return len(await self._tools.store.transact(lambda ledger: ledger.list_models()))

    async def list_providers(self) -> frozenset[Provider]:
        """Return the providers whose models may be called."""
        try:
            lineup = await self._models.get_lineup()
        except PolicyBrokenError:
            return frozenset()  # no model will be called either
        return frozenset(candidate.target.provider for candidate in lineup.candidates.values())

    async def test_model(self, caller: Caller, alias: str) -> ModelProbe:
        caller.require(Scope.AUTH_ADMIN)
        lineup = await self._models.get_lineup()
        candidate = lineup.find(alias)
        started_s = self._tools.clock.monotonic_s()
        cost, fault, cure = 0, "", PROBE_AGAIN
        for style in dict.fromkeys([candidate.target.tool_style, ToolStyle.TEXT]):
            self._tools.breakers.close(alias)  # who asks on purpose wants to know how it is now
            call_id = self._new_id("probe")
            try:
                completion = await self._probe(lineup, candidate, style, call_id)
            except PlatformError as error:
                fault = fault or error.detail
                if await self._is_worth_another_style(call_id):
                    continue
                break
            cost += completion.cost_microusd
            if has_called_tool(completion):
                await self._models.keep_tool_style(caller, alias, style)
                return self._judge(completion, style, cost, started_s)
            fault, cure = "it answered, but called no tool", TEXT_ONLY_CURE
        return ModelProbe(alias=alias, is_good=False, detail=fault, cure=cure, cost_microusd=cost)

    async def _probe(self, lineup: Lineup, candidate: Candidate, style: ToolStyle, call_id: str) -> Completion:
        probe = make_probe(candidate, style, call_id)
        body = probe.request.model_dump_json().encode()
        call = self._prepare(probe.request, body, sha256(body).hexdigest(), lineup, (probe.candidate,))
        return await asyncio.shield(self._start(call, None))

    async def _is_worth_another_style(self, call_id: str) -> bool:
        """Return whether a probe failed for its form: some servers refuse tools outright, and take them in text."""
        receipts = await self._tools.store.transact(lambda ledger: ledger.list_call(call_id))
        return bool(receipts) and receipts[-1].outcome in {AttemptOutcome.REJECTED, AttemptOutcome.MALFORMED}

    def _judge(self, completion: Completion, style: ToolStyle, cost: int, started_s: float) -> ModelProbe:
        manner = "natively" if style is ToolStyle.NATIVE else "in text"
        return ModelProbe(
            alias=completion.alias,
            is_good=True,
            detail=f"{completion.model} answered and calls tools {manner}",
            time_ms=round((self._tools.clock.monotonic_s() - started_s) * 1000),
            cost_microusd=cost,
            tool_style=style,
        )

    async def check_models(self, caller: Caller) -> tuple[ModelProbe, ...]:
        caller.require(Scope.MODEL_CALL)
        lineup = await self._models.get_lineup()
        found = sorted(lineup.candidates.values(), key=lambda candidate: candidate.alias)
        return tuple(await asyncio.gather(*(self._check(candidate) for candidate in found)))

    async def _check(self, candidate: Candidate) -> ModelProbe:
        alias, started_s = candidate.alias, self._tools.clock.monotonic_s()
        try:
            detail = await self._tools.wire.check(candidate.target)
        except WireError as error:
            cure = f"direng model test {alias} shows more"
            return ModelProbe(alias=alias, is_good=False, detail=error.detail, cure=cure)
        time_ms = round((self._tools.clock.monotonic_s() - started_s) * 1000)
        if candidate.problem:
            return ModelProbe(alias=alias, is_good=False, detail=candidate.problem, cure="mend that", time_ms=time_ms)
        return ModelProbe(alias=alias, is_good=True, detail=detail, time_ms=time_ms)
