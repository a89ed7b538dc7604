import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.edits.errors import (
    AlreadyAcceptedError,
    HeadMovedError,
    IndexLockedError,
    MergeConflictError,
    NothingToAcceptError,
    NothingToUndoError,
    OperationInProgressError,
    WorktreeChangedError,
)
from services.edits.models import Acceptance
from services.kernel.ids import RunId

NUMBERS = "".join(f"{number}\n" for number in range(1, 41))
RUN = RunId("run-1")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def swap(text: str, **words: str) -> str:
    """Replace whole lines: swap(NUMBERS, _3="three")."""
    lines = text.splitlines()
    for key, word in words.items():
        lines[lines.index(key.lstrip("_"))] = word
    return "\n".join(lines) + "\n"


def staged(bench, path):
    return bench.git("show", f":{path}")


def test_accept_commits_only_the_runs_hunks_and_keeps_staged_and_unstaged_edits(bench):
    bench.write("numbers.txt", swap(NUMBERS, _3="staged"))
    bench.git("add", "numbers.txt")
    bench.write("numbers.txt", swap(NUMBERS, _3="staged", _12="unstaged"))
    bench.write("notes.md", "mine\n")
    base = bench.head()
    snapshot = bench.open().take_snapshot()
    result = bench.run(
        snapshot,
        {
            "numbers.txt": swap(NUMBERS, _3="staged", _12="unstaged", _30="run"),
            "src/new.py": "new\n",
            "src/other.py": None,
        },
    )
    acceptance = bench.accept(snapshot, result)
    assert acceptance.paths == ("numbers.txt", "src/new.py", "src/other.py")
    assert bench.head() == acceptance.commit
    assert bench.git("rev-parse", "HEAD^").strip() == base
    assert bench.git("show", "HEAD:numbers.txt") == swap(NUMBERS, _30="run")
    assert staged(bench, "numbers.txt") == swap(NUMBERS, _3="staged", _30="run")
    assert bench.root.joinpath("numbers.txt").read_text() == swap(NUMBERS, _3="staged", _12="unstaged", _30="run")
    assert bench.git("status", "--porcelain") == "MM numbers.txt\n?? notes.md\n"
    assert bench.git("log", "-1", "--format=%an <%ae> %s") == "Uma User <uma@example.org> Accept\n"
    assert bench.git("fsck", "--strict", "--no-dangling") == ""
    assert Acceptance.from_json(acceptance.to_json()) == acceptance
    assert "direng: run-1" in bench.git("reflog", "-1")


def test_undo_restores_head_index_and_files_and_keeps_later_edits_elsewhere(bench):
    bench.write("numbers.txt", swap(NUMBERS, _3="staged"))
    bench.git("add", "numbers.txt")
    bench.root.joinpath("src/other.py").chmod(0o600)
    before = bench.state()
    snapshot = bench.open().take_snapshot()
    files = {"numbers.txt": swap(NUMBERS, _3="staged", _30="run"), "deep/er/new.py": "n\n", "src/other.py": None}
    bench.accept(snapshot, bench.run(snapshot, files))
    bench.open().undo(RUN, bench.journal())
    assert bench.state() == before
    assert not bench.root.joinpath("deep").exists()

    bench.accept(snapshot, bench.run(snapshot, files))
    bench.write("src/tool.py", "later edit\n")
    bench.open().undo(RUN, bench.journal())
    assert bench.root.joinpath("src/tool.py").read_text() == "later edit\n"
    assert bench.git("status", "--porcelain") == "M  numbers.txt\n M src/tool.py\n"


@pytest.mark.parametrize("touch", ["edit", "stage", "commit"])
def test_undo_of_something_touched_since_changes_nothing(bench, touch):
    snapshot = bench.open().take_snapshot()
    bench.accept(snapshot, bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _30="run")}))
    if touch == "edit":
        bench.write("numbers.txt", swap(NUMBERS, _30="run", _1="mine"))
    elif touch == "stage":
        bench.write("numbers.txt", swap(NUMBERS, _30="run", _1="mine"))
        bench.git("add", "numbers.txt")
        bench.write("numbers.txt", swap(NUMBERS, _30="run"))
    else:
        bench.git("commit", "-q", "--allow-empty", "-m", "mine")
    before = bench.state()
    with pytest.raises(HeadMovedError if touch == "commit" else WorktreeChangedError):
        bench.open().undo(RUN, bench.journal())
    assert bench.state() == before


