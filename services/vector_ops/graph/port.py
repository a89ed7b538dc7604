"""What a graph store answers. Each verb is one query to a store that is reached over a wire.

One conformance suite holds both stores to the same results in the same order.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from services.vector_ops.core.view import EdgeRow, SymbolRow
from services.vector_ops.languages.world import EdgeKind, Tier

MAX_DEPTH = 5


class Link(NamedTuple):
    """An edge and the symbol at its other end."""

    edge: EdgeRow
    symbol: SymbolRow


class Dependent(NamedTuple):
    """A symbol that reaches the asked ones in `distance` steps; `tier` is the weakest on the surest shortest way."""

    symbol: SymbolRow
    distance: int
    tier: Tier


class Walk(NamedTuple):
    """A way back along edges: from some symbols to what leans on them, then to what leans on that.

    `steps` says which edges each step follows. Behind the first, ambiguous ones are followed only where
    `follows_ambiguous`. The further steps begin at the sources with the highest scores, the product of `kind_scores`
    and `tier_scores` along the best way.
    """

    ids: Sequence[int]
    steps: Sequence[Sequence[EdgeKind]]
    kind_scores: Mapping[EdgeKind, float] = dict.fromkeys(EdgeKind, 1.0)
    tier_scores: Mapping[Tier, float] = dict.fromkeys(Tier, 1.0)
    follows_ambiguous: bool = False


class Bounds(NamedTuple):
    """How far a walk looks at each step: the surest edges, and the sources with the highest scores of them."""

    most_edges: int
    most_followed: int


Trail = list[list[Link]]
"""The edges of each step of a walk with their sources, each step by tier, path, line, column."""


class GraphStore(Protocol):
    """The symbols and edges of one repository at one epoch; ids are those of `SymbolRow`."""

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        """Return the symbols with this name, by path and line."""
        ...

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        """Return the edges that lead to these symbols with their sources, by tier, path, line, column."""
        ...

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        """Return the edges that leave these symbols with their targets, by path, line, column."""
        ...

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        """Return what reaches these symbols in at most `depth` steps, the symbols themselves aside.

        By distance, tier, path, line. Ambiguous edges are followed for the first step alone: behind them everything
        would depend on everything.
        """
        ...

    def walk(self, walks: Sequence[Walk], bounds: Bounds) -> list[Trail]:
        """Return the trail of each walk, all of them by one query.

        No step begins at the symbols of a walk again, nor at those that stand for files.
        """
        ...

    def count(self) -> tuple[int, int]:
        """Return the number of symbols, the files' own included, and of edges."""
        ...
