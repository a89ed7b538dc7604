"""Vocabulary of the project ledger: projects, estimates with intervals, approvals, actuals, KPI history."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.kernel.ids import ID_PATTERN, EstimateId, ProjectId, RunId, TaskId
from services.kernel.vocabulary import BreachPolicy, Lane, ProjectState, RunKind, RunState, Verdict

MAX_PRD_CHARS = 200_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NewProject(_Frozen):
    """A project to create. `project_id` may be chosen by the caller; the same id and body twice is one project."""

    title: str = Field(min_length=1, max_length=200)
    prd: str = Field(min_length=1, max_length=MAX_PRD_CHARS)
    repo: str = Field(min_length=1, max_length=4096)
    tags: tuple[str, ...] = ()
    project_id: ProjectId | None = Field(default=None, pattern=ID_PATTERN)


class Project(_Frozen):
    """A project and where it stands. Times are ISO-8601; `reason` says why the state last changed."""

    project_id: ProjectId
    title: str
    prd: str
    prd_sha256: str
    repo: str
    tags: tuple[str, ...]
    state: ProjectState
    reason: str
    current_estimate_id: EstimateId | None
    approved_estimate_id: EstimateId | None
    created_at: str
    updated_at: str


class StateChange(_Frozen):
    """Move a project along its lifecycle; every move carries a rationale."""

    target: ProjectState
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class ModelPrice(_Frozen):
    """The price of the model behind a card, micro-USD per million tokens, pinned into the estimate."""

    input_microusd: int = Field(ge=0)
    output_microusd: int = Field(ge=0)
    price_table_version: str = Field(min_length=1, max_length=128)


class PlannedCard(_Frozen):
    """What the estimator may know of a card.

    `configuration` is `recipe/<name>`, `agent/<model alias>` or `plan/<model alias>`; `size_units` counts the files it
    will touch (kept, not yet used: no data shows that it predicts). `price` None on an agent or plan card: no model is
    configured, the prior alone speaks. The totals try a card `max_attempts` times and cap its spend at
    `max_cost_microusd` when that is given.
    """

    task_id: TaskId
    lane: Lane
    configuration: str = Field(pattern=r"^(recipe|agent|plan)/[a-z0-9][a-z0-9._-]*$")
    deps: tuple[TaskId, ...] = ()
    size_units: int = Field(default=1, ge=0)
    price: ModelPrice | None = None
    max_attempts: int = Field(default=3, ge=1, le=4)
    max_cost_microusd: int | None = Field(default=None, ge=0)


class EstimateRequest(_Frozen):
    """Ask for an estimate of a plan."""

    cards: tuple[PlannedCard, ...] = Field(min_length=1, max_length=500)


class Label(StrEnum):
    """How much of an estimate is data: under 5 attempts, under 20, or more."""

    PRIOR_LED = "prior-led"
    LEARNING = "learning"
    CALIBRATED = "calibrated"


class Quantiles(_Frozen):
    """A predictive distribution by its quantiles; the 50% interval is [p25, p75], the 90% interval [p05, p95]."""

    p05: float
    p10: float
    p25: float
    p50: float
    p75: float
    p80: float
    p90: float
    p95: float


ZERO = Quantiles(p05=0, p10=0, p25=0, p50=0, p75=0, p80=0, p90=0, p95=0)
"""What a recipe costs in tokens and money."""


class CardEstimate(_Frozen):
    """One card: seconds of wall time, micro-USD and tokens; both zero by construction for recipes."""

    task_id: TaskId
    lane: Lane
    configuration: str
    time_s: Quantiles
    cost_microusd: Quantiles = ZERO
    tokens_in: Quantiles = ZERO
    tokens_out: Quantiles = ZERO
    tokens_think: Quantiles = ZERO
    attempts_observed: int
    label: Label
    price: ModelPrice | None = None


class Estimate(_Frozen):
    """A plan's estimate.

    `label` is the weakest of its cards'; `uses_model` False means "no model used": 0 tokens, $0. `rehearsed_cards`
    counts the project's rehearsal attempts that moved it; `price_table_version` names the pinned prices.
    """

    estimate_id: EstimateId
    project_id: ProjectId
    time_s: Quantiles
    cost_microusd: Quantiles = ZERO
    tokens_in: Quantiles = ZERO
    tokens_out: Quantiles = ZERO
    tokens_think: Quantiles = ZERO
    rehearsed_cards: int = 0
    price_table_version: str = ""
    cost_microusd_p95: int
    tokens_p95: int
    uses_model: bool
    label: Label
    cards: tuple[CardEstimate, ...]
    created_at: str


class Approval(_Frozen):
    """A yes to one estimate: spend and time are allowed up to the stated bounds."""

    estimate_id: EstimateId
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")
    max_cost_microusd: int = Field(default=0, ge=0)
    max_time_s: float | None = Field(default=None, gt=0)
    breach_policy: BreachPolicy = BreachPolicy.PAUSE


class Actual(_Frozen):
    """One card attempt as it happened.

    One observation. `is_success` False keeps it out of the posterior of successes.
    """

    task_id: TaskId
    attempt: int = Field(ge=1)
    lane: Lane
    configuration: str
    time_s: float = Field(ge=0)
    tokens: int = Field(default=0, ge=0)
    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)
    tokens_think: int = Field(default=0, ge=0)
    cost_microusd: int = Field(default=0, ge=0)
    is_success: bool
    is_discarded: bool = False


class RunActuals(_Frozen):
    """What a finished run cost. Posting the same run again changes nothing."""

    project_id: ProjectId
    run_kind: RunKind
    final_state: RunState
    is_verified: bool
    actuals: tuple[Actual, ...]


class KpiRecord(_Frozen):
    """One validator's finding for one run."""

    name: str
    lane: Lane
    verdict: Verdict
    value: float | None
    threshold: float
    detail: str = ""


class RunKpis(_Frozen):
    """All findings for one run."""

    project_id: ProjectId
    kpis: tuple[KpiRecord, ...]


class KpiEntry(_Frozen):
    """A finding in a project's history."""

    run_id: RunId
    recorded_at: str
    kpi: KpiRecord


class LaneAccuracy(_Frozen):
    """How estimates held: counts of attempts and of those inside their 50% and 90% intervals, of time and of cost."""

    lane: Lane
    configuration: str
    attempts: int
    inside_50: int
    inside_90: int
    label: Label
    time_s: Quantiles
    cost_attempts: int = 0
    cost_inside_50: int = 0
    cost_inside_90: int = 0
    cost_microusd: Quantiles = ZERO


class Health(_Frozen):
    """The service is up; `schema` is the Alembic revision of its database."""

    status: Literal["ok"] = "ok"
    service: Literal["plms"] = "plms"
    version: str
    schema_revision: str = Field(serialization_alias="schema", validation_alias="schema")


class Metrics(_Frozen):
    """A project's estimates against its actuals."""

    project_id: ProjectId
    runs: int
    total_time_s: float
    total_cost_microusd: int
    lanes: tuple[LaneAccuracy, ...]
