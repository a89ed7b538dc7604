"""Work that a question waits for only so long, and that goes on without it."""

import threading

import pytest

from services.kernel.clock import SystemClock
from services.kernel.errors import DeadlineExceededError
from services.vector_ops import derived
from services.vector_ops.models import IndexQuery, QueryKind
from services.vector_ops.preparing import Preparations
from services.vector_ops.protocol import IndexBusyError
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.shelf import create_service

LIMIT_S = 30


@pytest.fixture
def preparations():
    made = Preparations()
    yield made
    made.close()


def test_what_takes_too_long_goes_on_and_a_later_question_waits_for_the_same_work(preparations):
    may_end, calls = threading.Event(), []

    def prepare():
        calls.append(1)
        may_end.wait(LIMIT_S)

    for _ in range(2):
        with pytest.raises(DeadlineExceededError, match=r"the words .* that goes on, ask again"):
            preparations.wait_for("the words", prepare, 0.01)
    may_end.set()
    preparations.close()
    assert calls == [1]


def test_work_that_failed_is_told_and_tried_again(preparations):
    done = []

    def fail():
        raise IndexBusyError("not now")

    with pytest.raises(IndexBusyError, match="not now"):
        preparations.wait_for("the words", fail, LIMIT_S)
    preparations.wait_for("the words", lambda: done.append(1), LIMIT_S)
    assert done == [1]


def test_closing_drops_what_has_not_begun(preparations):
    may_end, begun = threading.Event(), threading.Event()

    def prepare():
        begun.set()
        may_end.wait(LIMIT_S)

    for what, work in (("the words", prepare), ("the graph", pytest.fail)):
        with pytest.raises(DeadlineExceededError):
            preparations.wait_for(what, work, 0.01)
    assert begun.wait(LIMIT_S)
    threading.Timer(0.05, may_end.set).start()
    preparations.close()


@pytest.fixture
def ask_large(tree, tmp_path, monkeypatch):
    """Ask about a repository that counts as large."""
    monkeypatch.setattr(derived, "_LARGE_FILES", 1)
    tree.commit({"a.py": "def first():\n    pass\n", "b.py": "from a import first\n\n\ndef second():\n    first()\n"})
    parts = create_service(VectorOpsSettings(index_dir=tmp_path / "index", query_budget_s=LIMIT_S), SystemClock())
    yield lambda kind, text: parts.service.query_now(IndexQuery(repo=str(tree.root), kind=QueryKind(kind), text=text))
    parts.close()


def test_a_large_repository_answers_as_a_small_one_with_its_uncommitted_files(tree, ask_large):
    assert [hit.path for hit in ask_large("search", "second").hits][:1] == ["b.py"]
    assert "a.py:\n  1: def first():" in ask_large("repo_map", "").text
    tree.write({"c.py": "from a import first\n\n\ndef third():\n    first()\n"})
    assert "c.py:\n  4: def third():" in ask_large("repo_map", "").text
    assert [hit.path for hit in ask_large("search", "third").hits][:1] == ["c.py"]
