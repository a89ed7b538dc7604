"""A method of a common name that comes or goes: only files that this concerns are resolved again, and all of those."""

import pytest

from services.vector_ops.languages.catalogue import language_name, load_language
from services.vector_ops.languages.world import METHODS_CAP, NAMED_CAP
from services.vector_ops.truth.store import TruthStore
from tests.unit.vector_ops.truth.conftest import read_rows

ASK = "def run(thing):\n    thing.shut()\n"
SEVEN = "class Seven:\n    def shut(self): ...\n"


def make_classes(count):
    return "".join(f"class C{number}:\n    def shut(self): ...\n\n\n" for number in range(count))


FEW, CAP, MANY = make_classes(METHODS_CAP - 1), make_classes(METHODS_CAP), make_classes(METHODS_CAP + 1)
KNOWN = {"knows.py": f"from seven import Seven\n\n\n{ASK}", "hint.py": ASK.replace("thing", "seven")}
CASES = {
    "many, and one more": ({"many.py": MANY, "ask.py": ASK} | KNOWN, {"seven.py": SEVEN}, 3),
    "many, and one fewer": ({"many.py": MANY, "seven.py": SEVEN, "ask.py": ASK} | KNOWN, {"seven.py": None}, 2),
    "few, and one more": ({"few.py": FEW, "ask.py": ASK}, {"seven.py": SEVEN}, 2),
    "one too many": ({"few.py": CAP, "ask.py": ASK}, {"seven.py": SEVEN}, 2),
    "no more too many": ({"few.py": CAP, "seven.py": SEVEN, "ask.py": ASK}, {"seven.py": "x = 1\n"}, 2),
    "one in a test, of which code does not know": (
        {"few.py": FEW, "ask.py": ASK, "tests/test_ask.py": ASK},
        {"tests/test_seven.py": SEVEN},
        2,
    ),
    "one in a test beside many": (
        {"many.py": MANY, "ask.py": ASK, "hint.py": KNOWN["hint.py"], "tests/test_ask.py": KNOWN["hint.py"]},
        {"tests/test_seven.py": SEVEN},
        2,
    ),
    "one that moves": (
        {"many.py": MANY, "seven.py": SEVEN, "hint.py": KNOWN["hint.py"]},
        {"seven.py": None, "7.py": SEVEN},
        2,
    ),
    "another that is no method": ({"many.py": MANY, "ask.py": ASK}, {"seven.py": "def shut(): ...\n"}, 1),
    "past all counting": ({"many.py": make_classes(NAMED_CAP), "hint.py": KNOWN["hint.py"]}, {"seven.py": SEVEN}, 2),
    "countable again": (
        {"many.py": make_classes(NAMED_CAP), "seven.py": SEVEN, "hint.py": KNOWN["hint.py"]},
        {"seven.py": None},
        1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_method_resolves_again_who_may_call_it(tmp_path, tree, source, name):
    files, changed, resolved = CASES[name]
    tree.commit(files)
    store = TruthStore(tmp_path / "one.sqlite3", load_language, language_name)
    store.refresh(source, wait_s=1)
    overlay = {path: text and text.encode() for path, text in changed.items()}
    with store.view(overlay, source.read_blob) as view:
        uncommitted = read_rows(view)
    tree.remove(*(path for path, text in changed.items() if text is None))
    tree.commit({path: text for path, text in changed.items() if text is not None})
    applied = store.refresh(source, wait_s=1)
    clean = TruthStore(tmp_path / "clean.sqlite3", load_language, language_name)
    clean.refresh(source, wait_s=1)
    with store.view({}, source.read_blob) as view, clean.view({}, source.read_blob) as other:
        wanted = read_rows(other)
        assert read_rows(view) == wanted
    assert uncommitted == wanted
    assert applied.files_resolved == resolved
    for one in (store, clean):
        one.close()
