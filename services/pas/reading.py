"""Reads inside one open transaction: what a run looks like, and what was recorded of it."""

import sqlalchemy as sa

from services.kernel.ids import RunId, TaskId
from services.pas.core.records import Controls, Journal, Step
from services.pas.models import ArtifactRef, Finding, Receipt, RunEvent, RunView
from services.pas.rows import Spend, card_view, run_view
from services.pas.schema import ARTIFACTS, CANCELLATIONS, CARDS, CONTROLS, EVENTS, FINDINGS, RECEIPTS, RUNS, STEPS


def read_artifacts(connection: sa.Connection, run_id: RunId) -> tuple[ArtifactRef, ...]:
    """Return the run's artifacts by path."""
    query = sa.select(ARTIFACTS.c.path, ARTIFACTS.c.sha256, ARTIFACTS.c.size_bytes)
    rows = connection.execute(query.where(ARTIFACTS.c.run_id == run_id).order_by(ARTIFACTS.c.path)).mappings()
    return tuple(ArtifactRef(**row) for row in rows)


def read_findings(connection: sa.Connection, run_id: RunId) -> tuple[Finding, ...]:
    """Return the run's findings by name."""
    query = sa.select(FINDINGS.c.finding).where(FINDINGS.c.run_id == run_id).order_by(FINDINGS.c.name)
    return tuple(Finding.model_validate_json(row) for row in connection.execute(query).scalars())


def read_events(connection: sa.Connection, run_id: RunId, after_seq: int) -> tuple[RunEvent, ...]:
    """Return the events after `after_seq`, in order."""
    query = sa.select(EVENTS).where(EVENTS.c.run_id == run_id, EVENTS.c.seq > after_seq).order_by(EVENTS.c.seq)
    return tuple(RunEvent(**row) for row in connection.execute(query).mappings())


def read_journal(connection: sa.Connection, run_id: RunId) -> Journal:
    """Return receipts, events and artifacts in the order they were recorded."""
    receipts = read_receipts(connection, run_id)
    steps = read_steps(connection, STEPS.c.run_id == run_id)
    return Journal(receipts, read_events(connection, run_id, 0), read_artifacts(connection, run_id), steps)


def read_receipts(connection: sa.Connection, run_id: RunId) -> tuple[Receipt, ...]:
    """Return the receipts of a run in the order they were recorded."""
    query = sa.select(RECEIPTS.c.receipt).where(RECEIPTS.c.run_id == run_id).order_by(RECEIPTS.c.position)
    return tuple(Receipt.model_validate_json(row) for row in connection.execute(query).scalars())


def read_steps(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[Step, ...]:
    """Return the steps that fit, in the order they were recorded."""
    columns = [STEPS.c[name] for name in Step.model_fields]
    rows = connection.execute(sa.select(*columns).where(condition).order_by(STEPS.c.number)).mappings()
    return tuple(Step.model_validate(dict(row)) for row in rows)


def read_controls(connection: sa.Connection, run_id: RunId) -> Controls:
    """Return what was asked of the run."""
    row = connection.execute(sa.select(CONTROLS).where(CONTROLS.c.run_id == run_id)).first()
    query = sa.select(CANCELLATIONS.c.task_id, CANCELLATIONS.c.reason).where(CANCELLATIONS.c.run_id == run_id)
    cancelled = {TaskId(task_id): str(reason) for task_id, reason in connection.execute(query)}
    if row is None:
        return Controls(cancelled=cancelled)
    return Controls(row.is_paused, row.is_terminated, row.reason, cancelled, row.is_limit_spent)


def read_views(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[RunView, ...]:
    """Return the runs that fit, newest first."""
    rows = connection.execute(sa.select(RUNS).where(condition).order_by(RUNS.c.created_at.desc(), RUNS.c.run_id.desc()))
    return tuple(_view(connection, row) for row in rows.mappings().all())


def _view(connection: sa.Connection, row: sa.RowMapping) -> RunView:
    run_id = RunId(row["run_id"])
    cards = connection.execute(sa.select(CARDS).where(CARDS.c.run_id == run_id).order_by(CARDS.c.position)).mappings()
    return run_view(
        row,
        tuple(card_view(card) for card in cards),
        read_findings(connection, run_id),
        read_artifacts(connection, run_id),
        _read_spend(connection, run_id),
    )


def _read_spend(connection: sa.Connection, run_id: RunId) -> Spend:
    sums = (sa.func.coalesce(sa.func.sum(column), 0) for column in (RECEIPTS.c.cost_microusd, RECEIPTS.c.tokens))
    cost, tokens = connection.execute(sa.select(*sums).where(RECEIPTS.c.run_id == run_id)).one()
    cap = connection.execute(sa.select(CONTROLS.c.cap_microusd).where(CONTROLS.c.run_id == run_id)).scalar()
    return Spend(int(cost), int(tokens), cap)
