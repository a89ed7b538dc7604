"""The port behind which PLMS keeps its books.

A use case is a plain function of a `Ledger`. `Store.transact` runs it in one serialisable transaction and commits once;
it may run it again when another transaction got in its way, so a use case has no effect but through the ledger.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.kernel.ids import EstimateId, ProjectId, RunId
from services.kernel.vocabulary import Lane, ProjectState, RunKind, RunState
from services.plms.core.posterior import Metric, Outcome, Posterior
from services.plms.models import Actual, Approval, Estimate, KpiEntry, ModelPrice, Project, Quantiles

R = TypeVar("R")


@dataclass(frozen=True)
class Event:
    """One change of a project's state: who, when, why. `source` is None for its creation."""

    project_id: ProjectId
    at: str
    author: str
    source: ProjectState | None
    target: ProjectState
    rationale: str


@dataclass(frozen=True)
class Run:
    """A run whose actuals are recorded."""

    run_id: RunId
    project_id: ProjectId
    run_kind: RunKind
    final_state: RunState
    is_verified: bool
    recorded_at: str


@dataclass(frozen=True)
class ScoredActual:
    """An attempt with what was predicted for it before it was learned from, and the price of its estimate.

    A prediction is None where the attempt was discarded or spent nothing. `is_counted` says that it counts for the odds
    of failure, `is_learned` that it moved the posterior of its outcome.
    """

    repo: str
    actual: Actual
    predicted: Quantiles | None
    is_counted: bool
    is_learned: bool
    price: ModelPrice | None = None
    predicted_cost: Quantiles | None = None


@dataclass(frozen=True)
class PosteriorKey:
    """What a posterior is about.

    Recipes are learned per repository, whose tests and size their time depends on most; what calls a model is learned
    across repositories, and `repo` is empty.
    """

    repo: str
    lane: Lane
    configuration: str
    outcome: Outcome
    metric: Metric = Metric.TIME


class Ledger(Protocol):
    """The books inside one transaction."""

    def find_project(self, project_id: ProjectId) -> Project | None: ...

    def find_creation_digest(self, project_id: ProjectId) -> str | None:
        """Return the digest of the body that the project was created with."""
        ...

    def list_projects(self, state: ProjectState | None, tag: str | None) -> tuple[Project, ...]:
        """Return projects, newest first."""
        ...

    def add_project(self, project: Project, creation_digest: str) -> None: ...

    def update_project(self, project: Project) -> None:
        """Keep the project's state, reason, estimate ids and update time."""
        ...

    def add_event(self, event: Event) -> None: ...

    def list_events(self, project_id: ProjectId) -> tuple[Event, ...]:
        """Return a project's changes of state, oldest first."""
        ...

    def add_estimate(self, estimate: Estimate) -> None: ...

    def find_estimate(self, project_id: ProjectId, estimate_id: EstimateId) -> Estimate | None: ...

    def list_estimates(self, project_id: ProjectId) -> tuple[Estimate, ...]:
        """Return a project's estimates, newest first."""
        ...

    def add_approval(self, project_id: ProjectId, approval: Approval, author: str, at: str) -> None: ...

    def find_run(self, run_id: RunId) -> Run | None: ...

    def add_run(self, run: Run, actuals: Iterable[ScoredActual]) -> None: ...

    def list_runs(self, project_id: ProjectId) -> tuple[Run, ...]: ...

    def list_actuals(self, project_id: ProjectId | None) -> tuple[ScoredActual, ...]:
        """Return the attempts of one project, or of all, in the order in which they were recorded."""
        ...

    def list_run_actuals(self, run_id: RunId) -> tuple[ScoredActual, ...]:
        """Return the attempts of one run, in order."""
        ...

    def find_posterior(self, key: PosteriorKey, prior_version: str) -> Posterior | None:
        """Return the state learned so far, if it was learned from that version of the priors."""
        ...

    def put_posterior(self, key: PosteriorKey, posterior: Posterior, prior_version: str) -> None: ...

    def has_posterior_of_other_prior(self, prior_version: str) -> bool: ...

    def delete_posteriors(self) -> None: ...

    def has_kpis(self, run_id: RunId) -> bool: ...

    def add_kpis(self, project_id: ProjectId, entries: Iterable[KpiEntry]) -> None: ...

    def list_kpis(self, project_id: ProjectId) -> tuple[KpiEntry, ...]:
        """Return a project's findings, newest first."""
        ...


class Store(Protocol):
    """Runs use cases."""

    async def transact(self, use_case: Callable[[Ledger], R]) -> R:
        """Run `use_case` in one transaction off the event loop and return its result; commit once, or not at all.

        Raises UnavailableError when the database is locked, full or away.
        """
        ...
