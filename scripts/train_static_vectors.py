"""Train the table of static vectors. Usage: train_static_vectors.py PAIRS_DIR OUT_NPZ [--epochs N] [--dimension N].

Second half of the recipe of docs/vectors.md: PAIRS_DIR holds what `mine_static_pairs.py` wrote. A text's vector is the
weighted sum of its terms' rows, made unit length; rows are learnt so that words lie nearer to their code than to the
other code of the same batch, most of it of the same repository (InfoNCE both ways, Adam on the rows that a batch
touches). numpy and scipy only; one process; the same pairs and seed give the same table.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.vector_ops.lexical.terms import TERMS_VERSION
from services.vector_ops.vectors.bags import NAME_WEIGHT, OWNER_WEIGHT, PATH_WEIGHT, damp_counts
from services.vector_ops.vectors.table import quantize_rows, write_table

SEED = 5
ROWS = 36_000
MIN_REPOSITORIES = 2
BLOCK_PAIRS, BLOCKS = 128, 6
TEMPERATURE = 0.07
RATE, MOMENT, SQUARE_MOMENT, TINY = 0.01, 0.9, 0.999, 1e-8
COMMIT_SHARE = 0.25
"""Share of the pairs of commits that an epoch sees: they are many, and say less than a doc comment."""
DROPOUT = 0.15
"""Share of a bag's terms that a step does not see: no single word may carry a pair."""

Floats = NDArray[np.float32]
Csr = sparse.csr_array


class Pairs(NamedTuple):
    """Bags of terms of both sides; `group` tells the repository, `query_id` equal queries."""

    queries: Csr
    codes: Csr
    group: NDArray[np.int64]
    query_id: NDArray[np.int64]
    is_commit: NDArray[np.bool_]


def main() -> None:
    """Train and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--dimension", type=int, default=256)
    options = parser.parse_args()
    sources = sorted(options.pairs.glob("*.npz"))
    if not sources:
        sys.exit(f"no pairs in {options.pairs}; run scripts/mine_static_pairs.py first")
    hashes = choose_terms(sources)
    pairs = load_pairs(sources, hashes)
    print(len(sources), "repositories", pairs.queries.shape[0], "pairs", len(hashes), "terms", flush=True)
    rows = train(pairs, epochs=options.epochs, dimension=options.dimension)
    codes, scales = quantize_rows(rows)
    write_table(options.out, hashes=hashes, codes=codes, scales=scales, terms_version=TERMS_VERSION)


def choose_terms(sources: list[Path]) -> NDArray[np.uint32]:
    """Return the hashes of the terms most pairs have, sorted, of those that several repositories know."""
    pair_counts: dict[int, float] = {}
    repositories: dict[int, int] = {}
    for source in sources:
        with np.load(source) as data:
            for field, weight in (("query", 3), ("code", 1)):
                terms, counts = np.unique(data[field], return_counts=True)
                for term, count in zip(terms.tolist(), np.sqrt(counts).tolist(), strict=True):
                    pair_counts[term] = pair_counts.get(term, 0) + weight * count
                    repositories[term] = repositories.get(term, 0) + 1
    shared = [term for term in pair_counts if repositories[term] > MIN_REPOSITORIES]
    shared.sort(key=lambda term: (-pair_counts[term], term))
    return np.array(sorted(shared[:ROWS]), np.uint32)


def load_pairs(sources: list[Path], hashes: NDArray[np.uint32]) -> Pairs:
    """Return all pairs as bags over the chosen terms; pairs with an empty side are left out."""
    parts = [_load_one(source, hashes, group) for group, source in enumerate(sources)]
    queries = sparse.vstack([part.queries for part in parts], format="csr")
    codes = sparse.vstack([part.codes for part in parts], format="csr")
    group = np.concatenate([part.group for part in parts])
    keep = (np.diff(queries.indptr) > 1) & (np.diff(codes.indptr) > 1)
    sums = queries @ np.random.default_rng(SEED).normal(size=queries.shape[1])
    query_id = np.unique(sums.round(6), return_inverse=True)[1].astype(np.int64)
    is_commit = np.concatenate([part.is_commit for part in parts])
    return Pairs(queries[keep], codes[keep], group[keep], query_id[keep], is_commit[keep])


def _load_one(source: Path, hashes: NDArray[np.uint32], group: int) -> Pairs:
    with np.load(source) as data:
        is_commit = data["is_commit"]
        bags = {
            field: count_bags(data[field], data[f"{field}_ends"], hashes)
            for field in ("query", "code", "own", "owner", "path")
        }
    for field, bag in bags.items():
        bag.data = damp_counts(bag.data) if field in {"query", "code"} else np.ones_like(bag.data)
    codes = bags["code"] + NAME_WEIGHT * bags["own"] + OWNER_WEIGHT * bags["owner"] + PATH_WEIGHT * bags["path"]
    count = codes.shape[0]
    return Pairs(bags["query"], codes.tocsr(), np.full(count, group), np.zeros(count, np.int64), is_commit)


def count_bags(terms: NDArray[np.uint32], ends: NDArray[np.int64], hashes: NDArray[np.uint32]) -> Csr:
    """Return how often each text holds each of `hashes`."""
    row = np.searchsorted(ends, np.arange(len(terms)), side="right")
    column = np.minimum(np.searchsorted(hashes, terms), len(hashes) - 1)
    known = hashes[column] == terms
    data = np.ones(int(known.sum()), np.float32)
    return sparse.coo_array((data, (row[known], column[known])), shape=(len(ends), len(hashes))).tocsr()


def train(pairs: Pairs, *, epochs: int, dimension: int, report: bool = True) -> Floats:
    """Return the learnt rows."""
    chance = np.random.default_rng(SEED)
    rarity = np.log(pairs.codes.shape[0] / (1 + np.bincount(pairs.codes.indices, minlength=pairs.codes.shape[1])))
    rows = chance.normal(size=(pairs.codes.shape[1], dimension)).astype(np.float32) / np.sqrt(dimension)
    rows *= np.maximum(rarity, 1).astype(np.float32)[:, None] / rarity.mean()
    steps = Adam(rows)
    seen = (~pairs.is_commit).sum() + COMMIT_SHARE * pairs.is_commit.sum()
    total = epochs * int(seen) // (BLOCK_PAIRS * BLOCKS)
    done = 0
    for epoch in range(epochs):
        losses = []
        drawn = np.flatnonzero(~pairs.is_commit | (chance.random(len(pairs.group)) < COMMIT_SHARE))
        for part in _batches(pairs.group[drawn], chance):
            batch = drawn[part]
            rate = RATE * max(1 - done / max(total, 1), 0) + RATE / 50
            query = _drop(pairs.queries[batch], chance)
            code = _drop(pairs.codes[batch], chance)
            loss, gradient, touched = find_gradient(rows, query, code, pairs.query_id[batch])
            steps.move(touched, gradient, rate)
            losses.append(loss)
            done += 1
        if report:
            print("epoch", epoch, "loss", round(float(np.mean(losses)), 4), flush=True)
    return rows


def _batches(group: NDArray[np.int64], chance: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield batches of blocks, each block of one repository, in random order."""
    order = np.lexsort((chance.random(len(group)), group))
    blocks = [order[at : at + BLOCK_PAIRS] for at in range(0, len(order), BLOCK_PAIRS)]
    shuffled = [blocks[at] for at in chance.permutation(len(blocks))]
    for at in range(0, len(shuffled), BLOCKS):
        yield np.sort(np.concatenate(shuffled[at : at + BLOCKS]))


