"""PEX -> Vector-Ops: where a symbol is defined, what its change touches, how large a repository is."""

from random import Random

from services.kernel.caller import CallerSource
from services.kernel.vocabulary import ServiceName
from services.vector_ops.models import IndexAnswer, IndexQuery, IndexSnapshot, QueryKind
from services.vector_ops.protocol import VectorOps
from services.wire.edge import Edge

MAX_HITS = 500


class VectorOpsEdge:
    """The part of Vector-Ops that PEX uses."""

    def __init__(self, vector_ops: VectorOps, callers: CallerSource, random: Random) -> None:
        self._vector_ops = vector_ops
        self._edge = Edge(ServiceName.VECTOR_OPS, callers, random)

    async def find_definitions(self, repo: str, symbol: str) -> IndexAnswer:
        """Return the definitions of `symbol`; raises SymbolNotFoundError, which carries near names."""
        return await self._query(repo, QueryKind.WHERE_DEFINED, symbol)

    async def find_impact(self, repo: str, symbol: str) -> IndexAnswer:
        """Return the places that a change of `symbol` touches."""
        return await self._query(repo, QueryKind.IMPACT_SET, symbol)

    async def search(self, repo: str, words: str, limit: int) -> IndexAnswer:
        """Return the places that match `words`, best first."""
        query = IndexQuery(repo=repo, kind=QueryKind.SEARCH, text=words, limit=limit)
        return await self._edge.call(lambda caller: self._vector_ops.query(caller, query))

    async def snapshot(self, repo: str) -> IndexSnapshot:
        """Return the size and freshness of the index."""
        return await self._edge.call(lambda caller: self._vector_ops.snapshot(caller, repo))

    async def _query(self, repo: str, kind: QueryKind, text: str) -> IndexAnswer:
        query = IndexQuery(repo=repo, kind=kind, text=text, limit=MAX_HITS)
        return await self._edge.call(lambda caller: self._vector_ops.query(caller, query))
