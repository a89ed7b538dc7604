"""The durable side of PAS: one workflow per run, one child workflow per card; thin, all rules are in core.

A step that finished is never run again; the one in flight when the server dies runs again from its start, so every
step is written to be repeated (core says how). Steps return plain JSON; refusals are values, not exceptions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from dbos import DBOS, SetWorkflowID
from dbos import error as dbos_error

from services.kernel.errors import InternalError
from services.kernel.ids import GitOid, RunId, TaskId
from services.kernel.vocabulary import TASK_TRANSITIONS, TaskState, is_final
from services.pas.core.cards import CardRunner
from services.pas.core.ports import FaultPoints
from services.pas.core.reasons import explain_error
from services.pas.core.runs import RunKeeper, Settled
from services.wire.storage import StorageUnwritableError

STORAGE_RETRY_S = 2.0
R = TypeVar("R")


@dataclass(frozen=True)
class PasRuntime:
    """What the workflows reach."""

    cards: CardRunner
    runs: RunKeeper
    faults: FaultPoints


# DBOS starts workflows again after a crash by the name of a module-level function, with JSON arguments only. So the
# objects behind them cannot be passed in; they are bound here, once per process, by the composition.
_BOUND: list[PasRuntime] = []
_TASKS: set[asyncio.Task[object]] = set()


def bind_runtime(runtime: PasRuntime | None) -> None:
    """Give the workflows their objects (None takes them away); call it before DBOS is launched."""
    _BOUND[:] = [] if runtime is None else [runtime]


def _register() -> None:
    """Remember the task of the workflow that calls this, so that a draining server can stop it."""
    task = asyncio.current_task()
    if task is not None:
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)


async def stop_workflows() -> None:
    """Cancel all workflows of this process; nothing is recorded, so DBOS starts them again at the next launch."""
    tasks = tuple(_TASKS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _runtime() -> PasRuntime:
    if not _BOUND:
        raise InternalError("the PAS workflows have no runtime; bind_runtime() comes before DBOS.launch()")
    return _BOUND[0]


async def _until_kept(run_id: str, work: Callable[[], Awaitable[R]]) -> R:
    """Do a step's work, which may be repeated; while its result cannot be kept (a full disk), say so and wait."""
    is_told = False
    while True:
        try:
            return await work()
        except StorageUnwritableError as error:
            is_told = is_told or await _runtime().runs.note_delay(RunId(run_id), error.detail)
        await asyncio.sleep(STORAGE_RETRY_S)


@DBOS.step(name="pas.begin_run")
async def begin_run(run_id: str) -> list[list[str | int]]:
    """Start the run; return [task id, attempts it may take] in order."""
    cards = await _until_kept(run_id, lambda: _runtime().runs.begin(RunId(run_id)))
    return [[task_id, attempts] for task_id, attempts in cards]


@DBOS.step(name="pas.run_attempt")
async def run_attempt(run_id: str, task_id: str, attempt: int) -> str:
    """Run one attempt of one card; return the state it left the card in."""
    return await _until_kept(run_id, lambda: _runtime().cards.run_attempt(RunId(run_id), TaskId(task_id), attempt))


@DBOS.step(name="pas.settle_run")
async def settle_run(run_id: str) -> str:
    """Return how the cards ended."""
    return await _until_kept(run_id, lambda: _runtime().runs.settle(RunId(run_id)))


@DBOS.step(name="pas.merge_result")
async def merge_result(run_id: str) -> list[str]:
    """Return ["tree", id] or ["refused", one line]."""
    try:
        return ["tree", await _until_kept(run_id, lambda: _runtime().runs.merge_result(RunId(run_id)))]
    except Exception as error:  # noqa: BLE001 - a step's boundary: the run must end with a reason
        return ["refused", explain_error(error)]


@DBOS.step(name="pas.validate")
async def validate(run_id: str, name: str, tree: str) -> str:
    """Judge one KPI; return "" or the reason why the run cannot go on."""
    try:
        await _until_kept(run_id, lambda: _runtime().runs.validate(RunId(run_id), name, GitOid(tree)))
    except Exception as error:  # noqa: BLE001 - a step's boundary: the run must end with a reason
        return explain_error(error)
    return ""


@DBOS.step(name="pas.publish")
async def publish(run_id: str, tree: str) -> str:
    """Write branch and diff; return "" or the reason why that failed."""
    try:
        await _until_kept(run_id, lambda: _runtime().runs.publish(RunId(run_id), GitOid(tree)))
    except Exception as error:  # noqa: BLE001 - a step's boundary: the run must end with a reason
        return explain_error(error)
    return ""


@DBOS.step(name="pas.finish_run")
async def finish_run(run_id: str, settled: str, reason: str) -> str:
    """Move the run to its final state with its passport."""
    return await _until_kept(run_id, lambda: _runtime().runs.finish(RunId(run_id), Settled(settled), reason))


@DBOS.workflow(name="pas.card", max_recovery_attempts=None)
async def card_workflow(run_id: str, task_id: str, max_attempts: int) -> str:
    """Run a card until it ends; return its final state."""
    _register()
    state = TaskState.QUEUED
    for attempt in range(1, max_attempts + 1):
        state = TaskState(await run_attempt(run_id, task_id, attempt))
        await _runtime().faults.hit("between_cards")
        if is_final(TASK_TRANSITIONS, state):
            break
    return state


@DBOS.workflow(name="pas.run", max_recovery_attempts=None)
async def run_workflow(run_id: str) -> str:
    """Run all cards, judge, publish, finish; return the final state."""
    _register()
    try:
        return await _lead(run_id)
    except dbos_error.DBOSException:
        raise  # DBOS itself took the workflow away: whoever has it now ends the run
    except Exception as error:  # noqa: BLE001 - the workflow's boundary: a bug must end the run, not hang it
        return await finish_run(run_id, Settled.FAILED, explain_error(error))


async def _lead(run_id: str) -> str:
    handles = []
    for task_id, attempts in await begin_run(run_id):
        with SetWorkflowID(f"{run_id}:{task_id}"):
            handles.append(await DBOS.start_workflow_async(card_workflow, run_id, str(task_id), int(attempts)))
    for handle in handles:
        await handle.get_result()
    settled = await settle_run(run_id)
    if settled != Settled.DONE:
        return await finish_run(run_id, settled, "")
    return await _report(run_id)


async def _report(run_id: str) -> str:
    kind, answer = await merge_result(run_id)
    if kind != "tree":
        return await finish_run(run_id, Settled.FAILED, answer)
    for name in _runtime().runs.validator_names:
        reason = await validate(run_id, name, answer)
        if reason:
            return await finish_run(run_id, Settled.FAILED, reason)
    await _runtime().faults.hit("reporting")
    reason = await publish(run_id, answer)
    return await finish_run(run_id, Settled.FAILED if reason else Settled.DONE, reason)


async def launch_run(run_id: RunId) -> None:
    """Start the run's workflow; a run that has one already keeps it."""
    with SetWorkflowID(run_id):
        await DBOS.start_workflow_async(run_workflow, run_id)
