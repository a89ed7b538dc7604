"""Freshness, the overlay of uncommitted files, damaged indexes, two writers, and bad input."""

import asyncio
import fcntl
import gc
import os
import sqlite3
from pathlib import Path

import pygit2
import pytest

from services.kernel.caller import ScopeMissingError
from services.kernel.clock import SystemClock
from services.kernel.errors import DeadlineExceededError, InvalidRequestError
from services.vector_ops.models import IndexQuery, QueryKind, RefreshRequest
from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError, SymbolNotFoundError, UnindexableError
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.shelf import create_service, index_path, open_vector_ops
from services.vector_ops.source.overlay import MAX_FILES
from services.vector_ops.truth.ports import IndexingStoppedError
from tests.fakes.identity import ENGINEER, NOBODY, READER
from tests.fakes.sources import SourceTree
from tests.unit.vector_ops.conftest import Index

A = {"a.py": "def first(): ...\n\n\ndef second():\n    first()\n"}


def file_of(index, index_dir):
    return index_path(index_dir, index.tree.root.resolve())


async def test_the_first_refresh_indexes_and_the_second_is_fresh(index):
    sha = index.tree.commit(A)
    first, second = await index.refresh(), await index.refresh()
    assert (first.outcome, first.commit_sha, first.files_parsed, first.files_total) == ("refreshed", sha, 1, 1)
    assert (second.outcome, second.commit_sha, second.files_parsed) == ("fresh", sha, 0)
    assert second.symbols_total == 2


async def test_only_changed_contents_are_parsed_and_a_branch_switch_is_free(index):
    one = index.tree.commit({**A, "b.py": "b = 1\n"})
    await index.refresh()
    two = index.tree.commit({"b.py": "b = 2\nc = 3\n"})
    assert (await index.refresh()).files_parsed == 1
    index.tree.git.reset(one, pygit2.enums.ResetMode.HARD)
    assert (await index.refresh()).files_parsed == 0
    with pytest.raises(SymbolNotFoundError):
        await index.ask("where_defined", "c")
    index.tree.git.reset(two, pygit2.enums.ResetMode.HARD)
    assert await index.places("where_defined", "c") == ["b.py:2"]


async def test_a_query_refreshes_first_when_head_moved_and_stamps_its_answer(index):
    index.tree.commit(A)
    await index.refresh()
    sha = index.tree.commit({"n.py": "def newcomer(): ...\n"})
    answer = await index.ask("where_defined", "newcomer")
    assert answer.stamp.indexed_commit == answer.stamp.head_commit == sha
    assert (answer.stamp.is_fresh, answer.stamp.lag_s, answer.stamp.dirty_paths) == (True, 0, ())


async def test_renames_and_deletions_leave_no_trace_of_the_old_path(index):
    index.tree.commit({**A, "gone.py": "def vanished(): ...\n"})
    await index.refresh()
    index.tree.remove("gone.py", "a.py")
    index.tree.commit({"moved.py": A["a.py"]})
    assert await index.callers("first") == {"moved.py:5": "exact"}
    assert (await index.ask("search", "vanished")).hits == ()


async def test_an_incremental_index_answers_like_a_clean_one(index, tmp_path):
    texts = [
        {"m.py": "def run(): ...\n", "u.py": "from m import run\nrun()\n"},
        {"m.py": "def walk(): ...\n", "n.py": "def run(): ...\n"},
        {"u.py": "from n import run as r\nr()\n"},
        {"m.py": "from n import run\n", "v.py": "from m import run\nrun()\n"},
    ]
    for number, files in enumerate(texts):
        index.tree.commit(files)
        clean = open_vector_ops(tmp_path / f"clean-{number}", SystemClock())
        other = Index(clean.service, index.tree)
        for one in (index, other):
            await one.refresh()
            one.service.tend_now(one.repo)
        for kind, text in (("who_calls", "run"), ("impact_set", "run"), ("search", "run walk")):
            assert (await index.ask(kind, text)).hits == (await other.ask(kind, text)).hits
        clean.close()


async def test_dirty_untracked_and_deleted_files_are_answered_as_they_are_on_disk(index):
    index.tree.commit({**A, "b.py": "from a import first\nfirst()\n", ".gitignore": "ignored.py\n"})
    await index.refresh()
    index.tree.write(
        {"a.py": "\ndef first(): ...\n", "new.py": "from a import first\n\nfirst()\n", "ignored.py": "first()\n"}
    )
    index.tree.remove("b.py")
    answer = await index.ask("who_calls", "first")
    assert [f"{hit.path}:{hit.line}" for hit in answer.hits] == ["new.py:3"]
    assert answer.hits[0].snippet == "first()"
    assert set(answer.stamp.dirty_paths) == {"a.py", "b.py", "new.py"}
    assert answer.stamp.is_fresh
    assert await index.places("where_defined", "first") == ["a.py:2"]


