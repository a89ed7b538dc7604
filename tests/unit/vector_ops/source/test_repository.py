"""HEAD, listings and differences of every kind of repository, and what is never read."""

import shutil
from contextlib import closing

import pygit2
import pytest

from services.kernel.clock import SystemClock
from services.vector_ops.languages.catalogue import language_name, load_language
from services.vector_ops.protocol import UnindexableError
from services.vector_ops.source.repository import BlobMissingError, GitSource
from services.vector_ops.truth.store import TruthStore

UNKNOWN = "ab" * 20


@pytest.fixture
def opened(source, desk):
    def open_again(path=None):
        made.append(GitSource(str(path or desk.root)))
        return made[-1]

    made = []
    yield open_again
    for one in made:
        one.close()


def test_head_follows_commits_branches_and_a_detached_head(source, desk):
    first = desk.head()
    assert source.read_head().commit_sha == first
    second = desk.commit({"a.py": "a = 2\n"})
    assert source.read_head().commit_sha == second
    desk.git("checkout", "-q", "--detach", first)
    assert source.read_head().commit_sha == first
    desk.git("checkout", "-q", "-b", "feature/x", second)
    assert source.read_head().commit_sha == second


def test_head_is_found_in_packed_refs_and_after_they_change(source, desk):
    desk.git("pack-refs", "--all")
    assert not (desk.root / ".git/refs/heads/main").exists()
    assert source.read_head().commit_sha == desk.head()
    after = desk.commit({"a.py": "a = 2\n"})
    desk.git("pack-refs", "--all")
    assert source.read_head().commit_sha == after


