"""Composition of PAS: database, executors, service, workflows, HTTP app."""

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from random import Random, SystemRandom

import sqlalchemy as sa
from fastapi import FastAPI

from services.broker.protocol import Broker
from services.kernel.caller import Authenticator, CallerSource
from services.kernel.clock import Clock
from services.kernel.db import upgrade_schema
from services.kernel.errors import InternalError, UnavailableError
from services.kernel.http import make_app
from services.kernel.version import VERSION
from services.kernel.vocabulary import Lane, ServiceName
from services.pas.api import Health, add_routes
from services.pas.calls.broker import BrokerEdge
from services.pas.calls.vector_ops import VectorOpsEdge
from services.pas.core.allowlist import Allowlist, load_lane_allowlists
from services.pas.core.budgets import RunBudgets
from services.pas.core.cards import CardParts, CardRunner
from services.pas.core.control import Gatekeeper, LaneSlots
from services.pas.core.events import Bell
from services.pas.core.isolation import Isolation
from services.pas.core.jacket import Jacket
from services.pas.core.passports import PassportFacts, PassportOffice
from services.pas.core.ports import ArtifactBox, CardExecutor, FaultPoints, NoFaults, Signer
from services.pas.core.routes import LaneRoutes
from services.pas.core.runs import RunKeeper, RunParts
from services.pas.core.service import PasService, ServiceParts
from services.pas.core.stage import Stage
from services.pas.core.validators import TestPassRate, TypeCheck, Validator
from services.pas.executors.agent.card import AgentExecutor, AgentParts
from services.pas.executors.agent.hands import Toolset
from services.pas.executors.agent.tools.toolset import open_toolset
from services.pas.executors.command import CommandExecutor
from services.pas.executors.linter import LinterPass
from services.pas.executors.plan import PlanExecutor
from services.pas.executors.recipe import RecipeExecutor, source_root
from services.pas.executors.recorder import RecorderParts
from services.pas.executors.tests import TestsExecutor
from services.pas.executors.workbench import ENVIRONMENT, Programs, Workbench
from services.pas.journal import SqlStepJournal
from services.pas.sandbox.interpreter import package_mounts
from services.pas.schema import IDEMPOTENCY
from services.pas.store import SqlPasStore
from services.pas.trees import RepositoryTrees
from services.pas.workflows import PasRuntime, bind_runtime, launch_run, stop_workflows
from services.vector_ops.models import IndexAnswer, QueryKind
from services.vector_ops.protocol import VectorOps
from services.wire.idempotency import SqlIdempotencyStore
from services.wire.storage import open_engine


@dataclass(frozen=True)
class PasPorts:
    """What PAS is given: where things lie, who signs, who isolates."""

    home: Path
    database_url: str
    clock: Clock
    signer: Signer
    isolation: Isolation
    artifacts: ArtifactBox
    faults: FaultPoints = NoFaults()  # noqa: RUF009 - stateless
    allowlists: Mapping[Lane, Allowlist] | None = None
    broker: Broker | None = None
    """None: this PAS calls no model, so runs with agent or plan cards are refused."""
    vector_ops: VectorOps | None = None
    """None: agent cards are offered no tool that asks the index."""
    callers: CallerSource | None = None
    tools: Toolset | None = None
    """The tools of agent cards; None: the platform's own."""
    random: Random = SystemRandom()  # noqa: RUF009 - stateless


@dataclass(frozen=True)
class PasParts:
    """An open PAS. Who opened it closes it, after DBOS is destroyed."""

    service: PasService
    store: SqlPasStore
    idempotency: SqlIdempotencyStore
    bell: Bell
    isolation: Isolation
    engine: sa.Engine

    async def recover(self) -> None:
        """Launch runs that were stored but not launched when the server died; call it once DBOS is launched."""
        for view in await self.store.list_views(None, is_active=True):
            await launch_run(view.run_id)

    async def begin_drain(self) -> None:
        """End all event streams and start no further card."""
        self.bell.close()

    async def drain(self) -> None:
        """Stop the cards in flight; their runs stay pending and go on after the next start. Before DBOS.destroy()."""
        await self.begin_drain()
        await stop_workflows()

    def close(self) -> None:
        """Take the workflows' objects away and close the database connections."""
        bind_runtime(None)
        self.engine.dispose()


