"""DirEng -> Vector-Ops: answers about the code."""

from random import Random

from services.kernel.caller import CallerSource
from services.kernel.vocabulary import ServiceName
from services.vector_ops.models import IndexAnswer, IndexQuery, IndexSnapshot, QueryKind
from services.vector_ops.protocol import VectorOps
from services.wire.edge import Edge

MAX_HITS = 50


class VectorOpsEdge:
    """The part of Vector-Ops that DirEng uses."""

    def __init__(self, vector_ops: VectorOps, callers: CallerSource, random: Random) -> None:
        self._vector_ops = vector_ops
        self._edge = Edge(ServiceName.VECTOR_OPS, callers, random)

    async def query(self, repo: str, kind: QueryKind, text: str) -> IndexAnswer:
        """Return hits and their stamp; raises SymbolNotFoundError with near names."""
        query = IndexQuery(repo=repo, kind=kind, text=text, limit=MAX_HITS)
        return await self._edge.call(lambda caller: self._vector_ops.query(caller, query))

    async def snapshot(self, repo: str) -> IndexSnapshot:
        """Return the size and freshness of the index."""
        return await self._edge.call(lambda caller: self._vector_ops.snapshot(caller, repo))
