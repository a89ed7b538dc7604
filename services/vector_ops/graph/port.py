"""What a graph store answers. Each verb is one query to a store that is reached over a wire.

One conformance suite holds both stores to the same results in the same order.
"""

from collections.abc import Sequence
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

    def count(self) -> tuple[int, int]:
        """Return the number of symbols, the files' own included, and of edges."""
        ...
