"""The only wiring: which object stands behind each protocol, and the only place that creates DBOS.

`embedded` puts every service into this process, each edge holding its neighbour's own object.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from dbos import DBOS
from fastapi import FastAPI

from services.artifacts.store import ObstoreArtifactStore
from services.auth import app as auth_app
from services.auth.callers import LocalCallerSource, mint_user_tokens
from services.auth.core.issuer import AuthService
from services.auth.core.ports import KeyRing
from services.auth.settings import AuthSettings
from services.auth.validator import TokenAuthenticator
from services.broker import app as broker_app
from services.broker.protocol import Broker
from services.direng import app as direng_app
from services.direng.models import Check
from services.home import Home
from services.kernel.caller import CallerSource
from services.kernel.clock import Clock, SystemClock
from services.kernel.db import sqlite_url
from services.kernel.errors import InternalError, PlatformError
from services.kernel.vocabulary import ServiceName
from services.pas import app as pas_app
from services.pas.core.isolation import Isolation
from services.pas.core.ports import FaultPoints, NoFaults, Signer
from services.pas.engine import close_dbos, dbos_config, launch_dbos, open_workflow_engine
from services.pas.passport.signature import ARCHIVE, RingSigner
from services.pas.sandbox.bubblewrap import BubblewrapIsolation
from services.pex import app as pex_app
from services.plms import app as plms_app
from services.vector_ops import app as vector_ops_app
from services.vector_ops.protocol import VectorOps

LOG = logging.getLogger("direng.topology")
LOCAL_USER = "user:local"
EXECUTOR_ID = "embedded"
"""One process a home is guaranteed by the home's lock, so the executor's name may be the same after every restart."""


@dataclass(frozen=True)
class Wiring:
    """What may be exchanged: recovery tests inject fault points, everything else is production's."""

    clock: Clock = field(default_factory=SystemClock)
    faults: FaultPoints = field(default_factory=NoFaults)


@dataclass(frozen=True)
class Platform:
    """Every service of this process as an ASGI app."""

    SERVICES: ClassVar[tuple[ServiceName, ...]] = (
        ServiceName.AUTH,
        ServiceName.PLMS,
        ServiceName.PAS,
        ServiceName.PEX,
        ServiceName.DIRENG,
        ServiceName.BROKER,
        ServiceName.VECTOR_OPS,
    )
    apps: Mapping[ServiceName, FastAPI]
    mint_user_tokens: Callable[[], Awaitable[tuple[Mapping[ServiceName, str], int]]]
    begin_drain: Callable[[], Awaitable[None]]
    opened: "Opened"


def make_signer(keys: KeyRing, home: Home) -> RingSigner:
    """Return what signs passports with the key that signs tokens now, and archives its public half in the home."""

    def find_key() -> tuple[str, RSAPrivateKey]:
        key = keys.get_signing_key()
        if not isinstance(key.private, RSAPrivateKey):
            raise InternalError("the platform's signing key is no RSA key")
        return key.kid, key.private

    return RingSigner(find_key, home.path / ARCHIVE)


@dataclass(frozen=True)
class PasTools:
    """What PAS is handed beside its databases."""

    broker: Broker
    vector_ops: VectorOps
    callers: CallerSource
    signer: Signer
    isolation: Isolation
    artifacts: ObstoreArtifactStore


@dataclass(frozen=True)
class Opened:
    """The open services: what one calls another by, with a Caller, when no wire is between them."""

    auth: AuthService
    plms: plms_app.PlmsParts
    pas: pas_app.PasParts
    pex: pex_app.OpenPex
    direng: direng_app.OpenDirEng
    index: vector_ops_app.VectorOpsParts
    broker: broker_app.BrokerParts


@asynccontextmanager
async def embedded(home: Home, wiring: Wiring) -> AsyncIterator[Platform]:
    """Open every service over `home`; recover what a former process left unfinished; close all when the block ends."""
    async with AsyncExitStack() as stack:
        yield await _compose(home, wiring, stack)


async def _compose(home: Home, wiring: Wiring, stack: AsyncExitStack) -> Platform:
    clock, state = wiring.clock, home.folder("state")
    auth = auth_app.create_service(AuthSettings(keys_dir=home.folder("auth")), clock)
    isolation = BubblewrapIsolation()
    artifacts = await ObstoreArtifactStore.open_folder(home.folder("artifacts"))

    plms = plms_app.open_plms(sqlite_url(state / "plms.db"), clock)
    stack.callback(plms.close)
    index = vector_ops_app.open_vector_ops(home.folder("index"), clock)
    stack.callback(index.close)
    broker = _open_broker(home, clock)
    stack.push_async_callback(broker.close)
    callers = LocalCallerSource(auth, ServiceName.PAS, clock)
    signer = make_signer(auth.keys, home)
    tools = PasTools(broker.service, index.service, callers, signer, isolation, artifacts)
    pas = _open_pas(home, wiring, tools, stack)
    pex = pex_app.create_service(
        sqlite_url(state / "pex.db"),
        plms=plms.service,
        pas=pas.service,
        vector_ops=index.service,
        callers=LocalCallerSource(auth, ServiceName.PEX, clock),
        clock=clock,
        random=SystemRandom(),
    )
    stack.push_async_callback(pex.close)
    direng = _open_direng(home, clock, tools, LocalCallerSource(auth, ServiceName.DIRENG, clock), pex=pex, pas=pas)
    stack.push_async_callback(direng.close)
    opened = Opened(auth, plms, pas, pex, direng, index, broker)
    await _go_on(opened, stack)
    return Platform(_make_apps(clock, opened), lambda: _mint(auth), pas.begin_drain, opened)


