"""A run remembers that its time limit has paused it once."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    with op.batch_alter_table("controls") as table:
        table.add_column(sa.Column("is_limit_spent", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    """Go back to the revision before."""
    with op.batch_alter_table("controls") as table:
        table.drop_column("is_limit_spent")
