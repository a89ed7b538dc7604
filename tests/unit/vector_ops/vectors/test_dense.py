import threading

import numpy as np
import pytest
from corpus import FILES, MemoryView

from services.vector_ops.vectors.dense import DenseIndex
from services.vector_ops.vectors.static import StaticEmbedder
from services.vector_ops.vectors.texts import list_chunk_texts
from services.vector_ops.vectors.vector_file import VectorFile

EMBEDDER = StaticEmbedder()


class Clock:
    """Seconds that pass only when somebody looks."""

    def __init__(self, step_s=0.0):
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self):
        self.now_s += self.step_s
        return self.now_s


class LetterCounts:
    """A real, small embedder of texts: how often each letter occurs; counts what it was asked."""

    def __init__(self, name="letters.1"):
        self.name, self.dimension, self.asked = name, 26, []

    def embed_texts(self, texts):
        self.asked.extend(texts)
        counts = np.array([[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def embed_query(self, text):
        return self.embed_texts([text])[0]


def make_index(tmp_path, embedder=EMBEDDER, clock=None, **options):
    return DenseIndex(embedder, VectorFile(tmp_path / "index"), clock=clock or Clock(), **options)


def places(hits):
    return [hit[:3] for hit in hits]


def test_words_find_the_function_that_does_what_they_say(tmp_path):
    index = make_index(tmp_path)
    hits = index.rank_chunks(MemoryView(FILES), "delete a folder and all files in it", 4)
    assert places(hits)[0] == ("shop/files.py", 1, 5)
    assert len(hits) == 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_an_edit_is_answered_from_its_new_content(tmp_path):
    view, index = MemoryView(FILES), make_index(tmp_path)
    assert index.rank_chunks(view, "email the customer", 1)[0].path == "shop/mail.py"
    view.files["shop/mail.py"] = "def parse_header(line):\n    return line.partition(':')\n"
    view.files["post/office.py"] = "def send_email_to_customer(customer):\n    mail_server.send(customer.email)\n"
    hits = index.rank_chunks(view, "email the customer", 5)
    assert hits[0].path == "post/office.py"
    assert sorted(places(hits)) == [
        ("post/office.py", 1, 3),
        ("shop/cart.py", 1, 5),
        ("shop/files.py", 1, 5),
        ("shop/mail.py", 1, 3),
    ]


def test_a_file_that_is_gone_is_never_an_answer(tmp_path):
    view, index = MemoryView(FILES), make_index(tmp_path)
    index.sync(view)
    del view.files["shop/files.py"]
    assert "shop/files.py" not in {hit.path for hit in index.rank_chunks(view, "remove directory", 10)}


def test_a_file_that_was_left_out_by_a_rule_gets_no_vector(tmp_path):
    index = make_index(tmp_path)
    view = MemoryView(FILES, skipped={"shop/cart.py"})
    assert "shop/cart.py" not in {hit.path for hit in index.rank_chunks(view, "add item to cart", 10)}
    assert index.pending == 0


def test_changes_one_by_one_end_where_a_rebuild_ends(tmp_path):
    chance = np.random.default_rng(3)
    view, index = MemoryView(FILES), make_index(tmp_path)
    for step in range(30):
        path = f"m{chance.integers(6)}.py"
        if path in view.files and chance.random() < 0.4:
            del view.files[path]
        else:
            view.files[path] = f"def step_{step}(value):\n    return connect_{chance.integers(9)}(value)\n" * 2
        index.sync(view)
    rebuilt = make_index(tmp_path / "other")
    (tmp_path / "other").mkdir()
    for query in ("connect value", "step", "send mail"):
        fresh, kept = rebuilt.rank_chunks(view, query, 50), index.rank_chunks(view, query, 50)
        assert sorted(fresh) == sorted(kept)


def test_what_was_saved_answers_without_being_computed_again(tmp_path):
    view = MemoryView(FILES)
    first = make_index(tmp_path)
    first.sync(view)
    first.close()
    view.documents_read = 0
    second = make_index(tmp_path)
    assert places(second.rank_chunks(view, "remove directory", 1)) == [("shop/files.py", 1, 5)]
    assert view.documents_read == 0


def test_vectors_of_another_model_are_not_used(tmp_path):
    view = MemoryView(FILES)
    one = make_index(tmp_path, LetterCounts("letters.1"))
    one.sync(view)
    one.close()
    embedder = LetterCounts("letters.2")
    other = make_index(tmp_path, embedder)
    assert other.rank_chunks(view, "remove directory", 3) == []
    assert other.pending == 4
    assert other.sync(view) == 0
    assert len(other.rank_chunks(view, "remove directory", 9)) == 4


def test_a_question_never_computes_dear_vectors(tmp_path):
    view, embedder = MemoryView(FILES), LetterCounts()
    index = make_index(tmp_path, embedder)
    assert index.rank_chunks(view, "remove directory", 3) == []
    assert embedder.asked == ["remove directory"]
    assert index.pending == 4


def test_a_dear_vector_is_computed_once_for_equal_text(tmp_path):
    view, embedder = MemoryView(FILES), LetterCounts()
    index = make_index(tmp_path, embedder)
    index.sync(view)
    old = view.files["shop/cart.py"]
    view.files["shop/cart.py"] = old + "\ndef clear_cart(cart):\n    cart.items.clear()\n"
    index.sync(view)
    view.files["shop/cart.py"] = old
    embedder.asked.clear()
    index.sync(view)
    assert embedder.asked == []


def test_dear_work_stops_when_its_time_is_over_and_goes_on_later(tmp_path):
    view, embedder = MemoryView(FILES), LetterCounts()
    index = make_index(tmp_path, embedder, Clock(step_s=1.0))
    pending = [index.sync(view, budget_s=0.5) for _ in range(4)]
    assert pending == [3, 2, 0, 0]
    assert len(embedder.asked) == 4


def test_each_slice_of_work_gets_further_however_little_time_there_is(tmp_path):
    files = {"big.py": "".join(f"def number_{at}(x):\n    return x + {at}\n\n\n" for at in range(40))}
    for name, embedder in (("dear", LetterCounts()), ("cheap", EMBEDDER)):
        index = make_index(tmp_path / name, embedder, Clock(step_s=100.0))
        (tmp_path / name).mkdir()
        slices = 1
        while index.sync(MemoryView(files), budget_s=0.01):
            slices += 1
            assert slices < 9
        assert len(index.rank_chunks(MemoryView(files), "number", 50)) == 40


def test_model_reads_where_a_chunk_stands_and_its_lines():
    view = MemoryView(FILES)
    documents = dict(view.read_documents(["shop/mail.py"]))
    from services.vector_ops.lexical.documents import decode_document  # noqa: PLC0415

    texts = [one.text for one in list_chunk_texts(view, "shop/mail.py", decode_document(documents["shop/mail.py"]))]
    assert texts[1].startswith("shop/mail.py parse_header\ndef parse_header(line):")
    assert len(texts) == 2


@pytest.mark.parametrize("damage", [b"", b"not vectors", None])
def test_a_damaged_faiss_file_is_made_anew_and_told(tmp_path, damage):
    view = MemoryView(FILES)
    index = make_index(tmp_path)
    index.sync(view)
    index.close()
    (path,) = tmp_path.glob("*.faiss")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    again = make_index(tmp_path)
    assert again.rank_chunks(view, "remove directory", 1)[0].path == "shop/files.py"
    (note,) = again.take_notes()
    assert path.name in note
    assert again.take_notes() == []


def test_a_damaged_database_is_set_aside_and_made_anew(tmp_path):
    view = MemoryView(FILES)
    path = tmp_path / "index.vectors.sqlite3"
    path.write_bytes(b"no database" * 500)
    index = make_index(tmp_path)
    assert index.rank_chunks(view, "remove directory", 1)[0].path == "shop/files.py"
    assert "set aside as index.vectors.sqlite3.set-aside" in index.take_notes()[0]
    index.save()
    index.close()
    view.documents_read = 0
    assert make_index(tmp_path).rank_chunks(view, "remove directory", 1)
    assert view.documents_read == 0


def test_only_the_newest_faiss_file_stays(tmp_path):
    view, index = MemoryView(FILES), make_index(tmp_path)
    for step in range(3):
        view.files["new.py"] = f"def number_{step}():\n    return {step}0\n"
        index.sync(view)
        index.save()
    assert len(list(tmp_path.glob("*.faiss"))) == 1
    assert not list(tmp_path.glob("*.tmp"))


def test_questions_are_answered_while_vectors_are_computed(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    class Slow(LetterCounts):
        def embed_texts(self, texts):
            if len(texts) > 1 or "\n" in texts[0]:
                entered.set()
                assert leave.wait(30)
            return super().embed_texts(texts)

    view, index = MemoryView(FILES), make_index(tmp_path, Slow())
    worker = threading.Thread(target=index.sync, args=(view,))
    worker.start()
    try:
        assert entered.wait(30)
        assert index.rank_chunks(view, "remove directory", 3) == []
    finally:
        leave.set()
        worker.join(30)
    assert len(index.rank_chunks(view, "remove directory", 9)) == 4


def test_very_many_chunks_are_clustered_and_go_on_being_kept_level(tmp_path):
    files = {f"m{at}.py": f"def number_{at}(x):\n    return connect_{at % 9}(x)\n" for at in range(80)}
    view, index = MemoryView(files | FILES), make_index(tmp_path, flat_limit=60)
    index.sync(view)
    del view.files["m3.py"]
    index.sync(view)
    index.save()
    index.close()
    again = make_index(tmp_path, flat_limit=60)
    hits = again.rank_chunks(view, "remove directory", 100)
    assert hits[0].path == "shop/files.py"
    assert len(hits) == 83
    assert "m3.py" not in {hit.path for hit in hits}
    assert again._nearest.is_clustered


def test_a_question_without_a_known_word_has_no_neighbours(tmp_path):
    assert make_index(tmp_path).rank_chunks(MemoryView(FILES), "xqzzyk", 5) == []
    assert make_index(tmp_path).rank_chunks(MemoryView({}), "remove directory", 5) == []
