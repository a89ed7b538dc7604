"""Each kind of question brings a file to be resolved again when its answer changes, though the file did not."""

import pytest

from services.vector_ops.languages.world import NAMED_CAP
from tests.unit.vector_ops.truth.conftest import open_store, read_rows

CAP = "def alpha\n" * NAMED_CAP
CASES = {
    "modules": ({"a.pl": "use b\n"}, {"b.pl": "rem\n"}),
    "exists": ({"a.pl": "use pkg/b.pl\n"}, {"pkg/b.pl": "rem\n"}),
    "modules that go": ({"a.pl": "use b\n", "b.pl": "rem\n"}, {"b.pl": None}),
    "symbols": ({"a.pl": "use b\ncall alpha\n", "b.pl": "rem\n"}, {"b.pl": "def alpha\n"}),
    "symbols by their order": (
        {"pkg/x.sp": "call alpha\n", "pkg/y.sp": "def alpha\ndef beta\n"},
        {"pkg/y.sp": "def beta\ndef alpha\ndef alpha\n"},
    ),
    "members": ({"q/w.sp": "use x\ncall x\n", "pkg/x.sp": "rem\n"}, {"pkg/y.sp": "def x.beta\n"}),
    "bindings": ({"pkg/y.sp": "call x\n", "pkg/z.sp": "rem\n", "q/x.sp": "def x.beta\n"}, {"pkg/z.sp": "use x\n"}),
    "facts": (
        {"pkg/x.sp": "call alpha\n", "z.sp": "def alpha\n", "pkg/settings.sp": "rem\n"},
        {"pkg/settings.sp": "note alpha\n"},
    ),
    "paths of a unit": ({"pkg/x.sp": "call alpha\n", "z.sp": "def alpha\n"}, {"pkg/settings.sp": "note alpha\n"}),
    "unit": (
        {"q/w.sp": "use x\ncall alpha\n", "pkg/x.sp": "rem\n", "other/y.sp": "def alpha\n"},
        {"pkg/x.sp": "pack other\n"},
    ),
    "named": ({"a.pl": "call alpha\n"}, {"b.pl": "def alpha\n"}),
    "named with its owner": ({"a.pl": "call Owner.alpha\n"}, {"b.pl": "def Owner.alpha\n"}),
    "named past the cap": ({"a.pl": "call alpha\n", "b.pl": CAP}, {"c.pl": "def alpha\n"}),
    "named below the cap again": ({"a.pl": "call alpha\n", "b.pl": CAP, "c.pl": "def alpha\n"}, {"c.pl": "rem\n"}),
}


@pytest.mark.parametrize("name", CASES)
def test_file_is_resolved_again_when_an_answer_changes(tmp_path, tree, source, store, name):
    files, changed = CASES[name]
    asker = next(iter(files))
    tree.commit(files)
    store.refresh(source, wait_s=1)
    with store.view({}, source.read_blob) as view:
        before = [row for row in view.all_edges() if row.path == asker]
    overlay = {path: text and text.encode() for path, text in changed.items()}
    with store.view(overlay, source.read_blob) as view:
        uncommitted = read_rows(view)
    tree.remove(*(path for path, text in changed.items() if text is None))
    tree.commit({path: text for path, text in changed.items() if text is not None})
    applied = store.refresh(source, wait_s=1)
    clean = open_store(tmp_path / "clean.sqlite3")
    clean.refresh(source, wait_s=1)
    with clean.view({}, source.read_blob) as view:
        wanted = read_rows(view)
    clean.close()
    with store.view({}, source.read_blob) as view:
        assert read_rows(view) == wanted
    assert uncommitted == wanted
    assert [row for row in wanted[2] if row.path == asker] != before
    assert applied.files_resolved >= 1


def test_change_that_nobody_can_see_resolves_one_file(tree, source, store):
    tree.commit({"a.pl": "use b\ncall alpha\n", "b.pl": "def alpha\ncall beta\n"})
    store.refresh(source, wait_s=1)
    tree.commit({"b.pl": "rem\n\ndef alpha\ncall gamma\n"})
    applied = store.refresh(source, wait_s=1)
    assert (applied.files_parsed, applied.files_resolved) == (1, 1)
    with store.view({}, source.read_blob) as view:
        edges = [row for row in view.all_edges() if row.path == "a.pl"]
        targets = view.read_symbols([row.target_id for row in edges])
    assert sorted((row.path, row.name, row.line) for row in targets.values()) == [
        ("b.pl", "alpha", 3),
        ("b.pl", "b.pl", 1),
    ]
