"""The tables of PLMS; `migrations` holds their history, and a test holds the two together."""

import sqlalchemy as sa

from services.kernel.db import new_metadata
from services.wire.idempotency import idempotency_table

BLANKS = " \t\n\r"
METADATA = new_metadata()


def _rationale() -> tuple[sa.Column[str], sa.CheckConstraint]:
    """Return the column, and the constraint that no state change or approval goes without a reason."""
    is_given = f"length(trim(rationale, '{BLANKS}')) > 0"
    return sa.Column("rationale", sa.Text, nullable=False), sa.CheckConstraint(is_given, name="rationale_is_given")


PROJECTS = sa.Table(
    "projects",
    METADATA,
    sa.Column("project_id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("prd", sa.Text, nullable=False),
    sa.Column("prd_sha256", sa.String(64), nullable=False),
    sa.Column("repo", sa.Text, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("state", sa.String(32), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("current_estimate_id", sa.Text),
    sa.Column("approved_estimate_id", sa.Text),
    sa.Column("creation_digest", sa.String(64), nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("updated_at", sa.String(40), nullable=False),
)


def _project_id() -> sa.Column[str]:
    return sa.Column("project_id", sa.ForeignKey(PROJECTS.c.project_id), nullable=False, index=True)


def _sequence() -> sa.Column[int]:
    """Return a key that grows with time: BIGINT, but INTEGER on SQLite, where only that one counts by itself."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("sequence", kind, primary_key=True, autoincrement=True)


PROJECT_EVENTS = sa.Table(
    "project_events",
    METADATA,
    _sequence(),
    _project_id(),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("source", sa.String(32)),
    sa.Column("target", sa.String(32), nullable=False),
    *_rationale(),
)

ESTIMATES = sa.Table(
    "estimates",
    METADATA,
    _sequence(),
    sa.Column("estimate_id", sa.Text, nullable=False, unique=True),
    _project_id(),
    sa.Column("label", sa.String(16), nullable=False),
    sa.Column("uses_model", sa.Boolean, nullable=False),
    sa.Column("time_s", sa.JSON, nullable=False),
    sa.Column("cost_microusd", sa.JSON, nullable=False),
    sa.Column("tokens_in", sa.JSON, nullable=False),
    sa.Column("tokens_out", sa.JSON, nullable=False),
    sa.Column("tokens_think", sa.JSON, nullable=False),
    sa.Column("rehearsed_cards", sa.Integer, nullable=False),
    sa.Column("price_table_version", sa.Text, nullable=False),
    sa.Column("cost_microusd_p95", sa.BigInteger, nullable=False),
    sa.Column("tokens_p95", sa.BigInteger, nullable=False),
    sa.Column("cards", sa.JSON, nullable=False),
    sa.Column("created_at", sa.String(40), nullable=False),
)

APPROVALS = sa.Table(
    "approvals",
    METADATA,
    _sequence(),
    _project_id(),
    sa.Column("estimate_id", sa.ForeignKey(ESTIMATES.c.estimate_id), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    *_rationale(),
    sa.Column("max_cost_microusd", sa.BigInteger, nullable=False),
    sa.Column("max_time_s", sa.Double),
    sa.Column("breach_policy", sa.String(16), nullable=False),
)

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    _project_id(),
    sa.Column("run_kind", sa.String(16), nullable=False),
    sa.Column("final_state", sa.String(32), nullable=False),
    sa.Column("is_verified", sa.Boolean, nullable=False),
    sa.Column("recorded_at", sa.String(40), nullable=False),
)

ACTUALS = sa.Table(
    "actuals",
    METADATA,
    _sequence(),
    sa.Column("run_id", sa.ForeignKey(RUNS.c.run_id), nullable=False),
    sa.Column("repo", sa.Text, nullable=False),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("lane", sa.String(32), nullable=False),
    sa.Column("configuration", sa.Text, nullable=False),
    sa.Column("time_s", sa.Double, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("tokens_think", sa.BigInteger, nullable=False),
    sa.Column("cost_microusd", sa.BigInteger, nullable=False),
    sa.Column("is_success", sa.Boolean, nullable=False),
    sa.Column("is_discarded", sa.Boolean, nullable=False),
    sa.Column("predicted", sa.JSON(none_as_null=True)),
    sa.Column("predicted_cost", sa.JSON(none_as_null=True)),
    sa.Column("price", sa.JSON(none_as_null=True)),
    sa.Column("is_counted", sa.Boolean, nullable=False),
    sa.Column("is_learned", sa.Boolean, nullable=False),
    sa.UniqueConstraint("run_id", "task_id", "attempt"),
)

POSTERIORS = sa.Table(
    "posteriors",
    METADATA,
    sa.Column("repo", sa.Text, primary_key=True),
    sa.Column("lane", sa.String(32), primary_key=True),
    sa.Column("configuration", sa.Text, primary_key=True),
    sa.Column("outcome", sa.String(16), primary_key=True),
    sa.Column("metric", sa.String(16), primary_key=True),
    sa.Column("m", sa.Double, nullable=False),
    sa.Column("kappa", sa.Double, nullable=False),
    sa.Column("a", sa.Double, nullable=False),
    sa.Column("b", sa.Double, nullable=False),
    sa.Column("observations", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("prior_version", sa.String(64), nullable=False),
)

KPIS = sa.Table(
    "kpis",
    METADATA,
    _sequence(),
    sa.Column("run_id", sa.Text, nullable=False),
    _project_id(),
    sa.Column("recorded_at", sa.String(40), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("lane", sa.String(32), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("threshold", sa.Double, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.UniqueConstraint("run_id", "lane", "name"),
)

IDEMPOTENCY = idempotency_table(METADATA)
