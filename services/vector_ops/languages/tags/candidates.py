"""Which of several definitions a reference means."""

from collections.abc import Iterable

from services.vector_ops.languages.tags.notation import split_type
from services.vector_ops.languages.world import SymbolAt, Tier

CALLABLE = frozenset({"function", "method", "declaration", "macro"})
MAX_AMBIGUOUS = 5

Targets = list[tuple[SymbolAt, Tier]]


def rank(symbols: list[SymbolAt], tier: Tier) -> Targets:
    """Return the symbols with one tier."""
    return [(one, tier) for one in symbols]


def is_linked(one: SymbolAt, path: str) -> bool:
    """Say whether a function can be called from another file of C."""
    return one.path == path or not one.symbol.signature.startswith("static")


def choose_callables(found: Iterable[SymbolAt], count: int) -> list[SymbolAt]:
    """Return the callables that take so many arguments; definitions before declarations."""
    callables = [one for one in found if one.symbol.kind in CALLABLE and not _is_case(one)]
    fitting = [one for one in callables if takes(one, count)] or callables
    defined = [one for one in fitting if not _is_abstract(one)] or fitting
    return _merge_variants(defined)


def _is_case(one: SymbolAt) -> bool:
    """Say whether this is a case of GoogleTest: nothing can call it."""
    return one.symbol.is_test and one.symbol.signature.startswith(("TEST", "TYPED_TEST"))


def is_reachable(one: SymbolAt, path: str) -> bool:
    """Say whether code of a file may call this over a receiver of unknown type."""
    if one.symbol.is_test:
        return False
    return one.path == path or not one.symbol.signature.startswith(("private ", "protected ", "static "))


def _is_abstract(one: SymbolAt) -> bool:
    return one.symbol.kind == "declaration" or "abstract " in one.symbol.signature


def _merge_variants(found: list[SymbolAt]) -> list[SymbolAt]:
    """Return one of several macros, declarations, or functions of C under other conditions (`#if`)."""
    if len(found) < 2 or found[0].symbol.kind == "method":  # noqa: PLR2004
        return found
    kinds = {(one.path, one.symbol.qualname, split_type(one.symbol.type)[0]) for one in found}
    is_same = len(kinds) == 1 or {one.symbol.kind for one in found} == {"declaration"}
    return found[:1] if is_same else found


def takes(one: SymbolAt, count: int) -> bool:
    """Say whether a callable may take so many arguments (-1: unknown)."""
    arity = split_type(one.symbol.type)[0]
    return count < 0 or arity is None or arity[0] <= count <= arity[1]


def prefer_near(symbols: Iterable[SymbolAt], path: str) -> list[SymbolAt]:
    """Return symbols, the nearest to a path first."""
    return sorted(symbols, key=lambda one: (_distance(one.path, path), len(one.path), one.path, one.at))


def _distance(first: str, second: str) -> int:
    """Return how many folders lie between two files; 0 for the same file."""
    if first == second:
        return 0
    ours, theirs = first.split("/")[:-1], second.split("/")[:-1]
    shared = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            break
        shared += 1
    return 1 + len(ours) + len(theirs) - 2 * shared


def prefer_paths(paths: Iterable[str], path: str) -> list[str]:
    """Return paths, the nearest to a path first."""
    return sorted(paths, key=lambda one: (_distance(one, path), one))
