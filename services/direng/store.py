"""SQL behind conversations: one transaction per method; events are numbered inside the transaction that keeps them."""

import json
from typing import Any

import sqlalchemy as sa

from services.direng.core.conversation import TOLD, Summary
from services.direng.core.packing import ContextAudit
from services.direng.core.ports import EventDraft, Following, OpenTurn, Pending
from services.direng.models import Session, Turn, TurnEvent, TurnState
from services.direng.tables import ACCEPTS, CONTEXT_AUDITS, SESSIONS, SUMMARIES, TURN_EVENTS, TURNS
from services.kernel.clock import Clock, to_iso
from services.kernel.db import in_thread, upgrade_schema
from services.kernel.ids import DelegationId, RunId, SessionId

PACKAGE = "services.direng"


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

    async def add_session(self, session: Session) -> None:
        await in_thread(self._add_session, session)

    def _add_session(self, session: Session) -> None:
        row = {"session_id": session.session_id, "repo": session.repo, "created_at": session.created_at, "last_seq": 0}
        with self._engine.begin() as connection:
            connection.execute(sa.insert(SESSIONS).values(row))

    async def read_session(self, session_id: SessionId) -> Session | None:
        found = await in_thread(self._list, sa.select(SESSIONS).where(SESSIONS.c.session_id == session_id))
        return found[0] if found else None

    async def list_sessions(self, repo: str | None) -> tuple[Session, ...]:
        query = sa.select(SESSIONS).order_by(SESSIONS.c.created_at.desc(), SESSIONS.c.session_id.desc())
        if repo is not None:
            query = query.where(SESSIONS.c.repo == repo)
        return await in_thread(self._list, query)

    def _list(self, query: sa.Select[Any]) -> tuple[Session, ...]:
        with self._engine.begin() as connection:
            rows = connection.execute(query).mappings().all()
            wanted = [row["session_id"] for row in rows]
            turns_query = sa.select(TURNS).where(TURNS.c.session_id.in_(wanted)).order_by(TURNS.c.turn_index)
            turns: dict[str, list[Turn]] = {}
            for turn in connection.execute(turns_query).mappings():
                turns.setdefault(turn["session_id"], []).append(
                    Turn.model_validate({name: turn[name] for name in Turn.model_fields})
                )
        names = ("session_id", "repo", "created_at", "delegation_id", "run_id")
        return tuple(
            Session(**{name: row[name] for name in names}, turns=tuple(turns.get(row["session_id"], ())))
            for row in rows
        )

    async def read_pending(self, session_id: SessionId) -> Pending | None:
        return await in_thread(self._read_pending, session_id)

    def _read_pending(self, session_id: SessionId) -> Pending | None:
        query = sa.select(SESSIONS.c.pending).where(SESSIONS.c.session_id == session_id)
        with self._engine.begin() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else Pending.model_validate_json(text)

    async def begin_turn(self, session_id: SessionId, text: str, trace_id: str) -> OpenTurn | None:
        return await in_thread(self._begin_turn, session_id, text, trace_id)

    def _begin_turn(self, session_id: SessionId, text: str, trace_id: str) -> OpenTurn | None:
        newest = sa.select(TURNS).where(TURNS.c.session_id == session_id).order_by(TURNS.c.turn_index.desc()).limit(1)
        with self._engine.begin() as connection:
            session = connection.execute(_select(session_id).with_for_update()).mappings().one()
            last = connection.execute(newest).mappings().one_or_none()
            if last is not None and last["state"] == TurnState.RUNNING.value:
                return None
            index = 0 if last is None else last["turn_index"] + 1
            row = {
                "session_id": session_id,
                "turn_index": index,
                "text": text,
                "state": TurnState.RUNNING.value,
                "trace_id": trace_id,
                "started_at": to_iso(self._clock.now()),
                "finished_at": "",
            }
            connection.execute(sa.insert(TURNS).values(row))
        return OpenTurn(session_id, index, session["repo"], text, trace_id, None)

    async def list_running(self) -> tuple[OpenTurn, ...]:
        return await in_thread(self._list_running)

    def _list_running(self) -> tuple[OpenTurn, ...]:
        query = sa.select(TURNS, SESSIONS.c.repo).join(SESSIONS).where(TURNS.c.state == TurnState.RUNNING.value)
        with self._engine.begin() as connection:
            return tuple(
                OpenTurn(
                    SessionId(row["session_id"]),
                    row["turn_index"],
                    row["repo"],
                    row["text"],
                    row["trace_id"],
                    None if row["following"] is None else Following.model_validate_json(row["following"]),
                )
                for row in connection.execute(query).mappings()
            )

    async def tell(self, turn: OpenTurn, events: tuple[EventDraft, ...], following: Following | None = None) -> None:
        await in_thread(self._tell, turn, events, following)

    def _tell(self, turn: OpenTurn, events: tuple[EventDraft, ...], following: Following | None) -> None:
        with self._engine.begin() as connection:
            if following is not None:
                connection.execute(_update_turn(turn).values(following=following.model_dump_json()))
            self._append(connection, turn, events)

    async def point_to(
        self, turn: OpenTurn, *, delegation_id: DelegationId | None = None, run_id: RunId | None = None
    ) -> None:
        await in_thread(self._point_to, turn, delegation_id, run_id)

    def _point_to(self, turn: OpenTurn, delegation_id: DelegationId | None, run_id: RunId | None) -> None:
        given = {"delegation_id": delegation_id, "run_id": run_id}
        values = {name: value for name, value in given.items() if value is not None}
        with self._engine.begin() as connection:
            connection.execute(sa.update(SESSIONS).where(SESSIONS.c.session_id == turn.session_id).values(values))

    async def end_turn(
        self, turn: OpenTurn, state: TurnState, events: tuple[EventDraft, ...], pending: Pending | None
    ) -> None:
        await in_thread(self._end_turn, turn, state, events, pending)

    def _end_turn(
        self, turn: OpenTurn, state: TurnState, events: tuple[EventDraft, ...], pending: Pending | None
    ) -> None:
        waiting = None if pending is None else pending.model_dump_json()
        with self._engine.begin() as connection:
            self._append(connection, turn, events)
            closed = {"state": state.value, "finished_at": to_iso(self._clock.now())}
            connection.execute(_update_turn(turn).values(closed))
            connection.execute(
                sa.update(SESSIONS).where(SESSIONS.c.session_id == turn.session_id).values(pending=waiting)
            )

    async def list_events(self, session_id: SessionId, after_seq: int) -> tuple[TurnEvent, ...]:
        return await in_thread(self._list_events, session_id, after_seq)

    def _list_events(self, session_id: SessionId, after_seq: int) -> tuple[TurnEvent, ...]:
        return self._read_events(TURN_EVENTS.c.session_id == session_id, TURN_EVENTS.c.seq > after_seq)

    async def list_told(self, session_id: SessionId, after_turn: int) -> tuple[TurnEvent, ...]:
        kinds = TURN_EVENTS.c.kind.in_([kind.value for kind in TOLD])
        is_wanted = (TURN_EVENTS.c.session_id == session_id, TURN_EVENTS.c.turn_index > after_turn, kinds)
        return await in_thread(self._read_events, *is_wanted)

    def _read_events(self, *is_wanted: sa.ColumnElement[bool]) -> tuple[TurnEvent, ...]:
        query = sa.select(TURN_EVENTS).where(*is_wanted).order_by(TURN_EVENTS.c.seq)
        with self._engine.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(TurnEvent.model_validate(dict(row) | {"data": json.loads(row["data"])}) for row in rows)

    async def read_summary(self, session_id: SessionId) -> Summary:
        return await in_thread(self._read_summary, session_id)

    def _read_summary(self, session_id: SessionId) -> Summary:
        query = sa.select(SUMMARIES.c.body).where(SUMMARIES.c.session_id == session_id)
        with self._engine.begin() as connection:
            body = connection.execute(query).scalar_one_or_none()
        return Summary() if body is None else Summary.model_validate_json(body)

    async def put_summary(self, session_id: SessionId, summary: Summary) -> None:
        await in_thread(self._put_summary, session_id, summary)

    def _put_summary(self, session_id: SessionId, summary: Summary) -> None:
        row = {
            "session_id": session_id,
            "upto_turn": summary.upto_turn,
            "model": summary.model,
            "body": summary.model_dump_json(),
            "made_at": to_iso(self._clock.now()),
        }
        with self._engine.begin() as connection:
            connection.execute(sa.delete(SUMMARIES).where(SUMMARIES.c.session_id == session_id))
            connection.execute(sa.insert(SUMMARIES).values(row))

    async def add_audit(self, turn: OpenTurn, call_id: str, audit: ContextAudit) -> None:
        await in_thread(self._add_audit, turn, call_id, audit)

    def _add_audit(self, turn: OpenTurn, call_id: str, audit: ContextAudit) -> None:
        row = {
            "call_id": call_id,
            "session_id": turn.session_id,
            "turn_index": turn.turn_index,
            "model": audit.model,
            "limit_tokens": audit.limit,
            "tokens": audit.tokens,
            "is_refused": audit.is_refused,
            "prompt_sha256": audit.prompt_sha256,
            "body": audit.model_dump_json(),
            "packed_at": to_iso(self._clock.now()),
        }
        with self._engine.begin() as connection:
            connection.execute(sa.delete(CONTEXT_AUDITS).where(CONTEXT_AUDITS.c.call_id == call_id))
            connection.execute(sa.insert(CONTEXT_AUDITS).values(row))

    async def settle_audit(self, call_id: str, cost_microusd: int) -> None:
        settled = sa.update(CONTEXT_AUDITS).where(CONTEXT_AUDITS.c.call_id == call_id)
        await in_thread(self._execute, settled.values(cost_microusd=cost_microusd))

    async def allow_paid(self, session_id: SessionId) -> None:
        await in_thread(
            self._execute, sa.update(SESSIONS).where(SESSIONS.c.session_id == session_id).values(is_paid_allowed=True)
        )

    def _execute(self, statement: sa.Update) -> None:
        with self._engine.begin() as connection:
            connection.execute(statement)

    async def is_paid_allowed(self, session_id: SessionId) -> bool:
        return await in_thread(self._is_paid_allowed, session_id)

    def _is_paid_allowed(self, session_id: SessionId) -> bool:
        with self._engine.begin() as connection:
            return bool(connection.execute(_select(session_id)).mappings().one()["is_paid_allowed"])

    async def last_seq(self, session_id: SessionId) -> int:
        return await in_thread(self._last_seq, session_id)

    def _last_seq(self, session_id: SessionId) -> int:
        with self._engine.begin() as connection:
            return int(connection.execute(_select(session_id)).mappings().one()["last_seq"])

    async def note_accept(self, session_id: SessionId, repo: str, run_id: RunId) -> None:
        await in_thread(self._note_accept, session_id, repo, run_id)

    def _note_accept(self, session_id: SessionId, repo: str, run_id: RunId) -> None:
        row = {"run_id": run_id, "session_id": session_id, "repo": repo, "accepted_at": to_iso(self._clock.now())}
        with self._engine.begin() as connection:
            connection.execute(sa.delete(ACCEPTS).where(ACCEPTS.c.run_id == run_id))
            connection.execute(sa.insert(ACCEPTS).values(row))

    async def list_accepted(self, repo: str) -> tuple[RunId, ...]:
        return await in_thread(self._list_accepted, repo)

    def _list_accepted(self, repo: str) -> tuple[RunId, ...]:
        query = sa.select(ACCEPTS.c.run_id).where(ACCEPTS.c.repo == repo).order_by(ACCEPTS.c.accepted_at.desc())
        with self._engine.begin() as connection:
            return tuple(RunId(run_id) for run_id in connection.execute(query).scalars())

    def _append(self, connection: sa.Connection, turn: OpenTurn, events: tuple[EventDraft, ...]) -> None:
        if not events:
            return
        session = connection.execute(_select(turn.session_id).with_for_update()).mappings().one()
        stamp = {
            "session_id": turn.session_id,
            "turn_index": turn.turn_index,
            "at": to_iso(self._clock.now()),
            "trace_id": turn.trace_id,
        }
        numbered = [
            stamp
            | {"seq": seq, "kind": event.kind.value, "text": event.text, "step": event.step}
            | {"data": json.dumps({"text": event.text} if event.data is None else event.data)}
            for seq, event in enumerate(events, session["last_seq"] + 1)
        ]
        connection.execute(sa.insert(TURN_EVENTS), numbered)
        last_seq = session["last_seq"] + len(events)
        connection.execute(
            sa.update(SESSIONS).where(SESSIONS.c.session_id == turn.session_id).values(last_seq=last_seq)
        )


def _select(session_id: SessionId) -> sa.Select[Any]:
    return sa.select(SESSIONS).where(SESSIONS.c.session_id == session_id)


def _update_turn(turn: OpenTurn) -> sa.Update:
    return sa.update(TURNS).where(TURNS.c.session_id == turn.session_id, TURNS.c.turn_index == turn.turn_index)
