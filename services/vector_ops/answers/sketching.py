"""A map of a large repository that has no index yet: files rank by the names they share, and only the best are parsed.

Building the index of a large repository takes a while; the first look at it should not. A file uses another one here
when it says a name that few files define, whatever the name means there.
"""

import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from services.vector_ops.answers.mapping import Countable, Interest, draw_map, list_countable
from services.vector_ops.core.view import SymbolRow
from services.vector_ops.languages.catalogue import language_name, load_language, suffix_of
from services.vector_ops.models import Hit
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path
from services.vector_ops.truth.skipping import MAX_FILE_BYTES, READER_FAULTS, find_skip_rule

LOG = logging.getLogger("direng.vector_ops")
_MAX_FILES = 20_000
_MAX_DEFINERS = 3
"""A name that more files define says nothing about which of them is meant."""
_LEFT_AFTER_NAMES, _LEFT_AFTER_USES = 0.6, 0.25
"""The shares of the time that must be left when all names are found, and all uses of them."""
_DAMPING = 0.85
_ROUNDS = 20
_INNER_KINDS = frozenset({b"type", b"const", b"let", b"var"})
"""What is no definition of its file when it is indented: a variable, an associated type."""
_WORD = re.compile(rb"[A-Za-z_]\w{2,}")
_CALLED = re.compile(rb"(?<![.\w])([a-z]{3,})\(")
_DEFINED = re.compile(
    rb"^([ \t]*)(?:(?:export|default|async|pub(?:\([\w: ]+\))?|static|abstract|public|private|protected|final|unsafe|"
    rb"const|declare)[ \t]+)*(def|class|func|fn|function|struct|trait|interface|enum|type|module|const|let|var)[ \t]+"
    rb"(?:\([^)\n]*\)[ \t]*)?([A-Za-z_]\w{2,})",
    re.MULTILINE,
)

ReadFile = Callable[[str], bytes]
"""Returns the content of a file as it is now."""


class SharedNames:
    """Files that share names, ranked as `FileGraph` does without a task.

    In plain Python: what is drawn before anything is known must not wait for a library of numbers.
    """

    def __init__(self, paths: Sequence[str], links: Mapping[tuple[int, int], int]) -> None:
        """Take how often one file uses another, both as numbers."""
        self._paths = paths
        self._links = [(source, target, math.log1p(count)) for (source, target), count in sorted(links.items())]

    def rank(self, _seeds: Mapping[str, float]) -> dict[str, float]:
        """Return the rank of every file; ranks sum to 1. A sketch has no task, and so no seeds."""
        count = len(self._paths)
        if not count:
            return {}
        out = [0.0] * count
        for source, _target, weight in self._links:
            out[source] += weight
        shares = [(source, target, _DAMPING * weight / out[source]) for source, target, weight in self._links]
        loose = [number for number, total in enumerate(out) if not total]
        ranks = [1.0 / count] * count
        for _ in range(_ROUNDS):
            jump = (1 - _DAMPING + _DAMPING * sum(ranks[number] for number in loose)) / count
            flow = [jump] * count
            for source, target, share in shares:
                flow[target] += ranks[source] * share
            ranks = flow
        return dict(zip(self._paths, ranks, strict=True))


def list_sketchable(paths: Sequence[str]) -> list[str]:
    """Return the files of code proper, at most as many as a sketch reads, those near the root first."""
    found = [path for path in paths if language_name(path) and classify_path(path) is PathKind.CODE]
    return sorted(found, key=lambda path: (path.count("/"), path))[:_MAX_FILES]


def sketch_map(
    paths: Sequence[str], read_file: ReadFile, budget_tokens: int, count_left_s: Callable[[], float] = lambda: math.inf
) -> tuple[str, list[Hit], bool]:
    """Return a map as `draw_map` does; each file is read twice, and the best are parsed.

    Where there are more files than the time left is enough for, the first of them are what is sketched.
    """
    whole_s = count_left_s()

    def is_late(share: float) -> bool:
        left_s = count_left_s()
        return left_s <= 0 or left_s < share * whole_s

    definers, looked_at = _find_definers(paths, read_file, lambda: is_late(_LEFT_AFTER_NAMES))
    graph, uses = _connect(paths[:looked_at], read_file, definers, lambda: is_late(_LEFT_AFTER_USES))

    def read_countable(path: str) -> list[Countable]:
        if is_late(0):
            return []
        rows = _read_symbols(path, read_file(path))
        return list_countable(rows, lambda shown: {one.id: uses[one.name.encode()] for one in shown})

    text, hits, is_cut = draw_map(read_countable, graph, Interest(), budget_tokens)
    return text, hits, is_cut or looked_at < len(paths) or is_late(0)


def _read_scanned(path: str, read_file: ReadFile) -> bytes:
    content = read_file(path)
    return content if len(content) <= MAX_FILE_BYTES else b""


def _find_definers(
    paths: Sequence[str], read_file: ReadFile, is_late: Callable[[], bool]
) -> tuple[Mapping[bytes, list[int]], int]:
    """Return the numbers of the files that define each name few files define, and how many files were looked at."""
    looked_at = len(paths)
    definers: dict[bytes, list[int]] = defaultdict(list)
    for number, path in enumerate(paths):
        if is_late():
            looked_at = number
            break
        found = _DEFINED.findall(_read_scanned(path, read_file))
        names = {name for indent, kind, name in found if not (indent and (kind in _INNER_KINDS or _is_plain(name)))}
        for name in names:
            definers[name].append(number)
    return {name: numbers for name, numbers in definers.items() if len(numbers) <= _MAX_DEFINERS}, looked_at


def _is_plain(name: bytes) -> bool:
    """Return whether a name may be a word of English."""
    return name.isalpha() and name.islower()


def _find_said(content: bytes) -> set[bytes]:
    """Return the names that a content says; one that may be a word of English only where it is called as it is."""
    names = {name for name in set(_WORD.findall(content)) if not _is_plain(name)}
    return names | set(_CALLED.findall(content))


def _connect(
    paths: Sequence[str], read_file: ReadFile, definers: Mapping[bytes, list[int]], is_late: Callable[[], bool]
) -> tuple[SharedNames, Counter[bytes]]:
    """Return the graph of files, and in how many files each name is said beside those that define it."""
    links: Counter[tuple[int, int]] = Counter()
    uses: Counter[bytes] = Counter()
    languages = [language_name(path) for path in paths]
    for number, path in enumerate(paths):
        if is_late():
            break
        for name in _find_said(_read_scanned(path, read_file)) & definers.keys():
            homes = [home for home in definers[name] if languages[home] == languages[number]]
            if number not in homes:
                uses[name] += 1
                links.update((number, home) for home in homes)
    return SharedNames(paths, links), uses


def _read_symbols(path: str, content: bytes) -> list[SymbolRow]:
    if find_skip_rule(content):
        return []
    language = load_language(language_name(path))
    try:
        facts = language.extract(suffix_of(path), content)
    except READER_FAULTS:  # a fault of ours in one file must not cost the map
        LOG.exception("%s could not be read for symbols; the map goes without it", path)
        return []
    return [
        SymbolRow(
            at,
            path,
            at,
            one.name,
            one.qualname,
            one.kind,
            one.line,
            one.column,
            one.start_line,
            one.end_line,
            one.signature,
            one.doc,
            one.is_test,
        )
        for at, one in enumerate(facts.symbols)
    ]
