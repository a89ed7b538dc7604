import sys

import numpy as np
import pytest
from corpus import FILES, MemoryView

from services.vector_ops.languages.facts import FileFacts, Symbol
from services.vector_ops.lexical.documents import decode_document, encode_document
from services.vector_ops.lexical.terms import TERMS_VERSION, hash_term
from services.vector_ops.vectors.static import StaticEmbedder
from services.vector_ops.vectors.table import (
    TableError,
    quantize_rows,
    read_shipped_table,
    read_table,
    write_table,
)

EMBEDDER = StaticEmbedder()


def test_shipped_table_is_of_these_terms_and_small_enough():
    table = read_shipped_table()
    assert table.terms_version == TERMS_VERSION
    assert (np.diff(table.hashes.astype(np.int64)) > 0).all()
    assert table.codes.nbytes + table.hashes.nbytes + table.scales.nbytes < 10_000_000
    for word in ("file", "remove", "path", "async", "iterator", "http", "mutex", "goroutine"):
        assert table.find_rows(np.array([hash_term(word)], np.uint32))[1].all(), word


@pytest.mark.parametrize(
    ("question", "near", "far"),
    [
        ("delete a folder", "def rmtree(path): os.unlink(path)", "def parse_date(text): return datetime(text)"),
        ("wait until all threads are done", "fn join(handles: Vec<JoinHandle>)", "fn render(html: &str)"),
        ("send an HTTP request", "func Do(req *Request) (*Response, error)", "func Sqrt(x float64) float64"),
        ("convert text to lower case", "function toLowerCase(str) {}", "function openSocket(port) {}"),
    ],
)
def test_words_are_nearer_to_their_code_than_to_other_code(question, near, far):
    alike, unlike = EMBEDDER.embed_texts([near, far]) @ EMBEDDER.embed_query(question)
    assert alike > unlike


def test_a_document_has_the_vector_of_its_text_and_names():
    path, text = "", "value = compute_total(orders)\n"
    document = decode_document(encode_document(FileFacts("python"), text))
    assert EMBEDDER.embed_documents([(path, document)])[0] == pytest.approx(EMBEDDER.embed_query(text), abs=1e-5)


def test_the_name_of_a_function_counts_more_than_a_word_in_it():
    text = "def remove_account(one):\n    invoice = one.invoice\n"
    facts = FileFacts("python", (Symbol("remove_account", "remove_account", "function", 1, 5, 1, 2),))
    document = decode_document(encode_document(facts, text))
    named = EMBEDDER.embed_documents([("", document)])[0]
    plain = EMBEDDER.embed_query(text)
    about = EMBEDDER.embed_query("remove account")
    assert named @ about > plain @ about + 0.05


def test_vectors_do_not_depend_on_what_else_is_embedded():
    view = MemoryView(FILES)
    documents = [(path, decode_document(data)) for path, data in view.read_documents(sorted(FILES))]
    together = EMBEDDER.embed_documents(documents)
    alone = np.concatenate([EMBEDDER.embed_documents([one]) for one in documents])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(together)), abs=1e-5)


def test_a_text_of_unknown_words_has_no_direction():
    assert not EMBEDDER.embed_texts(["xqzzyk", ""]).any()


def test_rows_survive_the_file_within_half_a_step(tmp_path):
    rows = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    rows[7] = 0
    codes, scales = quantize_rows(rows)
    hashes = np.arange(50, dtype=np.uint32)
    write_table(tmp_path / "t.npz", hashes=hashes, codes=codes, scales=scales, terms_version=3)
    table = read_table(tmp_path / "t.npz")
    assert np.abs(table.decode(np.arange(50)) - rows).max() <= table.scales.max() / 2 + 1e-6
    assert table.terms_version == 3


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut off", None])
def test_a_table_that_cannot_be_read_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(TableError, match=r"t\.npz cannot be read"):
        read_table(tmp_path / "t.npz")


def test_nothing_heavy_is_loaded_before_the_first_question(tmp_path):
    import subprocess  # noqa: PLC0415

    code = (
        "import sys\n"
        "from services.vector_ops.vectors.choosing import EmbedderSetting, make_embedder\n"
        "from services.vector_ops.vectors import dense\n"
        "make_embedder(EmbedderSetting(), clock=float)\n"
        "make_embedder(EmbedderSetting('pip:some_model'), clock=float)\n"
        "make_embedder(EmbedderSetting('endpoint', 'http://127.0.0.1:1/v1', '', 'm'), clock=float)\n"
        "heavy = {'faiss', 'scipy', 'torch', 'openai', 'sentence_transformers', 'openvino'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
