"""Several definitions of one name: which of them counts."""

from services.vector_ops.languages.facts import Symbol
from services.vector_ops.languages.python.defining import ELSE, OVERLOAD
from services.vector_ops.languages.world import SymbolAt

VALUES = frozenset({"constant", "attribute"})
"""Kinds of symbols that stand for what they hold."""


def pick_definition(found: tuple[SymbolAt, ...]) -> SymbolAt | None:
    """Return the definition that counts among several of one name: the first of overloads, else the last.

    A function or class that is replaced by something made of it (`f = wrap(f)`) still stands for it. Of definitions
    in the branches of one condition, the first counts.
    """
    if len(found) < 2:  # noqa: PLR2004 - nothing to choose from
        return found[0] if found else None
    if found[0].symbol.signature.startswith(OVERLOAD):
        return found[0]
    last = found[-1]
    if last.symbol.kind in VALUES and not _is_alias(last.symbol.type):
        last = next((one for one in reversed(found) if one.symbol.kind not in VALUES), last)
    if _is_alternative(last.symbol):
        last = next((one for one in reversed(found) if not _is_alternative(one.symbol)), last)
    return last


def _is_alternative(symbol: Symbol) -> bool:
    """Return whether a definition stands beside the one that counts: in a later branch, or as a property's setter."""
    bases = symbol.bases
    return symbol.type == ELSE or (bases != () and (bases[0] == ELSE or bases[-1].endswith((".setter", ".deleter"))))


def _is_alias(types: str) -> bool:
    return ":" in types and not any(one.endswith(")") for one in types.split("|"))
