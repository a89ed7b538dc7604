"""The signals that say how well each file and each chunk answers a question, before they are weighed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from services.vector_ops.lexical.arrays import Corpus, Scores, weigh_rarity
from services.vector_ops.lexical.documents import OWN_NAME, OWNER_NAME
from services.vector_ops.lexical.terms import hash_term
from services.vector_ops.retrieval.places import PathIndex
from services.vector_ops.retrieval.question import Question
from services.vector_ops.retrieval.weights import Scoring

_TITLE_NAME = 2.0
_MIN_NAME_LENGTH = 3
_MAX_DEFINING_SHARE = 0.05
_ALWAYS_DISTINCT = 20
_PAIR = 2.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Signals by name: `files` over the files of a corpus, `chunks` over its chunks; not normalised."""

    files: Mapping[str, Scores]
    chunks: Mapping[str, Scores]


def gather_evidence(corpus: Corpus, index: PathIndex, question: Question, scoring: Scoring) -> Evidence:
    """Return the signals that the text and the names of the code give."""
    terms, boosts, mentions = question.terms, question.boosts, question.mentions
    chunk_words = corpus.chunks.rank(terms, boosts, scoring.chunk_bm25)
    chunk_names = match_names(corpus, question)
    frames = index.match_frames(mentions.frames)
    files = {
        "words": corpus.files.rank(terms, boosts, scoring.file_bm25),
        "chunk_words": corpus.best_of_file(chunk_words),
        "names": corpus.best_of_file(chunk_names),
        "path_words": corpus.path_terms.rank(terms, boosts, scoring.path_bm25),
        "paths": match_mentioned_paths(index, question),
        "frames": frames,
        "modules": index.match_modules(mentions.dotted),
    }
    chunks = {"words": chunk_words, "names": chunk_names, "frames": match_frame_names(corpus, question, frames)}
    own_names, owner_names = match_name_words(corpus, question)
    return Evidence(
        {**files, "own_names": corpus.best_of_file(own_names)},
        {**chunks, "own_names": own_names, "owner_names": owner_names},
    )


def hand_down(evidence: Evidence, corpus: Corpus, files: Scores) -> Mapping[str, Scores]:
    """Return the signals of chunks with what their file is worth: whole, and by their part in why it was found.

    Of a file that answers, the chunk with its best words gets all of `file_share`, others as much less as theirs are.
    """
    words, best = evidence.chunks["words"], evidence.files["chunk_words"][corpus.chunk_file]
    whole = files[corpus.chunk_file]
    share = np.divide(words, best, out=np.zeros(len(words)), where=best > 0)
    return {**evidence.chunks, "file": whole, "file_share": whole * share}


def match_mentioned_paths(index: PathIndex, question: Question) -> Scores:
    """Return for each file how surely the text names it outside of stack traces; in the title it counts more."""
    mentions = question.mentions
    in_traces = {frame.path.lstrip("~") for frame in mentions.frames}
    told = index.match_paths([path for path in mentions.paths if path not in in_traces])
    in_title = _TITLE_NAME * index.match_paths(question.title_paths)
    return np.maximum(np.maximum(told, in_title), index.match_folders(mentions.folders))


def match_names(corpus: Corpus, question: Question) -> Scores:
    """Return for each chunk how rare the wanted names are that it defines; a name with its class counts more."""
    scores = np.zeros(len(corpus.chunk_file))
    for name, owner in _wanted_names(question):
        weight = _TITLE_NAME if name in question.title_names else 1.0
        terms = np.array([hash_term(name.lower()), hash_term(owner.lower())], np.uint32)
        (docs, flags), (owner_docs, owner_flags) = corpus.names.find(terms)
        own = docs[(flags & OWN_NAME) > 0]
        if not len(own) or len(own) > max(_ALWAYS_DISTINCT, _MAX_DEFINING_SHARE * corpus.names.count):
            continue
        gain = weight * weigh_rarity(len(own), corpus.names.count)
        scores[own] += gain
        if owner:
            around = owner_docs[(owner_flags & OWNER_NAME) > 0]
            scores[np.intersect1d(own, around)] += _PAIR * gain
    return scores


def match_name_words(corpus: Corpus, question: Question) -> tuple[Scores, Scores]:
    """Return for each chunk how much of the question is in the names it defines, and in the names around it."""
    own_scores, around_scores = (np.zeros(len(corpus.chunk_file)) for _ in range(2))
    for (docs, flags), boost in zip(corpus.names.find(question.terms), question.boosts.tolist(), strict=True):
        for flag, scores in ((OWN_NAME, own_scores), (OWNER_NAME, around_scores)):
            named = docs[(flags & flag) > 0]
            if len(named):
                scores[named] += boost * weigh_rarity(len(named), corpus.names.count)
    return own_scores, around_scores


def match_frame_names(corpus: Corpus, question: Question, frames: Scores) -> Scores:
    """Return for each chunk whether it defines a function that a stack trace names, in a file that the trace names."""
    scores = np.zeros(len(corpus.chunk_file))
    names = {frame.name.rpartition(".")[2] for frame in question.mentions.frames}
    terms = np.array(sorted(hash_term(name.lower()) for name in names if len(name) > 1), np.uint32)
    for docs, flags in corpus.names.find(terms):
        own = docs[(flags & OWN_NAME) > 0]
        scores[own] = np.maximum(scores[own], frames[corpus.chunk_file[own]])
    return scores


def _wanted_names(question: Question) -> Sequence[tuple[str, str]]:
    """Return (name, owner) pairs: the identifiers that look like code, and the links of dotted chains."""
    wanted: dict[tuple[str, str], None] = {}
    owned: set[str] = set()
    for parts in question.mentions.dotted:
        for owner, name in pairwise(parts):
            wanted[name, owner] = None
            owned.add(name)
    for name in (*question.mentions.names, *(parts[0] for parts in question.mentions.dotted)):
        if name not in owned:
            wanted[name, ""] = None
    return [(name, owner) for name, owner in wanted if len(name) >= _MIN_NAME_LENGTH]
