"""Composition of PLMS: database, service, HTTP app."""

from dataclasses import dataclass
from importlib.resources import files

import sqlalchemy as sa
from fastapi import FastAPI

from services.kernel.caller import Authenticator
from services.kernel.clock import Clock
from services.kernel.http import make_app
from services.kernel.ids import new_id
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.plms.api import add_routes
from services.plms.core.calibration import Calibration
from services.plms.core.priors import Priors, parse_priors
from services.plms.core.service import PlmsService
from services.plms.models import Health
from services.plms.settings import PlmsSettings
from services.plms.store import SqlStore, prepare_schema
from services.plms.tables import IDEMPOTENCY
from services.wire.idempotency import SqlIdempotencyStore
from services.wire.storage import open_engine

RECIPE_PRIORS, MODEL_PRIORS = "recipes.v1.json", "agent.v1.json"


@dataclass(frozen=True)
class PlmsParts:
    """An open PLMS: the service, and what its HTTP app needs beside it. Who opened it closes it."""

    service: PlmsService
    idempotency: SqlIdempotencyStore
    schema_revision: str
    engine: sa.Engine

    def close(self) -> None:
        """Close the database connections."""
        self.engine.dispose()


def load_priors() -> Priors:
    """Return the priors that are shipped with the package."""
    folder = files("services.plms") / "priors"
    return parse_priors(*((folder / name).read_text("utf-8") for name in (RECIPE_PRIORS, MODEL_PRIORS)))


def open_plms(database_url: str, clock: Clock) -> PlmsParts:
    """Open the database, bring schema and posteriors up to date, and return PLMS over it.

    Blocks (some 0.3 s on a new database), so call it before serving or off the event loop. A SQLite file has one
    server, so that claims of idempotency keys found in it belong to a server that died.
    """
    engine = open_engine(database_url)
    revision = prepare_schema(engine)
    store, calibration = SqlStore(engine), Calibration(load_priors())
    store.transact_now(calibration.adopt_priors)
    service = PlmsService(store, clock, calibration, new_id)
    idempotency = SqlIdempotencyStore(engine, IDEMPOTENCY, clock)
    idempotency.forget_old()
    if engine.dialect.name == "sqlite":
        idempotency.forget_unfinished()
    return PlmsParts(service, idempotency, revision, engine)


def open_configured(clock: Clock) -> PlmsParts:
    """Return PLMS over the database that the settings name: one process of a networked installation."""
    return open_plms(PlmsSettings().database_url, clock)


def create_app(parts: PlmsParts, authenticator: Authenticator) -> FastAPI:
    """Return the HTTP app of PLMS."""
    health = Health(version=VERSION, schema=parts.schema_revision)
    return make_app(
        ServiceName.PLMS,
        authenticator,
        lambda app: add_routes(app, parts.service, health),
        version=VERSION,
        idempotency=parts.idempotency,
    )
