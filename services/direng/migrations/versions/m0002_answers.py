"""Answers with a model: the user's word to pay, the rolling summary, the audit of each context."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    with op.batch_alter_table("sessions") as table:
        table.add_column(sa.Column("is_paid_allowed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "summaries",
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("upto_turn", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("made_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.session_id"], name=op.f("fk_summaries_session_id_sessions")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_summaries")),
    )
    _create_audits()


def _create_audits() -> None:
    op.create_table(
        "context_audits",
        sa.Column("call_id", sa.String(length=300), nullable=False),
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("turn_index", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("limit_tokens", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("is_refused", sa.Boolean(), nullable=False),
        sa.Column("prompt_sha256", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("cost_microusd", sa.BigInteger(), nullable=True),
        sa.Column("packed_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_context_audits_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_context_audits")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("context_audits")
    op.drop_table("summaries")
    with op.batch_alter_table("sessions") as table:
        table.drop_column("is_paid_allowed")
