"""The overlay is what git would commit of the working tree: by watching, by scanning, after anything that happens."""

import os
import random
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from services.vector_ops.protocol import UnindexableError
from services.vector_ops.source import overlay as overlay_module
from services.vector_ops.source import watching
from services.vector_ops.source import worktree as worktree_module
from services.vector_ops.source.disk import MAX_CONTENT_BYTES
from services.vector_ops.source.repository import GitSource
from services.vector_ops.source.worktree import Worktree


def overlay_of(worktree, desk, base=None):
    return dict(worktree.read(base or desk.head()).overlay)


def expected_overlay(desk, source, base):
    """What a commit of everything would change, read from that commit."""
    before, after = source.list_blobs(base), source.list_blobs(desk.commit_apart())
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return {path: source.read_blob(after[path]) if path in after else None for path in changed}


def test_a_clean_tree_has_an_empty_overlay_and_digest(worktree, desk, source):
    state = worktree.read(desk.head())
    assert (dict(state.overlay), state.digest, state.is_cut) == ({}, "", False)
    assert state.head.commit_sha == state.base_sha == desk.head()


def test_a_changed_a_new_and_a_deleted_file_are_seen_at_once(worktree, desk, source):
    assert overlay_of(worktree, desk) == {}
    desk.put({"a.py": "a = 2\n", "new/deep/c.py": "c = 1\n"})
    (desk.root / "pkg/b.py").unlink()
    assert overlay_of(worktree, desk) == {"a.py": b"a = 2\n", "new/deep/c.py": b"c = 1\n", "pkg/b.py": None}
    desk.put({"a.py": "a = 1\n"})
    assert "a.py" not in overlay_of(worktree, desk)


def test_a_file_that_is_still_open_for_writing_is_read_as_it_is_now(worktree, desk, source):
    worktree.read(desk.head())
    with (desk.root / "a.py").open("w") as file:
        file.write("half")
        file.flush()
        assert overlay_of(worktree, desk) == {"a.py": b"half"}
        file.write(" whole")
    assert overlay_of(worktree, desk) == {"a.py": b"half whole"}


def test_the_digest_names_the_content_and_the_same_state_gives_the_same_objects(worktree, desk, source):
    desk.put({"a.py": "a = 2\n"})
    first, second = worktree.read(desk.head()), worktree.read(desk.head())
    assert first.digest == second.digest != ""
    if first.is_watched:
        assert first.overlay is second.overlay
    desk.put({"a.py": "a = 3\n"})
    assert worktree.read(desk.head()).digest != first.digest


def test_a_moved_folder_is_followed(worktree, desk, source):
    worktree.read(desk.head())
    (desk.root / "pkg").rename(desk.root / "kit")
    assert overlay_of(worktree, desk) == {"pkg/b.py": None, "kit/b.py": b"b = 1\n"}
    desk.put({"kit/b.py": "b = 2\n"})
    assert overlay_of(worktree, desk)["kit/b.py"] == b"b = 2\n"
    (desk.root / "kit").rename(desk.root / "pkg")
    assert overlay_of(worktree, desk) == {"pkg/b.py": b"b = 2\n"}


def test_staging_changes_nothing_and_committing_empties_the_overlay(worktree, desk, source):
    base = desk.head()
    desk.put({"a.py": "a = 2\n"})
    before = overlay_of(worktree, desk)
    desk.git("add", "-A")
    assert overlay_of(worktree, desk) == before
    desk.git("commit", "-qm", "done")
    assert overlay_of(worktree, desk, base) == before, "the index is behind: what it lacks is still on top"
    assert overlay_of(worktree, desk) == {}


