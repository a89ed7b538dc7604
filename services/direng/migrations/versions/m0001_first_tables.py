"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    _create_idempotency()
    _create_sessions()
    _create_accepts()
    _create_turn_events()
    _create_turns()


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_index(op.f("ix_turns_state"), table_name="turns")
    op.drop_table("turns")
    op.drop_table("turn_events")
    op.drop_index(op.f("ix_accepts_repo"), table_name="accepts")
    op.drop_table("accepts")
    op.drop_index(op.f("ix_sessions_repo"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_table("idempotency")


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


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("delegation_id", sa.String(length=128), nullable=True),
        sa.Column("run_id", sa.String(length=128), nullable=True),
        sa.Column("pending", sa.Text(), nullable=True),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_repo"), "sessions", ["repo"], unique=False)


def _create_accepts() -> None:
    op.create_table(
        "accepts",
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.session_id"], name=op.f("fk_accepts_session_id_sessions")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_accepts")),
    )
    op.create_index(op.f("ix_accepts_repo"), "accepts", ["repo"], unique=False)


def _create_turn_events() -> None:
    op.create_table(
        "turn_events",
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("turn_index", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("trace_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.session_id"], name=op.f("fk_turn_events_session_id_sessions")
        ),
        sa.PrimaryKeyConstraint("session_id", "seq", name=op.f("pk_turn_events")),
    )


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("turn_index", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("trace_id", sa.String(length=64), nullable=False),
        sa.Column("following", sa.Text(), nullable=True),
        sa.Column("started_at", sa.String(length=40), nullable=False),
        sa.Column("finished_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.session_id"], name=op.f("fk_turns_session_id_sessions")),
        sa.PrimaryKeyConstraint("session_id", "turn_index", name=op.f("pk_turns")),
    )
    op.create_index(op.f("ix_turns_state"), "turns", ["state"], unique=False)
