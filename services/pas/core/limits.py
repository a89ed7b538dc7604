"""The time limit of a run: seconds that its cards have worked, all together."""

from services.kernel.clock import Clock, to_iso
from services.kernel.ids import RunId
from services.kernel.vocabulary import RUN_TRANSITIONS, BreachPolicy, RunState
from services.pas.core.ports import Store
from services.pas.core.records import Controls, EventDraft, RunChange
from services.pas.models import EventKind


async def stop_over_time(store: Store, clock: Clock, run_id: RunId, controls: Controls) -> bool:
    """Pause or end a run that has used up its time; return whether it was stopped.

    Checked before a card starts; a running card has the limit of its lane. `kill` terminates. `pause` and `ask` pause:
    resuming is the answer, and the run then goes on without the limit.
    """
    run = await store.read_run(run_id)
    if run is None or run.start.max_time_s is None or controls.is_limit_spent:
        return False
    spent_s = await store.sum_time_s(run_id)
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