def test_undo_of_an_unknown_run_and_second_accept_are_refused(bench):
    with pytest.raises(NothingToUndoError):
        bench.open().undo(RUN, bench.journal())
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": "x = 2\n"})
    bench.accept(snapshot, result)
    before = bench.state()
    with pytest.raises(AlreadyAcceptedError):
        bench.accept(snapshot, result)
    assert bench.state() == before
    bench.open().undo(RUN, bench.journal())
    with pytest.raises(NothingToUndoError):
        bench.open().undo(RUN, bench.journal())


def test_untracked_file_that_the_run_changed_changes_on_disk_only(bench):
    bench.write("notes.md", "mine\n")
    head = bench.head()
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"notes.md": "mine, improved\n"})
    acceptance = bench.accept(snapshot, result)
    assert acceptance.commit is None
    assert bench.head() == head
    assert bench.root.joinpath("notes.md").read_text() == "mine, improved\n"
    assert bench.git("status", "--porcelain") == "?? notes.md\n"
    bench.open().undo(RUN, bench.journal())
    assert bench.root.joinpath("notes.md").read_text() == "mine\n"


def check_refused(bench, snapshot, result, error, match=None):
    before = bench.state()
    with pytest.raises(error, match=match):
        bench.accept(snapshot, result)
    assert bench.state() == before
    assert bench.journal().read(RUN) is None


def test_overlap_with_edits_that_were_there_before_is_refused(bench):
    bench.write("numbers.txt", swap(NUMBERS, _3="mine"))
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _3="run")})
    check_refused(bench, snapshot, result, MergeConflictError, "numbers.txt")


def test_edit_of_the_same_lines_after_the_snapshot_is_refused(bench):
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _3="run"), "src/other.py": "x = 2\n"})
    bench.write("numbers.txt", swap(NUMBERS, _3="mine"))
    check_refused(bench, snapshot, result, WorktreeChangedError, "numbers.txt")


def test_edit_of_other_lines_after_the_snapshot_is_kept(bench):
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _3="run")})
    bench.write("numbers.txt", swap(NUMBERS, _30="mine"))
    bench.accept(snapshot, result)
    assert bench.root.joinpath("numbers.txt").read_text() == swap(NUMBERS, _3="run", _30="mine")
    assert bench.git("show", "HEAD:numbers.txt") == swap(NUMBERS, _3="run")


@pytest.mark.parametrize("how", ["commit", "switch", "amend"])
def test_moved_head_is_refused(bench, how):
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": "x = 2\n"})
    if how == "commit":
        bench.git("commit", "-q", "--allow-empty", "-m", "mine")
    elif how == "switch":
        bench.git("switch", "-q", "-c", "side")
    else:
        bench.git("commit", "-q", "--amend", "-m", "other words")
    check_refused(bench, snapshot, result, HeadMovedError)


def test_unmerged_index_and_held_lock_are_refused(bench):
    bench.git("switch", "-q", "-c", "side")
    bench.write("src/other.py", "x = 'side'\n")
    bench.commit()
    bench.git("switch", "-q", "main")
    bench.write("src/other.py", "x = 'main'\n")
    bench.commit()
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _3="run")})
    lock = bench.write(".git/index.lock", "somebody else's")
    check_refused(bench, snapshot, result, IndexLockedError)
    assert lock.read_text() == "somebody else's"
    lock.unlink()
    with pytest.raises(Exception, match="returned non-zero"):
        bench.git("merge", "side")
    check_refused(bench, snapshot, result, OperationInProgressError)


