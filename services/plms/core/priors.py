"""What is believed about a card before it ever ran; shipped as versioned JSON (docs/adr/0005, 0018)."""

import math
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.kernel.errors import InternalError
from services.kernel.vocabulary import Lane
from services.plms.core.posterior import A_FLOOR, Metric, Outcome, Posterior, shift
from services.plms.models import ModelPrice

F = TypeVar("F", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TimePrior(_Frozen):
    """A log-normal guess: median seconds, spread between repositories and spread between attempts (sd of ln s)."""

    median_s: float = Field(gt=0)
    between_sd: float = Field(gt=0)
    within_sd: float = Field(gt=0)

    def to_posterior(self) -> Posterior:
        """Return the state whose median is `median_s`, with E[s2] = within_sd^2 and kappa = E[s2] / between_sd^2."""
        return _start(self.median_s, self.between_sd, self.within_sd, A_FLOOR)


class FailurePrior(_Frozen):
    """Beta(failures, successes): pseudo-counts of attempts."""

    failures: float = Field(gt=0)
    successes: float = Field(gt=0)


class MetricPrior(_Frozen):
    """A fitted log-normal: median at the reference price, spreads of ln between configurations and between runs.

    `between_sd_priced` is what is left of `between_sd` once the price is known; a value goes with price to the power of
    `elasticity`; `a` is the shape of the inverse-gamma of the variance between runs.
    """

    median: float = Field(gt=0)
    between_sd: float = Field(gt=0)
    between_sd_priced: float = Field(gt=0)
    within_sd: float = Field(gt=0)
    a: float = Field(gt=1)
    elasticity: float

    def to_posterior(self, *, is_priced: bool) -> Posterior:
        """Return the state at the reference price."""
        return _start(self.median, self.between_sd_priced if is_priced else self.between_sd, self.within_sd, self.a)


class WorkPrior(_Frozen):
    """What is believed about one kind of model work; the shifts move ln of every metric by the attempt's outcome."""

    source: str = ""
    configurations: int = 0
    runs: int = 0
    success_shift: float
    failure_shift: float
    failure: FailurePrior
    time: MetricPrior
    cost: MetricPrior
    tokens_in: MetricPrior
    tokens_out: MetricPrior
    tokens_think: MetricPrior

    def find(self, metric: Metric) -> MetricPrior:
        """Return the prior of one metric."""
        return {
            Metric.TIME: self.time,
            Metric.COST: self.cost,
            Metric.TOKENS_IN: self.tokens_in,
            Metric.TOKENS_OUT: self.tokens_out,
            Metric.TOKENS_THINK: self.tokens_think,
        }[metric]


class PriceRange(_Frozen):
    """List prices of output, micro-USD per million tokens: the reference, and what was seen when fitting."""

    reference_microusd: int = Field(gt=0)
    lowest_microusd: int = Field(gt=0)
    highest_microusd: int = Field(gt=0)
    table: str

    def to_log_ratio(self, price: ModelPrice | None) -> float:
        """Return ln(price / reference) within the prices seen; 0 where no price is known or nothing is charged."""
        if price is None or price.output_microusd == 0:
            return 0.0
        seen = min(max(price.output_microusd, self.lowest_microusd), self.highest_microusd)
        return math.log(seen / self.reference_microusd)


class ModelPriors(_Frozen):
    """Priors of agent and plan cards; a lane without an analogue among the benchmarks starts from `pooled`."""

    version: str = Field(min_length=1, max_length=31)
    source: str
    lanes: dict[Lane, str]
    price: PriceRange
    analogues: dict[str, WorkPrior]
    pooled: WorkPrior
    plan: WorkPrior

    def find(self, lane: Lane, configuration: str) -> WorkPrior:
        """Return what is believed of an agent or plan card on a lane."""
        if configuration.startswith("plan/"):
            return self.plan
        return self.analogues[self.lanes[lane]] if lane in self.lanes else self.pooled


class RecipePriors(_Frozen):
    """Priors of recipes: seconds alone. `unknown_recipe` serves those that have no entry of their own."""

    version: str = Field(min_length=1, max_length=31)
    source: str
    failure: FailurePrior
    unknown_recipe: TimePrior
    recipes: dict[str, TimePrior]

    def find(self, configuration: str) -> TimePrior:
        """Return what is believed of one recipe."""
        return self.recipes.get(configuration, self.unknown_recipe)


@dataclass(frozen=True)
class Priors:
    """All shipped priors."""

    recipe: RecipePriors
    model: ModelPriors

    @property
    def version(self) -> str:
        """Return what posteriors that were learned from these priors are marked with."""
        return f"{self.recipe.version}+{self.model.version}"

    def find(
        self, lane: Lane, configuration: str, outcome: Outcome, metric: Metric, price: ModelPrice | None
    ) -> Posterior:
        """Return the state that a configuration starts from, at the reference price."""
        if not uses_model(configuration):
            return self.recipe.find(configuration).to_posterior()
        work = self.model.find(lane, configuration)
        start = work.find(metric).to_posterior(is_priced=self._is_priced(price))
        return shift(start, work.success_shift if outcome is Outcome.SUCCESS else work.failure_shift)

    def log_factor(self, lane: Lane, configuration: str, metric: Metric, price: ModelPrice | None) -> float:
        """Return by how much ln of a value at `price` lies from that at the reference price."""
        if not uses_model(configuration):
            return 0.0
        elasticity = self.model.find(lane, configuration).find(metric).elasticity
        return elasticity * self.model.price.to_log_ratio(price)

    def failure_odds(self, lane: Lane, configuration: str, failures: int, successes: int) -> tuple[float, float]:
        """Return the parameters (alpha, beta) of the Beta posterior of one attempt's probability of failure."""
        prior = self.model.find(lane, configuration).failure if uses_model(configuration) else self.recipe.failure
        return prior.failures + failures, prior.successes + successes

    def _is_priced(self, price: ModelPrice | None) -> bool:
        return price is not None and price.output_microusd > 0


def uses_model(configuration: str) -> bool:
    """Say whether a configuration calls a model: agent and plan cards do, recipes never."""
    return configuration.startswith(("agent/", "plan/"))


def parse_priors(recipes: str, models: str) -> Priors:
    """Return the priors in two JSON documents; raise InternalError when a shipped file is broken."""
    return Priors(_parse(RecipePriors, recipes), _parse(ModelPriors, models))


def _parse(model: type[F], text: str) -> F:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InternalError(f"the shipped priors are broken: {error.errors()[0]['msg']}") from error


def _start(median: float, between_sd: float, within_sd: float, a: float) -> Posterior:
    variance = within_sd**2
    return Posterior(m=math.log(median), kappa=variance / between_sd**2, a=a, b=variance * (a - 1))
