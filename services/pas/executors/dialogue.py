"""Asking a card's model: one recorded step an answer, paid once; what to do when money, context or a model runs out."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from services.broker.models import Completion, CompletionRequest, Message, Purpose, RoutingReceipt, ToolSpec
from services.broker.protocol import BudgetExceededError, ContextOverflowError, ModelMissingError
from services.kernel.clock import to_iso
from services.kernel.errors import PlatformError
from services.kernel.ids import Sha256
from services.pas.calls.broker import BrokerEdge
from services.pas.core.budgets import card_scope, run_scope, scopes_of
from services.pas.core.limits import stop_over_budget
from services.pas.core.records import EventDraft, RunRecord, StepKind
from services.pas.executors.receipts import ReceiptBook
from services.pas.executors.recorder import Asked, CardStoppedError, Done, Recorder, digest
from services.pas.models import EventKind
from services.wire.storage import StorageUnwritableError

R = TypeVar("R")
MAX_HARDNESS = 1
MAX_LINE_CHARS = 200
ROUTE_KEY = "route"

Pack = Callable[[int], tuple[Message, ...]]
"""Returns the messages to send; a higher number leaves more out."""


class ModelRoute(BaseModel):
    """The model that a card's next calls go to."""

    model_config = ConfigDict(frozen=True)

    alias: str
    context_tokens: int


class Reply(BaseModel):
    """What came of one call of the model: its completion, or why there is none.

    `attempts` counts the model attempts it took, `hardness` how much had to be left out of the request.
    """

    model_config = ConfigDict(frozen=True)

    completion: Completion | None = None
    error: str = ""
    attempts: int = 0
    hardness: int = 0


