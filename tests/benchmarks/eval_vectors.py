"""Docstring to function: how well words find the code they describe. Usage: eval_vectors.py OUT_JSON REPOSITORY...

For each git repository (its HEAD, .py files but tests): the first sentence of each docstring is a query, all functions
without their docstrings are what is searched, the right answer is the one that the docstring was taken from. Rankings:
BM25 (of the code alone, and with names and path), static vectors, and their weighted sum, each score divided by the
query's greatest. "(documented)" ranks only among the functions that have a docstring. The repositories are named by the
caller; those whose code trained the table must not be among them.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pygit2
from numpy.typing import NDArray
from scipy import sparse

from services.vector_ops.lexical.terms import hash_text
from services.vector_ops.vectors.bags import NAME_WEIGHT, OWNER_WEIGHT, PATH_WEIGHT, damp_counts
from services.vector_ops.vectors.table import StaticTable, read_shipped_table

DENSE_WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
MAX_QUERIES = 1_000
MIN_QUERY_TERMS, MIN_LINES = 3, 3
TESTS = re.compile(r"(^|/)(tests?|testing)/|(^|/)test_|_test\.py$|(^|/)conftest\.py$")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])|\n[ \t]*\n")
K1, B = 1.2, 0.75

Floats = NDArray[np.float32]
Csr = sparse.csr_array


class Function(NamedTuple):
    """One function; `query` is empty when it has no docstring."""

    path: str
    name: str
    owner: str
    code: str
    query: str


class Corpus(NamedTuple):
    """The functions of one repository as bags over their own vocabulary."""

    hashes: NDArray[np.uint32]
    code: Csr
    named: Csr
    queries: Csr
    gold: NDArray[np.int64]
    is_documented: NDArray[np.bool_]


def main() -> None:
    """Measure each repository and write the table of results."""
    out, repositories = Path(sys.argv[1]), sys.argv[2:]
    table = read_shipped_table()
    rows: dict[str, dict[str, float]] = {}
    for name in repositories:
        rows[Path(name).resolve().parent.name] = measure(Path(name), table)
        print(Path(name).resolve().parent.name, rows[Path(name).resolve().parent.name], flush=True)
    queries = np.array([row["queries"] for row in rows.values()])
    keys = [key for key in next(iter(rows.values())) if key not in {"queries", "functions"}]
    pooled = {key: round(float(np.average([row[key] for row in rows.values()], weights=queries)), 4) for key in keys}
    pooled["queries"] = int(queries.sum())
    print("all", pooled)
    out.write_text(json.dumps({"pooled": pooled, "repositories": rows}, indent=1) + "\n")


def measure(repository: Path, table: StaticTable) -> dict[str, float]:
    """Return the mean reciprocal rank of each ranking on one repository."""
    corpus = build_corpus(list(list_functions(repository)))
    lexical = _per_greatest(score_bm25(corpus.code, corpus.queries))
    named = _per_greatest(score_bm25(corpus.named, corpus.queries))
    dense = _per_greatest(score_static(table, corpus))
    scores = {"bm25": lexical, "bm25_names": named, "static": dense}
    scores |= {f"bm25+{weight}": lexical + weight * dense for weight in DENSE_WEIGHTS}
    scores |= {f"bm25_names+{weight}": named + weight * dense for weight in DENSE_WEIGHTS}
    result = {"queries": float(len(corpus.gold)), "functions": float(corpus.code.shape[0])}
    for key, score in scores.items():
        result[key] = round(float((1 / rank_gold(score, corpus.gold)).mean()), 4)
        among_documented = np.where(corpus.is_documented, score, -1)
        result[f"{key} (documented)"] = round(float((1 / rank_gold(among_documented, corpus.gold)).mean()), 4)
    return result


def list_functions(repository: Path) -> Iterator[Function]:
    """Yield the functions of HEAD with their docstrings taken out."""
    store = pygit2.Repository(str(repository))
    folders = [("", store.revparse_single("HEAD^{tree}"))]
    while folders:
        prefix, tree = folders.pop()
        for entry in tree:
            path = f"{prefix}{entry.name}"
            if entry.type_str == "tree":
                folders.append((f"{path}/", entry))
            elif path.endswith(".py") and entry.type_str == "blob" and not TESTS.search(path):
                yield from _functions_of(path, entry.data.decode("utf-8", "replace"))


def _functions_of(path: str, text: str) -> Iterator[Function]:
    try:
        stack: list[tuple[ast.AST, str]] = [(ast.parse(text), "")]
    except (SyntaxError, ValueError):
        return
    lines = text.split("\n")
    while stack:
        node, owner = stack.pop()
        inner = owner
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start, end = node.lineno, node.end_lineno or node.lineno
            doc = ast.get_docstring(node) or ""
            first = node.body[0]
            cut = (first.lineno, first.end_lineno or first.lineno) if doc else (end + 1, end)
            code = "\n".join(lines[start - 1 : cut[0] - 1] + lines[cut[1] : end])
            if code.count("\n") + 1 >= MIN_LINES:
                yield Function(path, node.name, owner, code, SENTENCE.split(doc.strip(), maxsplit=1)[0])
        elif isinstance(node, ast.ClassDef):
            inner = f"{owner} {node.name}"
        stack.extend((child, inner) for child in ast.iter_child_nodes(node))


def build_corpus(functions: list[Function]) -> Corpus:
    """Return the bags; at most MAX_QUERIES queries, evenly taken."""
    functions.sort()
    texts = [hash_text(one.code) for one in functions]
    asked = [at for at, one in enumerate(functions) if len(set(hash_text(one.query).tolist())) >= MIN_QUERY_TERMS]
    asked = asked[:: -(-len(asked) // MAX_QUERIES)] if asked else asked
    queries = [hash_text(functions[at].query) for at in asked]
    names = [hash_text(one.name) for one in functions]
    owners = [hash_text(one.owner) for one in functions]
    paths = [hash_text(one.path) for one in functions]
    hashes = np.unique(np.concatenate(texts + queries + names + owners + paths))
    code = damp(_bag(texts, hashes))
    named = NAME_WEIGHT * _bag(names, hashes) + OWNER_WEIGHT * _bag(owners, hashes) + PATH_WEIGHT * _bag(paths, hashes)
    is_documented = np.array([bool(one.query) for one in functions])
    return Corpus(hashes, code, (code + named).tocsr(), damp(_bag(queries, hashes)), np.array(asked), is_documented)


def _bag(texts: list[NDArray[np.uint32]], hashes: NDArray[np.uint32]) -> Csr:
    row = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    column = np.searchsorted(hashes, np.concatenate(texts))
    return sparse.coo_array((np.ones(len(row), np.float32), (row, column)), shape=(len(texts), len(hashes))).tocsr()


def damp(bag: Csr) -> Csr:
    """Damp the counts in place."""
    bag.data = damp_counts(bag.data)
    return bag


def score_bm25(documents: Csr, queries: Csr) -> Floats:
    """Return the BM25 of each query (row) and document (column)."""
    lengths = np.asarray(documents.sum(axis=1)).ravel()
    holders = np.bincount(documents.indices, minlength=documents.shape[1])
    rarity = np.log(1 + (documents.shape[0] - holders + 0.5) / (holders + 0.5))
    norm = K1 * (1 - B + B * lengths / lengths.mean())
    weights = documents.copy()
    row = np.repeat(np.arange(documents.shape[0]), np.diff(documents.indptr))
    weights.data = documents.data * (K1 + 1) / (documents.data + norm[row]) * rarity[documents.indices]
    asked = queries.copy()
    asked.data = np.ones_like(asked.data)
    return np.asarray((asked @ weights.T).todense(), np.float32)


def score_static(table: StaticTable, corpus: Corpus) -> Floats:
    """Return the cosine of each query and function; what is not alike at all counts nothing."""
    rows, known = table.find_rows(corpus.hashes)
    vectors = table.codes[rows].astype(np.float32) * table.scales[rows][:, None] * known[:, None]
    query, code = corpus.queries @ vectors, corpus.named @ vectors
    query /= np.linalg.norm(query, axis=1, keepdims=True) + 1e-9
    code /= np.linalg.norm(code, axis=1, keepdims=True) + 1e-9
    return np.maximum(query @ code.T, 0).astype(np.float32)


def _per_greatest(scores: Floats) -> Floats:
    return scores / np.maximum(scores.max(axis=1, keepdims=True), 1e-9)


def rank_gold(scores: Floats, gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of the right answer, ties counted against it by half."""
    own = scores[np.arange(len(gold)), gold][:, None]
    return 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


if __name__ == "__main__":
    main()
