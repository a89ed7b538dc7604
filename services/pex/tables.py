"""The tables of PEX; `migrations` holds their history."""

import sqlalchemy as sa

from services.kernel.db import new_metadata
from services.wire.idempotency import idempotency_table

BLANKS = " \t\n\r"
METADATA = new_metadata()

DELEGATIONS = sa.Table(
    "delegations",
    METADATA,
    sa.Column("delegation_id", sa.String(128), primary_key=True),
    sa.Column("trace_id", sa.String(64), nullable=False),
    sa.Column("intent", sa.Text, nullable=False),
    sa.Column("repo", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.String(32), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("timeout_minutes", sa.Double, nullable=False),
    sa.Column("approval_key", sa.String(200), nullable=False),
    sa.Column("decision_rationale", sa.Text, nullable=False),
    sa.Column("project_id", sa.String(128), index=True),
    sa.Column("run_id", sa.String(128)),
    sa.Column("plan", sa.Text),
    sa.Column("question", sa.Text),
    sa.Column("estimate", sa.Text),
    sa.Column("report", sa.Text),
    sa.Column("pas_cursor", sa.Integer, nullable=False),
    sa.Column("max_cost_microusd", sa.BigInteger),
    sa.Column("session_id", sa.String(128)),
    sa.Column("planning_run_id", sa.String(128)),
    sa.Column("guard_bound", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("guard_next_pct", sa.Double, nullable=False, server_default="0"),
    sa.Column("last_seq", sa.Integer, nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("updated_at", sa.String(40), nullable=False),
    sa.CheckConstraint(f"length(trim(rationale, '{BLANKS}')) > 0", name="rationale_is_given"),
    sa.CheckConstraint(
        f"approval_key = '' OR length(trim(decision_rationale, '{BLANKS}')) > 0", name="decision_rationale_is_given"
    ),
)

DELEGATION_EVENTS = sa.Table(
    "delegation_events",
    METADATA,
    sa.Column("delegation_id", sa.ForeignKey(DELEGATIONS.c.delegation_id), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("trace_id", sa.String(64), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.CheckConstraint("step >= 1 AND step <= 14", name="step_is_one_of_fourteen"),
)

IDEMPOTENCY = idempotency_table(METADATA)
