"""Estimates, attempts and posteriors of tokens and money."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

QUANTILES = ("cost_microusd", "tokens_in", "tokens_out", "tokens_think")
ZERO = dict.fromkeys(("p05", "p10", "p25", "p50", "p75", "p80", "p90", "p95"), 0)
ADDED_COUNTS = ("tokens_in", "tokens_out", "tokens_think")
KEY = ["repo", "lane", "configuration", "outcome"]


def upgrade() -> None:
    """Go to this revision: what was there before was of recipes, which spend nothing."""
    _widen_estimates()
    with op.batch_alter_table("actuals") as actuals:
        for name in ADDED_COUNTS:
            actuals.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
        for name in ("predicted_cost", "price"):
            actuals.add_column(sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("actuals") as actuals:
        for name in ADDED_COUNTS:
            actuals.alter_column(name, server_default=None)
    with op.batch_alter_table("posteriors") as posteriors:
        posteriors.add_column(sa.Column("metric", sa.String(length=16), nullable=False, server_default="time"))
        posteriors.drop_constraint("pk_posteriors", type_="primary")
        posteriors.create_primary_key(op.f("pk_posteriors"), [*KEY, "metric"])
    with op.batch_alter_table("posteriors") as posteriors:
        posteriors.alter_column("metric", server_default=None)


def _widen_estimates() -> None:
    with op.batch_alter_table("estimates") as estimates:
        for name in QUANTILES:
            estimates.add_column(sa.Column(name, sa.JSON(), nullable=True))
        estimates.add_column(sa.Column("rehearsed_cards", sa.Integer(), nullable=True))
        estimates.add_column(sa.Column("price_table_version", sa.Text(), nullable=True))
    table = sa.table(
        "estimates",
        *(sa.column(name, sa.JSON()) for name in QUANTILES),
        sa.column("rehearsed_cards", sa.Integer()),
        sa.column("price_table_version", sa.Text()),
    )
    spent_nothing = dict.fromkeys(QUANTILES, ZERO)
    op.execute(sa.update(table).values(**spent_nothing, rehearsed_cards=0, price_table_version="none: no model used"))
    with op.batch_alter_table("estimates") as estimates:
        for name in (*QUANTILES, "rehearsed_cards", "price_table_version"):
            estimates.alter_column(name, nullable=False)


def downgrade() -> None:
    """Go back to the revision before; what was learned of tokens and money is forgotten."""
    posteriors_table = sa.table("posteriors", sa.column("metric", sa.String()))
    op.execute(sa.delete(posteriors_table).where(posteriors_table.c.metric != "time"))
    with op.batch_alter_table("posteriors") as posteriors:
        posteriors.drop_constraint("pk_posteriors", type_="primary")
        posteriors.drop_column("metric")
        posteriors.create_primary_key(op.f("pk_posteriors"), KEY)
    with op.batch_alter_table("actuals") as actuals:
        for name in (*ADDED_COUNTS, "predicted_cost", "price"):
            actuals.drop_column(name)
    with op.batch_alter_table("estimates") as estimates:
        for name in (*QUANTILES, "rehearsed_cards", "price_table_version"):
            estimates.drop_column(name)
