"""How symbols and edges lie in Neo4j, and the statements that write them.

`(:Symbol {key, repo, path, name, qualname, kind, line})` and
`[:CALLS | IMPORTS | INHERITS | USES {tier, line, column}]`; an edge belongs to the file of its source.
`(:Repository {repo, root, epoch})` says what the graph was made from.

Every property costs time to load, so there are those that people ask by and see; the rest of a symbol is read from the
index, which is level whenever the graph is asked. `repo` is a number, for it stands in every node and in two indexes.
`key` is the symbol's id less a number of the repository's own: many repositories stand apart in one database under one
unique constraint, and keys are ordered as ids are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby

from services.vector_ops.core.view import EdgeRow, SymbolRow
from services.vector_ops.languages.world import EdgeKind

Values = list[object]
"""Properties by position: a map for each row takes a third longer to send and to read."""
RELATIONS = {
    EdgeKind.CALL: "CALLS",
    EdgeKind.IMPORT: "IMPORTS",
    EdgeKind.INHERIT: "INHERITS",
    EdgeKind.USE: "USES",
}
KINDS = {name: kind for kind, name in RELATIONS.items()}
LOADING = "loading"

SCHEMA = (
    "CREATE CONSTRAINT direng_symbol_key IF NOT EXISTS FOR (s:Symbol) REQUIRE s.key IS UNIQUE",
    "CREATE CONSTRAINT direng_repository IF NOT EXISTS FOR (r:Repository) REQUIRE r.repo IS UNIQUE",
    "CREATE INDEX direng_symbol_file IF NOT EXISTS FOR (s:Symbol) ON (s.repo, s.path)",
    "CREATE INDEX direng_symbol_name IF NOT EXISTS FOR (s:Symbol) ON (s.repo, s.name)",
)

READ_EPOCH = "MATCH (r:Repository {repo: $repo}) RETURN r.epoch AS epoch"
WRITE_EPOCH = "MERGE (r:Repository {repo: $repo}) SET r.epoch = $epoch, r.root = $root"
# The rows of one file stand together behind its path, which is sent once.
_EACH_SYMBOL = "UNWIND $files AS file WITH file[0] AS path, file[1] AS rows UNWIND rows AS row "
_PROPERTIES = "{key: row[0], repo: $repo, path: path, name: row[1], qualname: row[2], kind: row[3], line: row[4]}"
CREATE_SYMBOLS = f"{_EACH_SYMBOL}CREATE (s:Symbol {_PROPERTIES})"
# The key is made of path and qualified name, so that these two tell whether a symbol is as it was.
MERGE_SYMBOLS = (
    f"{_EACH_SYMBOL}MERGE (s:Symbol {{key: row[0]}}) WITH s, row, path "
    f"WHERE s.line IS NULL OR s.line <> row[4] OR s.kind <> row[3] SET s = {_PROPERTIES}"
)
CLEAR_FILES = (
    "MATCH (s:Symbol) WHERE s.repo = $repo AND s.path IN $paths CALL (s) { MATCH (s)-[e]->() DELETE e } "
    "WITH s WHERE NOT s.key IN $kept DETACH DELETE s"
)
# Copies of an earlier make had the root itself as `repo`.
FIND_REPOSITORY = "MATCH (s:Symbol) WHERE s.repo IN [$repo, $root] RETURN 1 LIMIT 1"
DELETE_REPOSITORY = (
    "MATCH (s:Symbol) WHERE s.repo IN [$repo, $root] CALL (s) { DETACH DELETE s } IN TRANSACTIONS OF 10000 ROWS"
)
DELETE_EARLIER = "MATCH (r:Repository {repo: $root}) DELETE r"


def create_edges(kind: EdgeKind, rows: str = "rows") -> str:
    """Return the statement that creates edges of one kind from the parameter `rows`."""
    return (
        f"UNWIND ${rows} AS row MATCH (a:Symbol {{key: row[0]}}) MATCH (b:Symbol {{key: row[1]}}) "
        f"CREATE (a)-[:{RELATIONS[kind]} {{tier: row[2], line: row[3], column: row[4]}}]->(b)"
    )


def write_all(kinds: Iterable[EdgeKind]) -> str:
    """Return one statement for the epoch, symbols from `files` and edges from a parameter named by each relation."""
    parts = [MERGE_SYMBOLS, *(create_edges(kind, RELATIONS[kind]) for kind in kinds)]
    return " ".join([WRITE_EPOCH, *(f"WITH r CALL () {{ {part} }}" for part in parts)])


def relation_pattern(kinds: Sequence[EdgeKind]) -> str:
    """Return `CALLS|USES`."""
    return "|".join(RELATIONS[kind] for kind in dict.fromkeys(kinds))


class Keys:
    """The numbers of one repository: its own, and keys for its symbols that are unique in the database."""

    def __init__(self, root: str) -> None:
        # Less than 2**63, so that the difference to an id, which is too, fits into the store's integers.
        self._offset = int.from_bytes(hashlib.blake2b(root.encode(), digest_size=8).digest(), "big") >> 1
        self.repo = self._offset >> 11
        """Below 2**52: every reader of JSON takes it as it is."""

    def key_of(self, symbol_id: int) -> int:
        """Return the key of an id."""
        return symbol_id - self._offset

    def id_of(self, key: int) -> int:
        """Return the id of a key."""
        return key + self._offset


def symbol_values(keys: Keys, one: SymbolRow) -> Values:
    """Return the properties of a symbol's node, in the order of the statements, but for its path."""
    return [keys.key_of(one.id), one.name, one.qualname, one.kind, one.line]


def group_by_file(keys: Keys, symbols: Iterable[SymbolRow]) -> list[Values]:
    """Return (path, rows) for symbols that come file by file."""
    return [
        [path, [symbol_values(keys, one) for one in found]] for path, found in groupby(symbols, lambda one: one.path)
    ]


def edge_values(keys: Keys, one: EdgeRow) -> Values:
    """Return what `create_edges` needs of one edge."""
    return [keys.key_of(one.source_id), keys.key_of(one.target_id), int(one.tier), one.line, one.column]
