"""SQL behind the ledger: SQLite embedded, PostgreSQL when scaled; every use case is one serialisable transaction."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

import sqlalchemy as sa

from services.kernel.db import in_thread, upgrade_schema
from services.kernel.ids import EstimateId, ProjectId, RunId
from services.kernel.vocabulary import ProjectState, RunKind, RunState
from services.plms.core.ledger import Event, Ledger, PosteriorKey, Run, ScoredActual
from services.plms.core.posterior import Posterior
from services.plms.models import Actual, Approval, Estimate, KpiEntry, KpiRecord, ModelPrice, Project, Quantiles
from services.plms.tables import (
    ACTUALS,
    APPROVALS,
    ESTIMATES,
    KPIS,
    POSTERIORS,
    PROJECT_EVENTS,
    PROJECTS,
    RUNS,
)
from services.wire.storage import transact

R = TypeVar("R")
PACKAGE = "services.plms"


class SqlStore:
    """Runs use cases on a database whose schema is current; the engine stays its owner's."""

    def __init__(self, engine: sa.Engine) -> None:
        is_postgres = engine.dialect.name == "postgresql"
        # SQLite is serial already: every transaction begins with the write lock (kernel.db).
        self._engine = engine.execution_options(isolation_level="SERIALIZABLE") if is_postgres else engine

    async def transact(self, use_case: Callable[[Ledger], R]) -> R:
        return await in_thread(self.transact_now, use_case)

    def transact_now(self, use_case: Callable[[Ledger], R]) -> R:
        """Do what `transact` does on this thread."""
        return transact(self._engine, lambda connection: use_case(SqlLedger(connection)), name="the PLMS database")


def prepare_schema(engine: sa.Engine) -> str:
    """Bring the database to the newest revision and return it."""
    upgrade_schema(engine, PACKAGE)
    with engine.begin() as connection:
        return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


