import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.edits.errors import (
    BareRepositoryError,
    DetachedHeadError,
    EmptyRepositoryError,
    NotARepositoryError,
    UnreadablePathError,
    UnsafePathError,
    UnsupportedRepositoryError,
)
from services.edits.models import DropReason, Snapshot
from services.edits.objects import hash_object
from services.edits.repository import open_repository
from services.edits.tree import MODE_EXECUTABLE, MODE_GITLINK, MODE_LINK, TreeEntry, read_tree, write_tree


def entries_of(bench, tree):
    return read_tree(bench.open().open_store(), tree)


def content_of(bench, tree, path):
    store = bench.open().open_store()
    return store.read(read_tree(store, tree)[path].oid)


def list_disk(root: Path):
    return sorted(
        (
            os.fsencode(Path(folder, name)),
            os.lstat(Path(folder, name)).st_mtime_ns,
            os.lstat(Path(folder, name)).st_size,
        )
        for folder, folders, files in os.walk(root)
        for name in [*folders, *files]
    )


def test_clean_repository_gives_the_tree_of_head(bench):
    snapshot = bench.open().take_snapshot()
    assert snapshot.snapshot_tree == snapshot.base_tree == bench.git("rev-parse", "HEAD^{tree}").strip()
    assert snapshot.head_commit == bench.head()
    assert snapshot.branch == "main"
    assert snapshot.dirty_paths == snapshot.untracked_paths == snapshot.left_out == ()


def test_snapshot_holds_what_is_on_disk_and_changes_nothing(bench):
    bench.write("numbers.txt", bench.root.joinpath("numbers.txt").read_text().replace("3\n", "three\n", 1))
    bench.git("add", "numbers.txt")
    staged_and_more = bench.root.joinpath("numbers.txt").read_text() + "more\n"
    bench.write("numbers.txt", staged_and_more)
    bench.root.joinpath("src/other.py").unlink()
    bench.write("notes.md", "untracked\n")
    bench.write("junk.o", "ignored")
    bench.write("build/deep/x", "ignored")
    bench.write("staged_new.py", "y = 2\n")
    bench.git("add", "staged_new.py")
    bench.root.joinpath("src/tool.py").chmod(0o644)
    before = list_disk(bench.root)

    snapshot = bench.open().take_snapshot()

    assert list_disk(bench.root) == before
    assert content_of(bench, snapshot.snapshot_tree, "numbers.txt").decode() == staged_and_more
    entries = entries_of(bench, snapshot.snapshot_tree)
    assert "src/other.py" not in entries
    assert "junk.o" not in entries
    assert not any(path.startswith("build") for path in entries)
    assert entries["src/tool.py"].mode != MODE_EXECUTABLE
    assert snapshot.untracked_paths == ("notes.md",)
    assert snapshot.dirty_paths == ("numbers.txt", "src/other.py", "src/tool.py", "staged_new.py")


def test_links_modes_line_endings_and_odd_names_are_kept_byte_for_byte(bench):
    bench.git("config", "core.autocrlf", "true")
    bench.write("empty", b"")
    bench.write("naïve ☃.txt", "ü")
    bench.write("new\nline", "n")
    bench.root.joinpath(os.fsdecode(b"latin\xe9")).write_bytes(b"\xff\x00")
    bench.root.joinpath("dangling").symlink_to("/nowhere/at/all")
    snapshot = bench.open().take_snapshot()
    entries = entries_of(bench, snapshot.snapshot_tree)
    assert content_of(bench, snapshot.snapshot_tree, "crlf.txt") == b"one\r\ntwo\r\n"
    assert entries["dangling"].mode == entries["link"].mode == MODE_LINK
    assert content_of(bench, snapshot.snapshot_tree, "dangling") == b"/nowhere/at/all"
    assert entries["src/tool.py"].mode == MODE_EXECUTABLE
    folder = bench.export(snapshot.snapshot_tree)
    for name in ("empty", "naïve ☃.txt", "new\nline", os.fsdecode(b"latin\xe9"), "crlf.txt"):
        assert folder.joinpath(name).read_bytes() == bench.root.joinpath(name).read_bytes()
    assert folder.joinpath("dangling").readlink() == Path("/nowhere/at/all")
    assert folder.joinpath("src/tool.py").stat().st_mode & 0o111


