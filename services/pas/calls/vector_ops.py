"""PAS -> Vector-Ops: what an agent card asks of the index of its repository."""

from random import Random

from services.kernel.caller import CallerSource
from services.kernel.vocabulary import ServiceName
from services.vector_ops.models import IndexAnswer, IndexQuery, QueryKind
from services.vector_ops.protocol import VectorOps
from services.wire.edge import Edge


class VectorOpsEdge:
    """The part of Vector-Ops that PAS uses."""

    def __init__(self, vector_ops: VectorOps, callers: CallerSource, random: Random) -> None:
        self._vector_ops = vector_ops
        self._edge = Edge(ServiceName.VECTOR_OPS, callers, random)

    async def query(self, repo: str, kind: QueryKind, text: str, limit: int) -> IndexAnswer:
        """Return hits with their stamp; raises SymbolNotFoundError, which carries near names, and UnindexableError."""
        query = IndexQuery(repo=repo, kind=kind, text=text, limit=limit)
        return await self._edge.call(lambda caller: self._vector_ops.query(caller, query))
