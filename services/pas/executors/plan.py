"""Plan cards: a model turns an intent into a task tree, held to a JSON Schema and to what makes sense (ADR-0017).

At most two calls: the plan, and one repair that names the exact faults. What is still wrong then, or what the model
does not know, becomes a question: a plan is never guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pydantic import JsonValue

from services.broker.models import Completion, Message, Purpose, Role, ToolCall, ToolSpec
from services.kernel.errors import InvalidRequestError
from services.kernel.vocabulary import Lane
from services.pas.calls.broker import BrokerEdge
from services.pas.core.allowlist import Allowlist
from services.pas.core.ports import CardResult, CardWork
from services.pas.core.records import RunRecord
from services.pas.executors.dialogue import Dialogue
from services.pas.executors.plan_faults import find_faults, plan_schema
from services.pas.executors.plan_prompt import SYSTEM, write_faults, write_request
from services.pas.executors.receipts import ReceiptBook
from services.pas.executors.recipe import keep
from services.pas.executors.recorder import CardStoppedError, Recorder, RecorderParts, digest
from services.pas.models import CardOutcome, PlanPayload, TaskTree
from services.pas.protocol import ModelMissingError, RunNotFoundError

SUBMIT = "submit_plan"
TIER = "none"
"""Nothing is executed: a plan card has no sandbox."""
MAX_FAULTS = 12
NO_CALL = "you answered in words; call submit_plan"
CUT = "your answer was cut off because it was too long; plan fewer tasks, or say less in each"


class PlanPayloadError(InvalidRequestError):
    """The card is no plan card."""

    code = "pas.plan_payload"


@dataclass(frozen=True)
class _Read:
    """A completion as a plan: a tree, or what is wrong with it."""

    tree: TaskTree | None
    faults: tuple[str, ...] = ()


class PlanExecutor:
    """Runs `plan` payloads; `broker` None means that this server has no models."""

    def __init__(self, broker: BrokerEdge | None, parts: RecorderParts, allowlists: Mapping[Lane, Allowlist]) -> None:
        self._broker = broker
        self._parts = parts
        self._allowlists = allowlists

    async def execute(self, work: CardWork) -> CardResult:
        payload = work.card.payload
        if not isinstance(payload, PlanPayload):
            raise PlanPayloadError(f"the card {work.card.task_id} is no plan card")
        if self._broker is None:
            raise ModelMissingError("this server was started without a model broker; start the platform's own server")
        run = await self._parts.store.read_run(work.run_id)
        if run is None:
            raise RunNotFoundError(f"no run {work.run_id}")
        recorder = await Recorder.open(self._parts, work)
        dialogue = _open_dialogue(self._broker, recorder, run, payload)
        try:
            tree, problem = await self._plan(payload, dialogue)
        except CardStoppedError as error:
            return _end(recorder, error.detail, is_cancelled=True)
        if tree is None:
            return _end(recorder, problem)
        return await self._report(work, recorder, tree)

    async def _plan(self, payload: PlanPayload, dialogue: Dialogue) -> tuple[TaskTree | None, str]:
        """Return the tree, or why no model gave one."""
        said: tuple[Message, ...] = ()
        faults: tuple[str, ...] = ()
        for turn in ("plan", "repair"):
            request = digest(SYSTEM, payload.model_dump_json(), *(message.model_dump_json() for message in said))
            reply = await dialogue.ask(turn, request, partial(self._pack, payload, said))
            if reply.completion is None:
                return None, reply.error
            read = self._read(reply.completion, payload)
            if read.tree is not None:
                return read.tree, ""
            faults = read.faults
            said = _answer(reply.completion, write_faults(faults))
        return ask_instead(faults), ""

    def _pack(self, payload: PlanPayload, said: tuple[Message, ...], hardness: int) -> tuple[Message, ...]:
        request = write_request(payload, self._allowlists, is_short=hardness > 0)
        return (Message(role=Role.SYSTEM, content=SYSTEM), Message(role=Role.USER, content=request), *said)

    def _read(self, completion: Completion, payload: PlanPayload) -> _Read:
        call = next((call for call in completion.tool_calls if call.name == SUBMIT), None)
        if completion.finish_reason == "length":
            return _Read(None, (CUT,))
        if call is None:
            return _Read(None, (NO_CALL,))
        value, fault = _parse(call)
        faults = (fault,) if fault else find_faults(value, payload.max_tasks, self._allowlists)
        if faults:
            return _Read(None, faults[:MAX_FAULTS])
        tree = TaskTree.model_validate(value)
        # A model that asks does not know: what it planned beside the question is a guess.
        return _Read(tree.model_copy(update={"tasks": ()}) if tree.question else tree)

    async def _report(self, work: CardWork, recorder: Recorder, tree: TaskTree) -> CardResult:
        content = tree.model_dump_json(indent=1).encode()
        ref = await keep(self._parts.artifacts, work.card.task_id, work.attempt, "plan.json", content)
        return CardResult(
            is_success=True,
            outcome=CardOutcome(summary=_summarise(tree), detail=ref),
            tier=TIER,
            changes_tree=False,
            artifacts=(ref,),
            idle_s=recorder.idle_s,
        )


def ask_instead(faults: tuple[str, ...]) -> TaskTree:
    """Return the question that stands in for a plan that was refused twice."""
    why = faults[0] if faults else "it was not readable"
    return TaskTree(
        question=f"The plan was refused twice, the last time because {why}. How shall it go on?"[:1000],
        options=("as one single task", "as at most three tasks, one after the other"),
    )


def make_tool(max_tasks: int) -> ToolSpec:
    """Return the one tool of a plan card."""
    return ToolSpec(
        name=SUBMIT,
        description="Submit the task tree; or, with no tasks, the one question that must be answered first.",
        parameters=plan_schema(max_tasks),
    )


def _open_dialogue(broker: BrokerEdge, recorder: Recorder, run: RunRecord, payload: PlanPayload) -> Dialogue:
    return Dialogue(
        broker=broker,
        recorder=recorder,
        run=run,
        book=ReceiptBook(recorder.work, TIER),
        purpose=Purpose.PLAN,
        alias=payload.alias,
        tools=(make_tool(payload.max_tasks),),
        tool_choice="required",
    )


def _parse(call: ToolCall) -> tuple[JsonValue, str]:
    try:
        return json.loads(call.arguments), ""
    except ValueError as error:
        return None, f"the arguments are not JSON: {error}"


def _answer(completion: Completion, faults: str) -> tuple[Message, ...]:
    """Return the model's turn and the answer to it; every call must be answered, or the provider refuses the next."""
    turn = Message(
        role=Role.ASSISTANT, content=completion.text, tool_calls=completion.tool_calls, opaque=completion.opaque
    )
    if not completion.tool_calls:
        return (turn, Message(role=Role.USER, content=faults))
    first, *others = completion.tool_calls
    answers = [Message(role=Role.TOOL, content=faults, tool_call_id=first.call_id)]
    answers += [Message(role=Role.TOOL, content="not read: call once", tool_call_id=call.call_id) for call in others]
    return (turn, *answers)


def _summarise(tree: TaskTree) -> str:
    if tree.question:
        return f"asks: {tree.question}"
    lanes = ", ".join(dict.fromkeys(task.lane.value for task in tree.tasks))
    count = len(tree.tasks)
    return f"{count} task{'' if count == 1 else 's'} on {lanes}: {tree.summary}"[:300]


def _end(recorder: Recorder, reason: str, *, is_cancelled: bool = False) -> CardResult:
    return CardResult(
        is_success=False,
        outcome=CardOutcome(summary=reason),
        tier=TIER,
        reason=reason,
        is_cancelled=is_cancelled,
        changes_tree=False,
        idle_s=recorder.idle_s,
    )
