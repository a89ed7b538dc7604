"""Answers with a model: retrieve, pack, audit, ask, hold the citations against the index, and tell it as it comes."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from services.broker.models import Budget, Completion, CompletionRequest, ContextBudget, Message, Purpose, Route
from services.broker.protocol import BudgetExceededError
from services.direng.calls.broker import BrokerEdge
from services.direng.core.citations import CitationChecker, Place, describe_check
from services.direng.core.conversation import (
    Summary,
    choose_folded,
    fold_without_model,
    join_words,
    mark_recent,
    read_exchange,
    read_summary,
    write_fold_request,
)
from services.direng.core.money import format_usd
from services.direng.core.notebook import Notebook
from services.direng.core.packing import (
    ContextAudit,
    Exchange,
    Material,
    Packing,
    audit_messages,
    pack,
)
from services.direng.core.ports import EventDraft, OpenTurn, Pending
from services.direng.core.questions import describe_stamp
from services.direng.core.retrieval import Found, Retriever
from services.direng.core.spending import ANSWER_LANE, Purse, describe_budget, scope_of
from services.direng.models import TurnEventKind, TurnState
from services.direng.protocol import ContextOverflowError
from services.kernel.errors import InternalError, PlatformError
from services.kernel.ids import SessionId

LOG = logging.getLogger("direng.direng")
LOW_CONFIDENCE = 5
"""Exit code of an answer that nothing in the index supports."""
SUMMARY_TOKENS = 1200
STOPPED = "stopped by you"
MAX_ANSWER_CHARS = 50_000
_CUT = {
    "length": "cut: the model reached the most that one answer may have",
    "content_filter": "cut: the provider's content filter ended this answer",
}


@dataclass
class Draft:
    """An answer in the making: what came so far, and what it was made from."""

    turn: OpenTurn
    question: str
    route: Route
    kept: Pending | None
    checker: CitationChecker = field(default_factory=lambda: CitationChecker(()))
    body: str = ""
    found: Found | None = None
    audit: ContextAudit | None = None
    before: Budget | None = None
    is_stopped: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def alias(self) -> str:
        """Return the model that is asked first."""
        return self.route.models[0].alias

    @property
    def budget(self) -> ContextBudget:
        """Return how that model's context is shared out."""
        return ContextBudget.of(self.route.models[0].context_tokens)

    @property
    def nonce(self) -> str:
        """Return what marks the material of this turn: nothing in a repository can know it."""
        text = f"{self.turn.session_id}.{self.turn.turn_index}.{self.turn.trace_id}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def call_id(self, purpose: Purpose) -> str:
        """Return the idempotency key of this turn's call."""
        return f"{self.turn.session_id}.{self.turn.turn_index}.{purpose.value}"