def find_programs() -> Programs:
    """Return the platform's own interpreter and ruff."""
    python = Path(sys.executable)
    beside = python.parent / "ruff"
    found = beside if beside.is_file() else shutil.which("ruff")
    if found is None:
        raise InternalError("ruff is not installed beside the interpreter; reinstall the package")
    return Programs(python=python, ruff=Path(found))


def open_pas(ports: PasPorts) -> PasParts:
    """Open the database, build the engine and bind its workflows; call it before DBOS is launched.

    Blocks (some 0.3 s on a new database), so call it before serving or off the event loop.
    """
    engine = open_engine(ports.database_url)
    upgrade_schema(engine, "services.pas")
    idempotency = SqlIdempotencyStore(engine, IDEMPOTENCY, ports.clock)
    idempotency.forget_unfinished()
    idempotency.forget_old()
    return _compose(ports, engine, idempotency, SqlPasStore(engine))


@dataclass(frozen=True)
class _Shared:
    """What the parts of the engine share."""

    store: SqlPasStore
    trees: RepositoryTrees
    bell: Bell
    gatekeeper: Gatekeeper
    bench: Workbench
    allowlists: Mapping[Lane, Allowlist]
    programs: Programs
    stage: Stage
    broker: BrokerEdge | None
    index: VectorOpsEdge | None
    budgets: RunBudgets
    journal: SqlStepJournal


def _compose(ports: PasPorts, engine: sa.Engine, idempotency: SqlIdempotencyStore, store: SqlPasStore) -> PasParts:
    allowlists = ports.allowlists or load_lane_allowlists()
    bell, programs, trees = Bell(), find_programs(), RepositoryTrees(ports.home / "trees")
    broker = _make_broker_edge(ports)
    slots = LaneSlots({lane: allowlist.limits.max_parallel for lane, allowlist in allowlists.items()})
    shared = _Shared(
        store=store,
        trees=trees,
        bell=bell,
        gatekeeper=Gatekeeper(store, bell, slots, ports.clock),
        bench=Workbench(ports.isolation, allowlists, programs, ports.faults),
        allowlists=allowlists,
        programs=programs,
        stage=Stage(ports.home / "stage", trees, ports.isolation),
        broker=broker,
        index=_make_index_edge(ports),
        journal=SqlStepJournal(engine),
        budgets=RunBudgets(broker),
    )
    bind_runtime(PasRuntime(_make_cards(ports, shared), _make_runs(ports, shared), ports.faults))
    service = PasService(
        ServiceParts(
            store=store,
            trees=trees,
            artifacts=ports.artifacts,
            isolation=ports.isolation,
            slots=slots,
            bell=bell,
            clock=ports.clock,
            launch=launch_run,
            routes=LaneRoutes(broker),
            budgets=shared.budgets,
        )
    )
    return PasParts(service, store, idempotency, bell, ports.isolation, engine)


def _make_broker_edge(ports: PasPorts) -> BrokerEdge | None:
    if ports.broker is None or ports.callers is None:
        return None
    return BrokerEdge(ports.broker, ports.callers, ports.random)


def _make_index_edge(ports: PasPorts) -> VectorOpsEdge | None:
    if ports.vector_ops is None or ports.callers is None:
        return None
    return VectorOpsEdge(ports.vector_ops, ports.callers, ports.random)


