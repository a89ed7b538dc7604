"""Writes inside one open transaction that several stores of PAS share: events, receipts, artifacts."""

from collections.abc import Sequence

import sqlalchemy as sa

from services.kernel.ids import RunId
from services.pas.core.records import EventDraft
from services.pas.models import ArtifactRef, Receipt
from services.pas.schema import ARTIFACTS, EVENTS, RECEIPTS, RUNS


def append_events(connection: sa.Connection, run_id: RunId, at: str, events: Sequence[EventDraft]) -> None:
    """Append events; numbers are taken from the run's row, whose update is also the lock."""
    for event in events:
        statement = (
            sa.update(RUNS)
            .where(RUNS.c.run_id == run_id)
            .values(last_seq=RUNS.c.last_seq + 1)
            .returning(RUNS.c.last_seq, RUNS.c.trace_id)
        )
        seq, trace_id = connection.execute(statement).one()
        connection.execute(
            sa.insert(EVENTS).values(
                run_id=run_id,
                seq=seq,
                at=at,
                trace_id=trace_id,
                kind=event.kind,
                state=event.state,
                task_id=event.task_id,
                text=event.text,
            )
        )


def keep_receipts(connection: sa.Connection, receipts: Sequence[Receipt]) -> None:
    """Insert receipts, with their sums beside them."""
    for receipt in receipts:
        row = {
            "receipt_id": receipt.receipt_id,
            "run_id": receipt.run_id,
            "task_id": receipt.task_id,
            "attempt": receipt.attempt,
            "step": receipt.step,
            "cost_microusd": receipt.cost_microusd,
            "tokens": receipt.tokens_in + receipt.tokens_out,
            "receipt": receipt.model_dump_json(),
        }
        connection.execute(sa.insert(RECEIPTS).values(row))


def keep_artifacts(connection: sa.Connection, run_id: RunId, artifacts: Sequence[ArtifactRef]) -> None:
    """Insert references of artifacts, each replacing the one of its path."""
    for artifact in artifacts:
        key = sa.and_(ARTIFACTS.c.run_id == run_id, ARTIFACTS.c.path == artifact.path)
        connection.execute(sa.delete(ARTIFACTS).where(key))
        connection.execute(sa.insert(ARTIFACTS).values(run_id=run_id, **artifact.model_dump()))
