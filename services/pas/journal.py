"""The steps of agent and plan cards in SQL."""

import sqlalchemy as sa

from services.kernel.db import in_thread
from services.kernel.ids import RunId, TaskId
from services.pas.core.records import Controls, Step, StepChange
from services.pas.reading import read_controls, read_steps
from services.pas.schema import STEPS
from services.pas.writing import append_events, keep_artifacts, keep_receipts


class SqlStepJournal:
    """Implements `core.steps.StepJournal`; each method is one transaction in a worker thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    async def read_steps(self, run_id: RunId, task_id: TaskId, attempt: int) -> tuple[Step, ...]:
        return await in_thread(self._read, run_id, task_id, attempt)

    def _read(self, run_id: RunId, task_id: TaskId, attempt: int) -> tuple[Step, ...]:
        is_asked = sa.and_(STEPS.c.run_id == run_id, STEPS.c.task_id == task_id, STEPS.c.attempt == attempt)
        with self._engine.begin() as connection:
            return read_steps(connection, is_asked)

    async def add_step(self, change: StepChange) -> Controls:
        return await in_thread(self._add, change)

    def _add(self, change: StepChange) -> Controls:
        with self._engine.begin() as connection:
            connection.execute(sa.insert(STEPS).values(run_id=change.run_id, **change.step.model_dump()))
            keep_receipts(connection, change.receipts)
            keep_artifacts(connection, change.run_id, change.artifacts)
            append_events(connection, change.run_id, change.step.at, change.events)
            return read_controls(connection, change.run_id)