def _drop(bags: Csr, chance: np.random.Generator) -> Csr:
    kept = bags.copy()
    kept.data = kept.data * (chance.random(len(kept.data)) >= DROPOUT).astype(np.float32)
    return kept


def find_gradient(
    rows: Floats, query: Csr, code: Csr, query_id: NDArray[np.int64]
) -> tuple[float, Floats, NDArray[np.int64]]:
    """Return the loss, the gradient of the rows that the batch touches, and which these are."""
    touched = np.union1d(query.indices, code.indices)
    local = rows[touched]
    query, code = _narrow(query, touched), _narrow(code, touched)
    query_unit, query_length = _unit(query @ local)
    code_unit, code_length = _unit(code @ local)
    logits = query_unit @ code_unit.T / TEMPERATURE
    same = query_id[:, None] == query_id[None, :]
    np.fill_diagonal(same, val=False)
    logits[same] = -1e4
    across, down = _log_softmax(logits), _log_softmax(logits.T).T
    at = np.arange(len(query_id))
    loss = -float(across[at, at].mean() + down[at, at].mean()) / 2
    slope = (np.exp(across) + np.exp(down)) / 2
    slope[at, at] -= 1
    slope /= len(query_id) * TEMPERATURE
    query_slope = _unit_gradient(slope @ code_unit, query_unit, query_length)
    code_slope = _unit_gradient(slope.T @ query_unit, code_unit, code_length)
    return loss, query.T @ query_slope + code.T @ code_slope, touched


def _narrow(bags: Csr, touched: NDArray[np.int64]) -> Csr:
    columns = np.searchsorted(touched, bags.indices)
    return sparse.csr_array((bags.data, columns, bags.indptr), shape=(bags.shape[0], len(touched)))


def _unit(vectors: Floats) -> tuple[Floats, Floats]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True) + TINY
    return vectors / length, length


def _log_softmax(logits: Floats) -> Floats:
    lowered = logits - logits.max(axis=1, keepdims=True)
    return lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True))


def _unit_gradient(slope: Floats, unit: Floats, length: Floats) -> Floats:
    return (slope - unit * (slope * unit).sum(axis=1, keepdims=True)) / length


class Adam:
    """Adam (Kingma and Ba, 2015) on the rows that a step touches; the moments of the others wait."""

    def __init__(self, rows: Floats) -> None:
        self._rows = rows
        self._mean = np.zeros_like(rows)
        self._square = np.zeros_like(rows)
        self._steps = np.zeros(len(rows), np.int64)

    def move(self, touched: NDArray[np.int64], gradient: Floats, rate: float) -> None:
        """Move the touched rows against their gradient."""
        self._steps[touched] += 1
        count = self._steps[touched][:, None]
        mean = self._mean[touched] * MOMENT + gradient * (1 - MOMENT)
        square = self._square[touched] * SQUARE_MOMENT + gradient**2 * (1 - SQUARE_MOMENT)
        self._mean[touched], self._square[touched] = mean, square
        step = mean / (1 - MOMENT**count) / (np.sqrt(square / (1 - SQUARE_MOMENT**count)) + TINY)
        self._rows[touched] -= (rate * step).astype(np.float32)


if __name__ == "__main__":
    main()
