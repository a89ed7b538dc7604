"""What one file answers to the questions of others, and the stable ids of its symbols."""

from collections import defaultdict
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple, TypeVar

from services.vector_ops.languages.facts import FILE, FileFacts, Import

_POSITIVE = (1 << 63) - 1


def hash_id(path: str, qualname: str, ordinal: int) -> int:
    """Return the stable id of a symbol: 63 bits. The file itself has ordinal -1."""
    key = f"{path}\0{qualname}\0{ordinal}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little") & _POSITIVE


def file_id_of(path: str) -> int:
    """Return the stable id of the symbol that stands for a file."""
    return hash_id(path, "", FILE)


class Mark(NamedTuple):
    """What others can see of a symbol: all but its position and its doc comment; `owner` by name and ordinal."""

    name: str
    qualname: str
    ordinal: int
    kind: str
    signature: str
    type: str
    bases: tuple[str, ...]
    is_test: bool
    owner: tuple[str, int] | None


class Outline:
    """The facts of a content (references aside) with its answers; they depend on the content alone."""

    def __init__(self, facts: FileFacts) -> None:
        self.facts = facts

    @cached_property
    def by_qualname(self) -> dict[str, tuple[int, ...]]:
        """Return the places of the symbols with each qualified name."""
        found: dict[str, list[int]] = defaultdict(list)
        for at, symbol in enumerate(self.facts.symbols):
            found[symbol.qualname].append(at)
        return _freeze(found)

    @cached_property
    def by_owner(self) -> dict[str, tuple[int, ...]]:
        """Return the places of the symbols whose owner has each qualified name."""
        found: dict[str, list[int]] = defaultdict(list)
        for at, symbol in enumerate(self.facts.symbols):
            owner = symbol.qualname.rpartition(".")[0]
            if owner:
                found[owner].append(at)
            elif symbol.owner != FILE:
                found[self.facts.symbols[symbol.owner].qualname].append(at)
        return _freeze(found)

    @cached_property
    def by_name(self) -> dict[str, tuple[int, ...]]:
        """Return the places of the symbols with each name, and with each `Owner.name`."""
        found: dict[str, list[int]] = defaultdict(list)
        for at, symbol in enumerate(self.facts.symbols):
            found[symbol.name].append(at)
            if owner := symbol.qualname.rpartition(".")[0]:
                found[f"{owner.rpartition('.')[2]}.{symbol.name}"].append(at)
        return _freeze(found)

    @cached_property
    def by_local(self) -> dict[str, tuple[Import, ...]]:
        """Return the imports of the file's level by the name they bind."""
        found: dict[str, list[Import]] = defaultdict(list)
        for entry in self.facts.imports:
            if entry.scope == FILE:
                found[entry.local].append(entry)
        return _freeze(found)

    @cached_property
    def ordinals(self) -> list[int]:
        """Return for each symbol how many before it have the same qualified name."""
        seen: dict[str, int] = {}
        ordinals = []
        for symbol in self.facts.symbols:
            ordinals.append(seen.get(symbol.qualname, 0))
            seen[symbol.qualname] = ordinals[-1] + 1
        return ordinals

    @cached_property
    def marks(self) -> list[Mark]:
        """Return for each symbol what others can see of it."""
        symbols, ordinals = self.facts.symbols, self.ordinals
        return [
            Mark(
                symbol.name,
                symbol.qualname,
                ordinal,
                symbol.kind,
                symbol.signature,
                symbol.type,
                symbol.bases,
                symbol.is_test,
                None if symbol.owner == FILE else (symbols[symbol.owner].qualname, ordinals[symbol.owner]),
            )
            for symbol, ordinal in zip(symbols, ordinals, strict=True)
        ]

    def id_at(self, path: str, at: int) -> int:
        """Return the stable id of one symbol at `path`; FILE: of the file itself."""
        if at == FILE:
            return file_id_of(path)
        return hash_id(path, self.facts.symbols[at].qualname, self.ordinals[at])

    def ids(self, path: str) -> list[int]:
        """Return the stable ids of the symbols at `path`; the file's own is the last, so that FILE (-1) finds it."""
        ids = [
            hash_id(path, symbol.qualname, ordinal)
            for symbol, ordinal in zip(self.facts.symbols, self.ordinals, strict=True)
        ]
        ids.append(file_id_of(path))
        return ids


_T = TypeVar("_T")


def _freeze(found: dict[str, list[_T]]) -> dict[str, tuple[_T, ...]]:
    """Return tuples for lists: the cycle collector soon leaves tuples of numbers alone, of which there are so many."""
    return {key: tuple(values) for key, values in found.items()}


class OutlineCache:
    """Outlines by content, bounded by the number of symbols that they hold; the older half goes when it is full."""

    def __init__(self, max_symbols: int = 200_000) -> None:
        self._max_symbols = max_symbols
        self._symbols = 0
        self._outlines: dict[tuple[str, str], Outline] = {}

    def get(self, key: tuple[str, str]) -> Outline | None:
        """Return the outline of (blob sha, form)."""
        return self._outlines.get(key)

    def put(self, key: tuple[str, str], outline: Outline) -> None:
        """Keep an outline."""
        if key in self._outlines:
            return
        self._outlines[key] = outline
        self._symbols += 1 + len(outline.facts.symbols)
        if self._symbols > self._max_symbols:
            for old in list(islice(self._outlines, len(self._outlines) // 2)):
                self.drop(old)

    def drop(self, key: tuple[str, str]) -> None:
        """Let go of an outline: its content was replaced."""
        outline = self._outlines.pop(key, None)
        if outline is not None:
            self._symbols -= 1 + len(outline.facts.symbols)
