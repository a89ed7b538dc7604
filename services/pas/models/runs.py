"""Runs: how they are started and steered, what they look like, what proves them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from services.kernel.ids import ID_PATTERN, EstimateId, GitOid, ProjectId, ReceiptId, RunId, SessionId, Sha256, TaskId
from services.kernel.vocabulary import BreachPolicy, Lane, RunKind, RunState, TaskState, Verdict
from services.pas.models.cards import Frozen, JobCard


class PassportBasis(Frozen):
    """What a run must declare before it may start; the rest of the passport PAS finds out itself."""

    repo: str = Field(min_length=1, max_length=4096)
    prd_sha256: Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
    contract_version: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}-\d{3}$")
    estimate_id: EstimateId | None = None
    provider_matrix: Mapping[str, str] = {}
    price_table_version: str = "none: no model used"


class StartRun(Frozen):
    """Start a run. The same run_id twice is one run. `cards` are added to those submitted before.

    `max_cost_microusd` is the ceiling of what its model calls may cost together, `max_project_cost_microusd` that of
    all runs of the project (None leaves it as it is); a session's own cap holds too when `session_id` names one.
    """

    project_id: ProjectId = Field(pattern=ID_PATTERN)
    run_id: RunId | None = Field(default=None, pattern=ID_PATTERN)
    run_kind: RunKind = RunKind.BASELINE
    title: str = Field(default="", max_length=200)
    passport_basis: PassportBasis | None = None
    cards: tuple[JobCard, ...] = ()
    max_time_s: float | None = Field(default=None, gt=0)
    max_cost_microusd: int = Field(default=0, ge=0)
    max_project_cost_microusd: int | None = Field(default=None, ge=0)
    session_id: SessionId | None = Field(default=None, pattern=ID_PATTERN)
    breach_policy: BreachPolicy = BreachPolicy.PAUSE


class RunCommand(Frozen):
    """Pause, resume or terminate a run, or cancel one card of it; always with a reason.

    For resume alone: `max_cost_microusd` is the run's new ceiling of spend (None leaves it), `is_downshift` passes over
    the model used so far for the next of the broker's chain.
    """

    run_id: RunId = Field(pattern=ID_PATTERN)
    reason: str = Field(min_length=1, max_length=2000, pattern=r"\S")
    task_id: TaskId | None = None
    max_cost_microusd: int | None = Field(default=None, ge=0)
    is_downshift: bool = False


class ArtifactRef(Frozen):
    """A stored artifact: its path in the run jacket, its digest, its size."""

    path: str
    sha256: Sha256
    size_bytes: int


class TestCounts(Frozen):
    """What a test card saw."""

    __test__ = False

    collected: int
    passed: int
    failed: int
    errors: int
    skipped: int


class CardOutcome(Frozen):
    """What a card did.

    `summary` is one line for people; `detail` names the artifact with the recipe's or tests' full JSON.
    """

    summary: str
    files_changed: int = 0
    occurrences_changed: int = 0
    left_alone: int = 0
    tests: TestCounts | None = None
    detail: ArtifactRef | None = None


class CardView(Frozen):
    """A card and where it stands. Times are ISO-8601 or empty."""

    task_id: TaskId
    lane: Lane
    title: str
    configuration: str
    deps: tuple[TaskId, ...]
    state: TaskState
    attempt: int
    reason: str = ""
    started_at: str = ""
    finished_at: str = ""
    time_s: float = 0.0
    outcome: CardOutcome | None = None


class Finding(Frozen):
    """One KPI validator's finding, against the base commit."""

    name: str
    lane: Lane
    verdict: Verdict
    value: float | None
    threshold: float
    is_critical: bool
    detail: str


