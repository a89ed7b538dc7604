"""The tables of the broker; `migrations` holds their history, and a test holds the two together.

Prompts are in none of them: an attempt keeps the digest of its request, an answer what the model said.
"""

import sqlalchemy as sa

from services.kernel.db import new_metadata
from services.wire.idempotency import idempotency_table

BLANKS = " \t\n\r"
SCOPE_KEY_LENGTH = 320
METADATA = new_metadata()
_IS_RESERVED = sa.text("state = 'reserved'")

MODELS = sa.Table(
    "models",
    METADATA,
    sa.Column("alias", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(16), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("base_url", sa.Text),
    sa.Column("key_ref", sa.Text),
    sa.Column("price", sa.JSON(none_as_null=True)),
    sa.Column("context_tokens", sa.Integer),
    sa.Column("tool_style", sa.String(16), nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("changed_at", sa.String(40), nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
)

BUDGETS = sa.Table(
    "budgets",
    METADATA,
    sa.Column("scope_key", sa.String(SCOPE_KEY_LENGTH), primary_key=True),
    sa.Column("cap_microusd", sa.BigInteger),
    sa.Column("cap_tokens", sa.BigInteger),
    sa.Column("spent_microusd", sa.BigInteger, nullable=False),
    sa.Column("reserved_microusd", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("reserved_tokens", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("chain_offset", sa.Integer, nullable=False),
    sa.Column("is_closed", sa.Boolean, nullable=False),
    sa.CheckConstraint("reserved_microusd >= 0 AND reserved_tokens >= 0", name="reservations_are_not_negative"),
)

BUDGET_CHANGES = sa.Table(
    "budget_changes",
    METADATA,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("scope_key", sa.ForeignKey(BUDGETS.c.scope_key), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("cap_microusd", sa.BigInteger),
    sa.Column("cap_tokens", sa.BigInteger),
    sa.Column("chain_offset", sa.Integer, nullable=False),
    sa.Column("is_closed", sa.Boolean, nullable=False),
    sa.CheckConstraint(f"length(trim(rationale, '{BLANKS}')) > 0", name="rationale_is_given"),
)

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("call_id", sa.String(300), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.String(40), nullable=False),
    sa.Column("lane", sa.String(32), nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("alias", sa.String(64), nullable=False),
    sa.Column("provider", sa.String(16), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("fallback_from", sa.String(64)),
    sa.Column("price", sa.Text, nullable=False),
    sa.Column("price_table_version", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_cache_read", sa.BigInteger, nullable=False),
    sa.Column("tokens_cache_write", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("tokens_think", sa.BigInteger, nullable=False),
    sa.Column("reserved_microusd", sa.BigInteger, nullable=False),
    sa.Column("reserved_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost_microusd", sa.BigInteger, nullable=False),
    sa.Column("is_estimated", sa.Boolean, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.String(40), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.UniqueConstraint("call_id", "position"),
    sa.Index("ix_attempts_reserved", "state", sqlite_where=_IS_RESERVED, postgresql_where=_IS_RESERVED),
)

ATTEMPT_SCOPES = sa.Table(
    "attempt_scopes",
    METADATA,
    sa.Column("scope_key", sa.String(SCOPE_KEY_LENGTH), primary_key=True),
    sa.Column("sequence", sa.ForeignKey(ATTEMPTS.c.sequence), primary_key=True),
    sqlite_with_rowid=False,
)

ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("call_id", sa.String(300), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("kept_at", sa.String(40), nullable=False),
)

IDEMPOTENCY = idempotency_table(METADATA)