def _make_cards(ports: PasPorts, shared: _Shared) -> CardRunner:
    return CardRunner(
        CardParts(
            store=shared.store,
            trees=shared.trees,
            artifacts=ports.artifacts,
            executors=_make_executors(ports, shared),
            gatekeeper=shared.gatekeeper,
            bell=shared.bell,
            clock=ports.clock,
            allowlists=shared.allowlists,
            stage=shared.stage,
        )
    )


def _make_runs(ports: PasPorts, shared: _Shared) -> RunKeeper:
    return RunKeeper(
        RunParts(
            store=shared.store,
            trees=shared.trees,
            artifacts=ports.artifacts,
            validators=_make_validators(shared, ports),
            gatekeeper=shared.gatekeeper,
            bell=shared.bell,
            clock=ports.clock,
            jacket=Jacket(ports.home / "runs", shared.store, ports.artifacts),
            seal=PassportOffice(ports.signer, _gather_facts(shared.allowlists)).seal,
            stage=shared.stage,
            budgets=shared.budgets,
        )
    )


def _make_executors(ports: PasPorts, shared: _Shared) -> Mapping[str, CardExecutor]:
    packages = package_mounts(source_root(), ("services",)) if _is_checkout() else ()
    executors: dict[str, CardExecutor] = {
        "recipe": RecipeExecutor(shared.bench, ports.artifacts, packages),
        "tests": TestsExecutor(shared.bench, ports.artifacts, shared.programs),
        "command": CommandExecutor(shared.bench, ports.artifacts),
    }
    executors["plan"] = PlanExecutor(shared.broker, _gather_recorder_parts(ports, shared), shared.allowlists)
    executors["agent"] = AgentExecutor(_gather_agent_parts(ports, shared))
    return executors


def _gather_recorder_parts(ports: PasPorts, shared: _Shared) -> RecorderParts:
    return RecorderParts(
        journal=shared.journal,
        store=shared.store,
        trees=shared.trees,
        artifacts=ports.artifacts,
        gatekeeper=shared.gatekeeper,
        bell=shared.bell,
        clock=ports.clock,
        faults=ports.faults,
    )


def _gather_agent_parts(ports: PasPorts, shared: _Shared) -> AgentParts:
    look = _refuse_look if shared.index is None else shared.index.query
    tools = ports.tools or open_toolset(shared.bench, ports.artifacts, shared.programs, look)
    return AgentParts(
        broker=shared.broker,
        index=shared.index,
        recorder=_gather_recorder_parts(ports, shared),
        tools=tools,
        isolation=ports.isolation,
        allowlists=shared.allowlists,
    )


async def _refuse_look(repo: str, kind: QueryKind, text: str, limit: int) -> IndexAnswer:
    del kind, text, limit
    raise UnavailableError(f"this server has no code index of {repo}; use fs_search")


def _make_validators(shared: _Shared, ports: PasPorts) -> Mapping[str, Validator]:
    return {
        "test_pass_rate": TestPassRate(ports.artifacts),
        "linter_pass": LinterPass(shared.bench, shared.stage),
        "type_check": TypeCheck(),
    }


def _is_checkout() -> bool:
    """Return whether the platform runs from a source checkout, outside its interpreter's own prefix."""
    return not source_root().is_relative_to(Path(sys.prefix).resolve())


def _gather_facts(allowlists: Mapping[Lane, Allowlist]) -> PassportFacts:
    return PassportFacts(
        allowlist_sha256={lane.value: allowlist.sha256 for lane, allowlist in allowlists.items()},
        tool_versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("ruff", "pytest", "libcst") if find_spec(name) is not None},
        },
        env_snapshot=dict(ENVIRONMENT),
        platform_version=VERSION,
    )


def create_app(parts: PasParts, authenticator: Authenticator) -> FastAPI:
    """Return the HTTP app of PAS."""
    health = Health(version=VERSION, isolation=parts.isolation.describe().tier)
    return make_app(
        ServiceName.PAS,
        authenticator,
        lambda app: add_routes(app, parts.service, health),
        version=VERSION,
        idempotency=parts.idempotency,
    )
