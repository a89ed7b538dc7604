"""The file of an index: levels, locks, faults, limits."""

import shutil
import sqlite3

import pytest

from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError, UnindexableError
from services.vector_ops.source.repository import GitSource
from services.vector_ops.truth import building
from services.vector_ops.truth.index_file import hold_lock
from services.vector_ops.truth.ports import IndexingStoppedError
from services.vector_ops.truth.store import TruthStore
from tests.unit.vector_ops.truth.conftest import open_store, read_rows
from tests.unit.vector_ops.truth.plain import PLAIN, PlainLanguage, language_name, load_language

FILES = {"a.pl": "def alpha\ncall beta\n", "pkg/b.pl": "def beta\ncall alpha\n", "README": "words\n"}


@pytest.fixture
def index(tmp_path):
    return tmp_path / "index" / "one.sqlite3"


def read_paths(store, source):
    with store.view({}, source.read_blob) as view:
        return [row.path for row in view.list_files()]


def test_second_refresh_of_a_commit_is_fresh(tree, source, store):
    sha = tree.commit(FILES)
    first, second = (store.refresh(source, wait_s=1) for _ in range(2))
    assert (first.outcome, first.files_parsed, first.state.totals) == ("refreshed", 3, (3, 2, 2))
    assert (second.outcome, second.files_parsed, second.state) == ("fresh", 0, first.state)
    assert store.peek_state() == first.state
    assert first.state.commit_sha == sha


def test_switching_back_to_a_branch_parses_nothing(tree, source, store):
    tree.commit(FILES)
    store.refresh(source, wait_s=1)
    first = tree.git.head.target
    tree.commit({"a.pl": "def gamma\n"})
    store.refresh(source, wait_s=1)
    tree.git.set_head(first)
    applied = store.refresh(source, wait_s=1)
    assert (applied.outcome, applied.files_parsed) == ("refreshed", 0)
    assert applied.state.totals == (3, 2, 2)


def test_rename_parses_nothing_and_moves_the_edges(tree, source, store):
    tree.commit(FILES)
    store.refresh(source, wait_s=1)
    tree.remove("a.pl")
    tree.commit({"moved.pl": FILES["a.pl"]})
    assert store.refresh(source, wait_s=1).files_parsed == 0
    with store.view({}, source.read_blob) as view:
        assert [row.path for row in view.all_edges()] == ["pkg/b.pl", "moved.pl"]