@pytest.mark.parametrize("obstacle", ["file", "ignored", "folder", "parent_is_file", "fifo", "parent_is_link"])
def test_new_file_that_meets_something_is_refused(bench, obstacle):
    new = "box/made.py"
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {new: "run\n"})
    if obstacle in {"file", "ignored"}:
        bench.write(".git/info/exclude", "made.py\n" if obstacle == "ignored" else "")
        bench.write(new, "mine\n")
    elif obstacle == "folder":
        bench.write(f"{new}/inner.o", "mine\n")
    elif obstacle == "parent_is_file":
        bench.write("box", "mine\n")
    elif obstacle == "fifo":
        bench.root.joinpath("box").mkdir()
        os.mkfifo(bench.root / new)
    else:
        bench.base.joinpath("outside").mkdir()
        bench.root.joinpath("box").symlink_to(bench.base / "outside")
    check_refused(bench, snapshot, result, (WorktreeChangedError, MergeConflictError))
    if obstacle == "parent_is_link":
        assert list(bench.base.joinpath("outside").iterdir()) == []


def test_same_new_file_with_the_same_content_is_no_conflict(bench):
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"made.py": "same\n"})
    bench.write("made.py", "same\n")
    bench.accept(snapshot, result)
    assert bench.git("status", "--porcelain") == ""


def test_deleting_a_file_that_the_user_edited_is_refused(bench):
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": None})
    bench.write("src/other.py", "x = 'mine'\n")
    check_refused(bench, snapshot, result, WorktreeChangedError)


def test_run_that_changed_nothing_is_refused(bench):
    snapshot = bench.open().take_snapshot()
    check_refused(bench, snapshot, snapshot.snapshot_tree, NothingToAcceptError)


def test_renames_type_changes_modes_and_links_are_applied_and_undone(bench):
    before = bench.state()
    snapshot = bench.open().take_snapshot()
    folder = bench.export(snapshot.snapshot_tree)
    folder.joinpath("numbers.txt").rename(folder / "figures.txt")
    folder.joinpath("link").unlink()
    folder.joinpath("link").symlink_to("figures.txt")
    folder.joinpath("src/tool.py").chmod(0o644)
    folder.joinpath("crlf.txt").unlink()
    folder.joinpath("crlf.txt").mkdir()
    folder.joinpath("crlf.txt/inner").write_text("a file became a folder\n")
    folder.joinpath("src/other.py").unlink()
    folder.joinpath("src/tool.py").rename(folder / "tool.tmp")
    folder.joinpath("src").rmdir()
    folder.joinpath("tool.tmp").rename(folder / "src")
    result = bench.open().import_tree(folder, snapshot.snapshot_tree).tree
    bench.accept(snapshot, result)
    assert bench.git("status", "--porcelain") == ""
    assert bench.git("rev-parse", "HEAD^{tree}").strip() == result
    assert bench.root.joinpath("link").readlink() == Path("figures.txt")
    bench.open().undo(RUN, bench.journal())
    assert bench.state() == before


def test_checkout_with_crlf_on_disk_and_lf_in_git_takes_the_hunks_everywhere(bench):
    bench.git("config", "core.autocrlf", "true")
    bench.write("numbers.txt", NUMBERS.replace("\n", "\r\n"))
    bench.git("add", "numbers.txt")
    assert bench.git("status", "--porcelain", "numbers.txt") == ""
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _3="run").replace("\n", "\r\n")})
    bench.accept(snapshot, result)
    assert bench.git("cat-file", "blob", "HEAD:numbers.txt") == swap(NUMBERS, _3="run")
    assert bench.root.joinpath("numbers.txt").read_bytes().decode() == swap(NUMBERS, _3="run").replace("\n", "\r\n")
    assert bench.git("status", "--porcelain", "numbers.txt") == ""


def test_sparse_checkout_stays_sparse(bench):
    bench.git("sparse-checkout", "set", "--no-cone", "/*", "!src/")
    snapshot = bench.open().take_snapshot()
    bench.accept(snapshot, bench.run(snapshot, {"numbers.txt": swap(NUMBERS, _3="run"), "new.txt": "n\n"}))
    assert bench.git("status", "--porcelain") == ""
    assert not bench.root.joinpath("src").exists()
    assert "S src/other.py" in bench.git("ls-files", "-t")


def test_version_4_index_and_its_extensions_stay_readable(bench):
    bench.git("update-index", "--index-version", "4", "--force-untracked-cache")
    bench.git("status")
    snapshot = bench.open().take_snapshot()
    bench.accept(snapshot, bench.run(snapshot, {"numbers.txt": None, "a/b/c/new.txt": "n\n"}))
    assert bench.git("status", "--porcelain") == ""
    bench.git("write-tree")


