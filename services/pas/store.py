"""PAS state in SQL: runs, cards, receipts, findings, events, passports, controls (SQLite or PostgreSQL)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import sqlalchemy as sa

from services.kernel.db import in_thread
from services.kernel.ids import ProjectId, RunId, TaskId
from services.kernel.vocabulary import (
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    Lane,
    RunState,
    TaskState,
    check_transition,
    is_final,
)
from services.pas import reading
from services.pas.core.ports import Seal
from services.pas.core.records import (
    CardChange,
    CardRecord,
    Controls,
    EventDraft,
    Journal,
    ModelFacts,
    NewRun,
    RunChange,
    RunRecord,
    RunResult,
)
from services.pas.models import (
    ArtifactRef,
    EventKind,
    Finding,
    JobCard,
    LaneLoad,
    Receipt,
    RunEvent,
    RunView,
    SignedPassport,
)
from services.pas.protocol import RunNotFoundError
from services.pas.rows import card_record, run_record
from services.pas.schema import (
    CANCELLATIONS,
    CARDS,
    CONTROLS,
    FINDINGS,
    PASSPORTS,
    RECEIPTS,
    RUNS,
    SUBMISSIONS,
)
from services.pas.writing import append_events, keep_artifacts, keep_receipts

R = TypeVar("R")
ACTIVE_STATES = [state.value for state in RunState if not is_final(RUN_TRANSITIONS, state)]


class SqlPasStore:
    """Implements `core.ports.Store`; each method is one transaction in a worker thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    async def _do(self, work: Callable[[sa.Connection], R]) -> R:
        return await in_thread(self._transact, work)

    def _transact(self, work: Callable[[sa.Connection], R]) -> R:
        with self._engine.begin() as connection:
            return work(connection)

    async def add_submission(self, run_id: RunId, project_id: ProjectId, card: JobCard) -> JobCard:
        def work(connection: sa.Connection) -> JobCard:
            found = connection.execute(
                sa.select(SUBMISSIONS.c.card).where(
                    SUBMISSIONS.c.run_id == run_id, SUBMISSIONS.c.task_id == card.task_id
                )
            ).scalar()
            if found is not None:
                return JobCard.model_validate_json(found)
            row = {"run_id": run_id, "task_id": card.task_id, "project_id": project_id, "card": card.model_dump_json()}
            connection.execute(sa.insert(SUBMISSIONS).values(row))
            return card

        return await self._do(work)

    async def list_submissions(self, run_id: RunId) -> tuple[JobCard, ...]:
        query = sa.select(SUBMISSIONS.c.card).where(SUBMISSIONS.c.run_id == run_id).order_by(SUBMISSIONS.c.position)
        rows = await self._do(lambda connection: connection.execute(query).scalars().all())
        return tuple(JobCard.model_validate_json(row) for row in rows)

    async def create_run(self, run: NewRun) -> bool:
        def work(connection: sa.Connection) -> bool:
            if connection.execute(sa.select(RUNS.c.run_id).where(RUNS.c.run_id == run.run_id)).first():
                return False
            connection.execute(sa.insert(RUNS).values(_new_run_row(run)))
            connection.execute(sa.insert(CARDS), [_new_card_row(run, at, card) for at, card in enumerate(run.cards)])
            connection.execute(sa.insert(CONTROLS).values(run_id=run.run_id))
            append_events(connection, run.run_id, run.created_at, [_state_event(RunState.PENDING, "run accepted")])
            return True

        return await self._do(work)

    async def read_run(self, run_id: RunId) -> RunRecord | None:
        query = sa.select(RUNS).where(RUNS.c.run_id == run_id)
        row = await self._do(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else run_record(row)

    async def read_cards(self, run_id: RunId) -> tuple[CardRecord, ...]:
        query = sa.select(CARDS).where(CARDS.c.run_id == run_id).order_by(CARDS.c.position)
        rows = await self._do(lambda connection: connection.execute(query).mappings().all())
        return tuple(card_record(row) for row in rows)

    async def view_run(self, run_id: RunId) -> RunView | None:
        views = await self._do(lambda connection: reading.read_views(connection, RUNS.c.run_id == run_id))
        return views[0] if views else None

    async def list_views(self, repo: str | None, *, is_active: bool) -> tuple[RunView, ...]:
        conditions: list[sa.ColumnElement[bool]] = [sa.true()]
        if repo is not None:
            conditions.append(RUNS.c.repo == repo)
        if is_active:
            conditions.append(RUNS.c.state.in_(ACTIVE_STATES))
        return await self._do(lambda connection: reading.read_views(connection, sa.and_(*conditions)))

    async def change_run(self, change: RunChange) -> bool:
        return await self._do(lambda connection: _change_run(connection, change))

    async def keep_result(
        self, run_id: RunId, at: str, result: RunResult, artifacts: Sequence[ArtifactRef], events: Sequence[EventDraft]
    ) -> None:
        def work(connection: sa.Connection) -> None:
            key = RUNS.c.run_id == run_id
            if connection.execute(sa.select(RUNS.c.result).where(key)).scalar() is not None:
                return
            connection.execute(sa.update(RUNS).where(key).values(result=result.model_dump_json()))
            keep_artifacts(connection, run_id, artifacts)
            append_events(connection, run_id, at, events)

        await self._do(work)

    async def finish_run(self, change: RunChange, seal: Seal) -> bool:
        def work(connection: sa.Connection) -> bool:
            if not _change_run(connection, change):
                return False
            row = connection.execute(sa.select(RUNS).where(RUNS.c.run_id == change.run_id)).mappings().one()
            query = sa.select(CARDS.c.card).where(CARDS.c.run_id == change.run_id).order_by(CARDS.c.position)
            cards = tuple(JobCard.model_validate_json(card) for card in connection.execute(query).scalars())
            passport = seal(run_record(row), reading.read_journal(connection, change.run_id), cards)
            connection.execute(sa.insert(PASSPORTS).values(run_id=change.run_id, passport=passport.model_dump_json()))
            return True

        return await self._do(work)

    async def change_card(self, change: CardChange) -> bool:
        return await self._do(lambda connection: _change_card(connection, change))

    async def find_receipt(self, run_id: RunId, task_id: TaskId, attempt: int) -> Receipt | None:
        query = sa.select(RECEIPTS.c.receipt).where(
            RECEIPTS.c.run_id == run_id,
            RECEIPTS.c.task_id == task_id,
            RECEIPTS.c.attempt == attempt,
            RECEIPTS.c.step == 0,
        )
        row = await self._do(lambda connection: connection.execute(query).scalar())
        return None if row is None else Receipt.model_validate_json(row)

    async def add_events(self, run_id: RunId, at: str, events: Sequence[EventDraft]) -> None:
        await self._do(lambda connection: append_events(connection, run_id, at, events))

    async def add_finding(self, run_id: RunId, at: str, finding: Finding) -> None:
        def work(connection: sa.Connection) -> None:
            key = sa.and_(FINDINGS.c.run_id == run_id, FINDINGS.c.name == finding.name)
            if connection.execute(sa.select(FINDINGS.c.name).where(key)).first():
                return
            row = {"run_id": run_id, "name": finding.name, "finding": finding.model_dump_json()}
            connection.execute(sa.insert(FINDINGS).values(row))
            text = f"{finding.name}: {finding.verdict.value} ({finding.detail})"
            append_events(connection, run_id, at, [EventDraft(EventKind.FINDING, text, finding.verdict.value)])

        await self._do(work)

    async def read_findings(self, run_id: RunId) -> tuple[Finding, ...]:
        return await self._do(lambda connection: reading.read_findings(connection, run_id))

    async def read_receipts(self, run_id: RunId) -> tuple[Receipt, ...]:
        return await self._do(lambda connection: reading.read_receipts(connection, run_id))

    async def read_journal(self, run_id: RunId) -> Journal:
        return await self._do(lambda connection: reading.read_journal(connection, run_id))

    async def read_events(self, run_id: RunId, after_seq: int) -> tuple[RunEvent, ...]:
        return await self._do(lambda connection: reading.read_events(connection, run_id, after_seq))

    async def keep_models(self, run_id: RunId, models: ModelFacts) -> None:
        key = sa.and_(RUNS.c.run_id == run_id, RUNS.c.models.is_(None))
        statement = sa.update(RUNS).where(key).values(models=models.model_dump_json())
        await self._do(lambda connection: connection.execute(statement).close())

    async def read_passport(self, run_id: RunId) -> SignedPassport | None:
        query = sa.select(PASSPORTS.c.passport).where(PASSPORTS.c.run_id == run_id)
        row = await self._do(lambda connection: connection.execute(query).scalar())
        return None if row is None else SignedPassport.model_validate_json(row)

    async def read_controls(self, run_id: RunId) -> Controls:
        return await self._do(lambda connection: reading.read_controls(connection, run_id))

    async def set_terminated(self, run_id: RunId, reason: str) -> None:
        values = {"is_terminated": True, "reason": reason}
        statement = sa.update(CONTROLS).where(CONTROLS.c.run_id == run_id).values(values)
        await self._do(lambda connection: connection.execute(statement).close())

    async def set_cap(self, run_id: RunId, cap_microusd: int) -> None:
        statement = sa.update(CONTROLS).where(CONTROLS.c.run_id == run_id).values(cap_microusd=cap_microusd)
        await self._do(lambda connection: connection.execute(statement).close())

    async def add_cancellation(self, run_id: RunId, task_id: TaskId, reason: str) -> None:
        def work(connection: sa.Connection) -> None:
            key = sa.and_(CANCELLATIONS.c.run_id == run_id, CANCELLATIONS.c.task_id == task_id)
            if not connection.execute(sa.select(CANCELLATIONS.c.task_id).where(key)).first():
                connection.execute(sa.insert(CANCELLATIONS).values(run_id=run_id, task_id=task_id, reason=reason))

        await self._do(work)

    async def beat(self, run_id: RunId, task_id: TaskId, at: str) -> None:
        statement = sa.update(CARDS).where(_is_card(run_id, task_id)).values(heartbeat_at=at)
        await self._do(lambda connection: connection.execute(statement).close())

    async def sum_time_s(self, run_id: RunId) -> float:
        query = sa.select(sa.func.coalesce(sa.func.sum(CARDS.c.time_s), 0.0)).where(CARDS.c.run_id == run_id)
        return await self._do(lambda connection: float(connection.execute(query).scalar_one()))

    async def count_active_runs(self) -> int:
        query = sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.state.in_(ACTIVE_STATES))
        return await self._do(lambda connection: int(connection.execute(query).scalar_one()))

    async def count_loads(self) -> tuple[LaneLoad, ...]:
        query = (
            sa.select(CARDS.c.lane, CARDS.c.state, sa.func.count())
            .join(RUNS, RUNS.c.run_id == CARDS.c.run_id)
            .where(RUNS.c.state.in_(ACTIVE_STATES))
            .group_by(CARDS.c.lane, CARDS.c.state)
        )
        rows = await self._do(lambda connection: connection.execute(query).all())
        counts = {(lane, state): int(count) for lane, state, count in rows}
        return tuple(
            LaneLoad(
                lane=lane,
                running=counts.get((lane, TaskState.RUNNING), 0),
                queued=counts.get((lane, TaskState.QUEUED), 0),
                max_parallel=0,
            )
            for lane in Lane
        )


