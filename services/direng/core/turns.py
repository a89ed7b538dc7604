"""What a turn does with the user's words: answer, ask, or have something done."""

import re
from dataclasses import dataclass

from services.broker.models import Route
from services.direng.calls.vector_ops import VectorOpsEdge
from services.direng.core.answering import Answerer
from services.direng.core.money import read_usd
from services.direng.core.notebook import Notebook
from services.direng.core.pausing import Steering, read_steering
from services.direng.core.ports import EventDraft, OpenTurn, Pending
from services.direng.core.questions import IndexQuestion, format_answer, is_question, read_question
from services.direng.core.spending import Purse, tariffs_of_route
from services.direng.core.telling import exit_code_of_error
from services.direng.core.work import HANDLING_OPTIONS, Order, Worker
from services.direng.models import Handling, TurnEventKind, TurnInput, TurnState
from services.kernel.errors import NotFoundError, PlatformError
from services.vector_ops.models import QueryKind

_YES = re.compile(r"^(?:y|yes|ok|okay|sure|approve|approved|go|go ahead|do it|agreed)[.! ]*$", re.IGNORECASE)
_NO = re.compile(r"^(?:n|no|nope|reject|decline|cancel|stop|don't)[.! ]*$", re.IGNORECASE)
_LETTERS = "abcd"
_LETTER = re.compile(r"^\(?([a-d1-4])[).]?$", re.IGNORECASE)
_BARE_REPLY = re.compile(r"^[`'\"]?([\w./-]+)(?:\(\))?[`'\"]?$")
_NO_MODEL = "no model is configured"
_K = TurnEventKind


@dataclass(frozen=True)
class TurnParts:
    """What turns need."""

    notebook: Notebook
    worker: Worker
    answerer: Answerer
    index: VectorOpsEdge
    purse: Purse


def read_word(turn: TurnInput) -> bool | None:
    """Return the user's yes or no, from the flag or from the words; None for anything else."""
    if turn.is_approved is not None:
        return turn.is_approved
    text = turn.text.strip()
    if _YES.match(text):
        return True
    return False if _NO.match(text) else None


