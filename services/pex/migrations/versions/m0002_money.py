"""What a delegation may cost, which run planned it, and where its budget guard stands."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = ("max_cost_microusd", "session_id", "planning_run_id", "guard_bound", "guard_next_pct")


def upgrade() -> None:
    """Go to this revision."""
    with op.batch_alter_table("delegations") as table:
        table.add_column(sa.Column("max_cost_microusd", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("session_id", sa.String(length=128), nullable=True))
        table.add_column(sa.Column("planning_run_id", sa.String(length=128), nullable=True))
        table.add_column(sa.Column("guard_bound", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("guard_next_pct", sa.Double(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Go back to the revision before."""
    with op.batch_alter_table("delegations") as table:
        for name in reversed(_COLUMNS):
            table.drop_column(name)