def test_git_ignore_hides_untracked_files_and_a_change_of_it_counts_at_once(worktree, desk, source):
    desk.put({".gitignore": "*.tmp.py\nout/\n", "x.tmp.py": "", "out/y.py": "", "z.py": ""})
    assert overlay_of(worktree, desk).keys() == {".gitignore", "z.py"}
    desk.put({".gitignore": "out/\n"})
    assert overlay_of(worktree, desk).keys() == {".gitignore", "z.py", "x.tmp.py"}
    desk.git("add", "-f", "out/y.py")
    assert overlay_of(worktree, desk).keys() == {".gitignore", "z.py", "x.tmp.py", "out/y.py"}
    desk.put({"out/y.py": "y = 2\n"})
    assert overlay_of(worktree, desk)["out/y.py"] == b"y = 2\n"


def test_the_own_exclude_file_of_the_repository_counts_when_it_changes(worktree, desk, source):
    desk.put({"notes.py": ""})
    assert overlay_of(worktree, desk).keys() == {"notes.py"}
    desk.put({".git/info/exclude": "notes.py\n"})
    assert overlay_of(worktree, desk) == {}


def test_an_uncommitted_direngignore_takes_committed_files_out_and_gives_them_back(worktree, desk, source):
    desk.put({".direngignore": "pkg/\n"})
    assert overlay_of(worktree, desk) == {".direngignore": b"pkg/\n", "pkg/b.py": None}
    head = desk.commit()
    assert overlay_of(worktree, desk, head) == {}
    desk.put({".direngignore": ""})
    assert overlay_of(worktree, desk, head) == {".direngignore": b"", "pkg/b.py": b"b = 1\n"}


def test_a_table_that_grows_beyond_its_limit_leaves_the_index(worktree, desk, source):
    base = desk.commit({"rows.csv": "1,2\n"})
    desk.put({"rows.csv": "1,2\n" * 20_000})
    assert overlay_of(worktree, desk, base) == {"rows.csv": None}
    grown = desk.commit()
    assert "rows.csv" not in source.list_blobs(grown)
    assert source.changes(base, grown) == {"rows.csv": None}
    assert overlay_of(worktree, desk, grown) == {}
    desk.put({"rows.csv": "3,4\n"})
    assert overlay_of(worktree, desk, grown) == {"rows.csv": b"3,4\n"}


def test_secrets_are_never_read(worktree, desk, source):
    desk.put({".env": "TOKEN=1", "secrets/a.py": "s = 1", "k.pem": "x", "ok.py": ""})
    assert overlay_of(worktree, desk).keys() == {"ok.py"}


