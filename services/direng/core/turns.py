"""What a turn does with the user's words: answer from the index, ask, do it directly, or delegate."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from services.direng.calls.pas import PasEdge
from services.direng.calls.pex import PexEdge
from services.direng.calls.vector_ops import VectorOpsEdge
from services.direng.core.following import Follower
from services.direng.core.notebook import Notebook
from services.direng.core.ports import EventDraft, Following, OpenTurn, Pending, Worktree
from services.direng.core.questions import IndexQuestion, format_answer, read_question
from services.direng.core.sizing import Route, Size, decide_route, split_estimate_request
from services.direng.core.telling import tell_approval, tell_estimate, tell_plan
from services.direng.models import Handling, TurnEventKind, TurnInput, TurnState
from services.kernel.errors import NotFoundError, PlatformError
from services.kernel.ids import DelegationId, ProjectId, RunId, Sha256
from services.kernel.vocabulary import DelegationState, RunState
from services.pas.models import CONTRACT_VERSION, PassportBasis, RunView, StartRun
from services.pex.models import ApprovalReply, Delegation, DelegationContext, DelegationRequest, Plan, Question
from services.vector_ops.models import QueryKind

DIRECT_PROJECT = ProjectId("direct")
DIRECT_LIMIT_S = 3600.0
MAX_RUNS_COMPARED = 5
_YES = re.compile(r"^(?:y|yes|ok|okay|sure|approve|approved|go|go ahead|do it|agreed)[.! ]*$", re.IGNORECASE)
_NO = re.compile(r"^(?:n|no|nope|reject|decline|cancel|stop|don't)[.! ]*$", re.IGNORECASE)
_LETTER = re.compile(r"^\(?([a-c1-3])[).]?$", re.IGNORECASE)
_BARE_REPLY = re.compile(r"^[`'\"]?([\w./-]+)(?:\(\))?[`'\"]?$")
_HANDLING_OPTIONS = ("handle it yourself", "delegate to PEX")
_K = TurnEventKind


@dataclass(frozen=True)
class TurnParts:
    """What turns need."""

    notebook: Notebook
    follower: Follower
    pex: PexEdge
    pas: PasEdge
    index: VectorOpsEdge
    worktree: Worktree


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
            await self._dispatch(turn, said, pending)
        except PlatformError as error:
            await self._notebook.refuse(turn, error.detail, error.code, TurnState.FAILED)

    async def _dispatch(self, turn: OpenTurn, said: TurnInput, pending: Pending | None) -> None:
        word = read_word(said)
        if pending is not None and pending.kind == "approval" and word is not None:
            await self._decide(turn, is_approved=word)
            return
        if pending is not None and pending.kind == "paused" and (choice := _choose(said.text, pending)):
            await self._steer(turn, choice, pending.following)
            return
        text, handling = said.text, said.handling
        if pending is not None and pending.kind in {"question", "handling"}:
            text, handling = _complete(said, pending)
        if reason := _find_fault(text, pending):
            await self._notebook.refuse(turn, f"{reason}; say what to do, or ask where something is", "direng.empty")
            return
        question = read_question(text)
        if question is not None or said.purpose == "ask":
            kept = pending if pending is not None and pending.kind == "approval" else None
            await self._answer(turn, question or IndexQuestion(QueryKind.SEARCH, text, is_fallback=True), kept)
            return
        await self._work(turn, text, handling)

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

    async def _work(self, turn: OpenTurn, text: str, handling: Handling) -> None:
        intent, asks_for_estimate = split_estimate_request(text)
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"you: {text[:400]}", step=1))
        planning = await self._parts.pex.plan(intent, turn.repo)
        if planning.question is not None:
            await self._ask(turn, planning.question, handling)
            return
        if planning.plan is None:
            await self._notebook.refuse(turn, planning.refusal, "pex.no_plan")
            return
        size = await self._measure(turn, planning.plan, asks_for_estimate=asks_for_estimate)
        decision = decide_route(size, handling)
        await self._notebook.tell(turn, tell_plan(planning.plan))
        if decision.route is Route.ASK:
            await self._ask_who(turn, intent, decision.reason)
        elif decision.route is Route.DIRECT:
            await self._notebook.tell(turn, EventDraft(_K.DECISION, f"doing it directly ({decision.reason})"))
            await self._run_directly(turn, intent, planning.plan)
        else:
            said = f"handing it to PEX, the orchestrator ({decision.reason})"
            await self._notebook.tell(turn, EventDraft(_K.DECISION, said, step=2))
            await self._delegate(turn, intent, decision.reason)

    async def _ask(self, turn: OpenTurn, question: Question, handling: Handling) -> None:
        lettered = [f"  {letter}) {option}" for letter, option in zip("ABC", question.options, strict=False)]
        event = EventDraft(_K.QUESTION, "\n".join([question.text, *lettered]), data={"options": list(question.options)})
        pending = Pending(
            kind="question",
            trace_id=turn.trace_id,
            options=question.options,
            answer=question.answer,
            handling=handling,
        )
        await self._notebook.close(turn, TurnState.WAITING, event, exit_code=1, pending=pending)

    async def _ask_who(self, turn: OpenTurn, intent: str, reason: str) -> None:
        text = (
            f"{reason}. Who should do it?\n  A) I handle it myself, now\n  B) delegate to PEX, with an estimate first"
        )
        event = EventDraft(_K.QUESTION, text, data={"options": list(_HANDLING_OPTIONS)})
        pending = Pending(kind="handling", trace_id=turn.trace_id, intent=intent, options=_HANDLING_OPTIONS)
        await self._notebook.close(turn, TurnState.WAITING, event, exit_code=1, pending=pending)

    async def _measure(self, turn: OpenTurn, plan: Plan, *, asks_for_estimate: bool) -> Size:
        """Return what is known beforehand: the files from the index, the time from earlier runs of the same recipe."""
        configuration = f"recipe/{plan.recipe}"
        times = [
            (datetime.fromisoformat(run.finished_at) - datetime.fromisoformat(run.started_at)).total_seconds() / 60
            for run in await self._parts.pas.list_runs(turn.repo)
            if run.started_at and run.finished_at and _is_alike(run, configuration)
        ][:MAX_RUNS_COMPARED]
        files: int | None = len(plan.files_expected)
        if not files and plan.recipe != "run-tests":
            files = None
        return Size(files, max(times) if times else None, asks_for_estimate)

    async def _run_directly(self, turn: OpenTurn, intent: str, plan: Plan) -> None:
        run_id = RunId(f"run-{turn.session_id.partition('-')[2]}-{turn.turn_index}")
        start = StartRun(
            project_id=DIRECT_PROJECT,
            run_id=run_id,
            title=plan.title,
            passport_basis=PassportBasis(
                repo=turn.repo,
                prd_sha256=Sha256(hashlib.sha256(intent.encode()).hexdigest()),
                contract_version=CONTRACT_VERSION,
            ),
            cards=plan.cards,
            max_time_s=DIRECT_LIMIT_S,
        )
        following = Following(kind="run", id=run_id)
        await self._parts.pas.start_run(start)
        await self._notebook.store.point_to(turn, run_id=run_id)
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"run {run_id} started"), following=following)
        await self._parts.follower.follow(turn, following)

    async def _delegate(self, turn: OpenTurn, intent: str, reason: str) -> None:
        place = await self._parts.worktree.describe(turn.repo)
        request = DelegationRequest(
            intent=intent,
            context=DelegationContext(
                repo=turn.repo, current_branch=place.branch, modified_files=place.modified_files[:1000]
            ),
            rationale=f"asked in session {turn.session_id}, turn {turn.turn_index}: {reason}",
        )
        delegation = await self._parts.pex.delegate(request)
        await self._notebook.store.point_to(turn, delegation_id=delegation.delegation_id)
        if delegation.state is not DelegationState.AWAITING_APPROVAL or delegation.estimate is None:
            await self._notebook.refuse(turn, delegation.reason or "PEX could not plan this", "pex.not_planned")
            return
        relayed = await self._relay_until_approval(delegation)
        pending = Pending(kind="approval", trace_id=turn.trace_id, intent=intent)
        events = (*relayed, tell_estimate(delegation.estimate), tell_approval(delegation))
        await self._notebook.close(turn, TurnState.WAITING, *events, pending=pending)

    async def _relay_until_approval(self, delegation: Delegation) -> tuple[EventDraft, ...]:
        return tuple(
            [
                EventDraft(_K.TRACE, event.text, step=event.step)
                async for event in self._parts.pex.watch(delegation.delegation_id, 0)
                if event.step in {3, 4}
            ]
        )

    async def _decide(self, turn: OpenTurn, *, is_approved: bool) -> None:
        """Take the user's word to PEX: steps 6 and 7."""
        delegation_id = await self._newest_delegation(turn)
        word = "yes" if is_approved else "no"
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"you said {word}", step=6))
        reply = ApprovalReply(
            approved=is_approved,
            idempotency_key=f"{turn.session_id}.{turn.turn_index}",
            rationale=f"the user said {word} in session {turn.session_id}, turn {turn.turn_index}",
        )
        sent = EventDraft(_K.TRACE, f"told PEX: {word}", step=7)
        if not is_approved:
            await self._parts.pex.reject(delegation_id, reply)
            declined = EventDraft(_K.DECISION, "declined; nothing was run and nothing was changed")
            await self._notebook.close(turn, TurnState.REFUSED, sent, declined, exit_code=1)
            return
        # The cursor is kept before the word is given: a restart after it goes on from there.
        waiting = await self._parts.pex.get_delegation(delegation_id)
        following = Following(kind="delegation", id=delegation_id, cursor=waiting.last_seq)
        await self._notebook.tell(turn, following=following)
        await self._parts.pex.approve(delegation_id, reply)
        await self._notebook.tell(turn, sent)
        await self._parts.follower.follow(turn, following)

    async def _steer(self, turn: OpenTurn, choice: str, following: Following | None) -> None:
        """Go on with a paused run, or end it; then tell it to its end."""
        session = await self._notebook.store.read_session(turn.session_id)
        if session is None or session.run_id is None or following is None:
            raise NotFoundError("the session has no paused run")
        reason = f"the user said {choice} in session {turn.session_id}"
        if choice == "resume":
            await self._parts.pas.resume_run(session.run_id, reason)
        else:
            await self._parts.pas.terminate_run(session.run_id, reason)
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"told the run to {choice}"), following=following)
        await self._parts.follower.follow(turn, following)

    async def _newest_delegation(self, turn: OpenTurn) -> DelegationId:
        session = await self._notebook.store.read_session(turn.session_id)
        if session is None or session.delegation_id is None:
            raise NotFoundError("the session has no delegation")
        return session.delegation_id


def _is_alike(run: RunView, configuration: str) -> bool:
    ended_well = run.state in {RunState.COMPLETED, RunState.NEEDS_REVIEW}
    return ended_well and any(card.configuration == configuration for card in run.cards)


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
        index = "abc123".index(match[1].lower()) % 3
        return pending.options[index] if index < len(pending.options) else ""
    return next((option for option in pending.options if option.lower() == plain.lower()), "")


def _complete(said: TurnInput, pending: Pending) -> tuple[str, Handling]:
    """Return the intent and handling that a reply to a question makes; other words stand for themselves."""
    choice = _choose(said.text, pending)
    if pending.kind == "handling":
        if not choice:
            return said.text, said.handling
        return pending.intent, Handling.DIRECT if choice == pending.options[0] else Handling.DELEGATE
    handling = said.handling if said.handling is not Handling.AUTO else pending.handling
    if choice:
        return choice, handling
    reply = _BARE_REPLY.match(said.text.strip())
    if reply is not None and pending.answer and not _LETTER.match(said.text.strip()):
        return pending.answer.replace("{answer}", reply[1]), handling
    return said.text, said.handling