def test_snapshot_survives_its_json_form(bench):
    bench.root.joinpath(os.fsdecode(b"latin\xe9")).write_bytes(b"x")
    snapshot = bench.open().take_snapshot()
    assert Snapshot.from_json(snapshot.to_json()) == snapshot


def test_a_symlinked_folder_is_a_link_and_its_target_is_not_read(bench):
    shutil.rmtree(bench.root / "src")
    outside = bench.base / "outside"
    outside.mkdir()
    outside.joinpath("tool.py").write_text("secret")
    bench.root.joinpath("src").symlink_to(outside)
    entries = entries_of(bench, bench.open().take_snapshot().snapshot_tree)
    assert entries["src"].mode == MODE_LINK
    assert not any(path.startswith("src/") for path in entries)


def test_untracked_file_over_the_limit_is_left_out_and_listed(bench):
    with bench.root.joinpath("huge.bin").open("wb") as file:
        file.truncate(50_000_001)
    snapshot = bench.open().take_snapshot()
    assert [(dropped.path, dropped.reason) for dropped in snapshot.left_out] == [("huge.bin", DropReason.TOO_LARGE)]
    assert "huge.bin" not in entries_of(bench, snapshot.snapshot_tree)


def test_filters_and_hooks_of_the_repository_never_run(bench):
    trap = f"touch {bench.base}/trapped; cat"
    for key in ("filter.trap.clean", "filter.trap.smudge", "diff.trap.textconv", "core.fsmonitor", "diff.external"):
        bench.git("config", key, trap)
    hook = bench.root / ".git/hooks/post-checkout"
    for name in ("post-checkout", "pre-commit", "post-commit", "reference-transaction", "post-index-change"):
        hook = bench.root / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\n{trap}\n")
        hook.chmod(0o755)
    bench.write(".gitattributes", "*.txt filter=trap diff=trap\n")
    bench.write("numbers.txt", "changed\n")
    snapshot = bench.open().take_snapshot()
    result = bench.run(snapshot, {"src/other.py": "x = 2\n"})
    bench.open().diff_trees(snapshot.snapshot_tree, result)
    bench.accept(snapshot, result)
    assert not bench.base.joinpath("trapped").exists()


def test_submodule_stays_a_gitlink(bench):
    inner = bench.base / "inner"
    inner.mkdir()
    subprocess.run(
        "git init -q -b main . && git -c user.name=a -c user.email=b commit -q --allow-empty -m i",
        shell=True,
        cwd=inner,
        check=True,
    )
    bench.git("submodule", "add", "-q", str(inner), "vendor/inner")
    bench.commit("submodule")
    bench.root.joinpath("vendor/inner/stray.txt").write_text("not ours")
    snapshot = bench.open().take_snapshot()
    assert snapshot.snapshot_tree == snapshot.base_tree
    assert entries_of(bench, snapshot.snapshot_tree)["vendor/inner"].mode == MODE_GITLINK
    folder = bench.export(snapshot.snapshot_tree)
    assert folder.joinpath("vendor/inner").is_dir()
    folder.joinpath("vendor/inner/made_by_lane").write_text("x")
    imported = bench.open().import_tree(folder, snapshot.snapshot_tree)
    assert imported.tree == snapshot.snapshot_tree
    assert [dropped.reason for dropped in imported.dropped] == [DropReason.IN_SUBMODULE]
    inside = bench.open(bench.root / "vendor/inner")
    assert inside.root == bench.root / "vendor/inner"
    assert inside.take_snapshot().untracked_paths == ("stray.txt",)


def test_repository_inside_the_repository_is_left_out_and_listed(bench):
    nested = bench.root / "nested"
    nested.mkdir()
    subprocess.run(["git", "init", "-q", "."], cwd=nested, check=True)
    nested.joinpath("file").write_text("x")
    snapshot = bench.open().take_snapshot()
    assert [(dropped.path, dropped.reason) for dropped in snapshot.left_out] == [("nested", DropReason.NESTED_GIT)]
    assert snapshot.snapshot_tree == snapshot.base_tree


def test_linked_worktree_is_its_own_root(bench):
    linked = bench.base / "linked"
    bench.git("worktree", "add", "-q", str(linked), "-b", "side")
    linked.joinpath("fresh.txt").write_text("fresh\n")
    user = bench.open(linked / "src")
    snapshot = user.take_snapshot()
    assert (user.root, snapshot.branch, snapshot.untracked_paths) == (linked, "side", ("fresh.txt",))
    assert user.store_git_dir != bench.open().store_git_dir


