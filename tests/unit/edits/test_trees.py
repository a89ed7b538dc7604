import os
import socket
import subprocess

import pytest

from services.edits import capture
from services.edits.disk import Disk
from services.edits.disk_writer import DiskWriter
from services.edits.errors import MissingObjectError, TreeTooLargeError, UnsafePathError, WorktreeChangedError
from services.edits.models import ChangeStatus, DropReason
from services.edits.tree import MODE_FILE, TreeEntry, read_tree, write_tree
from services.kernel.ids import GitOid

NUMBERS = "".join(f"{number}\n" for number in range(1, 41))


def tree_of(bench, files):
    store = bench.open().open_store()
    return write_tree(
        store,
        {
            path: data
            if isinstance(data, TreeEntry)
            else TreeEntry(MODE_FILE, store.write("blob", data.encode() if isinstance(data, str) else data))
            for path, data in files.items()
        },
    )


def files_of(bench, tree):
    store = bench.open().open_store()
    return {path: store.read(entry.oid).decode() for path, entry in read_tree(store, tree).items()}


def merge(bench, base, ours, theirs):
    return bench.open().merge_trees(tree_of(bench, base), tree_of(bench, ours), tree_of(bench, theirs))


def test_merge_takes_both_sides_changes(bench):
    base = {"both": NUMBERS, "ours": "1\n", "theirs": "1\n", "gone": "1\n", "same": "1\n"}
    ours = base | {"both": NUMBERS.replace("3\n", "three\n", 1), "ours": "2\n", "same": "2\n", "made_by_us": "1\n"}
    theirs = base | {"both": NUMBERS.replace("30\n", "thirty\n"), "theirs": "2\n", "same": "2\n", "d/made": "1\n"}
    del theirs["gone"]
    result = merge(bench, base, ours, theirs)
    assert result.conflicts == ()
    assert files_of(bench, result.tree) == {
        "both": NUMBERS.replace("3\n", "three\n", 1).replace("30\n", "thirty\n"),
        "ours": "2\n",
        "theirs": "2\n",
        "same": "2\n",
        "made_by_us": "1\n",
        "d/made": "1\n",
    }


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "conflicts"),
    [
        ({"a": "1\n"}, {"a": "2\n"}, {"a": "3\n"}, ("a",)),
        ({"a": "1\n"}, {"a": "2\n"}, {}, ("a",)),
        ({"a": "1\n"}, {}, {"a": "2\n"}, ("a",)),
        ({}, {"a": "1\n"}, {"a": "2\n"}, ("a",)),
        ({}, {"a": "1\n"}, {"a/b": "2\n"}, ("a/b",)),
        ({}, {"a/b": "1\n"}, {"a": "2\n"}, ("a",)),
        ({"a": b"\x00\x01"}, {"a": b"\x00\x02"}, {"a": b"\x00\x03"}, ("a",)),
    ],
)
def test_merge_names_every_conflict(bench, base, ours, theirs, conflicts):
    result = merge(bench, base | {"z": "1\n"}, ours | {"z": "1\n"}, theirs | {"z": "2\n"})
    assert (result.tree, result.conflicts) == (None, conflicts)


def test_diff_applies_with_git_and_gives_the_new_tree(bench):
    old = bench.open().take_snapshot()
    folder = bench.export(old.snapshot_tree)
    folder.joinpath("numbers.txt").rename(folder / "größe\nzwei.txt")
    folder.joinpath("crlf.txt").write_bytes(b"one\r\nTWO\r\n")
    folder.joinpath("latin.txt").write_bytes(b"caf\xe9\n")
    folder.joinpath("picture").write_bytes(bytes(range(256)) * 20)
    folder.joinpath("empty").write_bytes(b"")
    folder.joinpath("src/tool.py").chmod(0o644)
    folder.joinpath("src/other.py").unlink()
    folder.joinpath("link").unlink()
    folder.joinpath("link").symlink_to("elsewhere")
    new = bench.open().import_tree(folder, old.snapshot_tree).tree
    diff = bench.open().diff_trees(old.snapshot_tree, new)
    patch = bench.base / "change.patch"
    patch.write_bytes(diff.patch.encode())
    bench.git("apply", "--index", str(patch))
    assert bench.git("write-tree").strip() == new
    by_path = {change.path: change for change in diff.files}
    assert by_path["größe\nzwei.txt"].status is ChangeStatus.RENAMED
    assert by_path["größe\nzwei.txt"].old_path == "numbers.txt"
    assert (by_path["crlf.txt"].added, by_path["crlf.txt"].deleted) == (1, 1)
    assert by_path["latin.txt"].is_binary
    assert by_path["picture"].is_binary
    assert by_path["src/other.py"].status is ChangeStatus.DELETED


