"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    _create_answers()
    _create_attempts()
    _create_budgets()
    _create_idempotency()
    _create_models()
    _create_attempt_scopes()
    _create_budget_changes()


def downgrade() -> None:
    """Go back to the revision before; a table's indexes go with it."""
    for table in (
        "budget_changes",
        "attempt_scopes",
        "models",
        "idempotency",
        "budgets",
        "attempts",
        "answers",
    ):
        op.drop_table(table)


def _sequence() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("sequence", kind, autoincrement=True, nullable=False)


def _create_answers() -> None:
    op.create_table(
        "answers",
        sa.Column("call_id", sa.String(length=300), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("kept_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_answers")),
    )


def _counts() -> list[sa.Column[int]]:
    names = (
        "tokens_in",
        "tokens_cache_read",
        "tokens_cache_write",
        "tokens_out",
        "tokens_think",
        "reserved_microusd",
        "reserved_tokens",
        "cost_microusd",
    )
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        _sequence(),
        sa.Column("call_id", sa.String(length=300), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.String(length=40), nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("fallback_from", sa.String(length=64), nullable=True),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("price_table_version", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        *_counts(),
        sa.Column("is_estimated", sa.Boolean(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_attempts")),
        sa.UniqueConstraint("call_id", "position", name=op.f("uq_attempts_call_id")),
    )
    op.create_index(
        "ix_attempts_reserved",
        "attempts",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state = 'reserved'"),
        postgresql_where=sa.text("state = 'reserved'"),
    )


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("scope_key", sa.String(length=320), nullable=False),
        sa.Column("cap_microusd", sa.BigInteger(), nullable=True),
        sa.Column("cap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("spent_microusd", sa.BigInteger(), nullable=False),
        sa.Column("reserved_microusd", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("chain_offset", sa.Integer(), nullable=False),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "reserved_microusd >= 0 AND reserved_tokens >= 0", name=op.f("ck_budgets_reservations_are_not_negative")
        ),
        sa.PrimaryKeyConstraint("scope_key", name=op.f("pk_budgets")),
    )


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency")),
    )


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=16), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("key_ref", sa.Text(), nullable=True),
        sa.Column("price", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("context_tokens", sa.Integer(), nullable=True),
        sa.Column("tool_style", sa.String(length=16), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.String(length=40), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_models")),
    )


def _create_attempt_scopes() -> None:
    op.create_table(
        "attempt_scopes",
        sa.Column("scope_key", sa.String(length=320), nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["sequence"], ["attempts.sequence"], name=op.f("fk_attempt_scopes_sequence_attempts")),
        sa.PrimaryKeyConstraint("scope_key", "sequence", name=op.f("pk_attempt_scopes")),
        sqlite_with_rowid=False,
    )


def _create_budget_changes() -> None:
    op.create_table(
        "budget_changes",
        _sequence(),
        sa.Column("scope_key", sa.String(length=320), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("cap_microusd", sa.BigInteger(), nullable=True),
        sa.Column("cap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("chain_offset", sa.Integer(), nullable=False),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("length(trim(rationale, ' \t\n\r')) > 0", name=op.f("ck_budget_changes_rationale_is_given")),
        sa.ForeignKeyConstraint(["scope_key"], ["budgets.scope_key"], name=op.f("fk_budget_changes_scope_key_budgets")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_budget_changes")),
    )