def test_shallow_clone_with_packed_refs_works(bench):
    bench.write("numbers.txt", "second\n")
    bench.commit("second")
    bench.git("gc", "-q")
    bench.git("pack-refs", "--all")
    clone = bench.base / "clone"
    bench.git("clone", "-q", "--depth", "1", f"file://{bench.root}", str(clone))
    bench.root = clone
    bench.git("pack-refs", "--all")
    snapshot = bench.open().take_snapshot()
    assert snapshot.snapshot_tree == snapshot.base_tree
    result = bench.run(snapshot, {"numbers.txt": "third\n"})
    acceptance = bench.accept(snapshot, result)
    assert bench.head() == acceptance.commit
    assert bench.git("status", "--porcelain") == ""


def test_snapshot_outlives_garbage_collection_of_staged_content(bench):
    bench.write("numbers.txt", "staged\n")
    bench.git("add", "numbers.txt")
    snapshot = bench.open().take_snapshot()
    bench.git("reset", "-q", "--hard")
    bench.git("reflog", "expire", "--expire=now", "--all")
    bench.git("gc", "-q", "--prune=now")
    assert content_of(bench, snapshot.snapshot_tree, "numbers.txt") == b"staged\n"
    assert bench.open().take_snapshot().snapshot_tree == snapshot.base_tree


def test_sparse_checkout_does_not_look_like_deletions(bench):
    bench.git("sparse-checkout", "set", "--no-cone", "/*", "!src/")
    assert not bench.root.joinpath("src").exists()
    snapshot = bench.open().take_snapshot()
    assert snapshot.snapshot_tree == snapshot.base_tree


def test_mode_changes_do_not_count_where_git_ignores_them(bench):
    bench.git("config", "core.filemode", "false")
    bench.root.joinpath("src/tool.py").chmod(0o644)
    assert bench.open().take_snapshot().dirty_paths == ()


def test_path_outside_any_repository_is_refused(tmp_path):
    with pytest.raises(NotARepositoryError, match="git init"):
        open_repository(tmp_path, tmp_path / "stores")
    with pytest.raises(NotARepositoryError):
        open_repository(tmp_path / "absent", tmp_path / "stores")


def test_bare_empty_and_detached_repositories_are_refused(bench, tmp_path):
    bare = tmp_path / "bare.git"
    pygit2.init_repository(str(bare), bare=True)
    with pytest.raises(BareRepositoryError):
        bench.open(bare)
    empty = tmp_path / "empty"
    pygit2.init_repository(str(empty))
    with pytest.raises(EmptyRepositoryError):
        bench.open(empty).take_snapshot()
    bench.git("checkout", "-q", "--detach")
    with pytest.raises(DetachedHeadError):
        bench.open().take_snapshot()


def test_repository_formats_that_cannot_be_read_are_refused_in_one_line(bench, tmp_path):
    other = tmp_path / "sha256"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(other)], check=True)
    with pytest.raises(UnsupportedRepositoryError, match="object format"):
        bench.open(other)
    bench.git("update-index", "--split-index")
    with pytest.raises(UnsupportedRepositoryError, match="no-split-index"):
        bench.open().take_snapshot()


def test_work_tree_setting_that_points_elsewhere_is_refused(bench, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bench.git("config", "core.worktree", str(elsewhere))
    with pytest.raises(UnsupportedRepositoryError, match=r"core\.worktree"):
        bench.open()


@pytest.mark.parametrize("is_tracked", [True, False])
def test_unreadable_file_is_one_clear_error(bench, is_tracked):
    file = bench.write("src/other.py" if is_tracked else "private.txt", "x\n")
    own_as_nobody_if_root(bench.root)
    file.chmod(0)
    with pytest.raises(UnreadablePathError, match=file.name):
        bench.open().take_snapshot()


def own_as_nobody_if_root(root: Path):
    if os.geteuid() == 0:
        for folder, folders, files in os.walk(root):
            for name in [".", *folders, *files]:
                os.lchown(Path(folder, name), 65534, 65534)
        root.parent.chmod(0o755)
        for parent in root.parents:
            if parent.stat().st_uid == os.geteuid() and parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)


