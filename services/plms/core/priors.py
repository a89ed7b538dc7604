"""What is believed about a recipe before it ever ran; shipped as versioned JSON."""

import math

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.kernel.errors import InternalError
from services.plms.core.posterior import A_FLOOR, Posterior


class TimePrior(BaseModel):
    """A log-normal guess: median seconds, spread between repositories and spread between attempts (sd of ln s)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median_s: float = Field(gt=0)
    between_sd: float = Field(gt=0)
    within_sd: float = Field(gt=0)

    def to_posterior(self) -> Posterior:
        """Return the state whose median is `median_s`, with E[s2] = within_sd^2 and kappa = E[s2] / between_sd^2."""
        variance = self.within_sd**2
        return Posterior(
            m=math.log(self.median_s),
            kappa=variance / self.between_sd**2,
            a=A_FLOOR,
            b=variance * (A_FLOOR - 1),
        )


class FailurePrior(BaseModel):
    """Beta(failures, successes): pseudo-counts of attempts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: float = Field(gt=0)
    successes: float = Field(gt=0)


class Priors(BaseModel):
    """All priors of one version; `unknown_recipe` serves recipes that have no entry of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1, max_length=64)
    source: str
    failure: FailurePrior
    unknown_recipe: TimePrior
    recipes: dict[str, TimePrior]

    def find(self, configuration: str) -> Posterior:
        """Return the state that a configuration starts from, for either outcome."""
        return self.recipes.get(configuration, self.unknown_recipe).to_posterior()

    def failure_odds(self, failures: int, successes: int) -> tuple[float, float]:
        """Return the parameters (alpha, beta) of the Beta posterior of one attempt's probability of failure."""
        return self.failure.failures + failures, self.failure.successes + successes


def parse_priors(text: str) -> Priors:
    """Return the priors in a JSON document; raise InternalError when the shipped file is broken."""
    try:
        return Priors.model_validate_json(text)
    except ValidationError as error:
        raise InternalError(f"the shipped priors are broken: {error.errors()[0]['msg']}") from error