class Answerer:
    """Answers one question of a turn to its end; `stop` ends it early."""

    def __init__(self, notebook: Notebook, broker: BrokerEdge, retriever: Retriever, purse: Purse) -> None:
        self._notebook = notebook
        self._broker = broker
        self._retriever = retriever
        self._purse = purse
        self._drafts: dict[SessionId, Draft] = {}

    async def answer(self, turn: OpenTurn, question: str, route: Route, kept: Pending | None) -> None:
        """Answer and close the turn; `route` has at least one model and the user's word to pay for it."""
        draft = Draft(turn, question, route, kept)
        draft.task = asyncio.create_task(self._make(draft))
        self._drafts[turn.session_id] = draft
        try:
            await draft.task
        except asyncio.CancelledError:
            if not draft.is_stopped:
                raise  # the server is closing
            await self._close_stopped(draft)
        except PlatformError as error:
            await self._close_failed(draft, error)
        finally:
            self._drafts.pop(turn.session_id, None)

    async def close_unsupported(self, turn: OpenTurn, question: str, route: Route, kept: Pending | None) -> bool:
        """Close a turn whose question nothing in the index supports; return whether it was: nobody is asked to pay."""
        draft = Draft(turn, question, route, kept)
        _, exchanges = await self._read_exchanges(draft)
        draft.found = await self._retrieve(draft, exchanges)
        if draft.found.is_empty:
            await self._close_unsupported(draft)
        return draft.found.is_empty

    def stop(self, session_id: SessionId) -> bool:
        """End the answer that a session is being told now; return whether there was one."""
        draft = self._drafts.get(session_id)
        if draft is None or draft.task is None or draft.task.done():
            return False
        draft.is_stopped = True
        draft.task.cancel()
        return True

    async def _make(self, draft: Draft) -> None:
        draft.before = await self._purse.open(draft.turn.session_id)
        summary, exchanges = await self._converse(draft)
        draft.found = await self._retrieve(draft, exchanges)
        if draft.found.is_empty:
            await self._close_unsupported(draft)
            return
        packing = self._pack(draft, summary, exchanges)
        draft.audit = packing.audit
        await self._notebook.store.add_audit(draft.turn, draft.call_id(Purpose.ANSWER), packing.audit)
        if packing.audit.is_refused:
            raise _overflow(packing.audit)
        completion = await self._stream(draft, packing)
        await self._notebook.store.settle_audit(completion.call_id, completion.cost_microusd)
        await self._close_answered(draft, completion)

    def _pack(self, draft: Draft, summary: Summary, exchanges: Sequence[Exchange]) -> Packing:
        found = _found_of(draft)
        material = Material(
            question=draft.question,
            nonce=draft.nonce,
            hits=found.hits,
            snippets=found.snippets,
            summary=summary.to_text(),
            exchanges=tuple(exchanges),
        )
        return pack(material, draft.budget, draft.alias)

    async def _converse(self, draft: Draft) -> tuple[Summary, tuple[Exchange, ...]]:
        """Return the rolling summary and the raw turns, folding the older ones when it is time."""
        turn, store = draft.turn, self._notebook.store
        summary, exchanges = await self._read_exchanges(draft)
        folded = choose_folded(exchanges, draft.budget)
        if folded:
            summary = await self._fold(draft, summary, folded)
            await store.put_summary(turn.session_id, summary)
            exchanges = exchanges[len(folded) :]
        return summary, mark_recent(exchanges)

    async def _read_exchanges(self, draft: Draft) -> tuple[Summary, tuple[Exchange, ...]]:
        """Return the rolling summary and the turns after it; those that it covers are not read."""
        turn, store = draft.turn, self._notebook.store
        summary = await store.read_summary(turn.session_id)
        session = await store.read_session(turn.session_id)
        told = await store.list_told(turn.session_id, summary.upto_turn)
        turns = session.turns if session else ()
        earlier = [one for one in turns if summary.upto_turn < one.turn_index < turn.turn_index]
        return summary, join_words([read_exchange(one.turn_index, one.text, told) for one in earlier])

    async def _retrieve(self, draft: Draft, exchanges: Sequence[Exchange]) -> Found:
        asked_before = exchanges[-1].asked if exchanges else ""
        return await self._retriever.retrieve(draft.turn.repo, draft.question, asked_before)

    async def _fold(self, draft: Draft, summary: Summary, folded: Sequence[Exchange]) -> Summary:
        """Return the new summary: the model's, or the turns' first lines when it made none that can be used."""
        messages = write_fold_request(summary, folded, draft.nonce)
        audit = audit_messages(messages, draft.budget, draft.alias)
        call_id = draft.call_id(Purpose.SUMMARY)
        await self._notebook.store.add_audit(draft.turn, call_id, audit)
        if audit.is_refused:
            return fold_without_model(summary, folded)
        try:
            done = await self._broker.complete(_request(draft, Purpose.SUMMARY, messages, SUMMARY_TOKENS))
        except PlatformError as error:
            LOG.warning("no summary of %s: %s", draft.turn.session_id, error.detail)
            return fold_without_model(summary, folded)
        await self._notebook.store.settle_audit(call_id, done.cost_microusd)
        return read_summary(done.text, summary, folded, done.alias) or fold_without_model(summary, folded)

    async def _stream(self, draft: Draft, packing: Packing) -> Completion:
        _begin(draft, packing.places)
        request = _request(draft, Purpose.ANSWER, packing.messages, packing.audit.output_budget)
        completion: Completion | None = None
        async for delta in self._broker.stream(request):
            if delta.is_restart:
                _begin(draft, packing.places)
                self._notebook.speak_anew(draft.turn)
            self._say(draft, draft.checker.feed(delta.text))
            completion = delta.completion or completion
        if completion is None:
            raise InternalError("the answer ended without its bill; the broker's log says why")
        self._say(draft, draft.checker.finish())
        return completion

    def _say(self, draft: Draft, text: str) -> None:
        room = MAX_ANSWER_CHARS - len(draft.body)
        if text and room > 0:  # a server may ignore the limit of tokens; what is beyond belongs in no terminal
            said = text if len(text) <= room else f"{text[:room]}\n[cut: the model goes on]"
            draft.body += said
            self._notebook.speak(draft.turn, said)

    async def _close_answered(self, draft: Draft, completion: Completion) -> None:
        if not draft.body.strip():
            raise InternalError(f"{completion.alias} gave no text ({completion.finish_reason}); ask again")
        after = await self._purse.open(draft.turn.session_id)
        lines = [_CUT.get(completion.finish_reason, ""), describe_check(draft.checker)]
        lines += [_describe_redactions(draft.audit), _describe_call(completion, after)]
        usage = completion.usage
        tokens = {"in": usage.tokens_in, "out": usage.tokens_out, "think": usage.tokens_think}
        data: dict[str, JsonValue] = {
            "model": completion.alias,
            "provider": completion.provider.value,
            "tokens": {**tokens, "cache_read": usage.tokens_cache_read},
            "cost_usd": completion.cost_microusd / 1e6,
            "finish_reason": completion.finish_reason,
            "attempts": len(completion.receipts),
        }
        exit_code = 0 if draft.checker.known else LOW_CONFIDENCE
        await self._close(draft, lines, data, after, exit_code=exit_code)

    async def _close_stopped(self, draft: Draft) -> None:
        after = await self._purse.open(draft.turn.session_id)
        self._say(draft, draft.checker.finish())
        most = _spent_since(draft.before, after)
        await self._settle(draft, most)
        # The broker brings a call to its end and keeps the answer: the provider bills what it was asked for.
        is_billed = draft.before is None or after.reserved_microusd <= draft.before.reserved_microusd
        cost = f"it cost {format_usd(most)}" if is_billed else f"it costs at most {format_usd(most)}, see /cost"
        lines = [f"{STOPPED}; {cost}; {describe_budget(after)}"]
        data: dict[str, JsonValue] = {
            "model": draft.alias,
            "is_stopped": True,
            "is_billed": is_billed,
            "cost_usd": most / 1e6,
        }
        await self._close(draft, lines, data, after, exit_code=1)

    async def _close_failed(self, draft: Draft, error: PlatformError) -> None:
        """End the turn with the error; what was paid all the same is told."""
        cost = 0
        if draft.before is not None:
            cost = _spent_since(draft.before, await self._purse.open(draft.turn.session_id))
            await self._settle(draft, cost)
        how = "; /budget USD (one-shot: --max-cost USD) sets the cap" if isinstance(error, BudgetExceededError) else ""
        paid = f" (this turn cost {format_usd(cost)})" if cost else ""
        error.detail = f"{error.detail}{how}{paid}"
        raise error

    async def _settle(self, draft: Draft, cost: int) -> None:
        if draft.audit is not None:
            await self._notebook.store.settle_audit(draft.call_id(Purpose.ANSWER), cost)

    async def _close_unsupported(self, draft: Draft) -> None:
        found = _found_of(draft)
        body = "nothing in the index supports an answer to this, so no model was asked; name a symbol or a file"
        stamp = describe_stamp(found.stamp)
        data: dict[str, JsonValue] = {"body": body, "citations": [], "stamp": found.stamp.model_dump(mode="json")}
        told = EventDraft(TurnEventKind.ANSWER, f"{body}\n({stamp})", data=data)
        await self._notebook.close(draft.turn, TurnState.DONE, told, exit_code=LOW_CONFIDENCE, pending=draft.kept)

    async def _close(
        self,
        draft: Draft,
        lines: Sequence[str],
        data: dict[str, JsonValue],
        after: Budget,
        *,
        exit_code: int,
    ) -> None:
        stamp = [describe_stamp(draft.found.stamp)] if draft.found else []
        footer = [f"({line})" for line in (*lines, *stamp) if line]
        told = EventDraft(
            TurnEventKind.ANSWER, "\n".join([draft.body, *footer]), data=_describe_draft(draft, after) | data
        )
        state = TurnState.FAILED if draft.is_stopped else TurnState.DONE
        await self._notebook.close(draft.turn, state, told, exit_code=exit_code, pending=draft.kept)


