"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    _create_delegations()
    _create_idempotency()
    _create_delegation_events()


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("delegation_events")
    op.drop_table("idempotency")
    op.drop_index(op.f("ix_delegations_state"), table_name="delegations")
    op.drop_index(op.f("ix_delegations_repo"), table_name="delegations")
    op.drop_index(op.f("ix_delegations_project_id"), table_name="delegations")
    op.drop_table("delegations")


def _create_delegations() -> None:
    op.create_table(
        "delegations",
        sa.Column("delegation_id", sa.String(length=128), nullable=False),
        sa.Column("trace_id", sa.String(length=64), nullable=False),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("timeout_minutes", sa.Double(), nullable=False),
        sa.Column("approval_key", sa.String(length=200), nullable=False),
        sa.Column("decision_rationale", sa.Text(), nullable=False),
        sa.Column("project_id", sa.String(length=128), nullable=True),
        sa.Column("run_id", sa.String(length=128), nullable=True),
        sa.Column("plan", sa.Text(), nullable=True),
        sa.Column("question", sa.Text(), nullable=True),
        sa.Column("estimate", sa.Text(), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("pas_cursor", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=False),
        sa.CheckConstraint(
            "approval_key = '' OR length(trim(decision_rationale, ' \t\n\r')) > 0",
            name=op.f("ck_delegations_decision_rationale_is_given"),
        ),
        sa.CheckConstraint("length(trim(rationale, ' \t\n\r')) > 0", name=op.f("ck_delegations_rationale_is_given")),
        sa.PrimaryKeyConstraint("delegation_id", name=op.f("pk_delegations")),
    )
    op.create_index(op.f("ix_delegations_project_id"), "delegations", ["project_id"], unique=False)
    op.create_index(op.f("ix_delegations_repo"), "delegations", ["repo"], unique=False)
    op.create_index(op.f("ix_delegations_state"), "delegations", ["state"], unique=False)


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


def _create_delegation_events() -> None:
    op.create_table(
        "delegation_events",
        sa.Column("delegation_id", sa.String(length=128), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("trace_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint("step >= 1 AND step <= 14", name=op.f("ck_delegation_events_step_is_one_of_fourteen")),
        sa.ForeignKeyConstraint(
            ["delegation_id"],
            ["delegations.delegation_id"],
            name=op.f("fk_delegation_events_delegation_id_delegations"),
        ),
        sa.PrimaryKeyConstraint("delegation_id", "seq", name=op.f("pk_delegation_events")),
    )