def test_restore_brings_tracked_and_untracked_content_back(bench):
    bench.write("numbers.txt", "my edit\n")
    bench.write("notes.md", b"untracked\r\n\x00\xff")
    bench.root.joinpath("src/other.py").unlink()
    snapshot = bench.open().take_snapshot()
    disk_before = bench.state()["files"]
    bench.write("numbers.txt", "damage\n")
    bench.root.joinpath("notes.md").unlink()
    bench.root.joinpath("link").unlink()
    bench.root.joinpath("link").mkdir()
    bench.write("link/inner", "in the way")
    bench.write("src/other.py", "back again")
    restoration = bench.open().restore_snapshot(snapshot, is_exact=True)
    assert bench.state()["files"] == disk_before
    assert restoration.removed == ("link/inner", "src/other.py")
    assert bench.open().take_snapshot().snapshot_tree == snapshot.snapshot_tree
    bench.open().restore_snapshot(restoration.before, is_exact=True)
    assert bench.root.joinpath("link/inner").read_text() == "in the way"


def test_restore_leaves_new_files_alone_unless_told_otherwise(bench):
    snapshot = bench.open().take_snapshot()
    bench.write("later.txt", "later")
    assert bench.open().restore_snapshot(snapshot).removed == ()
    assert bench.root.joinpath("later.txt").exists()


NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(
    lambda name: (
        name not in {".", ".."}
        and len(name.encode()) < 200
        and ".git" not in name.casefold()
        and "git~1" not in name.casefold()
        and not name.isspace()
    )
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.tuples(st.sampled_from(["", "a/", "a/b/", "ü/"]), NAMES), st.binary(max_size=200), max_size=6
    )
)
def test_snapshot_export_import_is_the_identity(bench, files):
    shutil.rmtree(bench.root / "box", ignore_errors=True)
    for (folder, name), data in files.items():
        target = bench.root / "box" / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_dir():
            target.write_bytes(data)
    snapshot = bench.open().take_snapshot()
    folder = bench.export(snapshot.snapshot_tree)
    assert bench.open().import_tree(folder, snapshot.snapshot_tree).tree == snapshot.snapshot_tree


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", ".Git ", "git~1", ".g\u200cit", ".git::$INDEX_ALLOCATION"])
def test_tree_with_a_dangerous_name_is_refused_before_anything_is_written(bench, name):
    store = bench.open().open_store()
    blob = store.write("blob", b"x")
    tree = write_tree(store, {f"a/{name}/config": TreeEntry(0o100644, blob), "ok": TreeEntry(0o100644, blob)})
    folder = bench.new_folder()
    with pytest.raises(UnsafePathError):
        bench.open().export_tree(tree, folder)
    assert not folder.exists()


def test_tree_that_writes_through_its_own_symlink_is_refused(bench):
    store = bench.open().open_store()
    link, blob = store.write("blob", b"/tmp"), store.write("blob", b"x")
    inner = store.write("tree", b"100644 evil\0" + bytes.fromhex(blob))
    raw = b"120000 a\0" + bytes.fromhex(link) + b"40000 a\0" + bytes.fromhex(inner)
    with pytest.raises(UnsafePathError):
        bench.open().export_tree(store.write("tree", raw), bench.new_folder())


def test_export_into_a_folder_with_content_is_refused(bench):
    with pytest.raises(UnsafePathError, match="not empty"):
        bench.open().export_tree(bench.open().take_snapshot().base_tree, bench.root)


def test_object_ids_are_those_of_git(bench):
    expected = bench.git("hash-object", "--no-filters", "crlf.txt").strip()
    assert hash_object("blob", b"one\r\ntwo\r\n") == expected


def test_many_threads_may_open_and_use_one_repository_at_once(bench):
    def work(number):
        user = bench.open()
        snapshot = user.take_snapshot()
        folder = bench.base / f"thread{number}"
        user.export_tree(snapshot.snapshot_tree, folder)
        folder.joinpath("src/other.py").write_text(f"x = {number}\n")
        tree = user.import_tree(folder, snapshot.snapshot_tree).tree
        return content_of(bench, tree, "src/other.py")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(16))) == [f"x = {number}\n".encode() for number in range(16)]


def test_repository_with_folders_named_like_ours_is_just_a_repository(bench):
    bench.write("services/edits/repository.py", "raise SystemExit('imported')\n")
    bench.write("cli/direng.py", "raise SystemExit('imported')\n")
    bench.commit()
    snapshot = bench.open().take_snapshot()
    assert snapshot.snapshot_tree == snapshot.base_tree