@dataclass
class Dialogue:
    """One card's calls of its model, in order."""

    broker: BrokerEdge
    recorder: Recorder
    run: RunRecord
    book: ReceiptBook
    purpose: Purpose
    alias: str | None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "required", "none"] = "auto"
    _attempts: int = 0
    _hardness: int = 0
    _route: ModelRoute | None = None
    _pauses_known: int = field(default=-1)

    async def follow_route(self) -> ModelRoute:
        """Return the model that the next call goes to, asking again only after a restart or a pause.

        A change is a recorded step of its own: what is left out of a request depends on the model's context.
        """
        recorder = self.recorder
        if recorder.is_replaying:
            if self._route is None or recorder.next_key == ROUTE_KEY:
                self._route = await self._record_route(self._route)
            return self._route
        if self._route is not None and self._pauses_known == recorder.pauses:
            return self._route
        self._pauses_known = recorder.pauses
        found = await self._find_route()
        if found != self._route:
            self._route = await self._record_route(found)
        return found

    async def _record_route(self, found: ModelRoute | None) -> ModelRoute:
        async def act() -> Done:
            route = found or await self._find_route()
            events: tuple[EventDraft, ...] = ()
            if self._route is not None:
                line = f"goes on with {route.alias} instead of {self._route.alias}"
                events = (EventDraft(EventKind.BUDGET, line, task_id=self.recorder.work.card.task_id),)
            return Done(route.model_dump_json(), "agent_looked", events=events)

        return ModelRoute.model_validate_json(
            await self.recorder.perform(Asked(StepKind.CHECK, ROUTE_KEY, digest(ROUTE_KEY)), act)
        )

    async def _find_route(self) -> ModelRoute:
        if self.alias is not None:
            models = [model for model in await self.broker.list_models() if model.alias == self.alias]
            problem = f"no model is named {self.alias}; `direng model list` shows those there are"
        else:
            route = await self.broker.get_route(self.recorder.work.card.lane, run_scope(self.run.run_id))
            models, problem = list(route.models), route.problem
        if not models:
            raise ModelMissingError(problem or f"no model is configured for {self.recorder.work.card.lane}")
        return ModelRoute(alias=models[0].alias, context_tokens=models[0].context_tokens)

    async def ask(self, key: str, request_sha256: Sha256, pack: Pack) -> Reply:
        """Return the model's answer to what `pack` gives, or why there is none; recorded with its receipts.

        A call that could pass a cap is not made: the run is paused (or ended, if its policy says so), and the same
        call is made when it goes on. Raises CardStoppedError, DivergedError.
        """
        if self.run.start.max_time_s is not None and not self.recorder.is_replaying:
            await self.recorder.watch_time()
        while True:
            await self.follow_route()
            asked_at = to_iso(self.recorder.parts.clock.now())
            try:
                asked = Asked(StepKind.MODEL, key, request_sha256)
                text = await self.recorder.perform(asked, lambda: self._call(pack))
            except BudgetExceededError as error:
                await self._await_money(error, asked_at)
                continue
            reply = Reply.model_validate_json(text)
            self._attempts += reply.attempts
            self._hardness = reply.hardness
            return reply

    async def _await_money(self, error: BudgetExceededError, asked_at: str) -> None:
        recorder, before = self.recorder, self.recorder.pauses
        parts, task_id = recorder.parts, recorder.work.card.task_id
        run_id = self.run.run_id
        is_asked = await stop_over_budget(parts.store, parts.clock, run_id, task_id, error.detail, asked_at=asked_at)
        parts.bell.ring()
        if not is_asked:  # going on without anybody's word would be a loop without an end
            raise error
        await recorder.await_gate(is_fresh=True)
        # Who answers at once may have opened the gate before it was looked at; the route is asked again all the same.
        recorder.pauses = max(recorder.pauses, before + 1)

    async def _call(self, pack: Pack) -> Done:
        hardness = self._hardness
        earlier: tuple[RoutingReceipt, ...] = ()
        while True:
            request = self._request(pack(hardness), hardness)
            try:
                completion = await self._unless_stopped(self.broker.complete(request))
            except ContextOverflowError as error:
                if hardness >= MAX_HARDNESS:
                    return await self._fail(request, hardness, error, earlier)
                earlier = await self._list_attempts(request)
                hardness += 1
            except (BudgetExceededError, CardStoppedError, StorageUnwritableError):
                raise
            except PlatformError as error:
                return await self._fail(request, hardness, error, earlier)
            else:
                return self._succeed(completion, hardness, earlier)

    def _request(self, messages: tuple[Message, ...], hardness: int) -> CompletionRequest:
        work, run = self.recorder.work, self.run
        # The same step asks under the same id: what was settled before a kill is answered from the ledger.
        call_id = f"{run.run_id}:{work.card.task_id}:{work.attempt}:{self.recorder.position}"
        return CompletionRequest(
            call_id=f"{call_id}:{hardness}" if hardness else call_id,
            scopes=scopes_of(run.run_id, run.start, work.card.task_id),
            lane=work.card.lane,
            purpose=self.purpose,
            alias=self.alias,
            messages=messages,
            tools=self.tools,
            tool_choice=self.tool_choice,
        )

    async def _unless_stopped(self, call: Coroutine[Any, Any, R]) -> R:
        """Return what the call gives; when the card is stopped meanwhile, give the call up."""
        running = asyncio.create_task(call)
        stopping = asyncio.create_task(self.recorder.work.cancel.wait())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise CardStoppedError("stopped on request")
            return running.result()
        finally:
            running.cancel()
            stopping.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)

    def _succeed(self, completion: Completion, hardness: int, earlier: tuple[RoutingReceipt, ...]) -> Done:
        attempts = (*earlier, *completion.receipts)
        reply = Reply(
            completion=completion.model_copy(update={"receipts": ()}), attempts=len(attempts), hardness=hardness
        )
        line = completion.text.strip().partition("\n")[0]
        events = self.book.tell_detours(attempts)
        if line:
            draft = EventDraft(EventKind.AGENT, line[:MAX_LINE_CHARS], task_id=self.recorder.work.card.task_id)
            events = (*events, draft)
        return self._done(reply, attempts, events)

    async def _fail(
        self, request: CompletionRequest, hardness: int, error: PlatformError, earlier: tuple[RoutingReceipt, ...]
    ) -> Done:
        """Record what a call cost that gave no answer, and `earlier`, the same call with more in it."""
        attempts = (*earlier, *await self._list_attempts(request))
        reply = Reply(error=error.detail, attempts=len(attempts), hardness=hardness)
        return self._done(reply, attempts, self.book.tell_detours(attempts))

    async def _list_attempts(self, request: CompletionRequest) -> tuple[RoutingReceipt, ...]:
        """Return what the ledger has of a call without an answer; nothing while the broker is away."""
        scope = card_scope(self.run.run_id, self.recorder.work.card.task_id)
        try:
            listed = await self.broker.list_attempts(scope)
        except PlatformError:
            listed = ()
        return tuple(attempt for attempt in reversed(listed) if attempt.call_id == request.call_id)

    def _done(self, reply: Reply, attempts: tuple[RoutingReceipt, ...], events: tuple[EventDraft, ...]) -> Done:
        at = to_iso(self.recorder.parts.clock.now())
        receipts = self.book.write(attempts, self._attempts + 1, self.recorder.tree, at)
        return Done(reply.model_dump_json(), "agent_model_called", receipts=receipts, events=events)
