"""Targets by name alone, where neither scopes nor types lead anywhere."""

from collections.abc import Set as AbstractSet

from services.vector_ops.languages.tags.candidates import (
    MAX_AMBIGUOUS,
    Targets,
    is_linked,
    is_reachable,
    prefer_near,
    rank,
    takes,
)
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.tags.draft import CLASSLIKE
from services.vector_ops.languages.tags.lookup import Lookup
from services.vector_ops.languages.world import SymbolAt, Tier

_MIN_LENGTH = 3
_MIN_HINT = 4


def read_hint(receiver: str) -> str:
    """Return what the last name of a receiver says of its type, in lower case: `@comment_config` -> `commentconfig`."""
    last = receiver.rpartition("/")[2].strip("?@$:^~").removesuffix("()")
    return last.rpartition(".")[2].replace("_", "").lower()


def guess_target(seen: Lookup, name: str, count: int, kinds: AbstractSet[str], hint: str | None = None) -> Targets:
    """Return the only definition that fits, or a few that may; a name of the standard library is never unique.

    `hint` is None for a bare call. Where it names the class of exactly one candidate, that one is meant.
    """
    path, world, dialect = seen.file.path, seen.world, seen.dialect
    named = world.named(name)
    if named is None:
        return []
    fitting = [one for one in named if one.symbol.kind in kinds and _is_open(one, kinds, path) and takes(one, count)]
    defined = [one for one in fitting if one.symbol.kind != "declaration"] or fitting
    if not defined:
        return []
    hinted = [one for one in defined if hint and _is_hinted(one, hint)]
    if len(hinted) == 1:
        return rank(hinted, Tier.UNIQUE_NAME)
    is_common = _is_common(name, dialect) or (dialect.is_dynamic and hint is not None)
    if len(defined) == 1 and not is_common:
        return rank(defined, Tier.UNIQUE_NAME)
    limit = 1 if kinds <= CLASSLIKE or name in dialect.commons else MAX_AMBIGUOUS
    return rank(prefer_near(defined, path)[:limit], Tier.AMBIGUOUS)


def _is_hinted(one: SymbolAt, hint: str) -> bool:
    """Say whether the name of a receiver fits the class of a method: `config` and `Config`, `site` and `FakeSite`."""
    owner = one.symbol.qualname.rpartition(".")[0].rpartition(".")[2].replace("_", "").lower()
    return owner == hint or (len(hint) >= _MIN_HINT and owner.endswith(hint))


def _is_open(one: SymbolAt, kinds: AbstractSet[str], path: str) -> bool:
    return is_reachable(one, path) if "method" in kinds and "function" not in kinds else is_linked(one, path)


def _is_common(name: str, dialect: Dialect) -> bool:
    is_plain = dialect.is_dynamic and name.isalnum()
    return is_plain or len(name) < _MIN_LENGTH or name in dialect.commons
