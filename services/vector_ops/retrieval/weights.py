"""How much each signal counts: one versioned file, chosen by evaluation (ADR-0020) and read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from services.vector_ops.lexical.arrays import Weights
from services.vector_ops.retrieval.path_kinds import PathKind
from services.vector_ops.retrieval.question import Route

WEIGHTS_FILE: Final = "weights.v2.json"


@dataclass(frozen=True, slots=True)
class RouteWeights:
    """The weights of the signals for one kind of question: over files, and over functions."""

    files: Mapping[str, float]
    functions: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Everything that can be tuned. `zones` weigh where in a question a word stands, `kinds` what a path is."""

    version: int
    zones: Mapping[str, float]
    file_bm25: Weights
    chunk_bm25: Weights
    path_bm25: Weights
    kinds: Mapping[PathKind, float]
    routes: Mapping[Route, RouteWeights]


def parse_scoring(text: str) -> Scoring:
    """Return the weights of a JSON text."""
    raw = json.loads(text)
    return Scoring(
        int(raw["version"]),
        raw["zones"],
        Weights(*raw["bm25"]["file"]),
        Weights(*raw["bm25"]["chunk"]),
        Weights(*raw["bm25"]["path"]),
        {PathKind(kind): float(weight) for kind, weight in raw["kinds"].items()},
        {Route(route): RouteWeights(one["files"], one["functions"]) for route, one in raw["routes"].items()},
    )


@cache
def load_scoring() -> Scoring:
    """Return the weights that the package ships."""
    return parse_scoring(files(__package__).joinpath(WEIGHTS_FILE).read_text("utf-8"))
