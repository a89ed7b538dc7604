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
    _create_posteriors()
    _create_projects()
    _create_project_events()
    _create_estimates()
    _create_approvals()
    _create_runs()
    _create_actuals()
    _create_kpis()


def downgrade() -> None:
    """Go back to the revision before; a table's indexes go with it."""
    for table in (
        "kpis",
        "actuals",
        "runs",
        "approvals",
        "estimates",
        "project_events",
        "projects",
        "posteriors",
        "idempotency",
    ):
        op.drop_table(table)


def _sequence() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("sequence", kind, autoincrement=True, nullable=False)


def _rationale_is_given(name: str) -> sa.CheckConstraint:
    return sa.CheckConstraint("length(trim(rationale, ' \t\n\r')) > 0", name=op.f(name))


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


def _create_posteriors() -> None:
    op.create_table(
        "posteriors",
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("m", sa.Double(), nullable=False),
        sa.Column("kappa", sa.Double(), nullable=False),
        sa.Column("a", sa.Double(), nullable=False),
        sa.Column("b", sa.Double(), nullable=False),
        sa.Column("observations", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("prior_version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("repo", "lane", "configuration", "outcome", name=op.f("pk_posteriors")),
    )


def _create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("prd", sa.Text(), nullable=False),
        sa.Column("prd_sha256", sa.String(length=64), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("current_estimate_id", sa.Text(), nullable=True),
        sa.Column("approved_estimate_id", sa.Text(), nullable=True),
        sa.Column("creation_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_projects")),
    )
    op.create_index(op.f("ix_projects_state"), "projects", ["state"])


def _create_project_events() -> None:
    op.create_table(
        "project_events",
        _sequence(),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        _rationale_is_given("ck_project_events_rationale_is_given"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.project_id"], name=op.f("fk_project_events_project_id_projects")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_project_events")),
    )
    op.create_index(op.f("ix_project_events_project_id"), "project_events", ["project_id"])


def _create_estimates() -> None:
    op.create_table(
        "estimates",
        _sequence(),
        sa.Column("estimate_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("label", sa.String(length=16), nullable=False),
        sa.Column("uses_model", sa.Boolean(), nullable=False),
        sa.Column("time_s", sa.JSON(), nullable=False),
        sa.Column("cost_microusd_p95", sa.BigInteger(), nullable=False),
        sa.Column("tokens_p95", sa.BigInteger(), nullable=False),
        sa.Column("cards", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_estimates_project_id_projects")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_estimates")),
        sa.UniqueConstraint("estimate_id", name=op.f("uq_estimates_estimate_id")),
    )
    op.create_index(op.f("ix_estimates_project_id"), "estimates", ["project_id"])


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        _sequence(),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("estimate_id", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("max_cost_microusd", sa.BigInteger(), nullable=False),
        sa.Column("max_time_s", sa.Double(), nullable=True),
        sa.Column("breach_policy", sa.String(length=16), nullable=False),
        _rationale_is_given("ck_approvals_rationale_is_given"),
        sa.ForeignKeyConstraint(
            ["estimate_id"], ["estimates.estimate_id"], name=op.f("fk_approvals_estimate_id_estimates")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_approvals_project_id_projects")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_project_id"), "approvals", ["project_id"])


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("run_kind", sa.String(length=16), nullable=False),
        sa.Column("final_state", sa.String(length=32), nullable=False),
        sa.Column("is_verified", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_runs_project_id_projects")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_project_id"), "runs", ["project_id"])


def _create_actuals() -> None:
    op.create_table(
        "actuals",
        _sequence(),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=False),
        sa.Column("time_s", sa.Double(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_microusd", sa.BigInteger(), nullable=False),
        sa.Column("is_success", sa.Boolean(), nullable=False),
        sa.Column("is_discarded", sa.Boolean(), nullable=False),
        sa.Column("predicted", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("is_counted", sa.Boolean(), nullable=False),
        sa.Column("is_learned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_actuals_run_id_runs")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_actuals")),
        sa.UniqueConstraint("run_id", "task_id", "attempt", name=op.f("uq_actuals_run_id")),
    )


def _create_kpis() -> None:
    op.create_table(
        "kpis",
        _sequence(),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_kpis_project_id_projects")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_kpis")),
        sa.UniqueConstraint("run_id", "lane", "name", name=op.f("uq_kpis_run_id")),
    )
    op.create_index(op.f("ix_kpis_project_id"), "kpis", ["project_id"])
