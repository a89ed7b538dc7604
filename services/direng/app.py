"""Composition of DirEng: database, neighbours, the user's repositories, HTTP app."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

import sqlalchemy as sa
from fastapi import FastAPI

from services.broker.protocol import Broker
from services.direng.api import add_routes
from services.direng.calls.broker import BrokerEdge
from services.direng.calls.pas import PasEdge
from services.direng.calls.pex import PexEdge
from services.direng.calls.vector_ops import VectorOpsEdge
from services.direng.core.answering import Answerer
from services.direng.core.following import TICK_S, Follower, FollowerParts
from services.direng.core.notebook import Notebook
from services.direng.core.ports import Worktree
from services.direng.core.retrieval import Retriever
from services.direng.core.service import DirEngParts, DirEngService, HealthCheck
from services.direng.core.spending import Purse
from services.direng.core.turns import TurnParts, TurnTaker
from services.direng.core.work import Worker, WorkParts
from services.direng.models import Health
from services.direng.settings import DirEngSettings
from services.direng.store import SqlStore, prepare_schema
from services.direng.tables import IDEMPOTENCY
from services.direng.worktree import GitWorktree
from services.edits.journal import AcceptJournal
from services.kernel.caller import Authenticator, CallerSource
from services.kernel.clock import Clock
from services.kernel.http import make_app
from services.kernel.ids import new_id
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.pas.protocol import Pas
from services.pex.protocol import Pex
from services.vector_ops.protocol import VectorOps
from services.wire.bell import Bell
from services.wire.idempotency import SqlIdempotencyStore
from services.wire.storage import open_engine


@dataclass(frozen=True)
class OpenDirEng:
    """A running DirEng. Its opener awaits `service.recover()` after start, and `close` at the end."""

    service: DirEngService
    idempotency: SqlIdempotencyStore
    schema_revision: str
    engine: sa.Engine

    async def close(self) -> None:
        """Stop telling (runs go on in PAS) and close the database."""
        await self.service.close()
        self.engine.dispose()


def create_service(
    database_url: str,
    *,
    home: Path,
    pex: Pex,
    pas: Pas,
    vector_ops: VectorOps,
    broker: Broker,
    callers: CallerSource,
    clock: Clock,
    settings: DirEngSettings | None = None,
    checks: Sequence[HealthCheck] = (),
    random: Random | None = None,
    tick_s: float = TICK_S,
) -> OpenDirEng:
    """Open the database, bring its schema up to date and return DirEng over its four neighbours.

    `home` is the platform's home: `trees` below it is the store that PAS keeps the runs' trees in, `accepts` the crash
    journal. `callers` gives DirEng's own identity, `service:direng`. `checks` are what `examine` tells first.
    `settings` None are those of the environment.
    """
    engine = open_engine(database_url)
    revision = prepare_schema(engine)
    chance = random or SystemRandom()
    notebook = Notebook(SqlStore(engine, clock), Bell(), clock)
    edges = _Edges(
        PexEdge(pex, callers, chance),
        PasEdge(pas, callers, chance),
        VectorOpsEdge(vector_ops, callers, chance),
        BrokerEdge(broker, callers, chance),
    )
    worktree = GitWorktree(home / "trees", AcceptJournal(home / "accepts"), clock)
    service = _compose(notebook, edges, worktree, clock, tick_s, tuple(checks), settings or DirEngSettings())
    idempotency = SqlIdempotencyStore(engine, IDEMPOTENCY, clock)
    idempotency.forget_unfinished()
    idempotency.forget_old()
    return OpenDirEng(service, idempotency, revision, engine)


@dataclass(frozen=True)
class _Edges:
    pex: PexEdge
    pas: PasEdge
    index: VectorOpsEdge
    broker: BrokerEdge


def _compose(  # noqa: PLR0917 - called once, above
    notebook: Notebook,
    edges: _Edges,
    worktree: Worktree,
    clock: Clock,
    tick_s: float,
    checks: tuple[HealthCheck, ...],
    settings: DirEngSettings,
) -> DirEngService:
    follower = Follower(FollowerParts(notebook, edges.pex, edges.pas, edges.broker, clock, tick_s))
    purse = Purse(edges.broker, notebook.store, settings.session_cap_microusd)
    answerer = Answerer(notebook, edges.broker, Retriever(edges.index, worktree), purse)
    worker = Worker(WorkParts(notebook, follower, edges.pex, edges.pas, worktree, purse))
    return DirEngService(
        DirEngParts(
            notebook=notebook,
            turns=TurnTaker(TurnParts(notebook, worker, answerer, edges.index, purse)),
            follower=follower,
            answerer=answerer,
            purse=purse,
            pas=edges.pas,
            index=edges.index,
            broker=edges.broker,
            worktree=worktree,
            clock=clock,
            new_id=new_id,
            checks=checks,
        )
    )


def create_app(parts: OpenDirEng, authenticator: Authenticator) -> FastAPI:
    """Return the HTTP app of DirEng."""
    health = Health(version=VERSION, schema=parts.schema_revision)
    return make_app(
        ServiceName.DIRENG,
        authenticator,
        lambda app: add_routes(app, parts.service, health),
        version=VERSION,
        idempotency=parts.idempotency,
    )