class TurnTaker:
    """Takes one turn to its end."""

    def __init__(self, parts: TurnParts) -> None:
        self._parts = parts
        self._notebook = parts.notebook

    async def take(self, turn: OpenTurn, said: TurnInput, pending: Pending | None) -> None:
        """Do what the user said; every way out closes the turn."""
        try:
            if said.max_cost_usd is not None:
                cap = read_usd(said.max_cost_usd)
                await self._parts.purse.set_cap(turn.session_id, cap, f"said in turn {turn.turn_index}")
            await self._dispatch(turn, said, pending)
        except PlatformError as error:
            code = exit_code_of_error(error)
            await self._notebook.refuse(turn, error.detail, error.code, TurnState.FAILED, exit_code=code)

    async def _dispatch(self, turn: OpenTurn, said: TurnInput, pending: Pending | None) -> None:
        if pending is not None and await self._take_reply(turn, said, pending):
            return
        if said.purpose == "resume":
            await self._resume(turn, said)
            return
        text, order = said.text, Order.of(said, said.text, said.handling)
        if pending is not None and pending.kind in {"question", "handling"}:
            text, handling = _complete(said, pending)
            order = Order(text, handling, said.max_cost_usd or pending.max_cost_usd)
        if reason := _find_fault(text, pending):
            await self._notebook.refuse(turn, f"{reason}; say what to do, or ask where something is", "direng.empty")
            return
        kept = _keep(pending)
        question = read_question(text)
        if question is not None:
            await self._answer(turn, question, kept)
        elif said.purpose == "ask" or (said.purpose == "auto" and is_question(text)):
            await self._answer_freely(turn, said.purpose, order, kept)
        else:
            await self._parts.worker.work(turn, order)

    async def _take_reply(self, turn: OpenTurn, said: TurnInput, pending: Pending) -> bool:
        """Act on words that answer what the session waits for; return whether they did."""
        word = read_word(said)
        if pending.kind == "approval" and word is not None:
            await self._parts.worker.decide(turn, pending, is_approved=word)
            return True
        if pending.kind == "paid" and word is not None:
            await self._pay(turn, pending, is_agreed=word)
            return True
        if pending.kind == "paused":
            steering = _choose_steering(said.text, pending)
            if steering is not None:
                await self._parts.worker.steer(turn, steering, pending)
            return steering is not None
        return False

    async def _resume(self, turn: OpenTurn, said: TurnInput) -> None:
        """Go on with the session's paused run, though nobody waits for the answer any more."""
        steering = read_steering(said.text)
        if steering is None:
            line = "say resume, resume up to USD, downshift, or terminate"
            await self._notebook.refuse(turn, line, "direng.unclear", exit_code=2)
            return
        await self._parts.worker.steer(turn, steering, None)

    async def _pay(self, turn: OpenTurn, pending: Pending, *, is_agreed: bool) -> None:
        """Go on with the turn that asked for the word to pay."""
        if not is_agreed:
            declined = EventDraft(_K.DECISION, "declined; no model was asked and nothing was paid")
            await self._notebook.close(turn, TurnState.REFUSED, declined, exit_code=1, pending=pending.behind)
            return
        await self._notebook.store.allow_paid(turn.session_id)
        order = Order(pending.intent, pending.handling, pending.max_cost_usd, is_told=True)
        if pending.purpose == "ask":
            await self._answer_freely(turn, "ask", order, pending.behind)
        else:
            await self._parts.worker.work(turn, order)

    async def _answer_freely(self, turn: OpenTurn, purpose: str, order: Order, kept: Pending | None) -> None:
        """Answer what the index has no verb for: with a model, or by a search that says that it is none.

        Without a model, words that were not asked with `ask` are taken as work, as they may well be.
        """
        route = await self._parts.purse.route(turn.session_id)
        if not route.models:
            if purpose != "ask":
                await self._parts.worker.work(turn, order)
                return
            problem = _NO_MODEL if _NO_MODEL in route.problem or not route.problem else route.problem
            await self._answer(
                turn, IndexQuestion(QueryKind.SEARCH, order.text, is_fallback=True, problem=problem), kept
            )
            return
        if not await self._ask_to_pay(turn, order, route, kept):
            await self._parts.answerer.answer(turn, order.text, route, kept)

    async def _ask_to_pay(self, turn: OpenTurn, order: Order, route: Route, kept: Pending | None) -> bool:
        """Ask for the session's first paid use, unless there is nothing to pay for; return whether the turn is over."""
        asked = await self._parts.purse.ask(turn.session_id, tariffs_of_route(route.models))
        if asked is None:
            return False
        if await self._parts.answerer.close_unsupported(turn, order.text, route, kept):
            return True
        pending = Pending(kind="paid", trace_id=turn.trace_id, intent=order.text, purpose="ask", behind=kept)
        await self._notebook.close(turn, TurnState.WAITING, asked, pending=pending)
        return True

    async def _answer(self, turn: OpenTurn, question: IndexQuestion, kept: Pending | None) -> None:
        """Answer from the index; a plan that waits for approval goes on waiting."""
        try:
            answer = await self._parts.index.query(turn.repo, question.kind, question.text)
        except NotFoundError as error:
            await self._notebook.close(
                turn,
                TurnState.REFUSED,
                EventDraft(_K.ERROR, error.detail, data={"code": error.code}),
                exit_code=1,
                pending=kept,
            )
            return
        told = EventDraft(
            _K.ANSWER,
            format_answer(question, answer),
            data={
                "hits": [hit.model_dump(mode="json") for hit in answer.hits],
                "stamp": answer.stamp.model_dump(mode="json"),
            },
        )
        await self._notebook.close(turn, TurnState.DONE, told, pending=kept)


def _keep(pending: Pending | None) -> Pending | None:
    """Return what goes on waiting behind an answer: a plan for approval, a paused run."""
    if pending is None or pending.kind in {"approval", "paused"}:
        return pending
    return pending.behind


def _find_fault(text: str, pending: Pending | None) -> str:
    """Return why the words ask for nothing: there are none, or they answer a question that nobody asked."""
    plain = text.strip()
    if not plain:
        return "nothing was said"
    is_reply = _YES.match(plain) or _NO.match(plain) or _LETTER.match(plain)
    return "nothing waits for an answer" if is_reply and pending is None else ""


def _choose(text: str, pending: Pending) -> str:
    """Return the option that a letter, a number or the option's own words pick; empty for anything else."""
    plain = text.strip()
    match = _LETTER.match(plain)
    if match is not None:
        index = f"{_LETTERS}1234".index(match[1].lower()) % len(_LETTERS)
        return pending.options[index] if index < len(pending.options) else ""
    return next((option for option in pending.options if option.lower() == plain.lower()), "")


def _choose_steering(text: str, pending: Pending) -> Steering | None:
    """Return what a paused run is told by a letter, an option's word, or words with an amount."""
    choice = _choose(text, pending)
    return Steering(choice) if choice else read_steering(text)


def _complete(said: TurnInput, pending: Pending) -> tuple[str, Handling]:
    """Return the intent and handling that a reply to a question makes; other words stand for themselves."""
    choice = _choose(said.text, pending)
    if pending.kind == "handling":
        if not choice:
            return said.text, said.handling
        return pending.intent, Handling.DIRECT if choice == HANDLING_OPTIONS[0] else Handling.DELEGATE
    handling = said.handling if said.handling is not Handling.AUTO else pending.handling
    if choice:
        return choice, handling
    reply = _BARE_REPLY.match(said.text.strip())
    if reply is not None and pending.answer and not _LETTER.match(said.text.strip()):
        return pending.answer.replace("{answer}", reply[1]), handling
    return said.text, said.handling