def test_symlinks_and_what_is_behind_them_are_left_out(worktree, desk, source, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/o.py").write_text("o = 1\n")
    worktree.read(desk.head())
    (desk.root / "link").symlink_to(tmp_path / "outside")
    (desk.root / "loop").symlink_to(desk.root)
    (desk.root / "l.py").symlink_to(tmp_path / "outside/o.py")
    assert overlay_of(worktree, desk) == {}
    shutil.rmtree(desk.root / "pkg")
    (desk.root / "pkg").symlink_to(tmp_path / "outside")
    (tmp_path / "outside/b.py").write_text("stolen\n")
    assert overlay_of(worktree, desk) == {"pkg/b.py": None}


def test_another_repository_inside_is_not_entered(worktree, desk, source):
    desk.put({"inner/x.py": "x = 1\n"})
    assert overlay_of(worktree, desk).keys() == {"inner/x.py"}
    desk.git("init", "-q", "inner")
    assert overlay_of(worktree, desk) == {}
    shutil.rmtree(desk.root / "inner/.git")
    assert overlay_of(worktree, desk).keys() == {"inner/x.py"}


def test_line_ends_alone_are_no_change(worktree, desk, source):
    worktree.read(desk.head())
    desk.put({"a.py": b"a = 1\r\n"})
    assert overlay_of(worktree, desk) == {}


def test_files_absent_from_a_sparse_checkout_are_not_deleted(worktree, desk, source):
    desk.git("sparse-checkout", "set", "--no-cone", "/a.py")
    assert not (desk.root / "pkg").exists()
    assert overlay_of(worktree, desk) == {}


def test_a_sparse_index_is_one_clear_error_and_its_cure_works(worktree, desk, source):
    desk.git("sparse-checkout", "set", "--cone", "--sparse-index", "pkg")
    desk.put({"other/c.py": "c = 1\n"})
    desk.git("add", "--sparse", "other/c.py")
    desk.git("commit", "-qm", "more")
    desk.git("sparse-checkout", "reapply")
    with pytest.raises(UnindexableError, match="has a sparse index") as caught:
        worktree.read(desk.head())
    desk.git(*str(caught.value.detail).partition("type: git ")[2].split())
    assert overlay_of(worktree, desk) == {}


def test_more_files_than_the_cap_are_cut_with_committed_ones_first(worktree, desk, source, monkeypatch):
    for module in (overlay_module, worktree_module):
        monkeypatch.setattr(module, "MAX_FILES", 20)
    desk.put({f"many/f{number:04}.py": "" for number in range(30)})
    desk.put({"pkg/b.py": "b = 2\n"})
    state = worktree.read(desk.head())
    assert (len(state.overlay), state.is_cut) == (20, True)
    assert state.overlay["pkg/b.py"] == b"b = 2\n"
    shutil.rmtree(desk.root / "many")
    state = worktree.read(desk.head())
    assert (dict(state.overlay), state.is_cut) == ({"pkg/b.py": b"b = 2\n"}, False)


def test_an_oversized_file_is_read_no_further_than_its_size_shows(worktree, desk, source):
    desk.put({"big.py": b"x" * (MAX_CONTENT_BYTES + 5_000)})
    assert len(overlay_of(worktree, desk)["big.py"]) == MAX_CONTENT_BYTES
    head = desk.commit()
    assert overlay_of(worktree, desk, head) == {}
    os.utime(desk.root / "big.py")
    assert overlay_of(worktree, desk, head) == {}


def test_a_checkout_without_files_has_no_overlay(desk, source, tmp_path):
    desk.git("clone", "-q", "--no-checkout", ".", str(tmp_path / "empty"))
    opened = GitSource(str(tmp_path / "empty"))
    worktree = Worktree(opened)
    assert dict(worktree.read(opened.read_head().commit_sha).overlay) == {}
    worktree.close()
    opened.close()


def test_a_bare_repository_has_no_overlay(desk, source, tmp_path):
    desk.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    opened = GitSource(str(tmp_path / "bare.git"))
    worktree = Worktree(opened)
    assert dict(worktree.read(desk.head()).overlay) == {}
    assert opened.list_blobs(desk.head()).keys() == {"a.py", "pkg/b.py"}
    worktree.close()
    opened.close()


def test_a_repository_that_disappears_is_one_clear_error(worktree, desk, source):
    base = desk.head()
    worktree.read(base)
    shutil.rmtree(desk.root)
    with pytest.raises(UnindexableError, match="is gone") as caught:
        worktree.read(base)
    assert "\n" not in str(caught.value)


def test_the_watch_is_closed_with_the_tree(source, desk):
    before = open_files()
    worktree = Worktree(source)
    assert worktree.read(desk.head()).is_watched
    opened = open_files() - before
    assert opened
    assert not any(os.get_inheritable(number) for number in opened)
    worktree.close()
    assert open_files() == before


def open_files():
    numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return {number for number in numbers if Path(f"/proc/self/fd/{number}").exists()}


def test_names_that_are_not_utf_8_are_left_out_committed_or_not(worktree, source, desk):
    bad, inside = os.fsdecode(b"b\xff.py"), os.fsdecode(b"f\xfe/c.py")
    head = desk.commit({bad: "1\n", inside: "1\n"})
    assert overlay_of(worktree, desk, head) == {}
    desk.put({bad: "22\n", inside: "22\n", os.fsdecode(b"new\xff/d.py"): "", os.fsdecode(b"e\xff.py"): "", "ok.py": ""})
    assert overlay_of(worktree, desk, head) == {"ok.py": b""}
    desk.git("add", "-A")
    assert overlay_of(worktree, desk, head) == {"ok.py": b""}


def test_more_events_than_the_system_keeps_lose_nothing(source, desk):
    with closing(Worktree(source)) as worktree:
        worktree.read(desk.head())
        here, there = desk.root / "pkg/b.py", desk.root / "pkg/c.py"
        for _ in range(5_000):
            here.rename(there)
            there.rename(here)
        desk.put({"a.py": "a = 2\n", "late/d.py": "d = 1\n"})
        assert overlay_of(worktree, desk) == {"a.py": b"a = 2\n", "late/d.py": b"d = 1\n"}
        desk.put({"late/d.py": "d = 2\n"})
        state = worktree.read(desk.head())
        assert (state.overlay["late/d.py"], state.is_watched) == (b"d = 2\n", True)


def test_more_folders_than_may_be_watched_are_scanned(source, desk, monkeypatch):
    monkeypatch.setattr(watching, "MAX_WATCHES", 3)
    desk.commit({f"f{number}/a.py": "a = 1\n" for number in range(5)})
    with closing(Worktree(source)) as worktree:
        assert not worktree.read(desk.head()).is_watched
        desk.put({"f4/a.py": "a = 2\n"})
        assert overlay_of(worktree, desk) == {"f4/a.py": b"a = 2\n"}


def test_folders_beyond_the_limit_that_come_later_turn_watching_into_scanning(source, desk, monkeypatch):
    with closing(Worktree(source)) as worktree:
        assert worktree.read(desk.head()).is_watched
        monkeypatch.setattr(watching, "MAX_WATCHES", 3)
        desk.put({f"n{number}/a.py": "" for number in range(5)})
        state = worktree.read(desk.head())
        assert (len(state.overlay), state.is_watched) == (5, False)


def test_a_linked_working_tree_has_its_own_uncommitted_files(source, desk, tmp_path):
    desk.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    desk.put({"a.py": "a = 2\n"})
    with closing(GitSource(str(tmp_path / "side"))) as side, closing(Worktree(side)) as worktree:
        assert overlay_of(worktree, desk) == {}
        (tmp_path / "side/a.py").write_text("a = 3\n")
        assert overlay_of(worktree, desk) == {"a.py": b"a = 3\n"}
        desk.git("-C", str(tmp_path / "side"), "commit", "-qam", "three")
        assert overlay_of(worktree, desk, side.read_head().commit_sha) == {}


def test_a_submodule_is_not_entered_and_not_watched_further(worktree, source, desk, tmp_path):
    desk.git("init", "-q", str(tmp_path / "lib"))
    (tmp_path / "lib/l.py").write_text("l = 1\n")
    desk.git("-C", str(tmp_path / "lib"), "add", "-A")
    desk.git("-C", str(tmp_path / "lib"), "commit", "-qm", "lib")
    desk.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(tmp_path / "lib"), "lib")
    assert overlay_of(worktree, desk).keys() == {".gitmodules"}
    head = desk.commit()
    desk.put({"lib/l.py": "l = 2\n", "lib/new.py": ""})
    assert overlay_of(worktree, desk, head) == {}


