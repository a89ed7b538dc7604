"""Resolving one file: its edges as rows, and the questions that this took."""

import logging
from typing import NamedTuple

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.language import Language
from services.vector_ops.languages.world import SourceFile, World
from services.vector_ops.truth.layers import Layers
from services.vector_ops.truth.questions import RecordingWorld
from services.vector_ops.truth.rows import FindIds, Row, edge_rows, pack_questions

LOG = logging.getLogger("direng.vector_ops")


class Resolved(NamedTuple):
    """The edges of one file, and its questions packed."""

    edges: list[Row]
    questions: bytes


def resolve_file(  # noqa: PLR0917
    file_id: int, path: str, unit: str, facts: FileFacts, language: Language, world: World, find_ids: FindIds
) -> Resolved:
    """Return the edges of one file; one that was left out has none."""
    if facts.skipped:
        return Resolved([], b"")
    recording = RecordingWorld(world, unit)
    try:
        edges = language.resolve(SourceFile(path, unit, facts), recording)
    except RecursionError:
        # One file without edges is better than a repository without an index.
        LOG.warning("%s has no edges in the index: its code is nested or chained too deeply to be resolved", path)
        edges = []
    rows = list(edge_rows(file_id, path, edges, find_ids))
    return Resolved(rows, pack_questions(language.family, recording.questions))


def make_find_ids(layers: Layers) -> FindIds:
    """Return a function that finds the ids of a path's symbols; valid while the files do not change."""
    known: dict[str, list[int]] = {}

    def find_ids(path: str) -> list[int]:
        ids = known.get(path)
        if ids is None:
            file = layers.find_file(path)
            ids = known[path] = [] if file is None else layers.outline(file.sha, file.form).ids(path)
        return ids

    return find_ids
