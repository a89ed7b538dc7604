"""The limits of a run: seconds that its cards have worked, and money that its model calls may cost."""

from services.kernel.clock import Clock, to_iso
from services.kernel.ids import RunId, TaskId
from services.kernel.vocabulary import RUN_TRANSITIONS, BreachPolicy, RunState
from services.pas.core.ports import Store
from services.pas.core.records import Controls, EventDraft, RunChange
from services.pas.models import EventKind


async def stop_over_time(
    store: Store, clock: Clock, run_id: RunId, controls: Controls, *, working_s: float = 0.0
) -> bool:
    """Pause or end a run that has used up its time; return whether it was stopped.

    Checked before a card starts, and between the steps of an agent card, which has worked for `working_s` so far; any
    other running card has the limit of its lane. `kill` terminates. `pause` and `ask` pause:
    resuming is the answer, and the run then goes on without the limit.
    """
    run = await store.read_run(run_id)
    if run is None or run.start.max_time_s is None or controls.is_limit_spent:
        return False
    spent_s = await store.sum_time_s(run_id) + working_s
    if spent_s < run.start.max_time_s:
        return False
    at = to_iso(clock.now())
    reason = f"the cards worked {spent_s:.0f} s; the limit was {run.start.max_time_s:.0f} s"
    if run.start.breach_policy is BreachPolicy.KILL:
        await store.set_terminated(run_id, reason)
        await store.add_events(run_id, at, [EventDraft(EventKind.NOTE, reason)])
        return True
    if RunState.PAUSED in RUN_TRANSITIONS[run.state]:
        text = f"run paused: {reason}; resume it to go on without a limit"
        change = RunChange(run_id, RunState.PAUSED, at, text, reason, is_paused=True, is_limit_spent=True)
        await store.change_run(change)
    return True


async def stop_over_budget(
    store: Store, clock: Clock, run_id: RunId, task_id: TaskId, refusal: str, *, asked_at: str
) -> bool:
    """Pause or end a run whose next model call was refused because it could pass a cap; return whether to ask again.

    Nothing was called. `kill` terminates. `pause` and `ask` pause: resuming with a higher cap, or with the next model,
    is the answer. A run that was resumed after `asked_at`, when the refused call was made, has its answer already.
    """
    run = await store.read_run(run_id)
    if run is None:
        return False
    if run.state is RunState.EXECUTING and await _was_resumed(store, run_id, asked_at):
        return True
    at = to_iso(clock.now())
    await store.add_events(run_id, at, [EventDraft(EventKind.BUDGET, refusal, task_id=task_id)])
    if run.start.breach_policy is BreachPolicy.KILL:
        await store.set_terminated(run_id, refusal)
        return True
    if RunState.PAUSED in RUN_TRANSITIONS[run.state]:
        text = f"run paused: {refusal}; resume it with a higher cap or with the next model"
        await store.change_run(RunChange(run_id, RunState.PAUSED, at, text, refusal, is_paused=True))
        return True
    return run.state is RunState.PAUSED


async def _was_resumed(store: Store, run_id: RunId, since: str) -> bool:
    events = await store.read_events(run_id, 0)
    return any(event.at > since and event.state == RunState.EXECUTING for event in events)
