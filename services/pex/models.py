"""Vocabulary of PEX: plans, delegations, reports."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.kernel.ids import ID_PATTERN, DelegationId, EstimateId, ProjectId, RunId, SessionId, Sha256, TaskId
from services.kernel.vocabulary import DelegationState, Lane
from services.pas.models import JobCard, LaneModel, Receipt, RunView
from services.plms.models import Estimate

MAX_INTENT_CHARS = 20_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanRequest(_Frozen):
    """Words to plan for, in one repository."""

    intent: str = Field(min_length=1, max_length=MAX_INTENT_CHARS, pattern=r"\S")
    repo: str = Field(min_length=1, max_length=4096)


class Question(_Frozen):
    """The one crisp question that PEX asks when unsure; each option is a full intent to send instead.

    `answer`, when not empty, is an intent with `{answer}` where a bare reply belongs.
    """

    text: str
    options: tuple[str, ...]
    answer: str = ""


Complexity = Literal["small", "medium", "large"]


class PlanningCost(_Frozen):
    """What it cost to have a model make a plan: the run of its one `plan` card."""

    run_id: RunId
    model: str
    cost_microusd: int


class Plan(_Frozen):
    """Cards for an intent; `summary` is one line for people, of which the part before the first `;` is a title.

    `recipe` is `agent` where models do the work; `models` are then those of its lanes when it was planned (none: no
    model was configured), `complexities` what the planning model said of its tasks, `planning` what planning cost.
    """

    summary: str
    recipe: str
    cards: tuple[JobCard, ...]
    files_expected: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    models: tuple[LaneModel, ...] = ()
    complexities: Mapping[TaskId, Complexity] = {}
    planning: PlanningCost | None = None

    @property
    def title(self) -> str:
        """The run's title, and the first line of its commit."""
        title = self.summary.partition(";")[0]
        return (title[:1].upper() + title[1:])[:200]


class Planning(_Frozen):
    """What planning led to: exactly one of a plan, a question, or a refusal (one clear line)."""

    plan: Plan | None = None
    question: Question | None = None
    refusal: str = ""


class DelegationContext(_Frozen):
    """What DirEng knows of the user's situation; a session's own cap of spend holds for the run too."""

    repo: str = Field(min_length=1, max_length=4096)
    current_branch: str = ""
    modified_files: tuple[str, ...] = ()
    user_preferences: dict[str, str] = {}
    session_id: SessionId | None = Field(default=None, pattern=ID_PATTERN)


class Constraints(_Frozen):
    """What the user allows at most; `max_cost_usd` None means the estimate's upper bound (P95)."""

    max_cost_usd: str | None = Field(default=None, pattern=r"^\d{1,9}(\.\d{1,6})?$")
    timeout_minutes: float = Field(default=60, gt=0, le=24 * 60)


class DelegationRequest(_Frozen):
    """Step 2 of a delegation (SPEC.md section 3)."""

    sender: str = Field(default="direng", alias="from")
    recipient: str = Field(default="pex", alias="to")
    intent: str = Field(min_length=1, max_length=MAX_INTENT_CHARS, pattern=r"\S")
    context: DelegationContext
    constraints: Constraints = Constraints()
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ApprovalReply(_Frozen):
    """Step 7: the user's word."""

    approved: bool
    idempotency_key: str = Field(min_length=8, max_length=200)
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class LaneOverrun(_Frozen):
    """How far one lane is above its estimate: spent and projected micro-USD, and seconds."""

    lane: Lane
    spent_microusd: int
    projected_microusd: int
    estimated_microusd: int
    spent_s: float
    estimated_s: float


class BudgetState(_Frozen):
    """What the budget guard sees of a run (SPEC.md section 4).

    `projected_overrun_pct` is against the approved upper bound, of cost, or of time where no cost was estimated;
    `t_minus_depletion_min` the minutes until the cap is spent at the present rate (None: nothing is being spent).
    `options` are what a paused run can be told: `resume`, `raise`, `downshift`, `terminate`, each as a line for people.
    """

    spent_microusd: int
    cap_microusd: int
    projected_microusd: int
    projected_overrun_pct: float | None
    t_minus_depletion_min: float | None
    top_lanes: tuple[LaneOverrun, ...] = ()
    last_receipts: tuple[Receipt, ...] = ()
    options: tuple[str, ...] = ()


class Report(_Frozen):
    """Step 13: summary, artifacts, KPIs and spend are in `run`; `left_alone` lists occurrences not changed, and why."""

    summary: str
    run: RunView
    left_alone: tuple[str, ...]
    diff_sha256: Sha256 | None
    projected_overrun_pct: float | None
    budget: BudgetState | None = None


class Delegation(_Frozen):
    """A delegation as it stands."""

    delegation_id: DelegationId
    trace_id: str
    intent: str
    repo: str
    state: DelegationState
    reason: str
    project_id: ProjectId | None
    plan: Plan | None
    question: Question | None
    estimate: Estimate | None
    run_id: RunId | None
    report: Report | None
    created_at: str
    updated_at: str
    last_seq: int


class DelegationEvent(_Frozen):
    """One thing that happened; `step` is its number among the fourteen; `seq` the SSE event id."""

    delegation_id: DelegationId
    seq: int
    at: str
    trace_id: str
    step: int = Field(ge=1, le=14)
    kind: str
    text: str


class EstimateProject(_Frozen):
    """Plan a project's PRD and estimate it."""


class StartProject(_Frozen):
    """Run an approved project."""

    max_cost_usd: str | None = Field(default=None, pattern=r"^\d{1,9}(\.\d{1,6})?$")

    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class ProjectRunCommand(_Frozen):
    """Pause, resume or terminate the project's present run; the last two are for resume (services.pas RunCommand)."""

    reason: str = Field(min_length=1, max_length=2000, pattern=r"\S")
    max_cost_usd: str | None = Field(default=None, pattern=r"^\d{1,9}(\.\d{1,6})?$")
    is_downshift: bool = False


class ProjectStatus(_Frozen):
    """The project's newest delegation and run, if any; overrun and depletion in SPEC.md section 4's terms."""

    project_id: ProjectId
    delegation: Delegation | None
    run: RunView | None
    projected_overrun_pct: float | None
    t_minus_depletion_min: float | None = None
    budget: BudgetState | None = None
    approved_estimate_id: EstimateId | None


class SimulateProject(_Frozen):
    """Rehearse a fraction of the project's cards, at least one per stratum (kind x complexity x lane)."""

    rehearsal: float = Field(ge=0.001, le=0.05)
    max_cost_usd: str | None = Field(default=None, pattern=r"^\d{1,9}(\.\d{1,6})?$")
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class Simulation(_Frozen):
    """What a rehearsal came to: the estimates before and after it; no run when nothing could be rehearsed.

    `note` says in one line what was rehearsed, or why nothing was.
    """

    project_id: ProjectId
    rehearsal: float
    strata: int
    cards_rehearsed: int
    run: RunView | None
    before: Estimate
    after: Estimate
    note: str


class Health(_Frozen):
    """The service is up; `schema` is the Alembic revision of its database."""

    status: Literal["ok"] = "ok"
    service: Literal["pex"] = "pex"
    version: str
    schema_revision: str = Field(serialization_alias="schema", validation_alias="schema")
