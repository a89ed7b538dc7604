"""What a run's receipts come to as observations."""

from datetime import timedelta

from services.kernel.clock import to_iso
from services.kernel.ids import TaskId
from services.kernel.vocabulary import RunState
from services.pex.core.reporting import list_actuals
from tests.unit.pex.test_budget import CENT, NOW, call, make_run


def end(task, *, is_success, attempt=1):
    """Return the receipt of an attempt as a whole."""
    whole = call(task, 0, step=0)
    update = {"attempt": attempt, "is_success": is_success, "tokens_in": 0, "tokens_out": 0, "time_ms": 9_000}
    return whole.model_copy(update=update | {"recorded_at": to_iso(NOW + timedelta(minutes=1))})


def list_by_attempt(*receipts):
    found = list_actuals(make_run(state=RunState.TERMINATED), receipts, "prj-1").actuals
    return {(actual.task_id, actual.attempt): actual for actual in found}


def test_attempt_that_ended_is_an_observation_of_its_time_and_spend():
    actual = list_by_attempt(call("code", 3 * CENT), call("code", 4 * CENT, step=2), end("code", is_success=False))
    [ended] = actual.values()
    assert (ended.is_discarded, ended.is_success, ended.time_s, ended.cost_microusd) == (False, False, 9.0, 7 * CENT)


def test_attempt_that_was_stopped_is_discarded_and_its_spend_is_kept():
    found = list_by_attempt(
        end("code", is_success=True),
        call("code", 5 * CENT, step=1).model_copy(update={"attempt": 2}),
    )
    assert not found[TaskId("code"), 1].is_discarded
    stopped = found[TaskId("code"), 2]
    assert (stopped.is_discarded, stopped.is_success, stopped.cost_microusd) == (True, False, 5 * CENT)