def test_diff_of_equal_trees_is_empty(bench):
    tree = bench.open().take_snapshot().base_tree
    assert bench.open().diff_trees(tree, tree).patch == ""


def test_import_follows_no_link_and_opens_no_special_file(bench, tmp_path):
    snapshot = bench.open().take_snapshot()
    folder = bench.export(snapshot.snapshot_tree)
    secret = tmp_path / "secret"
    secret.mkdir()
    secret.joinpath("other.py").write_text("secret")
    os.mkfifo(folder / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.chdir(folder)
        listener.bind("sock")
    finally:
        os.chdir(tmp_path)
        listener.close()
    folder.joinpath("src/other.py").unlink()
    folder.joinpath("src/tool.py").unlink()
    folder.joinpath("src").rmdir()
    folder.joinpath("src").symlink_to(secret)
    folder.joinpath("passwd").symlink_to("/etc/passwd")
    folder.joinpath("sub").mkdir()
    subprocess.run(["git", "init", "-q", str(folder / "sub")], check=True)
    folder.joinpath("__pycache__").mkdir()
    folder.joinpath("__pycache__/x.pyc").write_bytes(b"x")
    folder.joinpath("thing.o").write_bytes(b"ignored by the user's rules")
    imported = bench.open().import_tree(folder, snapshot.snapshot_tree)
    store = bench.open().open_store()
    entries = read_tree(store, imported.tree)
    assert store.read(entries["src"].oid) == os.fsencode(secret)
    assert store.read(entries["passwd"].oid) == b"/etc/passwd"
    assert not any(path.startswith("src/") for path in entries)
    assert {(dropped.path, dropped.reason) for dropped in imported.dropped} == {
        ("pipe", DropReason.SPECIAL_FILE),
        ("sock", DropReason.SPECIAL_FILE),
        ("sub/.git", DropReason.NESTED_GIT),
        ("__pycache__", DropReason.IGNORED),
        ("thing.o", DropReason.IGNORED),
    }


def test_no_folder_is_ever_reached_through_a_link(bench, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.joinpath("other.py").write_text("secret")
    bench.root.joinpath("linked").symlink_to(outside)
    disk = Disk(bench.root, bench.open().owner)
    assert disk.read_file("linked/other.py") is None
    assert disk.list_folder("linked") == []
    store = bench.open().open_store()
    writer = DiskWriter(disk, "test")
    for path in ("linked/new.py", "linked/deep/new.py"):
        with pytest.raises(WorktreeChangedError):
            writer.put(path, TreeEntry(MODE_FILE, store.write("blob", b"x")), b"x", None)
    with pytest.raises(WorktreeChangedError):
        writer.remove("linked/other.py")
    assert [file.name for file in outside.iterdir()] == ["other.py"]


def test_import_of_a_missing_or_linked_folder_is_no_empty_tree(bench, tmp_path):
    tree = bench.open().take_snapshot().base_tree
    tmp_path.joinpath("linked").symlink_to(bench.export(tree))
    for folder in (tmp_path / "absent", tmp_path / "linked"):
        with pytest.raises(UnsafePathError, match="no folder"):
            bench.open().import_tree(folder, tree)


def test_import_refuses_what_is_too_deep_or_too_large(bench, monkeypatch):
    snapshot = bench.open().take_snapshot()
    folder = bench.export(snapshot.snapshot_tree)
    monkeypatch.setattr(capture, "MAX_FILE_BYTES", 1000)
    folder.joinpath("new_and_large").write_bytes(b"x" * 1001)
    imported = bench.open().import_tree(folder, snapshot.snapshot_tree)
    assert [dropped.reason for dropped in imported.dropped] == [DropReason.TOO_LARGE]
    folder.joinpath("numbers.txt").write_bytes(b"x" * 1001)
    with pytest.raises(TreeTooLargeError, match=r"numbers\.txt"):
        bench.open().import_tree(folder, snapshot.snapshot_tree)
    folder.joinpath("numbers.txt").write_text("small\n")
    deep = folder
    for _ in range(110):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(TreeTooLargeError, match="deep"):
        bench.open().import_tree(folder, snapshot.snapshot_tree)


def test_missing_object_is_one_clear_error(bench):
    with pytest.raises(MissingObjectError, match="0123"):
        bench.open().diff_trees(GitOid("0123" * 10), GitOid("0123" * 10))


def test_runs_write_nothing_into_the_users_object_store(bench):
    objects = bench.root / ".git/objects"
    before = sorted((str(path), path.stat().st_mtime_ns) for path in objects.rglob("*"))
    bench.write("notes.md", "untracked\n")
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": "x = 2\n", "numbers.txt": "x\n"})
    bench.open().diff_trees(snapshot.snapshot_tree, result)
    bench.open().merge_trees(snapshot.snapshot_tree, result, result)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in objects.rglob("*")) == before