def _describe_draft(draft: Draft, after: Budget) -> dict[str, JsonValue]:
    """Return what scripts may want to know of an answer, whichever way it ended."""
    checker = draft.checker
    cited: list[JsonValue] = [
        {"path": one.path, "line": one.line, "end_line": one.end_line, "is_known": one.is_known}
        for one in checker.citations
    ]
    return {
        "body": draft.body,
        "citations": cited,
        "checked": len(cited),
        "unknown": len(cited) - checker.known,
        "stamp": draft.found.stamp.model_dump(mode="json") if draft.found else None,
        "context": draft.audit.model_dump(mode="json") if draft.audit else None,
        "spend": {
            "spent_usd": after.spent_microusd / 1e6,
            "cap_usd": None if after.cap_microusd is None else after.cap_microusd / 1e6,
            "tokens": after.tokens,
        },
    }


def _begin(draft: Draft, places: Sequence[Place]) -> None:
    draft.checker, draft.body = CitationChecker(places), ""


def _found_of(draft: Draft) -> Found:
    if draft.found is None:
        raise InternalError("an answer was packed before anything was retrieved")
    return draft.found


def _request(draft: Draft, purpose: Purpose, messages: tuple[Message, ...], max_tokens: int) -> CompletionRequest:
    """Return the call. No tool is ever offered: an answer acts on nothing (ADR-0012)."""
    return CompletionRequest(
        call_id=draft.call_id(purpose),
        scopes=(scope_of(draft.turn.session_id),),
        lane=ANSWER_LANE,
        purpose=purpose,
        messages=messages,
        tool_choice="none",
        max_tokens=max(1, min(max_tokens, draft.route.max_tokens)),
    )