def test_commit_that_is_gone_is_compared_file_by_file(tree, source, store):
    tree.commit(FILES)
    applied = store.refresh(source, wait_s=1)
    tree.commit({"c.pl": "def c\n"})
    store.close()
    with sqlite3.connect(store._path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'commit_sha'", ("0" * 40,))
    connection.close()
    again = store.refresh(source, wait_s=1)
    assert (again.outcome, again.files_parsed, again.state.epoch) == ("refreshed", 1, applied.state.epoch + 1)


@pytest.mark.parametrize("kind", ["foreign", "garbage", "former", "newer", "empty"])
def test_unusable_file_is_set_aside_with_a_note_and_built_anew(tree, source, store, index, kind):
    tree.commit(FILES)
    index.parent.mkdir()
    make_unusable(index, kind)
    assert store.peek_state() is None
    applied = store.refresh(source, wait_s=1)
    assert applied.outcome == "refreshed"
    assert len(applied.notes) == 1
    assert "one.sqlite3.set-aside and is rebuilt: " in applied.notes[0]
    assert read_paths(store, source) == sorted(FILES)
    assert store.refresh(source, wait_s=1).notes == ()


def make_unusable(index, kind):
    if kind == "garbage":
        index.write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
        return
    if kind == "empty":
        index.write_bytes(b"")
        return
    connection = sqlite3.connect(index)
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
    connection.execute("INSERT INTO meta VALUES ('commit_sha', 'x'), ('versions', '1.1')")
    connection.commit()
    connection.execute(f"PRAGMA application_id = {0 if kind == 'foreign' else 0x44455658}")
    connection.execute(f"PRAGMA user_version = {99 if kind == 'newer' else 0}")
    connection.close()


def test_file_damaged_while_open_is_set_aside_and_built_anew(tree, source, store, index):
    tree.commit({**FILES, "big.pl": "def x\n" * 3_000})
    store.refresh(source, wait_s=1)
    store.close()
    size = index.stat().st_size
    with index.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xff" * (size - 8_192))
    with pytest.raises(IndexUnwritableError, match="cannot be read"), store.view({}, source.read_blob) as view:
        read_rows(view)
    applied = store.refresh(source, wait_s=1)
    assert "set aside" in applied.notes[0]
    assert read_paths(store, source) == sorted([*FILES, "big.pl"])


def test_second_writer_is_told_to_wait(tree, source, store, index):
    tree.commit(FILES)
    with hold_lock(index, 1), pytest.raises(IndexBusyError, match="another process is writing"):
        store.refresh(source, wait_s=0)
    assert store.refresh(source, wait_s=0).outcome == "refreshed"


def test_two_stores_over_one_file_see_each_other_move(tree, source, store, index):
    tree.commit(FILES)
    store.refresh(source, wait_s=1)
    other = open_store(index)
    for number in range(3):
        tree.commit({"a.pl": f"def alpha\ncall beta\ndef more{number}\n", f"n{number}.pl": "call alpha\n"})
        assert other.refresh(source, wait_s=1).outcome == "refreshed"
        assert store.refresh(source, wait_s=1).outcome == "fresh"
        tree.commit({"pkg/b.pl": f"def beta\ndef b{number}\ncall alpha\n"})
        assert store.refresh(source, wait_s=1).outcome == "refreshed"
    with store.view({}, source.read_blob) as mine, other.view({}, source.read_blob) as theirs:
        assert read_rows(mine) == read_rows(theirs)
        assert len(list(mine.all_edges())) == 5
    other.close()


def test_view_without_an_index_says_so(store, source, tree):
    tree.commit(FILES)
    with pytest.raises(IndexUnwritableError, match="refresh it first"), store.view({}, source.read_blob):
        pass


def test_full_disk_is_one_clear_line_and_leaves_the_former_commit(tree, source, store, index, monkeypatch):
    connect = building.connect_for_building

    def connect_small(path):
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 8")
        return connection

    tree.commit({**FILES, "big.pl": "def x\n" * 3_000})
    with monkeypatch.context() as patch:
        patch.setattr(building, "connect_for_building", connect_small)
        with pytest.raises(IndexUnwritableError, match="cannot be written: database or disk is full"):
            store.refresh(source, wait_s=1)
    assert [path.name for path in index.parent.iterdir()] == ["one.lock"]
    first = store.refresh(source, wait_s=1)
    store._writer._connection.execute("PRAGMA max_page_count = 8")
    tree.commit({"more.pl": "def y\n" * 9_000})
    with pytest.raises(IndexUnwritableError, match="database or disk is full"):
        store.refresh(source, wait_s=1)
    assert store.peek_state() == first.state
    assert store.refresh(source, wait_s=1).outcome == "refreshed"


def test_stopping_leaves_the_former_commit(tree, source, store):
    tree.commit(FILES)
    with pytest.raises(IndexingStoppedError):
        store.refresh(source, wait_s=1, is_stopping=lambda: True)
    assert store.peek_state() is None
    first = store.refresh(source, wait_s=1)
    tree.commit({"a.pl": "def other\n"})
    with pytest.raises(IndexingStoppedError):
        store.refresh(source, wait_s=1, is_stopping=lambda: True)
    assert store.peek_state() == first.state


def test_repository_that_disappears_leaves_the_former_commit(tree, source, store):
    tree.commit(FILES)
    first = store.refresh(source, wait_s=1)
    tree.commit({f"n{number}.pl": f"def f{number}\n" for number in range(9)})
    reads = iter(range(3))

    class Vanishing:
        read_head, list_blobs, changes, size_blob = (
            source.read_head,
            source.list_blobs,
            source.changes,
            source.size_blob,
        )

        def read_blob(self, blob_sha):
            if next(reads, None) is None:
                shutil.rmtree(tree.root)
                source.close()
            return source.read_blob(blob_sha)

    with pytest.raises(UnindexableError):
        store.refresh(Vanishing(), wait_s=1)
    assert store.peek_state() == first.state


def test_raised_version_of_a_language_reads_its_files_again(tree, source, store, index):
    tree.commit({**FILES, "z.sp": "def z\n"})
    store.refresh(source, wait_s=1)
    newer = PlainLanguage("plain", is_packaged=False)
    newer.version = PLAIN.version + 1
    other = TruthStore(index, lambda name: newer if name == "plain" else load_language(name), language_name)
    applied = other.refresh(source, wait_s=1)
    assert (applied.outcome, applied.files_parsed) == ("refreshed", 2)
    assert other.refresh(source, wait_s=1).outcome == "fresh"
    other.close()


def test_workers_read_what_one_process_reads(tmp_path, tree, source):
    tree.commit({f"d{number % 7}/n{number}.pl": f"def f{number}\ncall f{number // 2}\n" for number in range(402)})
    rows = []
    for workers in (1, 2):
        store = TruthStore(tmp_path / f"{workers}.sqlite3", load_language, language_name, workers=workers)
        assert store.refresh(source, wait_s=1).files_parsed == 402
        with store.view({}, source.read_blob) as view:
            rows.append(read_rows(view))
        store.close()
    assert rows[0] == rows[1]


SKIPPED = {
    "nul.pl": (b"def a\n\0", "binary"),
    "latin.pl": ("def é\n".encode("latin-1"), "not-utf-8"),
    "large.pl": (b"def a\n" * 200_000, "oversized"),
    "line.pl": (b"x" * 50_001, "long-lines"),
    "gen.pl": (b"// Code generated by a tool. DO NOT EDIT.\ndef a\n", "generated"),
    "marked.pl": (b"# @generated\ndef a\n", "generated"),
    "wide.pl": (b"def a\n" + b"x" * 50_000, ""),
    "new\nline.pl": (b"def a\n", ""),
    "\u00fcml\u00e4ut \U0001f600.pl": (b"def a\n", ""),
}


def test_contents_are_left_out_by_stated_rules(tree, source, store):
    tree.commit({path: content for path, (content, _rule) in SKIPPED.items()})
    store.refresh(source, wait_s=1)
    with store.view({}, source.read_blob) as view:
        assert {row.path: row.skipped for row in view.list_files()} == {
            path: rule for path, (_content, rule) in SKIPPED.items()
        }
        assert len(view.find_symbols(["a"])) == 3
        assert view.read_text("gen.pl") == ""
        assert view.read_text("new\nline.pl") == "def a\n"


def test_content_that_the_repository_lacks_is_left_out_until_it_is_there(tree, source, store, index):
    tree.commit(FILES)
    object_path = tree.root / ".git" / "objects"
    sha = source.find_blob(source.read_head().commit_sha, "a.pl")
    lost = object_path / sha[:2] / sha[2:]
    kept = lost.read_bytes()
    lost.unlink()
    partial = GitSource(str(tree.root))
    told = "1 files are not read, for this partial clone lacks their contents; "
    told += "`git fetch --refetch --no-filter` brings them"
    assert store.refresh(partial, wait_s=1).notes == (told,)
    with store.view({}, partial.read_blob) as view:
        assert view.find_file("a.pl").skipped == "missing"
        assert view.find_symbols(["alpha"]) == []
    store.close()
    again = store.refresh(partial, wait_s=1)
    assert (again.outcome, again.notes) == ("fresh", (told,))
    lost.write_bytes(kept)
    store.close()
    whole = store.refresh(GitSource(str(tree.root)), wait_s=1)
    assert (whole.outcome, whole.notes) == ("refreshed", ())
    with store.view({}, source.read_blob) as view:
        assert view.find_file("a.pl").skipped == ""
        assert len(view.find_symbols(["alpha"])) == 1


def test_damage_of_another_file_met_while_reading_leaves_the_index_alone(tree, source, store):
    tree.commit(FILES)
    first = store.refresh(source, wait_s=1)
    with pytest.raises(IndexUnwritableError), store.view({}, source.read_blob):
        raise sqlite3.DatabaseError("database disk image is malformed")
    assert store.peek_state() == first.state
    assert store.refresh(source, wait_s=1).notes == ()
