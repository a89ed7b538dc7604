"""The tables of an index file; the overlay of uncommitted files is an in-memory database with the same tables.

Rows of symbols and edges carry their file in the upper bits of the row number: they lie together, and are replaced by a
range. No statistics are gathered (`ANALYZE`): they make the planner choose worse for recursive queries.
"""

import sqlite3
from collections.abc import Callable

APPLICATION_ID = 0x44455658
"""Marks a SQLite file as ours, in its header."""

SCHEMA_VERSION = 3
"""Version 1 was the format of the former index, whose file has no number; 2 did not ask for
methods apart from other names. Both are built anew."""

ROW_BITS = 20
ROW_MASK = (1 << ROW_BITS) - 1
OVERLAY_BASE = 1 << 40
"""Ids of files and contents of the overlay start here."""

TABLES = """
CREATE TABLE {s}.meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE {s}.blob (
  id INTEGER PRIMARY KEY, sha TEXT NOT NULL, form TEXT NOT NULL, skipped TEXT NOT NULL,
  outline BLOB NOT NULL, refs BLOB NOT NULL, document BLOB NOT NULL
);
CREATE TABLE {s}.file (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, blob_id INTEGER NOT NULL, language TEXT NOT NULL,
  family TEXT NOT NULL, unit TEXT NOT NULL, is_test INTEGER NOT NULL
);
CREATE TABLE {s}.tail (tail TEXT NOT NULL, file_id INTEGER NOT NULL, PRIMARY KEY (tail, file_id)) WITHOUT ROWID;
CREATE TABLE {s}.symbol (
  row INTEGER PRIMARY KEY, id INTEGER NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, qualname TEXT NOT NULL,
  kind TEXT NOT NULL, line INTEGER NOT NULL, col INTEGER NOT NULL, start_line INTEGER NOT NULL,
  end_line INTEGER NOT NULL, signature TEXT NOT NULL, doc TEXT NOT NULL, is_test INTEGER NOT NULL
);
CREATE TABLE {s}.edge (
  row INTEGER PRIMARY KEY, source_id INTEGER NOT NULL, target_id INTEGER NOT NULL, kind INTEGER NOT NULL,
  tier INTEGER NOT NULL, line INTEGER NOT NULL, col INTEGER NOT NULL
);
CREATE TABLE {s}.dep (file_id INTEGER PRIMARY KEY, questions BLOB NOT NULL);
CREATE TABLE {s}.change (epoch INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (epoch, path)) WITHOUT ROWID;
"""

INDEXES = """
CREATE UNIQUE INDEX {s}.ix_blob_sha ON blob (sha, form);
CREATE INDEX {s}.ix_file_blob ON file (blob_id);
CREATE INDEX {s}.ix_file_unit ON file (unit);
CREATE INDEX {s}.ix_tail_file ON tail (file_id);
CREATE INDEX {s}.ix_symbol_id ON symbol (id);
CREATE INDEX {s}.ix_symbol_name ON symbol (name, owner);
CREATE INDEX {s}.ix_edge_source ON edge (source_id);
CREATE INDEX {s}.ix_edge_target ON edge (target_id, kind);
"""

OVERLAY_TABLES = """
CREATE TABLE overlay.masked (id INTEGER PRIMARY KEY);
CREATE TABLE overlay.unlinked (id INTEGER PRIMARY KEY);
CREATE TABLE overlay.place (id INTEGER PRIMARY KEY, path TEXT NOT NULL);
"""
"""`masked`: committed files that the overlay replaces or removes. `unlinked`: those whose edges the overlay replaces.
`place`: every file that has edges in the overlay, committed ones too."""

MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""By the version they start from; each brings an open transaction's tables to the next version."""


def tables_of(schema: str) -> str:
    """Return the tables' DDL for one attached database."""
    return TABLES.replace("{s}", schema)


def indexes_of(schema: str) -> str:
    """Return the DDL of the indexes."""
    return INDEXES.replace("{s}", schema)
