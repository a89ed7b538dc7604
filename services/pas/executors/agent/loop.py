"""Plan, act, observe: one model, its tools and the tests, until the goal is reached or there is no use in going on.

Every look outside is a step of the recorder; the rest is a function of their results, so that a restarted attempt
replays to where it was and goes on. Stops are `Ending`s; refusals that concern the whole card are exceptions.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.broker.models import Completion, ContextBudget, Message, Role, ToolCall
from services.pas.core.records import StepKind
from services.pas.executors.agent.context import (
    MAX_ARGUMENT_CHARS,
    MAX_OPAQUE_CHARS,
    MAX_SPEECH_CHARS,
    Transcript,
    clip,
)
from services.pas.executors.agent.hands import Find, Hands
from services.pas.executors.agent.patience import Patience, read_object
from services.pas.executors.agent.prompt import CUT, NUDGE, SYSTEM, write_opening
from services.pas.executors.agent.toolbox import TestRun, ToolResult
from services.pas.executors.agent.verdict import judge_tests, pick_targets
from services.pas.executors.dialogue import Dialogue
from services.pas.executors.recorder import Asked, Done, digest
from services.pas.models import AgentPayload
from services.security.redaction import redact

MAX_REPAIRS = 3
MAX_CALLS = 16
MAX_SUMMARY_CHARS = 300
CHANGED_TESTS = "changed tests"
NOTHING_CHANGED = "the model changed nothing"
FINISH, BLOCKED = "finish", "blocked"
TOO_LATE = "not carried out: too late in this turn"
NOT_FINISHED = "not carried out: an earlier call of this turn failed; read its result first"

Look = Callable[[], Awaitable[str]]
"""Returns the survey of the repository for the first message."""


@dataclass(frozen=True)
class Ending:
    """How a card's work ended; `summary` is what the model says it did, `reason` why it failed."""

    is_success: bool
    reason: str = ""
    summary: str = ""
    turns: int = 0
    before: TestRun | None = None
    after: TestRun | None = None
    check: str = ""