def test_head_says_when_it_moved(source, desk):
    desk.git("commit", "-q", "--allow-empty", "-m", "old", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
    head = source.read_head()
    assert (head.commit_time.year, head.moved_at.year) == (2020, 2020)
    desk.git("checkout", "-q", "-b", "other", GIT_COMMITTER_DATE="2021-01-01T00:00:00Z")
    assert (source.read_head().commit_time.year, source.read_head().moved_at.year) == (2020, 2021)


@pytest.mark.parametrize(("seconds", "year"), [("67767976233532799", 9999), ("0", 1970)])
def test_a_commit_of_a_clock_gone_wrong_is_read_with_the_nearest_time(source, desk, seconds, year):
    desk.git("commit", "-q", "--allow-empty", "-m", "odd", GIT_COMMITTER_DATE=f"@{seconds} +0000")
    head = source.read_head()
    assert head.commit_sha == desk.head()
    assert (head.commit_time.year, head.moved_at.year) == (year, year)


def test_a_branch_without_a_commit_is_one_clear_error(source, desk):
    desk.git("checkout", "-q", "--orphan", "new")
    with pytest.raises(UnindexableError, match="has no commit yet"):
        source.read_head()


def test_a_deleted_branch_under_head_is_one_clear_error(source, desk):
    desk.git("update-ref", "-d", "refs/heads/main")
    with pytest.raises(UnindexableError, match="has no commit yet"):
        source.read_head()


def test_a_head_that_names_a_file_outside_of_git_is_not_followed(source, desk):
    (desk.root / "sha").write_text(desk.head())
    (desk.root / ".git/HEAD").write_text("ref: refs/../../sha\n")
    with pytest.raises(UnindexableError):
        source.read_head()


def test_a_linked_working_tree_has_a_head_of_its_own(source, desk, opened, tmp_path):
    desk.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = opened(tmp_path / "side")
    assert side.root == tmp_path / "side"
    assert side.read_head().commit_sha == desk.head()
    desk.git("commit", "-qm", "on", "--allow-empty")
    assert side.read_head().commit_sha != source.read_head().commit_sha


def test_a_folder_inside_opens_the_repository_around_it(source, desk, opened):
    assert opened(desk.root / "pkg").root == desk.root


def test_changes_are_the_difference_of_two_listings(source, desk):
    old = desk.head()
    (desk.root / "a.py").rename(desk.root / "moved.py")
    new = desk.commit({"pkg/b.py": "b = 2\n", "x/y/z.py": "z = 1\n", "logo.png": "x", ".env": "x"})
    before, after = source.list_blobs(old), source.list_blobs(new)
    changed = {path: after.get(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert source.changes(old, new) == changed
    assert changed.keys() == {"a.py", "moved.py", "pkg/b.py", "x/y/z.py"}
    assert source.changes(new, old).keys() == changed.keys()
    assert source.changes(new, new) == {}


def test_a_file_that_becomes_a_folder_or_a_link_is_gone(source, desk):
    old = desk.head()
    (desk.root / "a.py").unlink()
    (desk.root / "a.py").mkdir()
    (desk.root / "pkg/b.py").unlink()
    (desk.root / "pkg/b.py").symlink_to("../a.py/x.py")
    new = desk.commit({"a.py/x.py": "x = 1\n"})
    assert source.changes(old, new) == {
        "a.py": None,
        "pkg/b.py": None,
        "a.py/x.py": source.list_blobs(new)["a.py/x.py"],
    }


def test_only_the_mode_changing_is_no_change(source, desk):
    old = desk.head()
    (desk.root / "a.py").chmod(0o755)
    assert source.changes(old, desk.commit()) == {}


def test_an_unknown_or_collected_commit_makes_the_changes_unknown(source, desk):
    assert source.changes(UNKNOWN, desk.head()) is None
    assert source.changes("no sha", desk.head()) is None


def test_after_a_force_push_any_two_commits_are_compared(source, desk):
    old = desk.commit({"a.py": "a = 2\n"})
    desk.git("reset", "-q", "--hard", "HEAD~1")
    new = desk.commit({"c.py": "c = 1\n"})
    assert source.changes(old, new).keys() == {"a.py", "c.py"}


def test_a_shallow_clone_lists_its_commit_and_does_not_know_the_one_before(source, desk, opened, tmp_path):
    old = desk.head()
    new = desk.commit({"c.py": "c = 1\n"})
    desk.git("clone", "-q", "--depth", "1", f"file://{desk.root}", str(tmp_path / "shallow"))
    shallow = opened(tmp_path / "shallow")
    assert shallow.list_blobs(new).keys() == {"a.py", "pkg/b.py", "c.py"}
    assert shallow.changes(old, new) is None


def test_a_changed_direngignore_or_manifest_makes_the_changes_unknown(source, desk):
    first = desk.head()
    second = desk.commit({".direngignore": "pkg/\n"})
    assert source.changes(first, second) is None
    assert source.list_blobs(second).keys() == {"a.py", ".direngignore"}
    third = desk.commit({"vendor/modules.txt": "", "vendor/x/y.go": "", "pkg/c.py": ""})
    assert source.changes(second, third) is None
    assert source.list_blobs(third).keys() == {"a.py", ".direngignore"}
    fourth = desk.commit({"vendor/x/z.go": "", "pkg/d.py": "", "vendor/modules.txt": "# new\n", "e.py": ""})
    assert source.changes(third, fourth).keys() == {"e.py"}


def test_what_is_left_out_is_counted_by_rule(source, desk):
    (desk.root / "link.py").symlink_to("a.py")
    sha = desk.commit({"logo.png": "", "node_modules/a.js": "", "node_modules/b.js": "", ".direngignore": "pkg\n"})
    assert dict(source.list_tree(sha).left_out) == {"symlink": 1, "data": 1, "vendored": 1, "ignored": 1}


def test_names_with_newlines_are_files_and_names_that_are_not_utf_8_are_counted(source, desk):
    blob = pygit2.Repository(str(desk.root)).create_blob(b"x = 1\n")
    entry = f"100644 blob {blob}\t".encode()
    listing = (
        entry + b"new\nline.py\0" + entry + b"bad\xff.py\0" + f"040000 tree {make_tree(desk)}\t".encode() + b"f\xfe\0"
    )
    tree = make_tree(desk, listing)
    old = desk.head()
    new = desk.git("commit-tree", tree, "-m", "names")
    assert source.list_blobs(new).keys() == {"new\nline.py"}
    assert source.list_tree(new).left_out == {"name not utf-8": 2}
    assert source.changes(old, new).keys() == {"a.py", "pkg/b.py", "new\nline.py"}


def make_tree(desk, listing=b""):
    repository = pygit2.Repository(str(desk.root))
    builder = repository.TreeBuilder()
    raw = b""
    for row in sorted(listing.split(b"\0")[:-1], key=lambda row: row.split(b"\t")[1]):
        head, name = row.split(b"\t")
        mode, _kind, sha = head.split()
        raw += mode.lstrip(b"0") + b" " + name + b"\0" + bytes.fromhex(sha.decode())
    return str(repository.write(pygit2.enums.ObjectType.TREE, raw)) if listing else str(builder.write())


def test_submodules_are_not_entered(source, desk, tmp_path):
    desk.git("init", "-q", str(tmp_path / "lib"))
    desk.git("-C", str(tmp_path / "lib"), "commit", "-q", "--allow-empty", "-m", "lib")
    desk.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(tmp_path / "lib"), "lib")
    sha = desk.commit()
    assert source.list_blobs(sha).keys() == {"a.py", "pkg/b.py", ".gitmodules"}
    assert source.list_tree(sha).left_out == {"submodule": 1}


def test_revisions_are_resolved_and_unknown_ones_are_one_clear_error(source, desk):
    desk.git("tag", "-a", "v1", "-m", "one")
    assert source.resolve("v1") == source.resolve("main") == source.resolve("HEAD") == desk.head()
    for wrong in ("nothing", "", "HEAD:a.py", "v1..", "-x\n"):
        with pytest.raises(UnindexableError, match="has no commit"):
            source.resolve(wrong)


def test_a_blob_is_read_and_measured(source, desk):
    sha = source.list_blobs(desk.head())["a.py"]
    assert (source.read_blob(sha), source.size_blob(sha)) == (b"a = 1\n", 6)


def test_a_missing_blob_is_told_from_a_repository_that_is_gone(source, desk):
    for ask in (source.read_blob, source.size_blob):
        with pytest.raises(BlobMissingError, match="git fetch"):
            ask(UNKNOWN)
    shutil.rmtree(desk.root)
    for ask in (source.read_blob, source.size_blob):
        with pytest.raises(UnindexableError, match="is gone") as caught:
            ask(UNKNOWN)
        assert not isinstance(caught.value, BlobMissingError)
    with pytest.raises(UnindexableError, match="is gone"):
        source.read_head()


def test_an_index_of_a_repository_that_lacks_a_blob_has_its_other_files(source, desk, tmp_path):
    sha = source.list_blobs(desk.commit({"c.csv": "1\n", "d.py": "d = 1\n"}))["d.py"]
    (desk.root / ".git/objects" / sha[:2] / sha[2:]).unlink()
    with closing(TruthStore(tmp_path / "index.sqlite3", load_language, language_name, now=SystemClock().now)) as store:
        store.refresh(source, wait_s=1, is_stopping=lambda: False)
        with store.view({}, source.read_blob) as view:
            rules = {file.path: file.skipped for file in view.list_files()}
    assert rules == {"a.py": "", "c.csv": "", "d.py": "missing", "pkg/b.py": ""}


def test_a_repository_that_was_cloned_again_is_another_one(source, desk, tmp_path):
    assert source.is_current()
    desk.git("clone", "-q", ".", str(tmp_path / "copy"))
    shutil.rmtree(desk.root)
    assert not source.is_current()
    (tmp_path / "copy").rename(desk.root)
    assert not source.is_current()


def test_what_is_no_repository_is_one_clear_error(tmp_path, opened):
    for path in (tmp_path / "nothing", tmp_path, "\0"):
        with pytest.raises(UnindexableError):
            opened(path)


def test_a_repository_of_sha_256_is_one_clear_error(tmp_path, desk, opened):
    desk.git("init", "-q", "--object-format=sha256", str(tmp_path / "other"))
    with pytest.raises(UnindexableError, match="other names its objects by SHA-256; only repositories of SHA-1 can be"):
        opened(tmp_path / "other")


def test_reading_never_writes_to_the_repository(source, desk):
    before = {path: path.stat().st_mtime_ns for path in (desk.root / ".git").rglob("*")}
    source.list_tree(source.read_head().commit_sha)
    source.resolve("HEAD")
    assert {path: path.stat().st_mtime_ns for path in (desk.root / ".git").rglob("*")} == before
