"""Whether a card may start."""

import asyncio

import pytest

from services.kernel.ids import RunId, TaskId
from services.kernel.vocabulary import Lane, TaskState
from services.pas.core.control import Admission, LaneSlots, judge
from services.pas.core.events import Bell
from services.pas.core.records import CardRecord, Controls
from services.pas.models import JobCard, TestsPayload

RUN = RunId("run-1")


def _record(task_id, *deps, state=TaskState.QUEUED):
    card = JobCard(
        task_id=task_id,
        lane=Lane.CODE_IMPL,
        title=task_id,
        configuration="recipe/run-tests",
        deps=deps,
        payload=TestsPayload(),
    )
    return CardRecord(card, state, 0, "", None, None)


def _judge(state, controls):
    card, dep = _record("card", "dep"), _record("dep", state=state)
    return judge(card, {TaskId("card"): card, TaskId("dep"): dep}, controls)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (TaskState.QUEUED, Admission.WAIT),
        (TaskState.RUNNING, Admission.WAIT),
        (TaskState.WAITING_IO, Admission.WAIT),
        (TaskState.SUCCEEDED, Admission.GO),
        (TaskState.FAILED, Admission.SKIP),
        (TaskState.SKIPPED, Admission.SKIP),
        (TaskState.CANCELLED, Admission.SKIP),
    ],
)
def test_dependency_decides(state, expected):
    assert _judge(state, Controls()) is expected


def test_paused_run_starts_nothing_but_still_skips_what_cannot_run():
    assert _judge(TaskState.SUCCEEDED, Controls(is_paused=True)) is Admission.WAIT
    assert _judge(TaskState.FAILED, Controls(is_paused=True)) is Admission.SKIP


def test_termination_and_cancellation_beat_everything():
    assert _judge(TaskState.QUEUED, Controls(is_paused=True, is_terminated=True)) is Admission.CANCEL
    assert _judge(TaskState.FAILED, Controls(cancelled={TaskId("card"): "why"})) is Admission.CANCEL
    assert _judge(TaskState.SUCCEEDED, Controls(cancelled={TaskId("dep"): "why"})) is Admission.GO


async def test_ring_between_listening_and_waiting_is_not_missed():
    bell = Bell()
    heard = bell.listen()
    bell.ring()
    async with asyncio.timeout(5):
        await bell.wait(heard, timeout_s=60)


async def test_ring_wakes_all_who_listen():
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(bell.listen(), timeout_s=60)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_lane_gives_out_as_many_slots_as_its_limit():
    slots = LaneSlots({Lane.NARRATIVE: 2})
    slot = slots.slot(Lane.NARRATIVE)
    await slot.acquire()
    assert not slot.locked()
    await slot.acquire()
    assert slot.locked()
    assert slots.slot(Lane.NARRATIVE) is slot