class AgentLoop:
    """Works on one attempt of one agent card; `find_baseline` None means that its lane runs no tests."""

    def __init__(
        self, payload: AgentPayload, dialogue: Dialogue, hands: Hands, look: Look, find_baseline: Find | None
    ) -> None:
        self._payload = payload
        self._dialogue = dialogue
        self._hands = hands
        self._look = look
        self._find_baseline = find_baseline
        self._recorder = hands.recorder
        self._patience = Patience(dialogue.tools)
        self._before: TestRun | None = None
        self._turn = 0
        self._repairs = 0

    async def run(self) -> Ending:
        """Return how it ended. Raises CardStoppedError, DivergedError, ModelMissingError."""
        transcript = await self._open()
        for turn in range(1, self._payload.max_turns + 1):
            self._turn = turn
            route = await self._dialogue.follow_route()
            transcript.set_input(ContextBudget.of(route.context_tokens).input)
            reply = await self._dialogue.ask(f"model:{turn}", transcript.sha256, transcript.pack)
            if reply.completion is None:
                return self._stop(reply.error)
            transcript.add(_speech_of(reply.completion))
            ending = await self._observe(transcript, reply.completion)
            if ending is not None:
                return ending
        return self._stop(f"the model used all its {self._payload.max_turns} turns without finishing")

    async def _open(self) -> Transcript:
        before = ""
        if self._find_baseline is not None:
            result = await self._hands.run_tests("tests before", self._payload.test_paths, self._find_baseline)
            self._before = result.tests
            before = result.text
        route = await self._dialogue.follow_route()
        asked = Asked(StepKind.CHECK, "opening", digest(self._payload.model_dump_json(), before))

        async def act() -> Done:
            text = write_opening(self._payload, before, await self._look())
            return Done(redact(text.encode("utf-8", "replace").decode()), "agent_looked")

        opening = await self._recorder.perform(asked, act)
        transcript = Transcript(SYSTEM, self._dialogue.tools, ContextBudget.of(route.context_tokens).input)
        transcript.add(Message(role=Role.USER, content=opening))
        return transcript

    async def _observe(self, transcript: Transcript, completion: Completion) -> Ending | None:
        if completion.finish_reason == "content_filter":
            return self._stop("the provider's content filter ended the model's answer")
        if not completion.tool_calls:
            reason = self._patience.judge_silence()
            nudge = CUT if completion.finish_reason == "length" else NUDGE
            transcript.add(Message(role=Role.USER, content=nudge))
            return self._stop(reason) if reason else None
        is_over = has_failed = False
        for index, call in enumerate(completion.tool_calls):
            if is_over or index >= MAX_CALLS:
                transcript.add_result(call, TOO_LATE)
                continue
            if has_failed and call.name == FINISH:
                transcript.add_result(call, NOT_FINISHED)
                continue
            result = await self._hands.use(self._turn, index, call)
            is_over, has_failed = result.is_done, has_failed or result.is_error
            ending = await self._judge(call, transcript) if is_over else self._weigh(call, result, transcript)
            if ending is not None:
                return ending
        return None

    def _weigh(self, call: ToolCall, result: ToolResult, transcript: Transcript) -> Ending | None:
        transcript.add_result(call, result.text)
        reason = self._patience.judge_call(call, result.text, is_error=result.is_error)
        return self._stop(reason) if reason else None

    async def _judge(self, call: ToolCall, transcript: Transcript) -> Ending | None:
        """Hold the work against the tests; None: they sent it back to the model."""
        summary, blocked = _read_finish(call)
        if blocked:
            return self._stop(f"the model says that it is blocked: {blocked}", summary)
        if self._recorder.tree == self._recorder.work.tree_in:
            return self._stop(NOTHING_CHANGED, summary)
        after: TestRun | None = None
        line = "the lane runs no tests: not verified"
        for name, paths in await self._plan_checks():
            ran = await self._hands.run_tests(f"{name} {self._repairs + 1}", paths)
            if name == CHANGED_TESTS and (ran.tests is None or ran.tests.is_unknown):
                continue  # a file that only looks like tests; the full run decides
            judgement = judge_tests(self._before, ran.tests)
            after, line = ran.tests, judgement.line
            if judgement.is_good:
                continue
            if self._repairs >= MAX_REPAIRS:
                reason = f"after {MAX_REPAIRS} repairs still: {judgement.line}"
                return Ending(False, reason, summary, self._turn, self._before, after, line)
            self._repairs += 1
            transcript.add_result(call, f"{judgement.text}\n\n{ran.text}")
            return None
        return Ending(True, "", summary, self._turn, self._before, after, line)

    async def _plan_checks(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return the test runs after a change: the changed test files first, because they are quick, then all."""
        if self._find_baseline is None:
            return ()
        work, everything = self._recorder.work, self._payload.test_paths
        changes = await self._recorder.parts.trees.list_changes(work.repo, work.tree_in, self._recorder.tree)
        targets = pick_targets([path for path, is_there in sorted(changes.items()) if is_there], everything)
        return (((CHANGED_TESTS, targets),) if targets else ()) + (("tests after", everything),)

    def _stop(self, reason: str, summary: str = "") -> Ending:
        return Ending(False, reason, summary, self._turn, self._before)


def _speech_of(completion: Completion) -> Message:
    """Return what the model said, fit to be said again: what is too long or unreadable is named, not repeated."""
    return Message(
        role=Role.ASSISTANT,
        content=clip(completion.text, MAX_SPEECH_CHARS),
        tool_calls=tuple(_tidy(call) for call in completion.tool_calls),
        opaque=completion.opaque if len(completion.opaque) <= MAX_OPAQUE_CHARS else "",
    )


def _tidy(call: ToolCall) -> ToolCall:
    if len(call.arguments) <= MAX_ARGUMENT_CHARS and read_object(call.arguments) is not None:
        return call
    return call.model_copy(update={"arguments": json.dumps({"left_out": clip(call.arguments, 200)})})


def _read_finish(call: ToolCall) -> tuple[str, str]:
    """Return the model's summary and, if it says so, why it is blocked."""
    told = read_object(call.arguments) or {}
    summary = " ".join(str(told.get("summary") or "").split())[:MAX_SUMMARY_CHARS]
    reason = " ".join(str(told.get("reason") or "").split())[:MAX_SUMMARY_CHARS]
    return summary, (reason or "no reason given") if told.get("status") == BLOCKED else ""
