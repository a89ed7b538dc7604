"""SQL behind the broker's books: SQLite embedded, PostgreSQL when scaled.

SQLite begins every transaction with the write lock. On PostgreSQL the budgets of a call are locked row by row in the
order of their keys, so two calls never wait for each other in a circle, and what was read stays true until the commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from services.broker.core.ledger import (
    Books,
    Change,
    KeptModel,
    LastAttempt,
    Ledger,
    NewAttempt,
    OpenAttempt,
    Settlement,
)
from services.broker.models import AttemptState, NewModel, RoutingReceipt, SetBudget, Usage
from services.broker.statements import CHANGED, SETTLED, USAGE, Prepared, Statements, Value, name_keys
from services.broker.tables import (
    ANSWERS,
    ATTEMPT_SCOPES,
    ATTEMPTS,
    BUDGET_CHANGES,
    BUDGETS,
    MODELS,
)
from services.kernel.db import upgrade_schema
from services.wire.storage import transact

R = TypeVar("R")
PACKAGE = "services.broker"
SHARED_THREADS = 8

_EMPTY_SETTLEMENT = dict.fromkeys(USAGE, 0) | {
    "status": None,
    "cost_microusd": 0,
    "is_estimated": False,
    "time_ms": 0,
}


class SqlStore:
    """Runs use cases on a database whose schema is current; the engine stays its owner's."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._statements = Statements(engine.dialect)
        self.is_shared = engine.dialect.name != "sqlite"
        # Threads of its own: money never waits for other services' work. SQLite writes one after another anyway, and
        # one thread does so without its busy-waiting.
        self._threads = ThreadPoolExecutor(SHARED_THREADS if self.is_shared else 1, "broker-ledger")

    def close(self) -> None:
        """Wait for the transactions under way; the engine stays open."""
        self._threads.shutdown()

    async def transact(self, use_case: Callable[[Ledger], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.transact_now, use_case)

    def transact_now(self, use_case: Callable[[Ledger], R]) -> R:
        """Do what `transact` does on this thread."""
        return transact(
            self._engine,
            lambda connection: use_case(SqlLedger(connection, self._statements)),
            name="the broker's database",
        )


def prepare_schema(engine: sa.Engine) -> str:
    """Bring the database to the newest revision and return it."""
    upgrade_schema(engine, PACKAGE)
    with engine.begin() as connection:
        return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


class SqlLedger:
    """The books inside one open transaction; satisfies `core.ledger.Ledger`."""

    def __init__(self, connection: sa.Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._is_serial = connection.dialect.name == "sqlite"

    def find_call(self, call_id: str) -> LastAttempt | None:
        rows = self._statements.find_call.fetch(self._connection, {"call": call_id})
        if not rows:
            return None
        position, digest, state, owner, expires_at, answer = rows[0]
        return LastAttempt(position, digest, AttemptState(state), owner, expires_at, answer)

    def list_call(self, call_id: str) -> tuple[RoutingReceipt, ...]:
        query = sa.select(ATTEMPTS).where(ATTEMPTS.c.call_id == call_id).order_by(ATTEMPTS.c.position)
        return tuple(_to_receipt(row) for row in self._connection.execute(query).mappings())

    def lock_budgets(self, keys: Sequence[str]) -> Sequence[Books]:
        """Make what is missing before anything is locked: two calls would else wait for each other in a circle."""
        found = self.read_budgets(keys)
        if len(found) < len(keys):
            present = {books.key for books in found}
            self._make([key for key in keys if key not in present])
        elif self._is_serial:
            return found
        return self._lock(keys)

    def _lock(self, keys: Sequence[str]) -> Sequence[Books]:
        return self._read(self._statements.lock_budgets(len(keys)), keys)

    def _read(self, statement: Prepared, keys: Sequence[str]) -> Sequence[Books]:
        return [_to_books(row) for row in statement.fetch(self._connection, name_keys(keys))]

    def _make(self, keys: Sequence[str]) -> None:
        """Insert empty budgets; one that another transaction inserts meanwhile is waited for."""
        insert = _insert_for(self._connection)(BUDGETS).on_conflict_do_nothing()
        for key in keys:
            self._connection.execute(insert, asdict(Books(key)) | {"scope_key": key})

    def read_budgets(self, keys: Sequence[str]) -> Sequence[Books]:
        return self._read(self._statements.read_budgets(len(keys)), keys)

    def hold_budgets(self, keys: Sequence[str]) -> None:
        if not self._is_serial:
            self._lock(keys)

    def change_budgets(self, keys: Sequence[str], change: Change) -> None:
        more = {f"more_{name}": getattr(change, name) for name in CHANGED}
        self._statements.change_budgets(len(keys)).change(self._connection, more | name_keys(keys))

    def put_budget(self, books: Books, change: SetBudget, author: str, at: str) -> None:
        values = {
            "cap_microusd": books.cap_microusd,
            "cap_tokens": books.cap_tokens,
            "chain_offset": books.chain_offset,
            "is_closed": books.is_closed,
        }
        self._connection.execute(sa.update(BUDGETS).where(BUDGETS.c.scope_key == books.key).values(values))
        stamp = {"scope_key": books.key, "at": at, "author": author, "rationale": change.rationale}
        self._connection.execute(sa.insert(BUDGET_CHANGES), values | stamp)

    def cap_budget(self, key: str, cap_microusd: int) -> None:
        self._connection.execute(sa.update(BUDGETS).where(BUDGETS.c.scope_key == key).values(cap_microusd=cap_microusd))

    def add_attempt(self, attempt: NewAttempt, scope_keys: Sequence[str]) -> int:
        row = _EMPTY_SETTLEMENT | vars(attempt)
        [[sequence]] = self._statements.add_attempt.fetch(self._connection, row)
        links: list[dict[str, Value]] = [{"scope_key": key, "sequence": sequence} for key in scope_keys]
        self._statements.add_attempt_scope.change_many(self._connection, links)
        return int(sequence)

    def settle_attempt(self, sequence: int, settlement: Settlement, expected: AttemptState) -> bool:
        values = {f"new_{name}": getattr(settlement, name) for name in SETTLED}
        values |= {f"new_{name}": getattr(settlement.usage, name) for name in USAGE}
        place = {"number": sequence, "expected": expected.value}
        return self._statements.settle_attempt.change(self._connection, values | place) == 1

    def add_answer(self, call_id: str, body: str, kept_at: str) -> None:
        self._statements.add_answer.change(self._connection, {"call_id": call_id, "body": body, "kept_at": kept_at})

    def forget_answers(self, kept_before: str) -> None:
        self._connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.kept_at < kept_before))

    def list_open_attempts(self, expired_before: str | None) -> tuple[OpenAttempt, ...]:
        query = sa.select(ATTEMPTS.c.sequence, ATTEMPTS.c.reserved_microusd, ATTEMPTS.c.reserved_tokens)
        query = query.where(ATTEMPTS.c.state == AttemptState.RESERVED.value)
        if expired_before is not None:
            query = query.where(ATTEMPTS.c.expires_at < expired_before)
        rows = self._connection.execute(query.order_by(ATTEMPTS.c.sequence)).all()
        return tuple(OpenAttempt(*row, self._list_scope_keys(row.sequence)) for row in rows)

    def _list_scope_keys(self, sequence: int) -> tuple[str, ...]:
        query = sa.select(ATTEMPT_SCOPES.c.scope_key).where(ATTEMPT_SCOPES.c.sequence == sequence)
        return tuple(self._connection.execute(query).scalars())

    def list_receipts(self, scope_key: str | None, limit: int) -> tuple[RoutingReceipt, ...]:
        query = sa.select(ATTEMPTS).order_by(ATTEMPTS.c.sequence.desc()).limit(limit)
        if scope_key is not None:
            query = query.join(ATTEMPT_SCOPES, ATTEMPT_SCOPES.c.sequence == ATTEMPTS.c.sequence)
            query = query.where(ATTEMPT_SCOPES.c.scope_key == scope_key)
        return tuple(_to_receipt(row) for row in self._connection.execute(query).mappings())

    def list_models(self) -> tuple[KeptModel, ...]:
        rows = self._connection.execute(sa.select(MODELS).order_by(MODELS.c.alias)).mappings()
        return tuple(
            KeptModel(NewModel.model_validate({n: row[n] for n in NewModel.model_fields}), row["is_default"])
            for row in rows
        )

    def put_model(self, kept: KeptModel, author: str, at: str) -> None:
        self.delete_model(kept.new.alias)
        stamp = {"is_default": kept.is_default, "changed_at": at, "changed_by": author}
        self._connection.execute(sa.insert(MODELS), kept.new.model_dump(mode="json") | stamp)

    def delete_model(self, alias: str) -> bool:
        return self._connection.execute(sa.delete(MODELS).where(MODELS.c.alias == alias)).rowcount == 1

    def mark_default(self, alias: str) -> None:
        self._connection.execute(sa.update(MODELS).values(is_default=MODELS.c.alias == alias))


def _insert_for(connection: sa.Connection) -> Any:
    """Return the INSERT of the dialect that knows ON CONFLICT."""
    # Each driver's package is loaded only where it is used.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert


def _to_books(row: Sequence[Any]) -> Books:
    books = Books(*row)
    # SQLite says 0 and 1; 0 is as good as False, and an open budget, the common case, needs no second object.
    return replace(books, is_closed=True) if books.is_closed else books


def _to_receipt(row: sa.RowMapping) -> RoutingReceipt:
    own = {name: row[name] for name in RoutingReceipt.model_fields if name in row}
    usage = Usage(**{name: row[name] for name in USAGE})
    attempt_id = f"{row['call_id']}:{row['position']}"
    return RoutingReceipt.model_validate(own | {"attempt_id": attempt_id, "usage": usage})
