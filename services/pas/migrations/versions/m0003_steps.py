"""Steps of agent cards; receipts per model attempt; what the broker was; a raised ceiling of spend."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = ["run_id", "task_id", "attempt"]


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "steps",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=128), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("tree", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_steps_run_id_runs")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_steps")),
        sa.UniqueConstraint(*_KEY, "position", name=op.f("uq_steps_run_id")),
    )
    with op.batch_alter_table("receipts") as table:
        table.add_column(sa.Column("step", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("cost_microusd", sa.BigInteger(), server_default="0", nullable=False))
        table.add_column(sa.Column("tokens", sa.BigInteger(), server_default="0", nullable=False))
        table.drop_constraint(op.f("uq_receipts_run_id"), type_="unique")
        table.create_unique_constraint(op.f("uq_receipts_run_id"), [*_KEY, "step"])
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("models", sa.Text(), nullable=True))
    with op.batch_alter_table("controls") as table:
        table.add_column(sa.Column("cap_microusd", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Go back to the revision before; what models were paid for is forgotten with it."""
    with op.batch_alter_table("controls") as table:
        table.drop_column("cap_microusd")
    with op.batch_alter_table("runs") as table:
        table.drop_column("models")
    op.execute("DELETE FROM receipts WHERE step > 0")
    with op.batch_alter_table("receipts") as table:
        table.drop_constraint(op.f("uq_receipts_run_id"), type_="unique")
        table.create_unique_constraint(op.f("uq_receipts_run_id"), _KEY)
        for column in ("step", "cost_microusd", "tokens"):
            table.drop_column(column)
    op.drop_table("steps")
