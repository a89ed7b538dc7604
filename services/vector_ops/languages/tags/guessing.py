"""Targets by name alone, where neither scopes nor types lead anywhere."""

from collections.abc import Set as AbstractSet

from services.vector_ops.languages.tags.candidates import (
    MAX_AMBIGUOUS,
    Targets,
    is_linked,
    prefer_near,
    rank,
    takes,
)
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.tags.draft import CLASSLIKE
from services.vector_ops.languages.tags.lookup import Lookup
from services.vector_ops.languages.world import SymbolAt, Tier

_MIN_LENGTH = 3


def guess_target(seen: Lookup, name: str, count: int, kinds: AbstractSet[str]) -> Targets:
    """Return the only definition that fits, or a few that may; a name of the standard library is never unique."""
    path, world, dialect = seen.file.path, seen.world, seen.dialect
    named = world.named(name)
    if named is None:
        return []
    fitting = [one for one in named if one.symbol.kind in kinds and is_linked(one, path) and takes(one, count)]
    defined = [one for one in fitting if one.symbol.kind != "declaration"] or fitting
    if not defined:
        return []
    if len({_identity(one) for one in defined}) == 1 and not _is_common(name, dialect):
        nearest = prefer_near(defined, path)[:1]
        return rank(nearest, Tier.UNIQUE_NAME)
    if kinds <= CLASSLIKE or _is_common(name, dialect):
        return rank(prefer_near(defined, path)[:1], Tier.AMBIGUOUS)
    return rank(prefer_near(defined, path)[:MAX_AMBIGUOUS], Tier.AMBIGUOUS)


def _identity(one: SymbolAt) -> tuple[str, int]:
    return one.path, one.at


def _is_common(name: str, dialect: Dialect) -> bool:
    return len(name) < _MIN_LENGTH or name in dialect.commons
