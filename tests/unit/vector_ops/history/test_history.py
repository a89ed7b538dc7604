import numpy as np
import pygit2
import pytest

from services.vector_ops.history.history import History
from services.vector_ops.history.mining import MAX_PATHS
from services.vector_ops.lexical.terms import hash_text

WHO = pygit2.Signature("Ann", "ann@example.org", 1_700_000_000, 0)


class Line:
    """A repository that grows by commits of whole trees."""

    def __init__(self, path):
        self.repository = pygit2.init_repository(str(path), bare=True)
        self.files = {}

    def commit(self, message, parents=(), gone=(), **files):
        for path in gone:
            del self.files[path]
        self.files |= {path.replace("__", "/"): text for path, text in files.items()}
        index = pygit2.Index()
        for path, text in self.files.items():
            index.add(pygit2.IndexEntry(path, self.repository.create_blob(text.encode()), pygit2.enums.FileMode.BLOB))
        tree = index.write_tree(self.repository)
        return str(self.repository.create_commit(None, WHO, WHO, message, tree, list(parents)))


@pytest.fixture
def line(tmp_path):
    return Line(tmp_path / "repo.git")


@pytest.fixture
def history(tmp_path):
    history = History(tmp_path / "index.history.sqlite3")
    yield history
    history.close()


def words(text):
    terms = hash_text(text)
    return terms, np.ones(len(terms))


def rank(past, scores):
    return {path: round(float(score), 6) for path, score in zip(past.paths, scores, strict=True) if score > 0}


def make_three(line):
    first = line.commit("Start", a="1", b="1", c="1")
    second = line.commit("Teach the parser commas", [first], a="2", b="2")
    return second, line.commit("Mail the receipt", [second], c="3", b="3")


def test_words_of_a_message_lead_to_what_the_commit_touched(line, history):
    _second, head = make_three(line)
    assert history.refresh(line.repository, head).is_complete
    past = history.read_past(head)
    assert set(rank(past, past.rank_words(*words("parser")))) == {"a", "b"}
    assert set(rank(past, past.rank_words(*words("receipt")))) == {"b", "c"}


def test_a_commit_sees_only_its_own_past(line, history):
    second, head = make_three(line)
    history.refresh(line.repository, head)
    past = history.read_past(second)
    assert rank(past, past.rank_words(*words("receipt"))) == {}
    assert set(rank(past, past.rank_recency())) == {"a", "b"}


def test_what_changed_last_is_most_recent(line, history):
    _second, head = make_three(line)
    history.refresh(line.repository, head)
    past = history.read_past(head)
    recency = rank(past, past.rank_recency())
    assert recency["b"] > recency["c"] > recency["a"]


def test_partners_are_what_changed_together(line, history):
    _second, head = make_three(line)
    history.refresh(line.repository, head)
    past = history.read_past(head)
    seeds = np.array([1.0 if path == "a" else 0.0 for path in past.paths])
    assert set(rank(past, past.rank_partners(seeds))) == {"b"}


def test_a_renamed_file_keeps_its_past(line, history):
    first = line.commit("Start", x="0")
    second = line.commit("Teach the parser commas", [first], old="content that stays")
    head = line.commit("Move", [second], gone=["old"], new="content that stays")
    history.refresh(line.repository, head)
    past = history.read_past(head)
    assert set(rank(past, past.rank_words(*words("parser")))) == {"new"}


def test_a_commit_that_touches_everything_says_nothing_about_a_file(line, history):
    first = line.commit("Start", x="0")
    head = line.commit("Reformat", [first], **{f"f{n}": "x" for n in range(MAX_PATHS + 1)})
    history.refresh(line.repository, head)
    assert history.read_past(head).paths == ()


def test_mining_goes_on_where_the_budget_ended(line, tmp_path):
    head = line.commit("Start", a="0")
    for n in range(250):
        head = line.commit(f"Change {n}", [head], a=str(n + 1))
    ticks = iter(range(10_000))
    slow = History(tmp_path / "h.sqlite3", clock=lambda: float(next(ticks)))
    progress = [slow.refresh(line.repository, head, budget_s=99.5).mined for _ in range(3)]
    assert progress == sorted(progress)
    assert 0 < progress[0] < 251
    assert progress[-1] == 251
    slow.close()


def test_a_stopped_call_keeps_what_it_mined(line, history):
    head = line.commit("Start", a="0")
    for n in range(5):
        head = line.commit(f"Change {n}", [head], a=str(n + 1))
    answers = iter([False, False, True])
    assert history.refresh(line.repository, head, is_stopping=lambda: next(answers)).mined == 2
    assert history.refresh(line.repository, head).is_complete


def test_a_rewritten_line_forgets_the_commits_that_left_it(line, history):
    first = line.commit("Start", a="1")
    gone = line.commit("Wrong turn", [first], b="2")
    line.files.pop("b")
    head = line.commit("Right turn", [first], c="2")
    history.refresh(line.repository, gone)
    history.refresh(line.repository, head)
    past = history.read_past(head)
    assert set(rank(past, past.rank_recency())) == {"c"}


def test_only_the_newest_commits_count(line, tmp_path):
    head = line.commit("Start", a="0")
    for n in range(6):
        head = line.commit(f"Change {n}", [head], **{f"f{n}": "x"})
    short = History(tmp_path / "h.sqlite3", max_commits=3)
    assert short.refresh(line.repository, head).wanted == 3
    assert set(short.read_past(head).paths) == {"f3", "f4", "f5"}
    short.close()


def test_an_unknown_commit_has_no_past(line, history):
    assert history.refresh(line.repository, "0" * 40).wanted == 0
    assert history.read_past("0" * 40).commit_count == 0


def test_mined_commits_are_there_after_a_restart(line, tmp_path):
    _second, head = make_three(line)
    path = tmp_path / "h.sqlite3"
    first = History(path)
    first.refresh(line.repository, head)
    expected = rank(first.read_past(head), first.read_past(head).rank_recency())
    first.close()
    again = History(path)
    assert rank(again.read_past(head), again.read_past(head).rank_recency()) == expected
    again.close()


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to look" * 40, b"x"])
def test_a_damaged_file_is_mined_anew(line, tmp_path, content):
    _second, head = make_three(line)
    path = tmp_path / "h.sqlite3"
    path.write_bytes(content)
    history = History(path)
    assert history.refresh(line.repository, head).is_complete
    history.close()
