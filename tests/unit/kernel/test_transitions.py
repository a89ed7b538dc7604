"""The state machines: closed, reachable, with final states that are final."""

import pytest

from services.kernel.vocabulary import (
    DELEGATION_TRANSITIONS,
    KPI_GATES,
    PROJECT_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    DelegationState,
    IllegalTransitionError,
    Lane,
    ProjectState,
    RunState,
    TaskState,
    check_transition,
    is_final,
)

MACHINES = [
    (PROJECT_TRANSITIONS, ProjectState, ProjectState.IDEATION, {"cancelled"}),
    (DELEGATION_TRANSITIONS, DelegationState, DelegationState.RECEIVED, {"rejected", "expired", "done", "failed"}),
    (RUN_TRANSITIONS, RunState, RunState.PENDING, {"completed", "needs_review", "failed", "terminated"}),
    (TASK_TRANSITIONS, TaskState, TaskState.QUEUED, {"succeeded", "failed", "skipped", "cancelled"}),
]
NAMES = ["project", "delegation", "run", "task"]


@pytest.mark.parametrize(("table", "states", "start", "final"), MACHINES, ids=NAMES)
def test_table_has_a_row_for_every_state_and_no_other(table, states, start, final):
    assert set(table) == set(states)
    assert set().union(*table.values()) <= set(states)


@pytest.mark.parametrize(("table", "states", "start", "final"), MACHINES, ids=NAMES)
def test_every_state_can_be_reached_from_the_start(table, states, start, final):
    reached, queue = {start}, [start]
    while queue:
        new = table[queue.pop()] - reached
        reached |= new
        queue += new
    assert reached == set(states)


@pytest.mark.parametrize(("table", "states", "start", "final"), MACHINES, ids=NAMES)
def test_final_states_are_the_listed_ones(table, states, start, final):
    assert {state for state in states if is_final(table, state)} == final


@pytest.mark.parametrize(("table", "states", "start", "final"), MACHINES, ids=NAMES)
def test_every_state_can_come_to_an_end(table, states, start, final):
    ends = set(final)
    for _ in states:
        ends |= {state for state in states if table[state] & ends}
    assert ends == set(states)


@pytest.mark.parametrize(("table", "states", "start", "final"), MACHINES, ids=NAMES)
def test_check_allows_exactly_the_arrows_of_the_table(table, states, start, final):
    for current in states:
        for target in states:
            if target in table[current]:
                check_transition(table, current, target)
            else:
                with pytest.raises(IllegalTransitionError, match=f"it is {current} and cannot become {target}: "):
                    check_transition(table, current, target)


def test_refusal_says_what_is_possible():
    with pytest.raises(IllegalTransitionError, match="next can be executing, terminated"):
        check_transition(RUN_TRANSITIONS, RunState.PAUSED, RunState.COMPLETED)
    with pytest.raises(IllegalTransitionError, match="that is final"):
        check_transition(RUN_TRANSITIONS, RunState.FAILED, RunState.EXECUTING)


def test_every_lane_has_a_critical_kpi_and_names_are_unique():
    assert {gate.lane for gate in KPI_GATES if gate.is_critical} == set(Lane)
    assert len({gate.name for gate in KPI_GATES}) == len(KPI_GATES)
