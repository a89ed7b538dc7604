"""What stamps say beside freshness: what happened to the files of an index, and how far vectors and history are."""

from services.vector_ops.derived import history_path
from services.vector_ops.shelf import index_path
from tests.fakes.identity import READER

A = {"a.py": 'def first():\n    """Add the prices up."""\n'}


async def test_an_index_that_a_query_had_to_rebuild_is_told_of_once(index, index_dir):
    index.tree.commit(A)
    path = index_path(index_dir, index.tree.root.resolve())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all")
    first, second = await index.ask("where_defined", "first"), await index.ask("where_defined", "first")
    assert [hit.path for hit in first.hits] == ["a.py"]
    assert len(first.stamp.warnings) == 1
    assert ".set-aside and is rebuilt: " in first.stamp.warnings[0]
    assert second.stamp.warnings == ()


async def test_a_snapshot_says_how_far_vectors_and_history_are_once_they_are_used(index):
    sha = index.tree.commit(A)
    fresh = (await index.service.snapshot(READER, index.repo)).stamp
    assert (fresh.dense_pending, fresh.history_commit) == (None, "")
    assert index.service.tend_now(index.repo) == {}
    level = (await index.service.snapshot(READER, index.repo)).stamp
    assert (level.dense_pending, level.history_commit) == (0, sha)
    index.tree.commit({"b.py": "def second():\n    return 2\n\n\ndef third():\n    return 3\n"})
    behind = (await index.service.snapshot(READER, index.repo)).stamp
    assert (behind.dense_pending, behind.history_commit) == (2, "")


async def test_a_history_that_cannot_be_written_is_named_and_the_vectors_are_made(index, index_dir):
    index.tree.commit(A)
    await index.refresh()
    history_path(index_path(index_dir, index.tree.root.resolve())).mkdir()
    faults = index.service.tend_now(index.repo)
    assert list(faults) == ["history"]
    assert faults["history"].startswith("the file of its history cannot be written: ")
    assert (await index.service.snapshot(READER, index.repo)).stamp.dense_pending == 0


async def test_a_file_name_with_line_breaks_stays_on_one_line_of_maps_and_packs(index):
    index.tree.commit({"a\nsrc/b.py": "def odd_price():\n    return 1\n"})
    for kind in ("repo_map", "context_pack"):
        answer = await index.ask(kind, "odd price")
        assert "a\\nsrc/b.py:" in answer.text
        assert "\nsrc/b.py" not in answer.text


async def test_an_index_that_cannot_be_written_answers_from_the_former_commit_and_says_so(index, index_dir):
    former = index.tree.commit(A)
    await index.refresh()
    lock = index_path(index_dir, index.tree.root.resolve()).with_suffix(".lock")
    lock.unlink()
    lock.mkdir()
    index.tree.commit({"b.py": "def second(): ...\n"})
    stamp = (await index.ask("where_defined", "first")).stamp
    assert (stamp.indexed_commit, stamp.is_fresh) == (former, False)
    assert len(stamp.warnings) == 1
    assert "cannot be written: " in stamp.warnings[0]
    lock.rmdir()
    stamp = (await index.ask("where_defined", "second")).stamp
    assert (stamp.is_fresh, stamp.warnings) == (True, ())
