"""An index kept level by increments holds the rows of one that is built from nothing, edges included."""

import random

import pytest

from tests.unit.vector_ops.truth.conftest import open_store, read_rows

NAMES = ["alpha", "beta", "gamma", "Owner.alpha", "Owner.beta", "Owner", "delta", "Other.alpha", "x", "x.beta"]
PATHS = ["a.pl", "b.pl", "pkg/a.pl", "pkg/c.pl", "pkg/settings.sp", "pkg/x.sp", "pkg/y.sp", "z.sp", "README", "q/w.sp"]


def make_line(draw):
    verb = draw.choice(["def", "def", "def", "call", "call", "call", "use", "note", "rem"])
    return f"{verb} {draw.choice(['a', 'b', 'pkg.a', 'x', 'w']) if verb == 'use' else draw.choice(NAMES)}"


def make_text(draw):
    return "\n".join(make_line(draw) for _ in range(draw.randrange(12))) + f"\n{draw.randrange(3)}\n"


def edit_text(draw, text):
    lines = text.splitlines()
    lines.insert(draw.randrange(len(lines) + 1), make_line(draw))
    if draw.random() < 0.5:
        lines.pop(draw.randrange(len(lines)))
    return "\n".join(lines)


def edit_files(draw, files):
    """Write, edit, remove or rename one to three files."""
    for _ in range(draw.randrange(1, 4)):
        path = draw.choice(PATHS)
        if path in files and draw.random() < 0.25:
            del files[path]
        elif path in files and draw.random() < 0.2:
            files[draw.choice(PATHS)] = files.pop(path)
        elif draw.random() < 0.15:
            files[path] = "def alpha\n" * draw.randrange(16, 22)
        else:
            files[path] = edit_text(draw, files[path]) if path in files else make_text(draw)


def write_tree(tree, files):
    for path in PATHS:
        if path not in files and (tree.root / path).exists():
            tree.remove(path)
    tree.write(files)


def build_clean(tmp_path, source, number):
    clean = open_store(tmp_path / f"clean{number}.sqlite3")
    clean.refresh(source, wait_s=1)
    with clean.view({}, source.read_blob) as view:
        rows = read_rows(view)
        count = view.count()
    clean.close()
    return rows, count


@pytest.mark.parametrize("seed", range(3))
def test_increments_and_overlays_hold_the_rows_of_a_clean_build(tmp_path, tree, source, store, seed):
    draw = random.Random(seed)
    files = {"README": "text\n"}
    tree.commit(files)
    store.refresh(source, wait_s=1)
    committed = dict(files)
    for number in range(30):
        edit_files(draw, files)
        write_tree(tree, files)
        overlay = {
            path: files[path].encode() if path in files else None
            for path in files.keys() | committed.keys()
            if files.get(path) != committed.get(path)
        }
        with store.view(overlay, source.read_blob) as view:
            uncommitted, counted = read_rows(view), view.count()
        if draw.random() < 0.4:
            continue
        tree.commit()
        committed = dict(files)
        applied = store.refresh(source, wait_s=1)
        rows, count = build_clean(tmp_path, source, number)
        with store.view({}, source.read_blob) as view:
            assert read_rows(view) == rows
            assert view.count() == count == applied.state.totals
        assert uncommitted == rows
        assert counted == count
    assert rows[2]
