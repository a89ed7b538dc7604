"""What a view of the index answers, committed and with uncommitted files on top."""

import pytest

from services.vector_ops.core.view import IndexView
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.lexical.documents import decode_document
from services.vector_ops.truth.overlay import hash_blob

FILES = {
    "a.pl": "use b\ndef alpha\ncall beta\ncall gamma\n",
    "b.pl": "def beta\ndef Owner\ndef Owner.gamma\n",
    "test_c.pl": "def check\ncall alpha\ncall alpha\n",
    "README": "words and more words\n",
}
CALLS = [EdgeKind.CALL]


@pytest.fixture
def level(tree, source, store):
    sha = tree.commit(FILES)
    store.refresh(source, wait_s=1)
    return sha


def find_one(view, name):
    (row,) = view.find_symbols([name])
    return row


def test_files_are_listed_by_path_with_their_blobs(level, source, store):
    with store.view({}, source.read_blob) as view:
        checked: IndexView = view
        assert checked.commit_sha == level
        rows = view.list_files()
        assert [(row.path, row.language, row.is_test, row.is_overlay) for row in rows] == [
            ("README", "", False, False),
            ("a.pl", "plain", False, False),
            ("b.pl", "plain", False, False),
            ("test_c.pl", "plain", True, False),
        ]
        assert rows[1].blob_sha == hash_blob(FILES["a.pl"].encode())
        assert view.find_file("a.pl") == rows[1]
        assert view.find_file("nowhere") is None
        assert view.count() == (4, 5, 5)


def test_symbols_are_found_by_name_by_id_and_by_file(level, source, store):
    with store.view({}, source.read_blob) as view:
        gamma = find_one(view, "gamma")
        assert (gamma.path, gamma.at, gamma.qualname, gamma.line, gamma.column) == ("b.pl", 2, "Owner.gamma", 3, 5)
        assert view.read_symbols([gamma.id, 12345]) == {gamma.id: gamma}
        assert [row.name for row in view.list_symbols("b.pl")] == ["beta", "Owner", "gamma"]
        file = view.file_symbol("README")
        assert (file.name, file.kind, file.line, file.at) == ("README", "file", 1, -1)
        assert view.file_symbol("nowhere") is None
        assert view.find_symbols(["nothing"]) == view.find_symbols([]) == []
        assert [row.name for row in view.find_symbols(["beta", "alpha"])] == ["alpha", "beta"]
        assert len(view.find_symbols(["beta", "alpha"], limit=1)) == 1
        assert len(list(view.all_symbols())) == 9


def test_names_that_may_have_been_meant_are_offered(level, source, store):
    with store.view({}, source.read_blob) as view:
        assert view.find_symbols_like("OWNER") == ["Owner"]
        assert view.find_symbols_like("gammas") == ["gamma"]
        assert view.find_symbols_like("%") == view.find_symbols_like("") == []


def test_edges_are_found_from_both_ends_in_a_stated_order(level, source, store):
    with store.view({}, source.read_blob) as view:
        alpha, beta, check = (find_one(view, name) for name in ("alpha", "beta", "check"))
        assert [(row.source_id, row.path, row.line, row.tier) for row in view.edges_to([alpha.id], CALLS)] == [
            (check.id, "test_c.pl", 2, Tier.UNIQUE_NAME),
            (check.id, "test_c.pl", 3, Tier.UNIQUE_NAME),
        ]
        assert len(view.edges_to([alpha.id], CALLS, limit=1)) == 1
        assert view.edges_to([alpha.id], [EdgeKind.IMPORT]) == []
        assert (beta.id, 3) in [(row.target_id, row.line) for row in view.edges_from([alpha.id], CALLS)]
        file_of_b = view.file_symbol("b.pl")
        (use,) = view.edges_to([file_of_b.id], [EdgeKind.IMPORT, EdgeKind.CALL])
        assert (use.kind, use.source_id) == (EdgeKind.IMPORT, view.file_symbol("a.pl").id)
        assert list(view.file_edges()) == [
            ("a.pl", "b.pl", EdgeKind.CALL, 2),
            ("a.pl", "b.pl", EdgeKind.IMPORT, 1),
            ("test_c.pl", "a.pl", EdgeKind.CALL, 2),
        ]


