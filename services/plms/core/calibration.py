"""What is learned from runs. The state is a cache: `rebuild_posteriors` derives it from the recorded attempts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.kernel.vocabulary import Lane, RunKind, RunState
from services.plms.core.ledger import Ledger, PosteriorKey, ScoredActual
from services.plms.core.posterior import Metric, Outcome, Posterior, count_attempt, observe, predict, shift
from services.plms.core.priors import Priors, uses_model
from services.plms.models import Actual, ModelPrice, Project, Quantiles, RunActuals

_LEARNING_KINDS = frozenset({RunKind.BASELINE, RunKind.HOTFIX})
EVERYWHERE = ""
"""The repository of posteriors that all repositories share (docs/adr/0018)."""


def key_of(repo: str, actual: Actual, metric: Metric = Metric.TIME) -> PosteriorKey:
    """Return the posterior that an attempt in a repository belongs to."""
    outcome = Outcome.SUCCESS if actual.is_success else Outcome.FAILURE
    shared = EVERYWHERE if uses_model(actual.configuration) else repo
    return PosteriorKey(shared, actual.lane, actual.configuration, outcome, metric)


def metrics_of(configuration: str) -> tuple[Metric, ...]:
    """Return what is learned of a configuration: a recipe spends neither tokens nor money."""
    return tuple(Metric) if uses_model(configuration) else (Metric.TIME,)


def value_of(actual: Actual, metric: Metric) -> float:
    """Return an attempt's value of one metric."""
    return {
        Metric.TIME: actual.time_s,
        Metric.COST: actual.cost_microusd,
        Metric.TOKENS_IN: actual.tokens_in,
        Metric.TOKENS_OUT: actual.tokens_out,
        Metric.TOKENS_THINK: actual.tokens_think,
    }[metric]


@dataclass
class Copy:
    """Posteriors as some attempts would move them; the ledger keeps its own until they are put there."""

    ledger: Ledger
    priors: Priors
    moved: dict[PosteriorKey, Posterior] = field(default_factory=dict)

    def read(self, key: PosteriorKey, price: ModelPrice | None) -> Posterior:
        """Return the state of `key` at the reference price, or its prior."""
        known = self.moved.get(key) or self.ledger.find_posterior(key, self.priors.version)
        return known or self.priors.find(key.lane, key.configuration, key.outcome, key.metric, price)

    def read_at(self, key: PosteriorKey, price: ModelPrice | None) -> Posterior:
        """Return the state of `key` at `price`."""
        factor = self.priors.log_factor(key.lane, key.configuration, key.metric, price)
        return shift(self.read(key, price), factor)

    def move(self, entry: ScoredActual, *, is_learned: bool) -> None:
        """Move by one attempt: its time, and what else it is learned from.

        The odds of failure count every attempt. A model's zero has no logarithm (no thinking, no price, stopped before
        its first receipt): it is counted, not observed.
        """
        for metric in metrics_of(entry.actual.configuration):
            if metric is not Metric.TIME and not is_learned:
                continue
            key = key_of(entry.repo, entry.actual, metric)
            posterior = count_attempt(self.read_at(key, entry.price))
            value = value_of(entry.actual, metric)
            if is_learned and (value > 0 or not uses_model(key.configuration)):
                posterior = observe(posterior, value)
            factor = self.priors.log_factor(key.lane, key.configuration, metric, entry.price)
            self.moved[key] = shift(posterior, -factor)


@dataclass(frozen=True)
class Calibration:
    """Reads and moves posteriors that start from one version of the priors."""

    priors: Priors

    def read(self, ledger: Ledger, key: PosteriorKey, price: ModelPrice | None = None) -> Posterior:
        """Return the state of `key` at `price`, or its prior."""
        return Copy(ledger, self.priors).read_at(key, price)

    def score(self, ledger: Ledger, project: Project, actuals: RunActuals) -> tuple[ScoredActual, ...]:
        """Return a run's attempts with what was predicted for them before the run (prequential)."""
        prices = _pinned_prices(ledger, project)
        return tuple(
            self._score(ledger, project.repo, actuals, actual, prices.get((actual.lane, actual.configuration)))
            for actual in actuals.actuals
        )

    def _score(
        self, ledger: Ledger, repo: str, run: RunActuals, actual: Actual, price: ModelPrice | None
    ) -> ScoredActual:
        if actual.is_discarded:
            return ScoredActual(repo, actual, predicted=None, is_counted=False, is_learned=False, price=price)
        is_counted = run.run_kind in _LEARNING_KINDS
        return ScoredActual(
            repo,
            actual,
            predicted=predict(self.read(ledger, key_of(repo, actual), price)),
            # A failed attempt took its time whatever became of the run; a success counts only when its run is known
            # to be one (invariant 7).
            is_counted=is_counted,
            is_learned=is_counted and (not actual.is_success or _is_proven(run)),
            price=price,
            predicted_cost=self._predict_cost(ledger, repo, actual, price),
        )

    def _predict_cost(self, ledger: Ledger, repo: str, actual: Actual, price: ModelPrice | None) -> Quantiles | None:
        if not uses_model(actual.configuration) or actual.cost_microusd == 0:
            return None
        return predict(self.read(ledger, key_of(repo, actual, Metric.COST), price))

    def learn(self, ledger: Ledger, scored: Iterable[ScoredActual]) -> None:
        """Move the posteriors by the attempts that may move them, in order."""
        copy = Copy(ledger, self.priors)
        for entry in scored:
            if entry.is_counted:
                copy.move(entry, is_learned=entry.is_learned)
        for key, posterior in copy.moved.items():
            ledger.put_posterior(key, posterior, self.priors.version)

    def rehearse(self, ledger: Ledger, project: Project) -> tuple[Copy, int]:
        """Return a project's own copy of the posteriors, moved by its rehearsals, and how many attempts moved it.

        Derived anew from the recorded attempts each time, so that a rehearsal taken back leaves no trace. A rehearsal
        has no result to be verified: each of its attempts counts by its own verdict, whatever became of the others.
        """
        copy, moves = Copy(ledger, self.priors), 0
        for run in ledger.list_runs(project.project_id):
            if run.run_kind is not RunKind.REHEARSAL:
                continue
            for entry in ledger.list_run_actuals(run.run_id):
                if not entry.actual.is_discarded:
                    copy.move(entry, is_learned=True)
                    moves += 1
        return copy, moves

    def adopt_priors(self, ledger: Ledger) -> None:
        """Derive the posteriors again when they were learned from other priors than these; called at start."""
        if ledger.has_posterior_of_other_prior(self.priors.version):
            self.rebuild_posteriors(ledger)

    def rebuild_posteriors(self, ledger: Ledger) -> None:
        """Derive every posterior again from the recorded attempts."""
        ledger.delete_posteriors()
        self.learn(ledger, ledger.list_actuals(None))


def _pinned_prices(ledger: Ledger, project: Project) -> dict[tuple[Lane, str], ModelPrice]:
    """Return the prices that the project's approved, else newest, estimate was made with."""
    estimate_id = project.approved_estimate_id or project.current_estimate_id
    estimate = None if estimate_id is None else ledger.find_estimate(project.project_id, estimate_id)
    cards = () if estimate is None else estimate.cards
    return {(card.lane, card.configuration): card.price for card in cards if card.price is not None}


def _is_proven(run: RunActuals) -> bool:
    return run.final_state is RunState.COMPLETED and run.is_verified
