"""The tables of an index file; the overlay of uncommitted files is an in-memory database with the same tables."""

from services.vector_ops.core.facts import EXTRACTOR_VERSION

APPLICATION_ID = 0x44455658
"""Marks a SQLite file as ours, in its header."""

SCHEMA_VERSION = 1
VERSIONS = f"{SCHEMA_VERSION}.{EXTRACTOR_VERSION}"

TABLES = """
CREATE TABLE {s}.meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE {s}.blob (
  id INTEGER PRIMARY KEY, sha TEXT NOT NULL, is_python INTEGER NOT NULL, skipped TEXT NOT NULL, UNIQUE (sha, is_python)
);
CREATE TABLE {s}.file (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, blob_id INTEGER NOT NULL REFERENCES blob(id), stem TEXT NOT NULL
);
CREATE INDEX {s}.ix_file_blob ON file (blob_id);
CREATE INDEX {s}.ix_file_stem ON file (stem);
CREATE TABLE {s}.definition (
  blob_id INTEGER NOT NULL REFERENCES blob(id), name TEXT NOT NULL, qualname TEXT NOT NULL, kind TEXT NOT NULL,
  line INTEGER NOT NULL, col INTEGER NOT NULL, end_line INTEGER NOT NULL, signature TEXT NOT NULL, doc TEXT NOT NULL,
  type_target TEXT NOT NULL, bases TEXT NOT NULL, alias_of TEXT
);
CREATE INDEX {s}.ix_definition_name ON definition (name);
CREATE INDEX {s}.ix_definition_blob ON definition (blob_id, qualname);
CREATE INDEX {s}.ix_definition_alias ON definition (alias_of) WHERE alias_of IS NOT NULL;
CREATE TABLE {s}.reference (
  blob_id INTEGER NOT NULL REFERENCES blob(id), name TEXT NOT NULL, target TEXT NOT NULL, kind TEXT NOT NULL,
  receiver TEXT NOT NULL, scope TEXT NOT NULL, line INTEGER NOT NULL, col INTEGER NOT NULL
);
CREATE INDEX {s}.ix_reference_name ON reference (name);
CREATE INDEX {s}.ix_reference_blob ON reference (blob_id);
CREATE TABLE {s}.import (
  blob_id INTEGER NOT NULL REFERENCES blob(id), local TEXT NOT NULL, module TEXT NOT NULL, name TEXT NOT NULL,
  scope TEXT NOT NULL, line INTEGER NOT NULL, col INTEGER NOT NULL, tail TEXT NOT NULL
);
CREATE INDEX {s}.ix_import_blob ON import (blob_id, local);
CREATE INDEX {s}.ix_import_name ON import (name);
CREATE INDEX {s}.ix_import_tail ON import (tail);
"""

TEXT_TABLES = """
CREATE VIRTUAL TABLE main.text USING fts5 (path, symbols, body, tokenize = "unicode61 tokenchars '_'");
CREATE VIRTUAL TABLE main.text_terms USING fts5vocab (text, row);
"""

FACT_TABLES = ("definition", "reference", "import")
COLUMN_WEIGHTS = (3.0, 4.0, 1.0)
"""What one occurrence of a term counts in path, symbols, body."""


def statements_for(schema: str) -> str:
    """Return the tables' DDL for one attached database."""
    return TABLES.replace("{s}", schema)
