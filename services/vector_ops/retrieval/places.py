"""Which files of a corpus the paths, folders, modules and stack frames of a text mean."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from services.vector_ops.lexical.arrays import Scores
from services.vector_ops.retrieval.mentions import Frame

_MAX_MATCHES = 20
_MANY_MATCHES = 4
_ENTRY_STEMS = frozenset({"__init__", "index", "mod", "lib", "main"})
_FRAME_DECAY = 0.8
_ONE_PART = 0.4


class PathIndex:
    """The living paths of a corpus by the last part of their name."""

    def __init__(self, paths: Sequence[str], is_alive: Iterable[bool]) -> None:
        self._count = len(paths)
        self._by_name: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
        self._by_stem: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
        for file, (path, alive) in enumerate(zip(paths, is_alive, strict=True)):
            if alive:
                self._add(tuple(path.split("/")), file)

    def _add(self, parts: tuple[str, ...], file: int) -> None:
        self._by_name[parts[-1]].append((parts, file))
        stem = parts[-1].split(".")[0] if not parts[-1].startswith(".") else parts[-1]
        module = parts[:-1] if stem in _ENTRY_STEMS and len(parts) > 1 else (*parts[:-1], stem)
        self._by_stem[module[-1]].append((module, file))

    def match_paths(self, paths: Sequence[str]) -> Scores:
        """Return for each file how surely one of the paths means it: 1 for a long or an only match."""
        scores = np.zeros(self._count)
        for path in paths:
            for file, score in self._match_path(path):
                scores[file] = max(scores[file], score)
        return scores

    def _match_path(self, path: str) -> list[tuple[int, float]]:
        wanted = [part for part in path.split("/") if part not in {"", ".", ".."}]
        if not wanted:
            return []
        found = [(count_common_tail(parts, wanted), file) for parts, file in self._by_name.get(wanted[-1], ())]
        longest = max((common for common, _file in found), default=0)
        best = [file for common, file in found if common == longest]
        if len(best) > _MAX_MATCHES or (longest < len(wanted) and longest == 1 and len(best) > 1):
            return []
        return [(file, 1 / len(best)) for file in best]

    def match_frames(self, frames: Sequence[Frame]) -> Scores:
        """Return for each file how near to the innermost frame of a stack trace it stands: 1, then less."""
        scores = np.zeros(self._count)
        strength = 1.0
        seen: set[int] = set()
        for frame in reversed(frames):
            matched = [(file, score) for file, score in self._match_path(frame.path) if file not in seen]
            for file, score in matched:
                scores[file] = max(scores[file], score * strength)
                seen.add(file)
            strength *= _FRAME_DECAY if matched else 1.0
        return scores

    def match_folders(self, folders: Sequence[str]) -> Scores:
        """Return for each file whether it lies in one of the folders, or is one with its suffix left out."""
        scores = np.zeros(self._count)
        for folder in folders:
            for file, score in self.match_module(tuple(part for part in folder.split("/") if part)):
                scores[file] = max(scores[file], score)
        return scores

    def match_modules(self, dotted: Sequence[tuple[str, ...]]) -> Scores:
        """Return for each file how surely a dotted chain begins with its module."""
        scores = np.zeros(self._count)
        for parts in dotted:
            for file, score in self.match_module(parts):
                scores[file] = max(scores[file], score)
        return scores

    def match_module(self, parts: tuple[str, ...]) -> list[tuple[int, float]]:
        """Return the files whose module path ends with the longest beginning of `parts` that any file has."""
        for length in range(len(parts), 0, -1):
            wanted = parts[:length]
            found = [
                file
                for module, file in self._by_stem.get(wanted[-1], ())
                if module[-length:] == wanted and (length > 1 or len(parts) > 1)
            ]
            if found and len(found) <= _MANY_MATCHES:
                return [(file, (1.0 if length > 1 else _ONE_PART) / len(found)) for file in found]
        return []


def count_common_tail(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many last parts two paths share."""
    count = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if one != other:
            break
        count += 1
    return count