def test_the_users_own_ignore_file_counts_when_it_is_named_later(worktree, source, desk, tmp_path):
    desk.put({"mine.py": ""})
    assert overlay_of(worktree, desk).keys() == {"mine.py"}
    (tmp_path / "ignored").write_text("mine.py\n")
    desk.git("config", "core.excludesFile", str(tmp_path / "ignored"))
    assert overlay_of(worktree, desk) == {}


class Chaos:
    """Does to a working tree what people and tools do, at random."""

    NAMES = ("a.py", "b.py", "c.ts", "d e.py", "ü\n.py", "x.log", "y.min.js", ".env")
    FOLDERS = ("", "pkg/", "pkg/sub/", "out/", "vendor/", "node_modules/m/", "lib/deep/er/", "ig/")

    def __init__(self, desk, seed):
        self.desk = desk
        self.dice = random.Random(seed)

    def path(self):
        return self.dice.choice(self.FOLDERS) + self.dice.choice(self.NAMES)

    def step(self):
        getattr(self, self.dice.choice([name for name in dir(self) if name.startswith("do_")]))()

    def put(self, path, content):
        target = self.desk.root / path
        for parent in reversed(target.parents):
            if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
                parent.unlink()
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        elif target.is_symlink():
            target.unlink()
        self.desk.put({path: content})

    def do_write(self):
        for _ in range(self.dice.randint(1, 4)):
            self.put(self.path(), f"v = {self.dice.randint(0, 5)}\n")

    def do_write_more(self):
        self.do_write()

    def do_replace(self):
        self.put("draft.tmp", f"v = {self.dice.randint(0, 5)}\n")
        target = self.desk.root / self.path()
        if target.parent.is_dir() and not target.is_dir():
            (self.desk.root / "draft.tmp").replace(target)

    def do_delete(self):
        target = self.desk.root / self.path()
        if target.is_file():
            target.unlink()

    def do_remove_folder(self):
        folder = self.desk.root / self.dice.choice(self.FOLDERS[1:])
        if not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)

    def do_move_folder(self):
        old, new = (self.desk.root / self.dice.choice(self.FOLDERS[1:]).rstrip("/") for _ in range(2))
        if (
            old.is_dir()
            and not old.is_symlink()
            and not new.exists()
            and old not in new.parents
            and new.parent.is_dir()
        ):
            old.rename(new)

    def do_link(self):
        target = self.desk.root / self.path()
        if target.is_file():
            target.unlink()
            target.symlink_to("a.py")

    def do_file_for_folder(self):
        folder = self.desk.root / self.dice.choice(self.FOLDERS[1:]).rstrip("/")
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
            folder.write_text("now a file\n")

    def do_git_ignore(self):
        self.put(".gitignore", self.dice.choice(("", "*.log\n", "out/\nig/\n", "*.ts\n!pkg/*.ts\n")))

    def do_direng_ignore(self):
        where = self.dice.choice(("", "pkg/"))
        self.put(f"{where}.direngignore", self.dice.choice(("", "lib/\n", "sub/*\n!sub/b.py\n", "*.ts\n")))

    def do_manifest(self):
        self.put("vendor/modules.txt", "# modules\n")

    def do_stage(self):
        self.desk.git("add", "-A", check=False)

    def do_stage_ignored(self):
        self.desk.git("add", "-f", self.path(), check=False)

    def do_unstage(self):
        self.desk.git("rm", "-rq", "--cached", "--ignore-unmatch", self.path(), check=False)

    def do_commit(self):
        self.desk.git("add", "-A", check=False)
        self.desk.git("commit", "-qm", "c", "--allow-empty", check=False)

    def do_branch(self):
        self.desk.git("checkout", "-qf", "-B", self.dice.choice(("one", "two")))

    def do_switch(self):
        self.desk.git("checkout", "-qf", self.dice.choice(("one", "two", "main")), check=False)

    def do_reset(self):
        self.desk.git("reset", "-q", self.dice.choice(("--hard", "--mixed", "--soft")), "HEAD~1", check=False)

    def do_stash(self):
        self.desk.git("stash", "-qu", check=False)

    def do_clean(self):
        self.desk.git("clean", "-qfd", check=False)


@pytest.mark.parametrize("seed", range(2))
def test_after_anything_that_happens_the_overlay_is_what_git_would_commit(desk, source, seed):
    with closing(Worktree(source)) as watched, closing(Worktree(source, is_watched=False)) as scanned:
        compare_while_chaos(desk, source, seed, watched, scanned)


def compare_while_chaos(desk, source, seed, watched, scanned):
    chaos = Chaos(desk, seed)
    base, compared = desk.head(), 0
    for number in range(40):
        for _ in range(chaos.dice.randint(1, 3)):
            chaos.step()
        if chaos.dice.random() < 0.7:
            base = desk.head()
        expected = expected_overlay(desk, source, base)
        state = watched.read(base)
        assert dict(state.overlay) == expected, number
        assert state.is_watched
        assert dict(scanned.read(base).overlay) == expected, number
        compared += bool(expected)
    assert compared > 10
