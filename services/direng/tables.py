"""The tables of DirEng; `migrations` holds their history."""

import sqlalchemy as sa

from services.kernel.db import new_metadata
from services.wire.idempotency import idempotency_table

METADATA = new_metadata()

SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("session_id", sa.String(128), primary_key=True),
    sa.Column("repo", sa.Text, nullable=False, index=True),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("delegation_id", sa.String(128)),
    sa.Column("run_id", sa.String(128)),
    sa.Column("pending", sa.Text),
    sa.Column("last_seq", sa.Integer, nullable=False),
    sa.Column("is_paid_allowed", sa.Boolean, nullable=False, server_default=sa.false()),
)


def _session_id(*, is_key: bool) -> sa.Column[str]:
    return sa.Column("session_id", sa.ForeignKey(SESSIONS.c.session_id), primary_key=is_key, nullable=False)


TURNS = sa.Table(
    "turns",
    METADATA,
    _session_id(is_key=True),
    sa.Column("turn_index", sa.Integer, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("trace_id", sa.String(64), nullable=False),
    sa.Column("following", sa.Text),
    sa.Column("started_at", sa.String(40), nullable=False),
    sa.Column("finished_at", sa.String(40), nullable=False),
)

TURN_EVENTS = sa.Table(
    "turn_events",
    METADATA,
    _session_id(is_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("turn_index", sa.Integer, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("trace_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("step", sa.Integer),
    sa.Column("data", sa.Text, nullable=False),
)

ACCEPTS = sa.Table(
    "accepts",
    METADATA,
    sa.Column("run_id", sa.String(128), primary_key=True),
    _session_id(is_key=False),
    sa.Column("repo", sa.Text, nullable=False, index=True),
    sa.Column("accepted_at", sa.String(40), nullable=False),
)

SUMMARIES = sa.Table(
    "summaries",
    METADATA,
    _session_id(is_key=True),
    sa.Column("upto_turn", sa.Integer, nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("made_at", sa.String(40), nullable=False),
)

CONTEXT_AUDITS = sa.Table(
    "context_audits",
    METADATA,
    sa.Column("call_id", sa.String(300), primary_key=True),
    _session_id(is_key=False),
    sa.Column("turn_index", sa.Integer, nullable=False),
    sa.Column("model", sa.String(128), nullable=False),
    sa.Column("limit_tokens", sa.Integer, nullable=False),
    sa.Column("tokens", sa.Integer, nullable=False),
    sa.Column("is_refused", sa.Boolean, nullable=False),
    sa.Column("prompt_sha256", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("cost_microusd", sa.BigInteger),
    sa.Column("packed_at", sa.String(40), nullable=False),
)

IDEMPOTENCY = idempotency_table(METADATA)