def _new_run_row(run: NewRun) -> dict[str, str]:
    return {
        "run_id": run.run_id,
        "project_id": run.start.project_id,
        "repo": run.repo,
        "state": RunState.PENDING,
        "trace_id": run.trace_id,
        "start": run.start.model_dump_json(),
        "body_sha256": run.body_sha256,
        "snapshot": run.snapshot.model_dump_json(),
        "created_at": run.created_at,
    }


def _new_card_row(run: NewRun, position: int, card: JobCard) -> dict[str, str | int]:
    return {
        "run_id": run.run_id,
        "task_id": card.task_id,
        "position": position,
        "lane": card.lane,
        "state": TaskState.QUEUED,
        "card": card.model_dump_json(),
    }


def _is_card(run_id: RunId, task_id: TaskId) -> sa.ColumnElement[bool]:
    return sa.and_(CARDS.c.run_id == run_id, CARDS.c.task_id == task_id)


def _state_event(state: RunState, text: str) -> EventDraft:
    return EventDraft(EventKind.RUN_STATE, text, state)


def _change_run(connection: sa.Connection, change: RunChange) -> bool:
    row = connection.execute(sa.select(RUNS.c.state, RUNS.c.started_at).where(RUNS.c.run_id == change.run_id)).first()
    if row is None:
        raise RunNotFoundError(f"no run {change.run_id}")
    if row.state == change.state:
        return False
    check_transition(RUN_TRANSITIONS, RunState(row.state), change.state)
    values: dict[str, str | None] = {"state": change.state, "reason": change.reason}
    if change.state is RunState.EXECUTING and not row.started_at:
        values["started_at"] = change.at
    if is_final(RUN_TRANSITIONS, change.state):
        values["finished_at"] = change.at
    if change.badge is not None:
        values["badge"] = change.badge
    connection.execute(sa.update(RUNS).where(RUNS.c.run_id == change.run_id).values(values))
    gate = _gate_of(change)
    if gate:
        connection.execute(sa.update(CONTROLS).where(CONTROLS.c.run_id == change.run_id).values(gate))
    append_events(connection, change.run_id, change.at, [_state_event(change.state, change.text)])
    return True