class Badge(StrEnum):
    """Whether a completed run's result is proved by recorded execution."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


class RunView(Frozen):
    """A run as it stands. `last_seq` is the newest event; `result_tree` empty until there is one."""

    run_id: RunId
    project_id: ProjectId
    run_kind: RunKind
    title: str
    repo: str
    state: RunState
    reason: str
    trace_id: str
    cards: tuple[CardView, ...]
    findings: tuple[Finding, ...] = ()
    badge: Badge | None = None
    base_commit: GitOid
    base_branch: str
    snapshot_tree: GitOid
    result_tree: GitOid | None = None
    branch: str = ""
    commit: GitOid | None = None
    files_changed: int = 0
    lines_added: int = 0
    lines_deleted: int = 0
    artifacts: tuple[ArtifactRef, ...] = ()
    cost_microusd: int = 0
    tokens: int = 0
    cap_microusd: int = 0
    created_at: str
    started_at: str = ""
    finished_at: str = ""
    last_seq: int = 0


class Receipt(Frozen):
    """The proof of one step (SPEC.md section 6). Recipes use no provider, model, tokens or money.

    `step` 0 is the card's attempt as a whole, its time included and no tokens or money; `step` n is the n-th model
    attempt within it (a fallback or retry is one of its own), named by the broker's `call_id`.
    """

    receipt_id: ReceiptId
    run_id: RunId
    task_id: TaskId
    attempt: int
    step: int = 0
    call_id: str = ""
    fallback_from: str | None = None
    lane: Lane
    configuration: str
    provider: str = "none"
    model: str = "none"
    time_ms: int
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_think: int = 0
    cost_microusd: int = 0
    energy_kwh: float | None = None
    energy_source: Literal["meter", "coefficient", "estimate"] | None = None
    echo_cos: float | None = None
    sandbox_tier: str
    contract_version: str
    exit_code: int | None
    is_success: bool
    tree_in: GitOid
    tree_out: GitOid
    artifacts: tuple[ArtifactRef, ...] = ()
    recorded_at: str


class EventKind(StrEnum):
    """What an event tells."""

    RUN_STATE = "run.state"
    CARD_STATE = "card.state"
    RECEIPT = "receipt"
    FINDING = "kpi"
    DENIED = "denied"
    AGENT = "agent"
    BUDGET = "budget"
    NOTE = "note"


class RunEvent(Frozen):
    """One thing that happened; `seq` counts from 1 within its run and is the SSE event id."""

    run_id: RunId
    seq: int
    at: str
    trace_id: str
    kind: EventKind
    state: str = ""
    task_id: TaskId | None = None
    text: str


class SignedPassport(Frozen):
    """`document` is canonical JSON (RFC 8785 subset.

    Sorted keys, no spaces, UTF-8); `signature` RS256 over its SHA-256.
    """

    document: str
    sha256: Sha256
    kid: str
    signature: str


class Passport(Frozen):
    """From this a run can be recovered, verified and replayed (SPEC.md section 6)."""

    run_id: RunId
    project_id: ProjectId
    run_kind: RunKind
    prd_sha256: Sha256
    repo: str
    base_commit: GitOid
    base_branch: str
    snapshot_tree: GitOid
    result_tree: GitOid | None
    result_commit: GitOid | None
    dirty_paths: tuple[str, ...]
    untracked_paths: tuple[str, ...]
    provider_matrix: Mapping[str, str]
    broker_policy_sha256: Sha256 | None
    allowlist_sha256: Mapping[str, str]
    contract_versions: Mapping[str, str]
    env_snapshot: Mapping[str, str]
    tool_versions: Mapping[str, str]
    price_table_version: str
    estimate_id: EstimateId | None
    cards: tuple[JobCard, ...]
    artifact_manifest: tuple[ArtifactRef, ...]
    journal_sha256: Sha256
    final_state: RunState
    started_at: str
    platform_version: str


class LaneModel(Frozen):
    """The model that a lane's agent and plan cards would use now.

    `configuration_alias` completes `agent/` and `plan/`; prices are micro-USD per million tokens. `problem` says in one
    line why cards of this lane cannot run; the other fields are empty then.
    """

    lane: Lane
    alias: str = ""
    provider: str = ""
    model: str = ""
    input_microusd: int = 0
    output_microusd: int = 0
    context_tokens: int = 0
    price_table_version: str = ""
    chain: tuple[str, ...] = ()
    problem: str = ""


class LaneLoad(Frozen):
    """How busy one lane is."""

    lane: Lane
    running: int
    queued: int
    max_parallel: int


class Portfolio(Frozen):
    """All lanes and the number of runs that have not ended."""

    active_runs: int
    lanes: tuple[LaneLoad, ...]
