import hashlib
import random

import numpy as np
import pytest

from services.vector_ops.core.view import FileRow
from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.lexical.arrays import LexicalArrays, Weights
from services.vector_ops.lexical.documents import encode_document
from services.vector_ops.lexical.terms import hash_text


class Texts:
    """Documents of plain texts by path."""

    def __init__(self, texts):
        self.texts = dict(texts)
        self.read = []

    @property
    def epoch(self):
        return hashlib.sha256(repr(sorted(self.texts.items())).encode()).hexdigest()

    def list_files(self):
        return [
            FileRow(n, path, hashlib.sha1(text.encode()).hexdigest(), "", False, False, "")
            for n, (path, text) in enumerate(sorted(self.texts.items()))
        ]

    def read_documents(self, paths):
        for path in paths:
            self.read.append(path)
            yield path, encode_document(FileFacts(""), self.texts[path])


WORDS = [f"word{chr(97 + n)}" for n in range(20)]


def scores(corpus, text, field="files"):
    terms = np.unique(hash_text(text))
    found = getattr(corpus, field).rank(terms, np.ones(len(terms)), Weights())
    if field == "chunks":
        found = corpus.best_of_file(found)
    return {path: score for path, score, alive in zip(corpus.paths, found, corpus.is_alive, strict=True) if alive}


def make_texts(seed, count=40):
    chance = random.Random(seed)
    return {f"f{n}.txt": " ".join(chance.choices(WORDS, k=chance.randint(1, 60))) for n in range(count)}


def test_a_rare_word_counts_more_than_a_common_one():
    corpus = LexicalArrays().sync(Texts({"a": "common rare", "b": "common common", "c": "common other"}))
    found = scores(corpus, "common rare")
    assert found["a"] > found["b"] > 0


def test_score_is_bm25_with_damped_frequencies():
    corpus = LexicalArrays().sync(Texts({"a": "apple apple pear", "b": "pear pear pear", "c": "plum"}))
    weights, length, mean = Weights(), 3, 7 / 3
    damped, idf = 1 + np.log(2), np.log1p((3 - 1 + 0.5) / (1 + 0.5))
    norm = weights.k1 * (1 - weights.b + weights.b * length / mean)
    assert scores(corpus, "apple")["a"] == pytest.approx(idf * damped * (weights.k1 + 1) / (damped + norm))


@pytest.mark.parametrize("field", ["files", "chunks", "path_terms"])
def test_arrays_brought_level_rank_exactly_as_new_ones(field):
    chance = random.Random(7)
    texts, arrays = make_texts(1), LexicalArrays()
    for step in range(12):
        for path in chance.sample(sorted(texts), 3):
            del texts[path]
        for n in range(3):
            texts[f"new{step}_{n}.txt"] = " ".join(chance.choices(WORDS, k=chance.randint(1, 60)))
        level, anew = arrays.sync(Texts(texts)), LexicalArrays().sync(Texts(texts))
        for text in ("worda wordb", "wordc", " ".join(WORDS), "new3 txt", "absent"):
            assert scores(level, text, field) == scores(anew, text, field)


def test_only_changed_files_are_read_again():
    texts, arrays = make_texts(2), LexicalArrays()
    arrays.sync(Texts(texts))
    changed = Texts({**texts, "f3.txt": "something else"})
    arrays.sync(changed)
    assert changed.read == ["f3.txt"]


def test_nothing_is_read_while_the_epoch_stays():
    view, arrays = Texts(make_texts(3)), LexicalArrays()
    first = arrays.sync(view)
    view.read.clear()
    assert arrays.sync(view) is first
    assert view.read == []


def test_a_file_that_is_gone_is_found_no_more():
    arrays = LexicalArrays()
    arrays.sync(Texts({"a": "apple", "b": "apple pear"}))
    corpus = arrays.sync(Texts({"b": "apple pear"}))
    assert set(scores(corpus, "apple")) == {"b"}
    assert corpus.files.count == 1


def test_bytes_that_are_no_document_leave_the_file_out():
    class Broken(Texts):
        def read_documents(self, paths):
            for path, data in super().read_documents(paths):
                yield path, b"" if path == "a" else data

    corpus = LexicalArrays().sync(Broken({"a": "apple", "b": "apple"}))
    assert set(scores(corpus, "apple")) == {"b"}


def test_an_empty_view_has_no_scores():
    assert scores(LexicalArrays().sync(Texts({})), "apple") == {}
