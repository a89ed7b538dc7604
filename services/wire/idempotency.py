"""Answers of writes, kept by idempotency key (ARCHITECTURE.md, invariant 5)."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from fastapi import Request, Response

from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.db import in_thread
from services.kernel.errors import ConflictError, InvalidRequestError
from services.kernel.http import IDEMPOTENCY_HEADER, Endpoint
from services.kernel.vocabulary import ServiceName

REPLAY_HEADER = "Idempotent-Replay"
KEY_LENGTHS = range(8, 201)
SCOPE_LENGTH = 200
ANSWER_LIFETIME = timedelta(days=7)
CLAIM_LIFETIME = timedelta(minutes=15)


class KeyReusedError(ConflictError):
    """The same key came with another body."""

    code = "wire.idempotency_key_reused"


class RequestInProgressError(ConflictError):
    """The first request with this key is still being served."""

    code = "wire.request_in_progress"
    is_retryable = True


@dataclass(frozen=True)
class Answer:
    """A stored answer."""

    status: int
    body: bytes


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return the SHA-256 that two equal requests share."""
    return hashlib.sha256(b"\0".join([method.encode(), path.encode(), body])).hexdigest()


def scope_of(service: ServiceName, subject: str) -> str:
    """Return the name space of keys: one per service and authenticated subject (a renewed token keeps its keys)."""
    name = f"{service}:{subject}"
    return name if len(name) <= SCOPE_LENGTH else f"{service}:{hashlib.sha256(subject.encode()).hexdigest()}"


def idempotency_table(metadata: sa.MetaData) -> sa.Table:
    """Return the table that a service's own schema includes."""
    return sa.Table(
        "idempotency",
        metadata,
        sa.Column("scope", sa.String(SCOPE_LENGTH), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=True),
        sa.Column("created_at", sa.String(40), nullable=False),
    )


class SqlIdempotencyStore:
    """Keeps answers in the service's own database."""

    def __init__(self, engine: sa.Engine, table: sa.Table, clock: Clock) -> None:
        self._engine = engine
        self._table = table
        self._clock = clock

    def forget_unfinished(self) -> None:
        """Drop claims that a killed server left behind; the writes behind them are idempotent by their own ids.

        Only for a database with one server: another server's claims would go too (`forget_old` is for those).
        """
        with self._engine.begin() as connection:
            connection.execute(sa.delete(self._table).where(self._table.c.status.is_(None)))

    def forget_old(self) -> None:
        """Drop answers older than a week, and claims so old that their server must be dead; called at start."""
        table, now = self._table, self._clock.now()
        is_dead = table.c.status.is_(None) & (table.c.created_at < to_iso(now - CLAIM_LIFETIME))
        is_stale = table.c.created_at < to_iso(now - ANSWER_LIFETIME)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(is_dead | is_stale))

    async def serve(self, service: ServiceName, request: Request, call_next: Endpoint) -> Response:
        """Serve a keyed write: the stored answer with `Idempotent-Replay: true`, or the first one, which is kept."""
        caller: Caller = request.state.caller
        scope, key = scope_of(service, caller.subject), request.headers[IDEMPOTENCY_HEADER]
        query = request.url.query
        target = f"{request.url.path}?{query}" if query else request.url.path
        stored = await self.begin(scope, key, fingerprint(request.method, target, await request.body()))
        if stored is not None:
            return Response(stored.body, stored.status, {REPLAY_HEADER: "true"}, "application/json")
        return await self._keep_answer(request, call_next, scope, key)

    async def _keep_answer(self, request: Request, call_next: Endpoint, scope: str, key: str) -> Response:
        try:
            response = await call_next(request)
        except BaseException:
            await self.abandon(scope, key)
            raise
        if not str(response.headers.get("content-type", "")).startswith("application/json"):
            await self.abandon(scope, key)  # a stream is resumed by its cursor, not by its key
            return response
        body = b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]  # middleware responses stream
        if response.status_code < 400:  # noqa: PLR2004
            await self.finish(scope, key, response.status_code, body)
        else:
            await self.abandon(scope, key)  # a refused request had no effect: it may succeed when it is sent again
        return Response(body, response.status_code, dict(response.headers))

    async def begin(self, scope: str, key: str, fingerprint: str) -> Answer | None:
        """Claim `key`; return the stored answer if there is one."""
        if len(key) not in KEY_LENGTHS or not key.isprintable():
            raise InvalidRequestError("Idempotency-Key must have 8 to 200 printable characters")
        return await in_thread(self._begin, scope, key, fingerprint)

    def _begin(self, scope: str, key: str, fingerprint: str) -> Answer | None:
        table = self._table
        row = {"scope": scope, "key": key, "fingerprint": fingerprint, "created_at": to_iso(self._clock.now())}
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(table).values(row))
        except sa.exc.IntegrityError:
            return self._read(scope, key, fingerprint)
        return None

    def _read(self, scope: str, key: str, fingerprint: str) -> Answer:
        table = self._table
        with self._engine.begin() as connection:
            found = connection.execute(sa.select(table).where(table.c.scope == scope, table.c.key == key)).one_or_none()
        if found is None:  # the first request failed and gave its claim up between our two statements
            raise RequestInProgressError(f"the first request with Idempotency-Key {key} just ended; ask again")
        if found.fingerprint != fingerprint:
            raise KeyReusedError(f"Idempotency-Key {key} was used with another request; use a new key")
        if found.status is None:
            raise RequestInProgressError(f"the first request with Idempotency-Key {key} is still running; ask again")
        return Answer(found.status, found.body)

    async def finish(self, scope: str, key: str, status: int, body: bytes) -> None:
        """Keep the answer."""
        await in_thread(self._update, scope, key, status, body)

    def _update(self, scope: str, key: str, status: int, body: bytes) -> None:
        table = self._table
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(table).where(table.c.scope == scope, table.c.key == key).values(status=status, body=body)
            )

    async def abandon(self, scope: str, key: str) -> None:
        """Forget the claim."""
        await in_thread(self._delete, scope, key)

    def _delete(self, scope: str, key: str) -> None:
        table = self._table
        with self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.scope == scope, table.c.key == key))
