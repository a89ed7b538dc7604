"""Composition of PEX: database, neighbours, service, HTTP app."""

from dataclasses import dataclass
from importlib.resources import files
from random import Random

import sqlalchemy as sa
import yaml
from fastapi import FastAPI

from services.kernel.caller import Authenticator, CallerSource
from services.kernel.clock import Clock
from services.kernel.http import make_app
from services.kernel.ids import new_id
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.pas.protocol import Pas
from services.pex.api import add_routes
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.calls.vector_ops import VectorOpsEdge
from services.pex.core.driver import Driver, DriverParts
from services.pex.core.guard import Guard
from services.pex.core.intake import Intake, IntakeParts
from services.pex.core.intents import IntentMatcher, PhraseTable
from services.pex.core.journal import Journal
from services.pex.core.money import parse_usd
from services.pex.core.planning import Planner
from services.pex.core.service import PexParts, PexService
from services.pex.core.thinking import Thinker
from services.pex.models import Health
from services.pex.settings import PexSettings
from services.pex.store import SqlStore, prepare_schema
from services.pex.tables import IDEMPOTENCY
from services.plms.protocol import Plms
from services.vector_ops.protocol import VectorOps
from services.wire.bell import Bell
from services.wire.idempotency import SqlIdempotencyStore
from services.wire.storage import open_engine

PHRASES_FILE = "intents.v1.yaml"


@dataclass(frozen=True)
class OpenPex:
    """A running PEX. Its opener awaits `service.recover()` after start, and `close` at the end."""

    service: PexService
    idempotency: SqlIdempotencyStore
    schema_revision: str
    engine: sa.Engine

    async def close(self) -> None:
        """Stop following runs (they go on in PAS) and close the database."""
        await self.service.close()
        self.engine.dispose()


def load_phrases() -> PhraseTable:
    """Return the phrasing table that is shipped with the package."""
    text = (files("services.pex") / "core" / PHRASES_FILE).read_text("utf-8")
    return PhraseTable.model_validate(yaml.safe_load(text))


def create_service(
    database_url: str,
    *,
    plms: Plms,
    pas: Pas,
    vector_ops: VectorOps,
    callers: CallerSource,
    clock: Clock,
    random: Random,
    settings: PexSettings | None = None,
) -> OpenPex:
    """Open the database, bring its schema up to date and return PEX over its three neighbours.

    `callers` gives PEX's own identity, `service:pex`; `settings` None are read from the environment.
    """
    engine = open_engine(database_url)
    revision = prepare_schema(engine)
    journal = Journal(SqlStore(engine, clock), Bell())
    plms_edge, pas_edge = PlmsEdge(plms, callers, random), PasEdge(pas, callers, random)
    index = VectorOpsEdge(vector_ops, callers, random)
    cap = parse_usd((settings or PexSettings()).planning_cap_usd)
    edges = _Edges(plms_edge, pas_edge, index, random, clock, cap)
    service = PexService(_compose(journal, edges))
    idempotency = SqlIdempotencyStore(engine, IDEMPOTENCY, clock)
    idempotency.forget_unfinished()
    idempotency.forget_old()
    return OpenPex(service, idempotency, revision, engine)


@dataclass(frozen=True)
class _Edges:
    plms: PlmsEdge
    pas: PasEdge
    index: VectorOpsEdge
    random: Random
    clock: Clock
    planning_cap_microusd: int


def _compose(journal: Journal, edges: _Edges) -> PexParts:
    planner = Planner(IntentMatcher(load_phrases()), edges.index, edges.pas)
    thinker = Thinker(planner, edges.plms, edges.pas, edges.random)
    guard = Guard(journal, edges.pas, edges.clock)
    intake = Intake(
        IntakeParts(
            journal=journal,
            planner=planner,
            thinker=thinker,
            plms=edges.plms,
            pas=edges.pas,
            index=edges.index,
            planning_cap_microusd=edges.planning_cap_microusd,
        )
    )
    driver = Driver(DriverParts(journal, edges.plms, edges.pas, intake, guard, edges.clock, edges.random))
    return PexParts(
        journal=journal,
        planner=planner,
        thinker=thinker,
        intake=intake,
        plms=edges.plms,
        pas=edges.pas,
        driver=driver,
        guard=guard,
        planning_cap_microusd=edges.planning_cap_microusd,
        clock=edges.clock,
        new_id=new_id,
    )


def create_app(parts: OpenPex, authenticator: Authenticator) -> FastAPI:
    """Return the HTTP app of PEX."""
    health = Health(version=VERSION, schema=parts.schema_revision)
    return make_app(
        ServiceName.PEX,
        authenticator,
        lambda app: add_routes(app, parts.service, health),
        version=VERSION,
        idempotency=parts.idempotency,
    )
