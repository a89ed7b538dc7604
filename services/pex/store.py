"""SQL behind delegations: one transaction per method; events are numbered inside the transaction that keeps them."""

import json
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from services.kernel.clock import Clock, to_iso
from services.kernel.db import in_thread, upgrade_schema
from services.kernel.ids import DelegationId, ProjectId
from services.kernel.vocabulary import DelegationState
from services.pex.core.ports import EventDraft, GuardMark, Record
from services.pex.models import Delegation, DelegationEvent
from services.pex.tables import DELEGATION_EVENTS, DELEGATIONS

PACKAGE = "services.pex"
_JSON_COLUMNS = ("plan", "question", "estimate", "report")
_PLAIN_COLUMNS = tuple(name for name in Delegation.model_fields if name not in _JSON_COLUMNS)
_OWN_COLUMNS = tuple(part.name for part in fields(Record) if part.name != "delegation")
_KEPT_APART = frozenset({"pas_cursor", "last_seq", "created_at", "guard_bound", "guard_next_pct"})
"""Columns that `relay`, `mark` and `_append` move by themselves: a stale copy must not turn them back."""


def prepare_schema(engine: sa.Engine) -> str:
    """Bring the database to the newest revision and return it."""
    upgrade_schema(engine, PACKAGE)
    with engine.begin() as connection:
        return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