async def test_the_overlay_follows_every_further_edit_and_goes_with_the_commit(index):
    index.tree.commit(A)
    for name in ("alpha", "beta"):
        index.tree.write({"n.py": f"def {name}(): ...\n"})
        assert await index.places("where_defined", name) == ["n.py:1"]
    with pytest.raises(SymbolNotFoundError):
        await index.ask("where_defined", "alpha")
    index.tree.commit()
    answer = await index.ask("where_defined", "beta")
    assert answer.stamp.dirty_paths == ()


async def test_search_ranks_uncommitted_files_on_the_scale_of_committed_ones(index):
    filler = {f"f{number}.py": f"def other_{number}(): ...\n" for number in range(10)}
    index.tree.commit({**filler, "rates.py": 'def convert(x):\n    """Exchange currency rates."""\n'})
    index.tree.write({"fresh.py": 'def swap(x):\n    """Exchange currency rates for money, currency by currency."""\n'})
    hits = (await index.ask("search", "exchange currency")).hits
    assert {hit.path for hit in hits} == {"fresh.py", "rates.py"}
    assert max(hit.score for hit in hits) < 3 * min(hit.score for hit in hits)


async def test_search_finds_words_in_camel_and_snake_case_and_shows_tests_last(index):
    index.tree.commit(
        {
            "tests/test_retry.py": "def test_retry_policy():\n    '''Retry policy backoff.'''\n",
            "net.py": "import os\n\n\nclass RetryPolicy:\n    '''Backoff between attempts.'''\n",
            "notes.md": "# Nothing\n",
        }
    )
    hits = (await index.ask("search", "where is the retry policy with backoff?")).hits
    assert [(hit.path, hit.line, hit.symbol) for hit in hits] == [
        ("net.py", 4, "RetryPolicy"),
        ("tests/test_retry.py", 1, "test_retry_policy"),
    ]


@pytest.mark.parametrize("text", ["???", ".*[", "a" * 20_000, "'\" OR 1=1 --", "\x00", "ünïcödé", "NEAR(a b) AND *"])
async def test_odd_words_are_searched_for_without_an_error(index, text):
    index.tree.commit(A)
    assert (await index.ask("search", text)).stamp.is_fresh


@pytest.mark.parametrize("text", [" ", "\n\t"])
@pytest.mark.parametrize("kind", list(QueryKind))
async def test_an_empty_query_is_refused(index, kind, text):
    index.tree.commit(A)
    with pytest.raises(InvalidRequestError, match="the query is empty"):
        await index.ask(kind, text)


@pytest.mark.parametrize("text", ["a b", ".*", "def", "1x", "../../etc/passwd", "a..b"])
async def test_what_is_no_symbol_is_refused_in_one_line(index, text):
    index.tree.commit(A)
    with pytest.raises((InvalidRequestError, SymbolNotFoundError)) as caught:
        await index.ask("who_calls", text)
    assert "\n" not in caught.value.detail


async def test_a_folder_without_git_and_a_missing_folder_are_refused(index, tmp_path):
    for repo in (tmp_path, tmp_path / "missing", "/dev/null", "\x00"):
        with pytest.raises(UnindexableError) as caught:
            await index.service.refresh(ENGINEER, RefreshRequest(repo=str(repo)))
        assert "\n" not in caught.value.detail


async def test_a_repository_without_a_commit_is_refused(index):
    for action in (index.refresh(), index.ask("search", "x"), index.service.snapshot(ENGINEER, index.repo)):
        with pytest.raises(UnindexableError, match="no commit yet"):
            await action


async def test_a_detached_head_and_a_subfolder_work(index):
    sha = index.tree.commit({"pkg/a.py": A["a.py"]})
    index.tree.git.set_head(pygit2.Oid(hex=sha))
    query = IndexQuery(repo=str(index.tree.root / "pkg"), kind=QueryKind.WHERE_DEFINED, text="first")
    assert (await index.service.query(ENGINEER, query)).hits[0].path == "pkg/a.py"


