"""The tables of PAS; `migrations/` brings a database here."""

import sqlalchemy as sa

from services.kernel.db import new_metadata
from services.wire.idempotency import idempotency_table

METADATA = new_metadata()

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("run_id", sa.String(128), primary_key=True),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("repo", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.String(32), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("trace_id", sa.String(64), nullable=False),
    sa.Column("start", sa.Text, nullable=False),
    sa.Column("body_sha256", sa.String(64), nullable=False),
    sa.Column("snapshot", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=True),
    sa.Column("badge", sa.String(16), nullable=True),
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("started_at", sa.String(40), nullable=False, server_default=""),
    sa.Column("finished_at", sa.String(40), nullable=False, server_default=""),
    sa.Column("last_seq", sa.Integer, nullable=False, server_default="0"),
    sa.Column("models", sa.Text, nullable=True),
)


def _run_id(*, is_key: bool = True) -> sa.Column[str]:
    return sa.Column("run_id", sa.String(128), sa.ForeignKey("runs.run_id"), primary_key=is_key, nullable=False)


CARDS = sa.Table(
    "cards",
    METADATA,
    _run_id(),
    sa.Column("task_id", sa.String(128), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("lane", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("started_at", sa.String(40), nullable=False, server_default=""),
    sa.Column("finished_at", sa.String(40), nullable=False, server_default=""),
    sa.Column("heartbeat_at", sa.String(40), nullable=False, server_default=""),
    sa.Column("time_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("card", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=True),
    sa.Column("tree_out", sa.String(64), nullable=True),
)

SUBMISSIONS = sa.Table(
    "submissions",
    METADATA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String(128), nullable=False),
    sa.Column("task_id", sa.String(128), nullable=False),
    sa.Column("project_id", sa.String(128), nullable=False),
    sa.Column("card", sa.Text, nullable=False),
    sa.UniqueConstraint("run_id", "task_id"),
)

RECEIPTS = sa.Table(
    "receipts",
    METADATA,
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("receipt_id", sa.String(400), nullable=False, unique=True),
    _run_id(is_key=False),
    sa.Column("task_id", sa.String(128), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False, server_default="0"),
    sa.Column("cost_microusd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("receipt", sa.Text, nullable=False),
    sa.UniqueConstraint("run_id", "task_id", "attempt", "step"),
)

STEPS = sa.Table(
    "steps",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    _run_id(is_key=False),
    sa.Column("task_id", sa.String(128), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("key", sa.String(128), nullable=False),
    sa.Column("request_sha256", sa.String(64), nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("tree", sa.String(64), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.UniqueConstraint("run_id", "task_id", "attempt", "position"),
)

FINDINGS = sa.Table(
    "findings",
    METADATA,
    _run_id(),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("finding", sa.Text, nullable=False),
)

EVENTS = sa.Table(
    "events",
    METADATA,
    _run_id(),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("trace_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("task_id", sa.String(128), nullable=True),
    sa.Column("text", sa.Text, nullable=False),
)

PASSPORTS = sa.Table("passports", METADATA, _run_id(), sa.Column("passport", sa.Text, nullable=False))

CONTROLS = sa.Table(
    "controls",
    METADATA,
    _run_id(),
    sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_terminated", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_limit_spent", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("cap_microusd", sa.BigInteger, nullable=True),
)

CANCELLATIONS = sa.Table(
    "cancellations",
    METADATA,
    _run_id(),
    sa.Column("task_id", sa.String(128), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
)

ARTIFACTS = sa.Table(
    "artifacts",
    METADATA,
    _run_id(),
    sa.Column("path", sa.String(400), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size_bytes", sa.Integer, nullable=False),
)

IDEMPOTENCY = idempotency_table(METADATA)