async def _go_on(opened: Opened, stack: AsyncExitStack) -> None:
    """Take up unfinished runs: only now, when everything that they may call is there."""
    launch_dbos()
    await opened.pas.recover()
    await opened.pex.service.recover()
    await opened.direng.service.recover()
    warming = asyncio.create_task(_warm(opened.broker))
    stack.push_async_callback(_stop, warming)


def _make_apps(clock: Clock, opened: Opened) -> Mapping[ServiceName, FastAPI]:
    def guard(audience: ServiceName) -> TokenAuthenticator:
        return auth_app.create_authenticator(opened.auth, audience, clock)

    # Auth and Vector-Ops have no database of rows; the answers to their writes are kept in PLMS's table, by service.
    kept = opened.plms.idempotency
    return {
        ServiceName.AUTH: auth_app.create_app(opened.auth, clock, idempotency=kept),
        ServiceName.PLMS: plms_app.create_app(opened.plms, guard(ServiceName.PLMS)),
        ServiceName.PAS: pas_app.create_app(opened.pas, guard(ServiceName.PAS)),
        ServiceName.PEX: pex_app.create_app(opened.pex, guard(ServiceName.PEX)),
        ServiceName.DIRENG: direng_app.create_app(opened.direng, guard(ServiceName.DIRENG)),
        ServiceName.BROKER: broker_app.create_app(opened.broker, guard(ServiceName.BROKER)),
        ServiceName.VECTOR_OPS: vector_ops_app.create_app(
            opened.index, guard(ServiceName.VECTOR_OPS), idempotency=kept
        ),
    }


def _open_broker(home: Home, clock: Clock) -> broker_app.BrokerParts:
    """Open the broker of this home; what else it needs is in the environment (BrokerSettings)."""
    url = sqlite_url(home.folder("state") / "broker.db")
    return broker_app.open_configured(clock, broker_app.read_settings(home=home.path, database_url=url))


def _open_direng(
    home: Home, clock: Clock, tools: PasTools, callers: CallerSource, *, pex: pex_app.OpenPex, pas: pas_app.PasParts
) -> direng_app.OpenDirEng:
    return direng_app.create_service(
        sqlite_url(home.folder("state") / "direng.db"),
        home=home.path,
        pex=pex.service,
        pas=pas.service,
        vector_ops=tools.vector_ops,
        broker=tools.broker,
        callers=callers,
        clock=clock,
        checks=(lambda: _check_isolation(tools.isolation),),
    )


def _open_pas(home: Home, wiring: Wiring, tools: PasTools, stack: AsyncExitStack) -> pas_app.PasParts:
    url = sqlite_url(home.folder("state") / "workflows.db")
    engine = open_workflow_engine(url)
    stack.callback(engine.dispose)
    DBOS(config=dbos_config(url, engine, EXECUTOR_ID))
    parts = pas_app.open_pas(
        pas_app.PasPorts(
            home=home.path,
            database_url=sqlite_url(home.folder("state") / "pas.db"),
            clock=wiring.clock,
            signer=tools.signer,
            isolation=tools.isolation,
            artifacts=tools.artifacts,
            faults=wiring.faults,
            broker=tools.broker,
            vector_ops=tools.vector_ops,
            callers=tools.callers,
        )
    )
    stack.callback(parts.close)
    stack.push_async_callback(close_dbos)
    stack.push_async_callback(parts.drain)
    return parts


async def _mint(auth: AuthService) -> tuple[Mapping[ServiceName, str], int]:
    tokens = mint_user_tokens(auth, LOCAL_USER, Platform.SERVICES)
    return {audience: token.access_token for audience, token in tokens.items()}, min(
        token.expires_at for token in tokens.values()
    )


async def _check_isolation(isolation: Isolation) -> tuple[Check, ...]:
    report = await asyncio.to_thread(isolation.describe)
    if not report.problems:
        return (Check(name="sandbox", is_good=True, detail=f"bubblewrap works, limits by {report.tier}"),)
    return tuple(
        Check(name="sandbox", is_good=False, detail=problem.what, cure=problem.cure)
        if problem.is_fatal
        else Check(
            name="sandbox", is_good=True, detail=f"bubblewrap works, but {problem.what} (better: {problem.cure})"
        )
        for problem in report.problems
    )


async def _warm(broker: broker_app.BrokerParts) -> None:
    """Load the SDKs of the configured models beside the serving; a broken policy is told to whoever calls a model."""
    try:
        await broker.warm()
    except PlatformError as error:
        LOG.warning("no model is called until this is mended: %s", error.detail)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