async def test_symlinks_are_never_followed(index, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.py").write_text("def stolen(): ...\n")
    index.tree.commit({"pkg/secret.py": "def ours(): ...\n"})
    await index.refresh()
    index.tree.remove("pkg/secret.py")
    (index.tree.root / "pkg").rmdir()
    (index.tree.root / "pkg").symlink_to(tmp_path / "outside")
    (index.tree.root / "link.py").symlink_to(tmp_path / "outside" / "secret.py")
    os.mkfifo(index.tree.root / "pipe.py")
    for _ in range(2):
        with pytest.raises(SymbolNotFoundError):
            await index.ask("where_defined", "stolen")
        with pytest.raises(SymbolNotFoundError):
            await index.ask("where_defined", "ours")
        index.tree.commit()


async def test_unreadable_contents_are_left_out_and_the_rest_is_indexed(index):
    odd = {
        "bin.py": b"def bin_one():\0",
        "latin.py": b"# caf\xe9\ndef latin_one(): ...\n",
        "big.py": b"def big_one(): ...\n" + b"#" * 1_000_000,
    }
    index.tree.commit({**A, **odd})
    assert await index.places("where_defined", "first") == ["a.py:1"]
    for name in ("bin_one", "latin_one", "big_one"):
        with pytest.raises(SymbolNotFoundError):
            await index.ask("where_defined", name)
    snapshot = await index.service.snapshot(READER, index.repo)
    assert (snapshot.files, snapshot.symbols) == (4, 2)


async def test_another_user_s_repository_can_be_read(index):
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository to another user")
    index.tree.commit(A)
    for folder, _, files in os.walk(index.tree.root):
        for name in [".", *files]:
            os.chown(Path(folder) / name, 1234, 1234)
    assert await index.places("where_defined", "first") == ["a.py:1"]


async def test_the_scopes_are_checked_in_core(index):
    index.tree.commit(A)
    with pytest.raises(ScopeMissingError):
        await index.service.refresh(READER, RefreshRequest(repo=index.repo))
    with pytest.raises(ScopeMissingError):
        await index.service.snapshot(NOBODY, index.repo)
    with pytest.raises(ScopeMissingError):
        await index.service.query(NOBODY, IndexQuery(repo=index.repo, kind=QueryKind.SEARCH, text="x"))


@pytest.mark.parametrize("damage", ["garbage", "foreign", "older", "truncated", "empty"])
async def test_an_unusable_index_is_set_aside_and_rebuilt(index, index_dir, damage):
    index.tree.commit(A)
    await index.refresh()
    index.service.close()
    path = file_of(index, index_dir)
    damage_file(path, damage)
    parts = open_vector_ops(index_dir, SystemClock())
    report = await Index(parts.service, index.tree).refresh()
    assert report.outcome == "refreshed"
    assert "set aside" in report.note
    assert await Index(parts.service, index.tree).callers("first") == {"a.py:5": "exact"}
    parts.close()


def damage_file(path, damage):
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if damage == "garbage":
        path.write_bytes(b"not a database at all" * 1_000)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        if damage == "foreign":
            path.unlink()
        with sqlite3.connect(path) as connection:
            if damage == "foreign":
                connection.execute("CREATE TABLE theirs (x)")
            else:
                connection.execute("PRAGMA user_version = 1")
        connection.close()


async def test_pages_damaged_under_an_open_index_are_found_and_the_index_is_rebuilt(index, index_dir):
    index.tree.commit({f"m{n}.py": f"def f{n}():\n    f{n}()\n" * 30 for n in range(60)})
    await index.refresh()
    path = file_of(index, index_dir)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (size - 8192))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    index.tree.commit({"late.py": "def late(): ...\n"})
    report = await index.refresh()
    assert "set aside" in report.note
    assert await index.places("where_defined", "late") == ["late.py:1"]


async def test_while_another_process_writes_refresh_is_busy_and_queries_answer_from_what_there_is(index, index_dir):
    index.tree.commit(A)
    await index.refresh()
    old = (await index.ask("search", "first")).stamp.indexed_commit
    parts = create_service(VectorOpsSettings(index_dir=index_dir, lock_wait_s=0), SystemClock())
    busy = Index(parts.service, index.tree)
    new = index.tree.commit({"b.py": "b = 1\n"})
    with file_of(index, index_dir).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(IndexBusyError, match="another process is writing"):
            await busy.refresh()
        stamp = (await busy.ask("search", "first")).stamp
    assert (stamp.indexed_commit, stamp.head_commit, stamp.is_fresh) == (old, new, False)
    assert stamp.lag_s >= 0
    assert (await busy.ask("search", "first")).stamp.is_fresh
    parts.close()


async def test_refreshes_and_queries_at_the_same_time_agree(index):
    index.tree.commit({f"m{number}.py": f"def f{number}(): ...\n" for number in range(30)})
    reports = await asyncio.gather(
        *(index.refresh() for _ in range(4)), *(index.places("where_defined", "f7") for _ in range(4))
    )
    assert [report.outcome for report in reports[:4]].count("refreshed") <= 1
    assert reports[4:] == [["m7.py:1"]] * 4