def test_texts_and_documents_are_those_of_the_view(level, source, store):
    overlay = {"a.pl": b"def other\n", "README": None, "new.pl": b"call beta\n"}
    with store.view(overlay, source.read_blob) as view:
        assert [view.read_text(path) for path in ("a.pl", "b.pl", "README", "new.pl")] == [
            "def other\n",
            FILES["b.pl"],
            "",
            "call beta\n",
        ]
        documents = dict(view.read_documents(["new.pl", "b.pl", "README", "nowhere"]))
        assert documents.keys() == {"b.pl", "new.pl"}
        assert all(len(decode_document(document).vocabulary) for document in documents.values())


def test_overlay_masks_its_files_and_moves_the_edges_of_others(level, source, store):
    with store.view({"b.pl": b"def beta2\ndef gamma\n"}, source.read_blob) as view:
        assert [row.path for row in view.list_files() if row.is_overlay] == ["b.pl"]
        assert view.find_symbols(["beta"]) == []
        gamma = find_one(view, "gamma")
        assert [(row.path, row.tier) for row in view.edges_to([gamma.id], CALLS)] == [("a.pl", Tier.TYPED)]
        assert view.count() == (4, 4, 4)
    with store.view({}, source.read_blob) as view:
        assert find_one(view, "beta").path == "b.pl"


def test_overlay_that_is_taken_back_leaves_what_is_committed(level, source, store):
    with store.view({"b.pl": None, "x.pl": b"def beta\n"}, source.read_blob) as view:
        assert find_one(view, "beta").path == "x.pl"
    with store.view({"x.pl": b"def beta\n"}, source.read_blob) as view:
        assert [row.path for row in view.find_symbols(["beta"])] == ["b.pl", "x.pl"]
        assert [row.path for row in view.list_files() if row.is_overlay] == ["x.pl"]


def test_epoch_tells_every_state_apart_and_the_same_state_alike(tree, level, source, store):
    def read_epoch(overlay):
        with store.view(overlay, source.read_blob) as view:
            return view.epoch

    states = [{}, {"a.pl": b"1"}, {"a.pl": b"2"}, {"b.pl": b"1"}, {"a.pl": None}, {"a.pl": b"1", "b.pl": b"1"}]
    epochs = [read_epoch(overlay) for overlay in states]
    assert len(set(epochs)) == len(states)
    assert [read_epoch(overlay) for overlay in states] == epochs
    tree.commit({"d.pl": "def d\n"})
    store.refresh(source, wait_s=1)
    assert read_epoch({}) not in epochs


def test_changes_since_an_epoch_name_the_files_whose_rows_differ(tree, level, source, store):
    with store.view({}, source.read_blob) as view:
        first = view.epoch
        assert view.changed_since(first) == ()
    tree.commit({"b.pl": "def beta2\n"})
    store.refresh(source, wait_s=1)
    with store.view({}, source.read_blob) as view:
        second = view.epoch
        assert view.changed_since(first) == ("a.pl", "b.pl")
        assert view.changed_since(second) == ()
        assert view.changed_since("another.1") is None
        assert view.changed_since("nonsense") is None
    with store.view({"README": b"other\n"}, source.read_blob) as view:
        assert view.changed_since(second) == ("README",)


def test_overlay_of_many_files_answers_like_a_commit_of_them(tree, level, source, store):
    many = {f"d{number % 9}/n{number}.pl": f"def f{number}\ncall f{number // 2}\ncall beta\n" for number in range(600)}
    with store.view({path: text.encode() for path, text in many.items()}, source.read_blob) as view:
        counted, edges = view.count(), sorted(view.all_edges())
    tree.commit(many)
    store.refresh(source, wait_s=1)
    with store.view({}, source.read_blob) as view:
        assert view.count() == counted
        assert sorted(view.all_edges()) == edges
