"""The journal of an attempt's steps: what was done is taken from it after a restart, never done again (ADR 0016)."""

from typing import Protocol

from services.kernel.ids import RunId, TaskId
from services.pas.core.records import Controls, Step, StepChange


class StepJournal(Protocol):
    """Keeps steps. Every method is one transaction."""

    async def read_steps(self, run_id: RunId, task_id: TaskId, attempt: int) -> tuple[Step, ...]:
        """Return the steps of one attempt in order."""
        ...

    async def add_step(self, change: StepChange) -> Controls:
        """Store a step with its receipts, artifacts and events; return what people ask of the run by now."""
        ...
