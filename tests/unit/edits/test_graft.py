"""Changing a few files of a tree, and restoring a folder from one tree to another."""

import os
import subprocess

import pytest

from services.edits.errors import UnsafePathError
from services.edits.export import export_tree
from services.edits.graft import find_changes, graft, restore_folder
from services.edits.objects import ObjectStore
from services.edits.repository import prepare_store
from services.edits.tree import MODE_EXECUTABLE, MODE_FILE, MODE_GITLINK, MODE_LINK, TreeEntry, read_tree, write_tree


@pytest.fixture
def store(tmp_path):
    (tmp_path / "objects").mkdir()
    return ObjectStore.open(prepare_store(tmp_path / "repo", tmp_path / "objects", tmp_path / "stores"))


@pytest.fixture
def base(store):
    def blob(text):
        return store.write("blob", text)

    return write_tree(
        store,
        {
            "a.py": TreeEntry(MODE_FILE, blob(b"a\n")),
            "bin/run": TreeEntry(MODE_EXECUTABLE, blob(b"run\n")),
            "src/deep/x.py": TreeEntry(MODE_FILE, blob(b"x\n")),
            "src/y.py": TreeEntry(MODE_FILE, blob(b"y\n")),
            "src.py": TreeEntry(MODE_FILE, blob(b"sorts between folder and file\n")),
            "link": TreeEntry(MODE_LINK, blob(b"/etc")),
            "vendor": TreeEntry(MODE_GITLINK, "1" * 40),
        },
    )


def _texts(store, tree):
    return {path: store.read(entry.oid) for path, entry in read_tree(store, tree).items() if entry.is_file}


def test_grafted_tree_is_the_tree_that_writing_all_entries_gives(store, base):
    tree = graft(store, base, {"a.py": b"A\n", "bin/run": b"RUN\n", "new/one/z.py": b"z\n", "src/y.py": None})
    entries = read_tree(store, base)
    entries["a.py"] = TreeEntry(MODE_FILE, store.write("blob", b"A\n"))
    entries["bin/run"] = TreeEntry(MODE_EXECUTABLE, store.write("blob", b"RUN\n"))
    entries["new/one/z.py"] = TreeEntry(MODE_FILE, store.write("blob", b"z\n"))
    del entries["src/y.py"]
    assert tree == write_tree(store, entries)


def test_folder_that_becomes_empty_goes(store, base):
    tree = graft(store, base, {"src/deep/x.py": None, "src/y.py": None})
    assert not any(path.startswith("src/") for path in read_tree(store, tree))
    assert tree == write_tree(store, {p: e for p, e in read_tree(store, base).items() if not p.startswith("src/")})


def test_no_change_gives_the_same_tree(store, base):
    assert graft(store, base, {}) == graft(store, base, {"a.py": b"a\n"}) == base


@pytest.mark.parametrize(
    "path",
    ["link", "link/passwd", "vendor", "vendor/x", "a.py/x", "src", "../x", ".git/config", "src/../../x", "", "/etc/x"],
)
def test_path_that_is_no_plain_file_is_refused(store, base, path):
    with pytest.raises(UnsafePathError):
        graft(store, base, {path: b"x"})


def test_removing_what_is_not_there_is_refused(store, base):
    with pytest.raises(UnsafePathError, match="does not exist"):
        graft(store, base, {"src/none.py": None})


def test_changes_are_found_without_reading_equal_folders(store, base):
    tree = graft(store, base, {"a.py": b"A\n", "src/deep/x.py": None})
    changes = find_changes(store, base, tree)
    assert sorted(changes) == ["a.py", "src/deep/x.py"]
    assert changes["src/deep/x.py"] is None


def test_restored_folder_is_the_exported_new_tree(store, base, tmp_path):
    tree = graft(store, base, {"a.py": b"A\n", "bin/run": b"RUN\n", "new/z.py": b"z\n", "src/deep/x.py": None})
    folder, wanted = tmp_path / "folder", tmp_path / "wanted"
    export_tree(store, read_tree(store, base), folder)
    export_tree(store, read_tree(store, tree), wanted)
    assert restore_folder(store, folder, base, tree) == 4
    subprocess.run(["diff", "-r", "--no-dereference", folder, wanted], check=True)
    assert os.access(folder / "bin/run", os.X_OK)
    assert not (folder / "src/deep").exists()


def test_file_that_becomes_a_folder_is_restored(store, base, tmp_path):
    tree = graft(store, graft(store, base, {"a.py": None}), {"a.py/x": b"x"})
    folder = tmp_path / "folder"
    export_tree(store, read_tree(store, base), folder)
    restore_folder(store, folder, base, tree)
    assert (folder / "a.py" / "x").read_bytes() == b"x"
    assert _texts(store, tree)["a.py/x"] == b"x"
