"""How symbols and edges lie in Neo4j, and the statements that read and write them.

`(:Symbol {key, repo, path, name, qualname, kind, line, detail})` and
`[:CALLS | IMPORTS | INHERITS | USES {tier, line, column}]`; an edge belongs to the file of its source. `key` is the
symbol's id mixed with the repository's, so that many repositories stand apart in one database under one unique
constraint. `detail` holds what nobody queries by as one JSON text: every property costs time to load.
`(:Repository {repo, epoch})` says what the graph was made from.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

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
_PROPERTIES = ("key", "repo", "path", "name", "qualname", "kind", "line", "detail")
_ASSIGNED = ", ".join(f"{name}: row[{at}]" for at, name in enumerate(_PROPERTIES))
SYMBOL = "s.key, s.path, s.name, s.qualname, s.kind, s.line, s.detail"
"""What `read_symbol` wants of a node `s`, as columns: less to send than its properties by name."""
SYMBOL_COLUMNS = SYMBOL.count(",") + 1

READ_EPOCH = "MATCH (r:Repository {repo: $repo}) RETURN r.epoch AS epoch"
WRITE_EPOCH = "MERGE (r:Repository {repo: $repo}) SET r.epoch = $epoch, r.root = $repo"
CREATE_SYMBOLS = f"UNWIND $rows AS row CREATE (s:Symbol {{{_ASSIGNED}}})"
# The key is made of path and qualified name, so that these three tell whether a symbol is as it was.
MERGE_SYMBOLS = (
    "UNWIND $rows AS row MERGE (s:Symbol {key: row[0]}) WITH s, row "
    "WHERE s.detail IS NULL OR s.detail <> row[7] OR s.line <> row[6] OR s.kind <> row[5] "
    f"SET s = {{{_ASSIGNED}}}"
)
CLEAR_FILES = (
    "MATCH (s:Symbol) WHERE s.repo = $repo AND s.path IN $paths CALL (s) { MATCH (s)-[e]->() DELETE e } "
    "WITH s WHERE NOT s.key IN $kept DETACH DELETE s"
)
FIND_REPOSITORY = "MATCH (s:Symbol) WHERE s.repo = $repo RETURN 1 LIMIT 1"
DELETE_REPOSITORY = "MATCH (s:Symbol) WHERE s.repo = $repo CALL (s) { DETACH DELETE s } IN TRANSACTIONS OF 10000 ROWS"


def create_edges(kind: EdgeKind, rows: str = "rows") -> str:
    """Return the statement that creates edges of one kind from the parameter `rows`."""
    return (
        f"UNWIND ${rows} AS row MATCH (a:Symbol {{key: row[0]}}) MATCH (b:Symbol {{key: row[1]}}) "
        f"CREATE (a)-[:{RELATIONS[kind]} {{tier: row[2], line: row[3], column: row[4]}}]->(b)"
    )


def write_all(kinds: Iterable[EdgeKind]) -> str:
    """Return one statement for the epoch, symbols from `rows` and edges from a parameter named by each relation."""
    parts = [MERGE_SYMBOLS, *(create_edges(kind, RELATIONS[kind]) for kind in kinds)]
    return " ".join([WRITE_EPOCH, *(f"WITH r CALL () {{ {part} }}" for part in parts)])


def relation_pattern(kinds: Sequence[EdgeKind]) -> str:
    """Return `CALLS|USES`."""
    return "|".join(RELATIONS[kind] for kind in dict.fromkeys(kinds))


class Keys:
    """Turns the ids of one repository into keys that are unique in the database, and back."""

    def __init__(self, repo: str) -> None:
        self._salt = int.from_bytes(hashlib.blake2b(repo.encode(), digest_size=8).digest(), "big") >> 1

    def key_of(self, symbol_id: int) -> int:
        """Return the key of an id: mixing is its own inverse."""
        return symbol_id ^ self._salt


def symbol_values(keys: Keys, repo: str, one: SymbolRow) -> Values:
    """Return the properties of a symbol's node, in the order of the statements."""
    detail = [one.at, one.column, one.start_line, one.end_line, one.signature, one.doc, one.is_test]
    text = json.dumps(detail, separators=(",", ":"))
    return [keys.key_of(one.id), repo, one.path, one.name, one.qualname, one.kind, one.line, text]


def edge_values(keys: Keys, one: EdgeRow) -> Values:
    """Return what `create_edges` needs of one edge."""
    return [keys.key_of(one.source_id), keys.key_of(one.target_id), int(one.tier), one.line, one.column]


def read_symbol(keys: Keys, row: Sequence[Any]) -> SymbolRow:
    """Return the symbol of the columns of `SYMBOL`."""
    key, path, name, qualname, kind, line, detail = row
    at, column, start_line, end_line, signature, doc, is_test = json.loads(detail)
    return SymbolRow(
        keys.key_of(key),
        path,
        at,
        name,
        qualname,
        kind,
        line,
        column,
        start_line,
        end_line,
        signature,
        doc,
        is_test,
    )