class SqlLedger:
    """The books inside one open transaction; satisfies `core.ledger.Ledger`."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        return self._connection.execute(query).mappings().all()

    def _row(self, query: sa.Select[Any]) -> sa.RowMapping | None:
        return self._connection.execute(query).mappings().one_or_none()

    def _insert(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(sa.insert(table), rows)

    def find_project(self, project_id: ProjectId) -> Project | None:
        row = self._row(sa.select(PROJECTS).where(PROJECTS.c.project_id == project_id))
        return None if row is None else _to_project(row)

    def find_creation_digest(self, project_id: ProjectId) -> str | None:
        row = self._row(sa.select(PROJECTS.c.creation_digest).where(PROJECTS.c.project_id == project_id))
        return None if row is None else str(row["creation_digest"])

    def list_projects(self, state: ProjectState | None, tag: str | None) -> tuple[Project, ...]:
        query = sa.select(PROJECTS).order_by(PROJECTS.c.created_at.desc(), PROJECTS.c.project_id.desc())
        if state is not None:
            query = query.where(PROJECTS.c.state == state.value)
        projects = (_to_project(row) for row in self._rows(query))
        return tuple(project for project in projects if tag is None or tag in project.tags)

    def add_project(self, project: Project, creation_digest: str) -> None:
        self._insert(PROJECTS, [project.model_dump(mode="json") | {"creation_digest": creation_digest}])

    def update_project(self, project: Project) -> None:
        changed = {"state", "reason", "current_estimate_id", "approved_estimate_id", "updated_at"}
        self._connection.execute(
            sa.update(PROJECTS)
            .where(PROJECTS.c.project_id == project.project_id)
            .values(project.model_dump(mode="json", include=changed))
        )

    def add_event(self, event: Event) -> None:
        self._insert(PROJECT_EVENTS, [asdict(event)])

    def list_events(self, project_id: ProjectId) -> tuple[Event, ...]:
        query = sa.select(PROJECT_EVENTS).where(PROJECT_EVENTS.c.project_id == project_id)
        return tuple(_to_event(row) for row in self._rows(query.order_by(PROJECT_EVENTS.c.sequence)))

    def add_estimate(self, estimate: Estimate) -> None:
        self._insert(ESTIMATES, [estimate.model_dump(mode="json")])

    def find_estimate(self, project_id: ProjectId, estimate_id: EstimateId) -> Estimate | None:
        row = self._row(
            sa.select(ESTIMATES).where(ESTIMATES.c.project_id == project_id, ESTIMATES.c.estimate_id == estimate_id)
        )
        return None if row is None else _to_estimate(row)

    def list_estimates(self, project_id: ProjectId) -> tuple[Estimate, ...]:
        query = sa.select(ESTIMATES).where(ESTIMATES.c.project_id == project_id)
        return tuple(_to_estimate(row) for row in self._rows(query.order_by(ESTIMATES.c.sequence.desc())))

    def add_approval(self, project_id: ProjectId, approval: Approval, author: str, at: str) -> None:
        stamp = {"project_id": project_id, "author": author, "at": at}
        self._insert(APPROVALS, [approval.model_dump(mode="json") | stamp])

    def find_run(self, run_id: RunId) -> Run | None:
        row = self._row(sa.select(RUNS).where(RUNS.c.run_id == run_id))
        return None if row is None else _to_run(row)

    def add_run(self, run: Run, actuals: Iterable[ScoredActual]) -> None:
        self._insert(RUNS, [asdict(run)])
        self._insert(ACTUALS, [_from_scored(run.run_id, scored) for scored in actuals])

    def list_runs(self, project_id: ProjectId) -> tuple[Run, ...]:
        query = sa.select(RUNS).where(RUNS.c.project_id == project_id).order_by(RUNS.c.recorded_at, RUNS.c.run_id)
        return tuple(_to_run(row) for row in self._rows(query))

    def list_actuals(self, project_id: ProjectId | None) -> tuple[ScoredActual, ...]:
        query = sa.select(ACTUALS).order_by(ACTUALS.c.sequence)
        if project_id is not None:
            query = query.join(RUNS).where(RUNS.c.project_id == project_id)
        return tuple(_to_scored(row) for row in self._rows(query))

    def list_run_actuals(self, run_id: RunId) -> tuple[ScoredActual, ...]:
        query = sa.select(ACTUALS).where(ACTUALS.c.run_id == run_id).order_by(ACTUALS.c.sequence)
        return tuple(_to_scored(row) for row in self._rows(query))

    def find_posterior(self, key: PosteriorKey, prior_version: str) -> Posterior | None:
        row = self._row(
            sa.select(*(POSTERIORS.c[field.name] for field in fields(Posterior))).where(
                *_is_key(key), POSTERIORS.c.prior_version == prior_version
            )
        )
        return None if row is None else Posterior(**row)

    def put_posterior(self, key: PosteriorKey, posterior: Posterior, prior_version: str) -> None:
        self._connection.execute(sa.delete(POSTERIORS).where(*_is_key(key)))
        self._insert(POSTERIORS, [asdict(key) | asdict(posterior) | {"prior_version": prior_version}])

    def has_posterior_of_other_prior(self, prior_version: str) -> bool:
        query = sa.select(POSTERIORS.c.lane).where(POSTERIORS.c.prior_version != prior_version).limit(1)
        return self._row(query) is not None

    def delete_posteriors(self) -> None:
        self._connection.execute(sa.delete(POSTERIORS))

    def has_kpis(self, run_id: RunId) -> bool:
        return self._row(sa.select(KPIS.c.run_id).where(KPIS.c.run_id == run_id).limit(1)) is not None

    def add_kpis(self, project_id: ProjectId, entries: Iterable[KpiEntry]) -> None:
        self._insert(
            KPIS,
            [
                entry.kpi.model_dump(mode="json")
                | {"project_id": project_id, "run_id": entry.run_id, "recorded_at": entry.recorded_at}
                for entry in entries
            ],
        )

    def list_kpis(self, project_id: ProjectId) -> tuple[KpiEntry, ...]:
        query = sa.select(KPIS).where(KPIS.c.project_id == project_id).order_by(KPIS.c.sequence.desc())
        return tuple(_to_kpi(row) for row in self._rows(query))


def _pick(row: sa.RowMapping, names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _to_project(row: sa.RowMapping) -> Project:
    return Project.model_validate(_pick(row, Project.model_fields))


def _to_event(row: sa.RowMapping) -> Event:
    values = _pick(row, (field.name for field in fields(Event)))
    source = None if values["source"] is None else ProjectState(values["source"])
    return Event(**values | {"source": source, "target": ProjectState(values["target"])})


def _to_estimate(row: sa.RowMapping) -> Estimate:
    return Estimate.model_validate(_pick(row, Estimate.model_fields))


def _to_run(row: sa.RowMapping) -> Run:
    kinds = {"run_kind": RunKind(row["run_kind"]), "final_state": RunState(row["final_state"])}
    return Run(**_pick(row, (field.name for field in fields(Run))) | kinds)


def _from_scored(run_id: RunId, scored: ScoredActual) -> dict[str, Any]:
    return scored.actual.model_dump(mode="json") | {
        "run_id": run_id,
        "repo": scored.repo,
        "predicted": None if scored.predicted is None else scored.predicted.model_dump(),
        "predicted_cost": None if scored.predicted_cost is None else scored.predicted_cost.model_dump(),
        "price": None if scored.price is None else scored.price.model_dump(),
        "is_counted": scored.is_counted,
        "is_learned": scored.is_learned,
    }


def _to_scored(row: sa.RowMapping) -> ScoredActual:
    return ScoredActual(
        repo=row["repo"],
        actual=Actual.model_validate(_pick(row, Actual.model_fields)),
        predicted=None if row["predicted"] is None else Quantiles.model_validate(row["predicted"]),
        is_counted=row["is_counted"],
        is_learned=row["is_learned"],
        price=None if row["price"] is None else ModelPrice.model_validate(row["price"]),
        predicted_cost=None if row["predicted_cost"] is None else Quantiles.model_validate(row["predicted_cost"]),
    )


def _to_kpi(row: sa.RowMapping) -> KpiEntry:
    kpi = KpiRecord.model_validate(_pick(row, KpiRecord.model_fields))
    return KpiEntry(run_id=RunId(row["run_id"]), recorded_at=row["recorded_at"], kpi=kpi)


def _is_key(key: PosteriorKey) -> tuple[sa.ColumnElement[bool], ...]:
    return tuple(POSTERIORS.c[name] == value for name, value in asdict(key).items())
