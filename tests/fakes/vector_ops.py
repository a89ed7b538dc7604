"""Vector-Ops in memory: definitions and references given by the test."""

from collections.abc import Sequence

from services.kernel.caller import Caller
from services.vector_ops.models import (
    Hit,
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    QueryKind,
    RefreshReport,
    RefreshRequest,
    Stamp,
)
from services.vector_ops.protocol import SymbolNotFoundError, UnindexableError

COMMIT = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"


def make_hit(path: str, line: int, symbol: str, kind: str = "function") -> Hit:
    """Return a place in the code."""
    return Hit(path=path, line=line, column=1, symbol=symbol, kind=kind, snippet=f"{kind} {symbol}")


class FakeVectorOps:
    """Answers from lists; `repos` are the paths it accepts (empty: all)."""

    def __init__(
        self, definitions: Sequence[Hit] = (), references: Sequence[Hit] = (), repos: Sequence[str] = ()
    ) -> None:
        self.definitions = list(definitions)
        self.references = list(references)
        self.repos = tuple(repos)
        self.stamp = Stamp(
            indexed_commit=COMMIT, head_commit=COMMIT, dirty_paths=("a.py", "b.py"), lag_s=0, is_fresh=True
        )

    async def refresh(self, caller: Caller, request: RefreshRequest) -> RefreshReport:
        self._check(request.repo)
        return RefreshReport(
            outcome="fresh",
            commit_sha=COMMIT,
            commit_time="",
            files_parsed=0,
            files_total=20,
            symbols_total=len(self.definitions),
            duration_s=0,
        )

    async def query(self, caller: Caller, query: IndexQuery) -> IndexAnswer:
        self._check(query.repo)
        if query.kind is QueryKind.SEARCH:
            words = query.text.lower().split()
            hits = [hit for hit in self.definitions if any(word in hit.symbol.lower() for word in words)]
            return IndexAnswer(hits=tuple(hits[: query.limit]), stamp=self.stamp)
        found = [hit for hit in self.definitions if _means(query.text, hit)]
        if not found:
            raise SymbolNotFoundError(f"no definition of {query.text}; near: {self._near(query.text)}")
        if query.kind is QueryKind.WHERE_DEFINED:
            return IndexAnswer(hits=tuple(found[: query.limit]), stamp=self.stamp)
        name = query.text.rpartition(".")[2]
        users = [hit for hit in self.references if hit.snippet.rpartition(" ")[2].rpartition(".")[2] == name]
        return IndexAnswer(hits=tuple(users[: query.limit]), stamp=self.stamp)

    async def snapshot(self, caller: Caller, repo: str) -> IndexSnapshot:
        self._check(repo)
        return IndexSnapshot(stamp=self.stamp, files=20, symbols=len(self.definitions), references=0, schema_version=1)

    def _near(self, text: str) -> str:
        first = text.rpartition(".")[2][:2]
        near = [hit.symbol for hit in self.definitions if hit.symbol.rpartition(".")[2].startswith(first)]
        return ", ".join(near) or "nothing"

    def _check(self, repo: str) -> None:
        if self.repos and repo not in self.repos:
            raise UnindexableError(f"{repo} is no git repository with a commit")


def _means(text: str, hit: Hit) -> bool:
    return hit.symbol == text or hit.symbol.endswith(f".{text}")
