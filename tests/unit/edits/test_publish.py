import os
import subprocess
from datetime import UTC, datetime

import pytest

from services.edits.errors import BranchExistsError, GitFailedError, UnreadablePathError
from services.edits.models import Publication
from services.kernel.errors import InvalidRequestError
from services.kernel.ids import RunId

NUMBERS = "".join(f"{number}\n" for number in range(1, 41))
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = RunId("run-1")


def publish(bench, snapshot, result, moment=MOMENT):
    return bench.open().publish(RUN, snapshot, result, "Rename a thing", "Because.", moment=moment)


def test_branch_holds_the_runs_hunks_and_none_of_the_users_edits(bench):
    bench.write("numbers.txt", NUMBERS.replace("3\n", "mine\n", 1))
    bench.write("notes.md", "mine\n")
    before = bench.state()
    snapshot = bench.open().take_snapshot()
    edited = NUMBERS.replace("3\n", "mine\n", 1).replace("30\n", "run\n")
    result = bench.run(snapshot, {"numbers.txt": edited, "new.py": "new\n", "notes.md": "improved\n"})
    publication = publish(bench, snapshot, result)
    assert bench.state() == before
    assert (publication.branch, publication.is_on_head, publication.conflicts) == ("direng/run-1", True, ())
    assert publication.left_out == ("notes.md",)
    assert bench.git("show", "direng/run-1:numbers.txt") == NUMBERS.replace("30\n", "run\n")
    assert bench.git("diff", "--name-only", "main", "direng/run-1").split() == ["new.py", "numbers.txt"]
    assert bench.git("log", "-1", "--format=%an|%at|%B", "direng/run-1").strip() == (
        f"Uma User|{int(MOMENT.timestamp())}|Rename a thing\n\nBecause."
    )
    assert Publication.from_json(publication.to_json()) == publication


def test_base_and_result_survive_garbage_collection_in_the_users_repository(bench):
    bench.write("notes.md", "untracked and precious\n")
    snapshot = bench.open().take_snapshot()
    publish(bench, snapshot, bench.run(snapshot, {"src/other.py": "x = 2\n"}))
    bench.git("gc", "-q", "--prune=now")
    assert bench.git("show", "refs/direng/run-1/snapshot:notes.md") == "untracked and precious\n"
    assert bench.git("show", "refs/direng/run-1/result:src/other.py") == "x = 2\n"
    assert bench.git("fsck", "--strict", "--no-dangling") == ""


def test_publishing_twice_gives_the_same_commit(bench):
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": "x = 2\n"})
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert publish(bench, snapshot, result) == publish(bench, snapshot, result, later)


def test_overlap_with_uncommitted_edits_gives_no_branch_and_names_the_file(bench):
    bench.write("numbers.txt", NUMBERS.replace("3\n", "mine\n", 1))
    snapshot = bench.open().take_snapshot()
    publication = publish(bench, snapshot, bench.run(snapshot, {"numbers.txt": NUMBERS.replace("3\n", "run\n", 1)}))
    assert (publication.branch, publication.commit, publication.is_on_head) == (None, None, False)
    assert publication.conflicts == ("numbers.txt",)
    assert "direng/run-1" not in bench.git("branch")
    assert bench.git("show", "refs/direng/run-1/result:numbers.txt").startswith("1\n2\nrun\n")


def test_branch_with_other_work_is_not_overwritten(bench):
    snapshot = bench.open().take_snapshot()
    bench.git("branch", "direng/run-1")
    with pytest.raises(BranchExistsError):
        publish(bench, snapshot, bench.run(snapshot, {"src/other.py": "x = 2\n"}))
    assert bench.git("rev-parse", "direng/run-1") == bench.git("rev-parse", "main")


def test_run_id_that_makes_no_branch_name_is_refused(bench):
    snapshot = bench.open().take_snapshot()
    with pytest.raises(InvalidRequestError, match="branch name"):
        bench.open().publish(RunId("a..b"), snapshot, snapshot.snapshot_tree, "t", "", moment=MOMENT)


def test_author_falls_back_to_direng(bench, monkeypatch):
    bench.git("config", "--unset", "user.name")
    monkeypatch.setattr("services.edits.user_git._global_files", lambda _owner: ())
    monkeypatch.setattr("services.edits.user_git._configured", lambda _config: ("", ""))
    snapshot = bench.open().take_snapshot()
    publish(bench, snapshot, bench.run(snapshot, {"src/other.py": "x = 2\n"}))
    assert bench.git("log", "-1", "--format=%an <%ae>", "direng/run-1") == "DirEng <direng@localhost>\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the repository belongs to somebody else")
def test_root_server_leaves_everything_in_the_users_hands(bench, tmp_path):
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    subprocess.run(["chown", "-R", "65534:65534", str(bench.root)], check=True)
    snapshot = bench.open().take_snapshot()
    files = {"src/other.py": "x = 2\n", "deep/new.py": "n\n", "numbers.txt": None}
    result = bench.run(snapshot, files)
    publish(bench, snapshot, result)
    bench.accept(snapshot, result)
    everything = (file.lstat() for file in bench.root.rglob("*"))
    foreign = [about for about in everything if (about.st_uid, about.st_gid) != (65534, 65534)]
    assert foreign == []
    assert os.lstat(bench.open().store_git_dir).st_uid == 0
    bench.open().undo(RUN, bench.journal())
    assert bench.root.joinpath("numbers.txt").stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the repository belongs to somebody else")
def test_root_server_is_not_led_out_of_the_repository_by_a_planted_link(bench, tmp_path):
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    subprocess.run(["chown", "-R", "65534:65534", str(bench.root)], check=True)
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": "x = 2\n"})
    vault = tmp_path / "vault"
    vault.mkdir(mode=0o700)
    objects = bench.root / ".git/objects"
    objects.rename(bench.root / ".git/moved")
    objects.symlink_to(bench.root / ".git/moved")
    refs = bench.root / ".git/refs/heads/direng"
    refs.symlink_to(vault)
    with pytest.raises((GitFailedError, UnreadablePathError)):
        publish(bench, snapshot, result)
    assert list(vault.iterdir()) == []
