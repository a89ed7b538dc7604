"""Resolving one file: its edges as rows, and the questions that this took."""

import logging
from typing import NamedTuple

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.language import Language
from services.vector_ops.languages.world import SourceFile, World
from services.vector_ops.truth.layers import Layers
from services.vector_ops.truth.outline import Outline
from services.vector_ops.truth.questions import RecordingWorld
from services.vector_ops.truth.rows import FindId, Row, edge_rows, pack_questions
from services.vector_ops.truth.skipping import READER_FAULTS

LOG = logging.getLogger("direng.vector_ops")


class Resolved(NamedTuple):
    """The edges of one file, and its questions packed."""

    edges: list[Row]
    questions: bytes


def resolve_file(  # noqa: PLR0917
    file_id: int, path: str, unit: str, facts: FileFacts, language: Language, world: World, find_id: FindId
) -> Resolved:
    """Return the edges of one file; one that was left out has none."""
    if facts.skipped:
        return Resolved([], b"")
    recording = RecordingWorld(world, unit)
    try:
        edges = language.resolve(SourceFile(path, unit, facts), recording)
    except READER_FAULTS:
        # One file without edges is better than a repository without an index.
        LOG.exception("%s has no edges in the index: it could not be resolved", path)
        edges = []
    rows = list(edge_rows(file_id, path, edges, find_id))
    return Resolved(rows, pack_questions(language.family, recording.questions))


def make_find_id(layers: Layers) -> FindId:
    """Return a function that finds ids of symbols; valid while the files do not change."""
    outlines: dict[str, Outline | None] = {}
    known: dict[tuple[str, int], int | None] = {}

    def hash_one(path: str, at: int) -> int | None:
        if path not in outlines:
            file = layers.find_file(path)
            outlines[path] = None if file is None else layers.outline(file.sha, file.form)
        outline = outlines[path]
        is_known = outline is not None and at < len(outline.facts.symbols)
        return outline.id_at(path, at) if outline is not None and is_known else None

    def find_id(path: str, at: int) -> int | None:
        key = (path, at)
        if key not in known:
            known[key] = hash_one(path, at)
        return known[key]

    return find_id