class SqlStore:
    """Satisfies `core.ports.Store`; the engine stays its owner's."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def add(self, record: Record, events: tuple[EventDraft, ...]) -> Record:
        return await in_thread(self._add, record, events)

    def _add(self, record: Record, events: tuple[EventDraft, ...]) -> Record:
        with self._engine.begin() as connection:
            connection.execute(sa.insert(DELEGATIONS).values(_to_row(record)))
            self._append(connection, record.delegation.delegation_id, events)
            return _read(connection, record.delegation.delegation_id)

    async def read(self, delegation_id: DelegationId) -> Record | None:
        return await in_thread(self._read, delegation_id)

    def _read(self, delegation_id: DelegationId) -> Record | None:
        with self._engine.begin() as connection:
            row = connection.execute(_select(delegation_id)).mappings().one_or_none()
        return None if row is None else _from_row(row)

    async def list_records(
        self,
        *,
        repo: str | None = None,
        project_id: ProjectId | None = None,
        states: tuple[DelegationState, ...] = (),
    ) -> tuple[Record, ...]:
        query = sa.select(DELEGATIONS).order_by(DELEGATIONS.c.created_at.desc(), DELEGATIONS.c.delegation_id.desc())
        if repo is not None:
            query = query.where(DELEGATIONS.c.repo == repo)
        if project_id is not None:
            query = query.where(DELEGATIONS.c.project_id == project_id)
        if states:
            query = query.where(DELEGATIONS.c.state.in_([state.value for state in states]))
        return await in_thread(self._list, query)

    def _list(self, query: sa.Select[Any]) -> tuple[Record, ...]:
        with self._engine.begin() as connection:
            return tuple(_from_row(row) for row in connection.execute(query).mappings())

    async def change(self, record: Record, source: DelegationState, events: tuple[EventDraft, ...]) -> Record | None:
        return await in_thread(self._change, record, source, events)

    def _change(self, record: Record, source: DelegationState, events: tuple[EventDraft, ...]) -> Record | None:
        row = _to_row(record)
        values = {name: row[name] for name in row if name not in _KEPT_APART}
        delegation_id = record.delegation.delegation_id
        with self._engine.begin() as connection:
            done = connection.execute(
                sa.update(DELEGATIONS)
                .where(DELEGATIONS.c.delegation_id == delegation_id, DELEGATIONS.c.state == source.value)
                .values(values | {"updated_at": to_iso(self._clock.now())})
            )
            if done.rowcount == 0:
                return None
            self._append(connection, delegation_id, events)
            return _read(connection, delegation_id)

    async def relay(self, delegation_id: DelegationId, pas_seq: int, events: tuple[EventDraft, ...]) -> bool:
        return await in_thread(self._relay, delegation_id, pas_seq, events)

    def _relay(self, delegation_id: DelegationId, pas_seq: int, events: tuple[EventDraft, ...]) -> bool:
        with self._engine.begin() as connection:
            done = connection.execute(
                sa.update(DELEGATIONS)
                .where(DELEGATIONS.c.delegation_id == delegation_id, DELEGATIONS.c.pas_cursor < pas_seq)
                .values(pas_cursor=pas_seq)
            )
            if done.rowcount:
                self._append(connection, delegation_id, events)
        return bool(done.rowcount)

    async def mark(self, delegation_id: DelegationId, mark: GuardMark, events: tuple[EventDraft, ...]) -> None:
        await in_thread(self._mark, delegation_id, mark, events)

    def _mark(self, delegation_id: DelegationId, mark: GuardMark, events: tuple[EventDraft, ...]) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(DELEGATIONS)
                .where(DELEGATIONS.c.delegation_id == delegation_id)
                .values(guard_bound=mark.bound, guard_next_pct=mark.next_pct)
            )
            self._append(connection, delegation_id, events)

    async def list_events(self, delegation_id: DelegationId, after_seq: int) -> tuple[DelegationEvent, ...]:
        return await in_thread(self._list_events, delegation_id, after_seq)

    def _list_events(self, delegation_id: DelegationId, after_seq: int) -> tuple[DelegationEvent, ...]:
        table = DELEGATION_EVENTS
        query = sa.select(table).where(table.c.delegation_id == delegation_id, table.c.seq > after_seq)
        with self._engine.begin() as connection:
            rows = connection.execute(query.order_by(table.c.seq)).mappings().all()
        return tuple(DelegationEvent.model_validate(dict(row)) for row in rows)

    def _append(self, connection: sa.Connection, delegation_id: DelegationId, events: tuple[EventDraft, ...]) -> None:
        if not events:
            return
        at = to_iso(self._clock.now())
        row = connection.execute(_select(delegation_id).with_for_update()).mappings().one()
        stamp = {"delegation_id": delegation_id, "at": at, "trace_id": row["trace_id"]}
        numbered = [
            stamp | {"seq": seq, "step": event.step, "kind": event.kind, "text": event.text}
            for seq, event in enumerate(events, row["last_seq"] + 1)
        ]
        connection.execute(sa.insert(DELEGATION_EVENTS), numbered)
        connection.execute(
            sa.update(DELEGATIONS)
            .where(DELEGATIONS.c.delegation_id == delegation_id)
            .values(last_seq=row["last_seq"] + len(events), updated_at=at)
        )


def _select(delegation_id: DelegationId) -> sa.Select[Any]:
    return sa.select(DELEGATIONS).where(DELEGATIONS.c.delegation_id == delegation_id)


def _read(connection: sa.Connection, delegation_id: DelegationId) -> Record:
    return _from_row(connection.execute(_select(delegation_id)).mappings().one())


def _to_row(record: Record) -> dict[str, Any]:
    delegation = record.delegation
    row: dict[str, Any] = {name: getattr(delegation, name) for name in _PLAIN_COLUMNS}
    for name in _JSON_COLUMNS:
        part = getattr(delegation, name)
        row[name] = None if part is None else part.model_dump_json()
    return row | {"state": delegation.state.value} | {name: getattr(record, name) for name in _OWN_COLUMNS}


def _from_row(row: sa.RowMapping) -> Record:
    parts = {name: _parse(row[name]) for name in _JSON_COLUMNS}
    delegation = Delegation.model_validate({name: row[name] for name in _PLAIN_COLUMNS} | parts)
    return Record(delegation, **{name: row[name] for name in _OWN_COLUMNS})


def _parse(text: str | None) -> Any:
    return None if text is None else json.loads(text)
