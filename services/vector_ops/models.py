"""Vocabulary of the code index: queries, hits, and the stamp that says how fresh every answer is."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue

MAX_QUERY_CHARACTERS = 20_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QueryKind(StrEnum):
    """The verbs of `GET /query`."""

    WHERE_DEFINED = "where_defined"
    WHO_CALLS = "who_calls"
    IMPACT_SET = "impact_set"
    SEARCH = "search"
    NN_SNIPPET = "nn_snippet"
    REPO_MAP = "repo_map"
    CONTEXT_PACK = "context_pack"


class Tier(StrEnum):
    """How sure the resolver is of an edge."""

    EXACT = "exact"
    TYPED = "typed"
    UNIQUE_NAME = "unique-name"
    AMBIGUOUS = "ambiguous"


class IndexQuery(_Frozen):
    """One question about one repository.

    `text` is a symbol (`name`, `pkg.mod.name`, `Class.method`) for the first three verbs, words for the others, and may
    be empty for `repo_map` alone. `limit` caps the hits; `budget_tokens` caps the text of `repo_map` and
    `context_pack`, counted as 4 characters a token. `explain` fills the hits' score parts.
    """

    repo: str = Field(min_length=1, max_length=4096)
    kind: QueryKind
    text: str = Field(default="", max_length=MAX_QUERY_CHARACTERS)
    limit: int = Field(default=50, ge=1, le=500)
    budget_tokens: int = Field(default=2_000, ge=100, le=100_000)
    explain: bool = False


class Stamp(_Frozen):
    """What an answer was computed from (invariant 9).

    `indexed_commit` is the commit the facts come from; `dirty_paths` the uncommitted or untracked files whose
    content at query time differs from it and was read as it is on disk; `lag_s` the seconds since HEAD moved away from
    `indexed_commit` (0 when it has not). `dense_pending` is the number of chunks whose vector is not yet computed, None
    when the answer used no vectors; `history_commit` the newest commit whose message and co-changes are mined, empty
    when the answer used no history. `warnings` are sentences for the reader (a graph store that is away).
    """

    indexed_commit: str
    head_commit: str
    dirty_paths: tuple[str, ...]
    lag_s: float
    is_fresh: bool
    dense_pending: int | None = None
    history_commit: str = ""
    warnings: tuple[str, ...] = ()


class Hit(_Frozen):
    """One place in the code. `line`, `end_line`, `column` count from 1; `score` is unitless, higher is better.

    `parts` are the summands of the score by signal (only when the query asked to explain). `section` and `citation`
    belong to `context_pack`: vector, snippet, summary or citation, and the id by which the text cites this place; in an
    `impact_set` the section is direct, indirect, or history (files that only changed together).
    """

    path: str
    line: int
    column: int
    symbol: str
    kind: str
    snippet: str
    tier: Tier | None = None
    score: float = 0.0
    reason: str = ""
    end_line: int = 0
    parts: dict[str, float] = Field(default_factory=dict)
    section: str = ""
    citation: str = ""

    @property
    def is_direct(self) -> bool:
        """Return whether a place of an impact set leans on the symbol itself."""
        return self.section in {"", "direct"}


class IndexAnswer(_Frozen):
    """Hits, best first, and their stamp; `is_truncated` says that the limit, or a cap on doubts, cut the list.

    `text` is what `repo_map` and `context_pack` render, within the budget; empty for the other verbs.
    """

    hits: tuple[Hit, ...]
    stamp: Stamp
    is_truncated: bool = False
    text: str = ""


class RefreshRequest(_Frozen):
    """Bring the index of `repo` level with its HEAD; `scope` is kept for partial refreshes (`all` today)."""

    repo: str = Field(min_length=1, max_length=4096)
    scope: str = "all"


class RefreshReport(_Frozen):
    """What a refresh did.

    `outcome` is `refreshed` or `fresh` (nothing to do); `note` says what else happened: a damaged index was set aside.
    """

    outcome: str
    commit_sha: str
    commit_time: str
    files_parsed: int
    files_total: int
    symbols_total: int
    duration_s: float
    note: str = ""


class IndexSnapshot(_Frozen):
    """The state of an index, bound to its commit."""

    stamp: Stamp
    files: int
    symbols: int
    references: int
    schema_version: int


class CypherQuery(_Frozen):
    """A Cypher query that only reads; `$repo` is given to it. `limit` caps the rows."""

    repo: str = Field(min_length=1, max_length=4096)
    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)
    limit: int = Field(default=100, ge=1, le=1_000)


class CypherAnswer(_Frozen):
    """Rows as the graph store gave them; `epoch` is what its copy of the repository was made from."""

    rows: tuple[dict[str, JsonValue], ...]
    is_truncated: bool = False
    epoch: str = ""


class Health(_Frozen):
    """The body of `GET /health`."""

    status: str = "ok"
    service: str = "vector_ops"
    version: str
