"""Which states an estimate may be asked for in, and what the books then say."""

import pytest

from services.kernel.vocabulary import IllegalTransitionError, ProjectState
from services.plms.core.lifecycle import Move, walk_to_estimating
from services.plms.models import Project

MOVE = Move("user:engineer", "2026-01-01T00:00:00.000+00:00", "estimate est-1 of 1 cards")


class Notes:
    """The part of a ledger that the lifecycle writes to."""

    def __init__(self):
        self.events = []
        self.projects = []

    def update_project(self, project):
        self.projects.append(project)

    def add_event(self, event):
        self.events.append(event)


def project(state):
    return Project(
        project_id="prj-1",
        title="Rename",
        prd="Rename a to b.",
        prd_sha256="0" * 64,
        repo="/srv/repo",
        tags=(),
        state=state,
        reason="created",
        current_estimate_id=None,
        approved_estimate_id="est-0",
        created_at=MOVE.at,
        updated_at=MOVE.at,
    )


@pytest.mark.parametrize(
    ("start", "visited"),
    [
        ("ideation", ["planning", "estimating"]),
        ("clarifying", ["planning", "estimating"]),
        ("planning", ["estimating"]),
        ("estimating", []),
        ("pending_approval", ["estimating"]),
        ("approved", ["estimating"]),
        ("needs_review", ["estimating"]),
        ("completed", ["planning", "estimating"]),
    ],
)
def test_walk_takes_legal_arrows_and_records_each(start, visited):
    notes = Notes()
    walked = walk_to_estimating(notes, project(ProjectState(start)), MOVE)
    assert walked.state is ProjectState.ESTIMATING
    assert [event.target for event in notes.events] == visited
    assert [event.source for event in notes.events] == [start, *visited][: len(visited)]
    assert all(entry.approved_estimate_id is None for entry in notes.projects)


@pytest.mark.parametrize("start", ["executing", "validating", "cancelled"])
def test_walk_is_refused_where_no_arrow_leads(start):
    notes = Notes()
    with pytest.raises(IllegalTransitionError):
        walk_to_estimating(notes, project(ProjectState(start)), MOVE)
    assert notes.events == []
