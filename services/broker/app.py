"""Composition of the broker: database, policy, wire, service, HTTP app."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from random import Random, SystemRandom

import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import ValidationError

from services.broker.api import add_routes
from services.broker.core.booking import recover_lost
from services.broker.core.breaker import Breakers
from services.broker.core.budgets import Budgets
from services.broker.core.calling import CallTools
from services.broker.core.lineup import LineupBuilder
from services.broker.core.ports import KeySource, ModelWire, PriceTable
from services.broker.core.registry import Models
from services.broker.core.service import BrokerService
from services.broker.models import Health
from services.broker.policy.source import POLICY_FILE, PolicyFile
from services.broker.providers.keys import ReferencedKeys
from services.broker.providers.prices import GenaiPrices
from services.broker.providers.urls import check_base_url
from services.broker.providers.wire import PydanticWire, Route
from services.broker.settings import BrokerSettings
from services.broker.store import SqlStore, prepare_schema
from services.broker.tables import IDEMPOTENCY
from services.kernel.caller import Authenticator
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import InvalidRequestError
from services.kernel.http import make_app
from services.kernel.ids import new_id
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.security.vault import Vault
from services.wire.idempotency import SqlIdempotencyStore
from services.wire.storage import open_engine

ANSWER_LIFETIME = timedelta(days=30)


@dataclass(frozen=True)
class BrokerPorts:
    """All that the broker needs of the outside.

    `prices` is called once, off the event loop, when a price is first needed. `check_url` returns the one form of a
    base URL or raises UrlRefusedError.
    """

    home: Path
    database_url: str
    clock: Clock
    random: Random
    wire: ModelWire
    prices: Callable[[], PriceTable]
    keys: KeySource
    check_url: Callable[[str], str]
    session_cap_microusd: int = 5_000_000
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True)
class BrokerParts:
    """An open broker: the service, and what its HTTP app needs beside it. Who opened it closes it."""

    service: BrokerService
    idempotency: SqlIdempotencyStore
    schema_revision: str
    store: SqlStore
    engine: sa.Engine
    wire: ModelWire
    lost_attempts: int = field(default=0)

    async def warm(self) -> None:
        """Load what the configured models' first call needs, off the event loop; without a model nothing is loaded."""
        providers = await self.service.list_providers()
        if providers:
            await self.wire.warm(providers)

    async def close(self) -> None:
        """Stop calls under way (settled as stopped), close the wire and the database."""
        await self.service.close()
        await self.wire.close()
        self.store.close()
        self.engine.dispose()


def open_broker(ports: BrokerPorts) -> BrokerParts:
    """Open the database, count the reservations of dead servers as spent, and return the broker over it.

    Blocks (some 0.3 s on a new database), so call it before serving or off the event loop. A SQLite file has one
    server, so every open attempt found in it belongs to one that died; on PostgreSQL only those past their deadline.
    """
    engine = open_engine(ports.database_url)
    revision = prepare_schema(engine)
    store, clock = SqlStore(engine), ports.clock
    is_alone = not store.is_shared
    now = clock.now()
    lost = store.transact_now(lambda ledger: recover_lost(ledger, None if is_alone else to_iso(now)))
    store.transact_now(lambda ledger: ledger.forget_answers(to_iso(now - ANSWER_LIFETIME)))
    idempotency = SqlIdempotencyStore(engine, IDEMPOTENCY, clock)
    idempotency.forget_old()
    if is_alone:
        idempotency.forget_unfinished()
    return BrokerParts(_make_service(ports, store), idempotency, revision, store, engine, ports.wire, lost)


def _make_service(ports: BrokerPorts, store: SqlStore) -> BrokerService:
    policy, breakers = PolicyFile(ports.home / POLICY_FILE), Breakers(ports.clock)
    prices = cache(ports.prices)
    tools = CallTools(
        store=store,
        wire=ports.wire,
        clock=ports.clock,
        random=ports.random,
        sleep=ports.sleep,
        breakers=breakers,
        owner=new_id("broker"),
        session_cap_microusd=ports.session_cap_microusd,
    )
    builder = LineupBuilder(prices, ports.keys)
    models = Models(
        store,
        ports.clock,
        policy=policy,
        builder=builder,
        breakers=breakers,
        prices=prices,
        check_url=ports.check_url,
    )
    budgets = Budgets(store, ports.clock, policy, tools.offsets)
    return BrokerService(tools, models, budgets, new_id)


def read_settings(**given: Path | str) -> BrokerSettings:
    """Return the settings of the environment, but for those given; raise InvalidRequestError for one that is wrong."""
    try:
        return BrokerSettings(**given)  # type: ignore[arg-type]  # pydantic checks them, as it does the environment's
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"BROKER_{name.upper()}: {first['msg']}; correct it, or unset it") from None


def open_configured(clock: Clock, settings: BrokerSettings | None = None) -> BrokerParts:
    """Return the broker that the settings name; keys come from the environment and the home's vault, by reference."""
    settings = settings or read_settings()
    keys = ReferencedKeys(os.environ, Vault.open(settings.home / "vault"))
    return open_broker(
        BrokerPorts(
            home=settings.home,
            database_url=settings.database_url,
            clock=clock,
            random=SystemRandom(),
            wire=PydanticWire(keys, clock=clock, route=Route(settings.proxy_url, settings.ca_file)),
            prices=partial(GenaiPrices, clock),
            keys=keys,
            check_url=check_base_url,
            session_cap_microusd=settings.session_cap_microusd,
        )
    )


def create_app(parts: BrokerParts, authenticator: Authenticator) -> FastAPI:
    """Return the HTTP app of the broker."""

    async def read_health() -> Health:
        return Health(version=VERSION, models=await parts.service.count_models(), schema=parts.schema_revision)

    return make_app(
        ServiceName.BROKER,
        authenticator,
        lambda app: add_routes(app, parts.service, read_health),
        version=VERSION,
        idempotency=parts.idempotency,
    )