def _gate_of(change: RunChange) -> dict[str, bool]:
    gate: dict[str, bool] = {}
    if change.is_paused is not None:
        gate["is_paused"] = change.is_paused
    if change.is_limit_spent:
        gate["is_limit_spent"] = True
    return gate


def _change_card(connection: sa.Connection, change: CardChange) -> bool:
    key = _is_card(change.run_id, change.task_id)
    row = connection.execute(sa.select(CARDS.c.state, CARDS.c.started_at).where(key)).one()
    if row.state == change.state:
        return False
    check_transition(TASK_TRANSITIONS, TaskState(row.state), change.state)
    values: dict[str, str | int | float | None] = {"state": change.state, "reason": change.reason}
    if change.state is TaskState.RUNNING:
        values |= {"started_at": change.at, "attempt": change.attempt}
    if is_final(TASK_TRANSITIONS, change.state):
        values["finished_at"] = change.at
    if change.outcome is not None:
        values["outcome"] = change.outcome.model_dump_json()
    if change.tree_out is not None:
        values["tree_out"] = change.tree_out
    if change.receipt is not None:
        values["time_s"] = change.receipt.time_ms / 1000
        keep_receipts(connection, [change.receipt])
    connection.execute(sa.update(CARDS).where(key).values(values))
    keep_artifacts(connection, change.run_id, change.artifacts)
    append_events(connection, change.run_id, change.at, change.events)
    return True