def _describe_redactions(audit: ContextAudit | None) -> str:
    count = audit.redacted if audit else 0
    if not count:
        return ""
    return (
        f"{count} value{'' if count == 1 else 's'} that looked like a key {'was' if count == 1 else 'were'} kept back"
    )


def _overflow(audit: ContextAudit) -> ContextOverflowError:
    largest = max(audit.sections, key=lambda section: section.tokens)
    return ContextOverflowError(
        f"the question needs about {audit.tokens} tokens, {audit.model} takes {audit.input_budget} beside its answer "
        f"(most of it: {largest.name.value}, {largest.tokens}); nothing was paid: ask something shorter, begin a new "
        "session, or choose a model with a larger context"
    )


def _spent_since(before: Budget | None, after: Budget) -> int:
    """Return what a turn cost; what is still reserved counts, as nobody knows better."""
    if before is None:
        return 0
    return after.spent_microusd + after.reserved_microusd - before.spent_microusd - before.reserved_microusd


def _describe_call(completion: Completion, after: Budget) -> str:
    usage = completion.usage
    route = completion.alias
    if failed := [receipt.alias for receipt in completion.receipts if receipt.alias != completion.alias]:
        route += f" after {', '.join(dict.fromkeys(failed))} failed"
    cost = format_usd(completion.cost_microusd)
    return f"{route}: {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out, {cost}; {describe_budget(after)}"