def test_accept_in_a_linked_worktree_changes_that_one_only(bench):
    linked = bench.base / "linked"
    bench.git("worktree", "add", "-q", str(linked), "-b", "side")
    main = bench.state()
    user = bench.open(linked)
    snapshot = user.take_snapshot()
    folder = bench.new_folder()
    user.export_tree(snapshot.snapshot_tree, folder)
    folder.joinpath("numbers.txt").write_text(swap(NUMBERS, _3="run"))
    result = user.import_tree(folder, snapshot.snapshot_tree).tree
    acceptance = user.accept(RUN, snapshot, result, "Accept", bench.journal(), moment=MOMENT)
    assert bench.git("rev-parse", "side").strip() == acceptance.commit
    assert bench.git("-C", str(linked), "status", "--porcelain") == ""
    assert bench.state() == main


LINES = 40


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    staged=st.sets(st.integers(0, LINES - 1), max_size=3),
    unstaged=st.sets(st.integers(0, LINES - 1), max_size=3),
    later=st.sets(st.integers(0, LINES - 1), max_size=2),
    run=st.sets(st.integers(0, LINES - 1), min_size=1, max_size=4),
)
def test_accept_is_all_of_the_run_and_none_of_the_user_or_nothing(bench, staged, unstaged, later, run):
    def edit(lines, numbers, who):
        return [f"{who}{number}" if number in numbers else line for number, line in enumerate(lines)]

    def join(lines):
        return "".join(f"{line}\n" for line in lines)

    bench.git("reset", "-q", "--hard")
    original = [f"line{number}" for number in range(LINES)]
    bench.write("lines.txt", join(original))
    if bench.git("status", "--porcelain", "lines.txt"):
        bench.commit()
    in_index = edit(original, staged, "staged")
    on_disk = edit(in_index, unstaged, "unstaged")
    bench.write("lines.txt", join(in_index))
    bench.git("add", "lines.txt")
    bench.write("lines.txt", join(on_disk))
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"lines.txt": join(edit(on_disk, run, "run"))})
    now = edit(on_disk, later, "later")
    bench.write("lines.txt", join(now))
    before = bench.state()
    touched = staged | unstaged | later
    try:
        bench.accept(snapshot, result)
    except (MergeConflictError, WorktreeChangedError):
        assert bench.state() == before
        assert any(abs(mine - theirs) <= 1 for mine in touched for theirs in run)
        return
    assert bench.git("show", "HEAD:lines.txt") == join(edit(original, run, "run"))
    assert staged_text(bench) == join(edit(in_index, run, "run"))
    assert bench.root.joinpath("lines.txt").read_text() == join(edit(now, run, "run"))
    bench.open().undo(RUN, bench.journal())
    assert bench.state() == before


def staged_text(bench):
    return bench.git("show", ":lines.txt")


def test_file_modes_of_the_user_survive(bench):
    bench.root.joinpath("src/other.py").chmod(0o600)
    bench.root.joinpath("src/tool.py").chmod(0o750)
    snapshot = bench.open().take_snapshot()
    bench.accept(snapshot, bench.run(snapshot, {"src/other.py": "x = 2\n", "src/tool.py": "y\n"}))
    assert bench.root.joinpath("src/other.py").stat().st_mode & 0o777 == 0o600
    assert bench.root.joinpath("src/tool.py").stat().st_mode & 0o777 == 0o750


def test_hunks_on_the_git_metadata_never_reach_the_user(bench):
    snapshot = bench.open().take_snapshot()
    folder = bench.export(snapshot.snapshot_tree)
    Path(folder, ".git").write_text("gitdir: /tmp/evil\n")
    Path(folder, "src/.GIT").mkdir()
    Path(folder, "src/.GIT/config").write_text("[core]\n")
    Path(folder, "src/other.py").write_text("x = 2\n")
    imported = bench.open().import_tree(folder, snapshot.snapshot_tree)
    assert [dropped.path for dropped in imported.dropped] == ["src/.GIT"]
    assert bench.accept(snapshot, imported.tree).paths == ("src/other.py",)
