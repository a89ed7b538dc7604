"""What is learned from runs. The state is a cache: `rebuild_posteriors` derives it from the recorded attempts."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.kernel.vocabulary import RunKind, RunState
from services.plms.core.ledger import Ledger, PosteriorKey, ScoredActual
from services.plms.core.posterior import Outcome, Posterior, count_attempt, label_of, observe, predict
from services.plms.core.priors import Priors
from services.plms.models import Actual, Label, LaneAccuracy, Metrics, Project, Quantiles, RunActuals

_LEARNING_KINDS = frozenset({RunKind.BASELINE, RunKind.HOTFIX})


def key_of(repo: str, actual: Actual) -> PosteriorKey:
    """Return the posterior that an attempt in a repository belongs to."""
    outcome = Outcome.SUCCESS if actual.is_success else Outcome.FAILURE
    return PosteriorKey(repo, actual.lane, actual.configuration, outcome)


@dataclass(frozen=True)
class Calibration:
    """Reads and moves posteriors that start from one version of the priors."""

    priors: Priors

    def read(self, ledger: Ledger, key: PosteriorKey) -> Posterior:
        """Return the state of `key`, or its prior."""
        return ledger.find_posterior(key, self.priors.version) or self.priors.find(key.configuration)

    def score(self, ledger: Ledger, repo: str, actuals: RunActuals) -> tuple[ScoredActual, ...]:
        """Return a run's attempts with what was predicted for them before the run (prequential)."""
        return tuple(self._score(ledger, repo, actuals, actual) for actual in actuals.actuals)

    def _score(self, ledger: Ledger, repo: str, run: RunActuals, actual: Actual) -> ScoredActual:
        if actual.is_discarded:
            return ScoredActual(repo, actual, predicted=None, is_counted=False, is_learned=False)
        is_counted = run.run_kind in _LEARNING_KINDS
        return ScoredActual(
            repo,
            actual,
            predicted=predict(self.read(ledger, key_of(repo, actual))),
            is_counted=is_counted,
            # A failed attempt took its time whatever became of the run; a success counts only when its run is known
            # to be one (invariant 7).
            is_learned=is_counted and (not actual.is_success or _is_proven(run)),
        )

    def learn(self, ledger: Ledger, scored: Iterable[ScoredActual]) -> None:
        """Move the posteriors by the attempts that may move them, in order."""
        moved: dict[PosteriorKey, Posterior] = {}
        for entry in scored:
            if not entry.is_counted:
                continue
            key = key_of(entry.repo, entry.actual)
            posterior = count_attempt(moved[key] if key in moved else self.read(ledger, key))
            moved[key] = observe(posterior, entry.actual.time_s) if entry.is_learned else posterior
        for key, posterior in moved.items():
            ledger.put_posterior(key, posterior, self.priors.version)

    def adopt_priors(self, ledger: Ledger) -> None:
        """Derive the posteriors again when they were learned from other priors than these; called at start."""
        if ledger.has_posterior_of_other_prior(self.priors.version):
            self.rebuild_posteriors(ledger)

    def rebuild_posteriors(self, ledger: Ledger) -> None:
        """Derive every posterior again from the recorded attempts."""
        ledger.delete_posteriors()
        self.learn(ledger, ledger.list_actuals(None))

    def measure(self, ledger: Ledger, project: Project) -> Metrics:
        """Return how a project's predictions held."""
        scored = ledger.list_actuals(project.project_id)
        groups = {(entry.actual.lane, entry.actual.configuration) for entry in scored if entry.predicted}
        return Metrics(
            project_id=project.project_id,
            runs=len(ledger.list_runs(project.project_id)),
            total_time_s=sum(entry.actual.time_s for entry in scored),
            total_cost_microusd=sum(entry.actual.cost_microusd for entry in scored),
            lanes=tuple(
                self._measure_lane(ledger, PosteriorKey(project.repo, lane, configuration, Outcome.SUCCESS), scored)
                for lane, configuration in sorted(groups)
            ),
        )

    def _measure_lane(self, ledger: Ledger, key: PosteriorKey, scored: tuple[ScoredActual, ...]) -> LaneAccuracy:
        held = [
            (entry.actual.time_s, entry.predicted)
            for entry in scored
            if entry.predicted and (entry.actual.lane, entry.actual.configuration) == (key.lane, key.configuration)
        ]
        posterior = self.read(ledger, key)
        return LaneAccuracy(
            lane=key.lane,
            configuration=key.configuration,
            attempts=len(held),
            inside_50=sum(_is_inside_50(time_s, predicted) for time_s, predicted in held),
            inside_90=sum(_is_inside_90(time_s, predicted) for time_s, predicted in held),
            label=label_of(posterior),
            time_s=predict(posterior),
        )


def weakest_label(labels: Iterable[Label]) -> Label:
    """Return the label with the least data behind it."""
    return min(labels, key=list(Label).index)


def _is_proven(run: RunActuals) -> bool:
    return run.final_state is RunState.COMPLETED and run.is_verified


def _is_inside_50(time_s: float, predicted: Quantiles) -> bool:
    return predicted.p25 <= time_s <= predicted.p75


def _is_inside_90(time_s: float, predicted: Quantiles) -> bool:
    return predicted.p05 <= time_s <= predicted.p95
