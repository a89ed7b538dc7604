"""Facts to rows and back; used for the index file and for the overlay alike."""

import sqlite3
from collections.abc import Sequence

from services.vector_ops.binding import last_name
from services.vector_ops.core.facts import Definition, FileFacts, Import, Reference

DEFINITION_COLUMNS = "d.name, d.qualname, d.kind, d.line, d.col, d.end_line, d.signature, d.doc, d.type_target, d.bases"
REFERENCE_COLUMNS = "r.name, r.target, r.kind, r.receiver, r.scope, r.line, r.col"
IMPORT_COLUMNS = "i.local, i.module, i.name, i.scope, i.line, i.col"

_BLOB = "INSERT INTO {s}.blob (sha, is_python, skipped) VALUES (?, ?, ?)"
_DEFINITION = "INSERT INTO {s}.definition VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_REFERENCE = "INSERT INTO {s}.reference VALUES (?,?,?,?,?,?,?,?)"
_IMPORT = "INSERT INTO {s}.import VALUES (?,?,?,?,?,?,?,?)"
_FILE = "INSERT INTO {s}.file (path, blob_id, stem) VALUES (?, ?, ?)"

Row = Sequence[str | int]


def insert_facts(connection: sqlite3.Connection, schema: str, sha: str, *, python: bool, facts: FileFacts) -> int:
    """Insert the facts of one content; return its blob id."""

    def sql(text: str) -> str:
        return text.replace("{s}", schema)

    blob_id = connection.execute(sql(_BLOB), (sha, int(python), facts.skipped)).lastrowid or 0
    connection.executemany(sql(_DEFINITION), (_definition_row(blob_id, one) for one in facts.definitions))
    connection.executemany(
        sql(_REFERENCE),
        ((blob_id, r.name, r.target, r.kind, r.receiver, r.scope, r.line, r.column) for r in facts.references),
    )
    connection.executemany(
        sql(_IMPORT),
        (
            (blob_id, i.local, i.module, i.name, i.scope, i.line, i.column, i.module.rsplit(".", 1)[-1])
            for i in facts.imports
        ),
    )
    return blob_id


def insert_file(connection: sqlite3.Connection, schema: str, path: str, blob_id: int) -> int:
    """Insert a path; return its file id."""
    return connection.execute(_FILE.replace("{s}", schema), (path, blob_id, stem_of(path))).lastrowid or 0


def stem_of(path: str) -> str:
    """Return the last component of the module that a Python path is, else the empty string."""
    if not path.endswith((".py", ".pyi")):
        return ""
    parts = path.rsplit(".", 1)[0].split("/")
    return parts[-2] if parts[-1] == "__init__" and len(parts) > 1 else parts[-1]


def _definition_row(blob_id: int, one: Definition) -> tuple[str | int | None, ...]:
    is_alias = one.kind == "constant" and one.type_target and not one.type_target.endswith(("()", "^"))
    alias_of = last_name(one.type_target) if is_alias else None
    head = (blob_id, one.name, one.qualname, one.kind, one.line, one.column, one.end_line)
    return (*head, one.signature, one.doc, one.type_target, "\n".join(one.bases), alias_of)


def read_definition(row: Row) -> Definition:
    """Return the definition in a row of DEFINITION_COLUMNS."""
    name, qualname, kind, line, column, end_line, signature, doc, type_target, bases = row
    return Definition(
        str(name), str(qualname), str(kind), int(line), int(column), int(end_line),
        str(signature), str(doc), str(type_target), tuple(str(bases).split("\n")) if bases else (),
    )  # fmt: skip


def read_reference(row: Row) -> Reference:
    """Return the reference in a row of REFERENCE_COLUMNS."""
    name, target, kind, receiver, scope, line, column = row
    return Reference(str(name), str(target), str(kind), str(receiver), str(scope), int(line), int(column))


def read_import(row: Row) -> Import:
    """Return the import in a row of IMPORT_COLUMNS."""
    local, module, name, scope, line, column = row
    return Import(str(local), str(module), str(name), str(scope), int(line), int(column))