async def test_a_refresh_that_is_stopped_rolls_back_and_is_done_again_later(index, index_dir):
    index.tree.commit(A)
    index.service.close()
    with pytest.raises(IndexingStoppedError):
        await index.refresh()
    parts = open_vector_ops(index_dir, SystemClock())
    assert (await Index(parts.service, index.tree).refresh()).outcome == "refreshed"
    parts.close()


async def test_a_snapshot_counts_what_the_index_holds_with_the_overlay(index):
    sha = index.tree.commit(A)
    index.tree.write({"n.py": "x = 1\n"})
    snapshot = await index.service.snapshot(READER, index.repo)
    assert (snapshot.files, snapshot.symbols, snapshot.references) == (2, 3, 1)  # one edge: the call
    assert (snapshot.stamp.indexed_commit, snapshot.stamp.dirty_paths) == (sha, ("n.py",))


async def test_the_limit_cuts_and_says_so(index):
    index.tree.commit({"a.py": "def f(): ...\n" + "f()\n" * 9})
    answer = await index.ask("who_calls", "f", limit=4)
    assert (len(answer.hits), answer.is_truncated) == (4, True)


async def test_files_that_no_lane_may_read_are_never_indexed(index):
    secret = {
        ".env.prod": "TOKEN=hunter2\n",
        "secrets/db.txt": "hunter2\n",
        "deploy/site.pem": "hunter2\n",
        "a.key": "hunter2",
    }
    index.tree.commit({**A, **secret})
    assert (await index.ask("search", "hunter2")).hits == ()
    index.tree.write({".env": "hunter2\n", "secrets/db.txt": "hunter2 again\n"})
    assert (await index.ask("search", "hunter2")).hits == ()


async def test_an_index_folder_that_cannot_be_made_is_one_clear_line(index, tmp_path):
    index.tree.commit(A)
    (tmp_path / "file").write_text("")
    parts = open_vector_ops(tmp_path / "file", SystemClock())
    with pytest.raises(IndexUnwritableError, match="cannot be written"):
        await Index(parts.service, index.tree).refresh()
    parts.close()


async def test_a_submodule_at_another_commit_is_passed_over(index):
    index.tree.commit(A)
    inner = SourceTree(index.tree.root / "lib")
    commit = inner.commit({"x.py": "def of_the_submodule(): ...\n"})
    index.tree.write({".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ./lib\n'})
    staged = index.tree.git.index
    staged.add(pygit2.IndexEntry("lib", pygit2.Oid(hex=commit), pygit2.enums.FileMode.COMMIT))
    staged.write()
    inner.commit({"y.py": "y = 1\n"})
    answer = await index.ask("where_defined", "first")
    assert answer.stamp.dirty_paths == (".gitmodules",)
    with pytest.raises(SymbolNotFoundError):
        await index.ask("where_defined", "of_the_submodule")


async def test_thousands_of_untracked_files_are_cut_and_the_answer_says_so(index):
    index.tree.commit({**A, "z.py": "z = 1\n"})
    index.tree.write({f"junk/{number:04}.txt": "" for number in range(MAX_FILES + 1)})
    index.tree.write({"z.py": "def edited(): ...\n"})
    answer = await index.ask("where_defined", "edited")
    assert [hit.path for hit in answer.hits] == ["z.py"]
    assert (answer.is_truncated, len(answer.stamp.dirty_paths)) == (True, MAX_FILES)


async def test_a_query_that_takes_longer_than_its_budget_is_ended_in_one_line(index, index_dir):
    index.tree.commit({"a.py": "def f(): ...\n" + "f()\n" * 20_000})
    parts = create_service(VectorOpsSettings(index_dir=index_dir, query_budget_s=0.000_001), SystemClock())
    slow = Index(parts.service, index.tree)
    await slow.refresh()
    with pytest.raises(DeadlineExceededError, match="took longer than"):
        await slow.ask("who_calls", "f")
    parts.close()
    assert len((await index.ask("who_calls", "f")).hits) == 50


async def test_an_answer_is_not_held_up_by_the_cycle_collector(index):
    names = [f"m{number}.py" for number in range(40)]
    index.tree.commit({name: "".join(f"def work_{at}():\n    return {at}\n\n\n" for at in range(30)) for name in names})
    query = IndexQuery(repo=index.repo, kind=QueryKind.REPO_MAP, text="work")
    index.service.query_now(query)
    passes = []
    thresholds = gc.get_threshold()
    gc.callbacks.append(lambda phase, _info: passes.append(phase))
    gc.set_threshold(20, 1, 1)
    try:
        index.service.query_now(query)
        assert gc.isenabled()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.pop()
    assert len(passes) < 20, "hundreds when the collector runs while the answer is made"
