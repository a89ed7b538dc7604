"""The one taxonomy (SPEC.md section 1): services, lanes, states and their transitions, scopes, endpoints, KPI gates."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from services.kernel.errors import ConflictError


class ServiceName(StrEnum):
    """Every service; the value is also the audience of its tokens."""

    AUTH = "auth"
    PLMS = "plms"
    HMI = "hmi"
    PAS = "pas"
    PEX = "pex"
    DIRENG = "direng"
    BROKER = "broker"
    VECTOR_OPS = "vector_ops"


PORTS: Mapping[ServiceName, int] = {
    ServiceName.AUTH: 6090,
    ServiceName.PLMS: 6100,
    ServiceName.HMI: 6101,
    ServiceName.PAS: 6200,
    ServiceName.PEX: 6300,
    ServiceName.DIRENG: 6400,
    ServiceName.BROKER: 6500,
    ServiceName.VECTOR_OPS: 7500,
}


class Lane(StrEnum):
    """Where a card runs; one allowlist each."""

    CODE_IMPL = "Code-Impl"
    CODE_API_DESIGN = "Code-API-Design"
    DATA_SCHEMA = "Data-Schema"
    VECTOR_OPS = "Vector-Ops"
    GRAPH_OPS = "Graph-Ops"
    NARRATIVE = "Narrative"


class ProjectState(StrEnum):
    """Lifecycle of a project (PLMS)."""

    IDEATION = "ideation"
    CLARIFYING = "clarifying"
    PLANNING = "planning"
    ESTIMATING = "estimating"
    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    EXECUTING = "executing"
    VALIDATING = "validating"
    COMPLETED = "completed"
    NEEDS_REVIEW = "needs_review"
    CANCELLED = "cancelled"


class DelegationState(StrEnum):
    """Lifecycle of a delegation (PEX)."""

    RECEIVED = "received"
    PLANNING = "planning"
    ESTIMATING = "estimating"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RUNNING = "running"
    REPORTING = "reporting"
    DONE = "done"
    FAILED = "failed"


class RunState(StrEnum):
    """Lifecycle of a run (PAS)."""

    PENDING = "pending"
    EXECUTING = "executing"
    AWAITING_APPROVAL = "awaiting_approval"
    PAUSED = "paused"
    VALIDATING = "validating"
    COMPLETED = "completed"
    NEEDS_REVIEW = "needs_review"
    FAILED = "failed"
    TERMINATED = "terminated"


class TaskState(StrEnum):
    """Lifecycle of a job card (PAS)."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_IO = "waiting_io"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class RunKind(StrEnum):
    """Why a run happens."""

    BASELINE = "baseline"
    REHEARSAL = "rehearsal"
    REPLAY = "replay"
    HOTFIX = "hotfix"


class BreachPolicy(StrEnum):
    """What happens when a run would pass its budget."""

    PAUSE = "pause"
    ASK = "ask"
    KILL = "kill"


_P, _D, _R, _T = ProjectState, DelegationState, RunState, TaskState

PROJECT_TRANSITIONS: Mapping[ProjectState, frozenset[ProjectState]] = {
    _P.IDEATION: frozenset({_P.CLARIFYING, _P.PLANNING, _P.CANCELLED}),
    _P.CLARIFYING: frozenset({_P.PLANNING, _P.CANCELLED}),
    _P.PLANNING: frozenset({_P.CLARIFYING, _P.ESTIMATING, _P.CANCELLED}),
    _P.ESTIMATING: frozenset({_P.PLANNING, _P.PENDING_APPROVAL, _P.CANCELLED}),
    _P.PENDING_APPROVAL: frozenset({_P.PLANNING, _P.ESTIMATING, _P.APPROVED, _P.CANCELLED}),
    _P.APPROVED: frozenset({_P.PLANNING, _P.ESTIMATING, _P.EXECUTING, _P.CANCELLED}),
    # A failed or terminated run returns its project to approved; a paused one leaves it executing.
    _P.EXECUTING: frozenset({_P.VALIDATING, _P.APPROVED}),
    _P.VALIDATING: frozenset({_P.COMPLETED, _P.NEEDS_REVIEW, _P.APPROVED}),
    _P.COMPLETED: frozenset({_P.PLANNING}),
    _P.NEEDS_REVIEW: frozenset({_P.PLANNING, _P.ESTIMATING, _P.APPROVED, _P.COMPLETED, _P.CANCELLED}),
    _P.CANCELLED: frozenset(),
}

DELEGATION_TRANSITIONS: Mapping[DelegationState, frozenset[DelegationState]] = {
    _D.RECEIVED: frozenset({_D.PLANNING, _D.FAILED}),
    _D.PLANNING: frozenset({_D.ESTIMATING, _D.FAILED}),
    _D.ESTIMATING: frozenset({_D.AWAITING_APPROVAL, _D.FAILED}),
    _D.AWAITING_APPROVAL: frozenset({_D.APPROVED, _D.REJECTED, _D.EXPIRED}),
    _D.APPROVED: frozenset({_D.RUNNING, _D.FAILED}),
    _D.RUNNING: frozenset({_D.REPORTING, _D.FAILED}),
    _D.REPORTING: frozenset({_D.DONE, _D.FAILED}),
    _D.REJECTED: frozenset(),
    _D.EXPIRED: frozenset(),
    _D.DONE: frozenset(),
    _D.FAILED: frozenset(),
}

RUN_TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    _R.PENDING: frozenset({_R.EXECUTING, _R.TERMINATED, _R.FAILED}),
    _R.EXECUTING: frozenset({_R.PAUSED, _R.AWAITING_APPROVAL, _R.VALIDATING, _R.FAILED, _R.TERMINATED}),
    _R.AWAITING_APPROVAL: frozenset({_R.EXECUTING, _R.PAUSED, _R.TERMINATED}),
    _R.PAUSED: frozenset({_R.EXECUTING, _R.TERMINATED}),
    _R.VALIDATING: frozenset({_R.COMPLETED, _R.NEEDS_REVIEW, _R.FAILED, _R.TERMINATED}),
    _R.COMPLETED: frozenset(),
    _R.NEEDS_REVIEW: frozenset(),
    _R.FAILED: frozenset(),
    _R.TERMINATED: frozenset(),
}

TASK_TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    _T.QUEUED: frozenset({_T.RUNNING, _T.SKIPPED, _T.CANCELLED}),
    # Back to queued: the server died, or the card went silent, and is started again from its last recorded tree.
    _T.RUNNING: frozenset({_T.WAITING_IO, _T.SUCCEEDED, _T.FAILED, _T.CANCELLED, _T.QUEUED}),
    _T.WAITING_IO: frozenset({_T.RUNNING, _T.FAILED, _T.CANCELLED, _T.QUEUED}),
    _T.SUCCEEDED: frozenset(),
    _T.FAILED: frozenset(),
    _T.SKIPPED: frozenset(),
    _T.CANCELLED: frozenset(),
}

S = TypeVar("S", bound=StrEnum)


class IllegalTransitionError(ConflictError):
    """The state machine has no such arrow."""

    code = "kernel.illegal_transition"


def check_transition(table: Mapping[S, frozenset[S]], current: S, target: S) -> None:
    """Raise IllegalTransitionError unless `table` has an arrow from `current` to `target`."""
    if target not in table[current]:
        after = f"next can be {', '.join(sorted(table[current]))}" if table[current] else "that is final"
        raise IllegalTransitionError(f"it is {current} and cannot become {target}: {after}")


def is_final(table: Mapping[S, frozenset[S]], state: S) -> bool:
    """Return whether nothing comes after `state`."""
    return not table[state]


class Scope(StrEnum):
    """What a token may allow."""

    PEX_START = "pex.start"
    PAS_SUBMIT = "pas.submit"
    PAS_PAUSE = "pas.pause"
    PAS_READ_STATUS = "pas.read_status"
    PLMS_APPROVE = "plms.approve"
    PLMS_READ_METRICS = "plms.read_metrics"
    KPI_OVERRIDE = "kpi.override"
    ARTIFACT_READ = "artifact.read"
    ARTIFACT_WRITE = "artifact.write"
    PROJECT_WRITE = "project.write"
    INDEX_READ = "index.read"
    INDEX_REFRESH = "index.refresh"
    MODEL_CALL = "model.call"
    SESSION_USE = "session.use"
    AUTH_ADMIN = "auth.admin"


class Comparison(StrEnum):
    """How a KPI's value is held against its threshold."""

    AT_LEAST = ">="
    AT_MOST = "<="
    IS_TRUE = "is true"


@dataclass(frozen=True)
class KpiGate:
    """One row of the KPI table; a critical KPI that fails makes the run `needs_review`."""

    name: str
    lane: Lane
    comparison: Comparison
    threshold: float
    is_critical: bool = True


KPI_GATES: tuple[KpiGate, ...] = (
    KpiGate("test_pass_rate", Lane.CODE_IMPL, Comparison.AT_LEAST, 0.90),
    KpiGate("linter_pass", Lane.CODE_IMPL, Comparison.IS_TRUE, 1),
    KpiGate("type_check", Lane.CODE_IMPL, Comparison.IS_TRUE, 1),
    KpiGate("openapi_valid", Lane.CODE_API_DESIGN, Comparison.IS_TRUE, 1),
    KpiGate("breaking_changes", Lane.CODE_API_DESIGN, Comparison.AT_MOST, 0),
    KpiGate("schema_diff", Lane.DATA_SCHEMA, Comparison.AT_MOST, 0),
    KpiGate("row_count_delta", Lane.DATA_SCHEMA, Comparison.AT_MOST, 0.05),
    KpiGate("load_errors", Lane.DATA_SCHEMA, Comparison.AT_MOST, 0),
    KpiGate("null_rate", Lane.DATA_SCHEMA, Comparison.AT_MOST, 0.01),
    KpiGate("index_freshness_s", Lane.VECTOR_OPS, Comparison.AT_MOST, 120),
    KpiGate("query_latency_p95_ms", Lane.VECTOR_OPS, Comparison.AT_MOST, 50),
    KpiGate("parse_errors", Lane.GRAPH_OPS, Comparison.AT_MOST, 0),
    KpiGate("graph_completeness", Lane.GRAPH_OPS, Comparison.AT_LEAST, 0.95),
    KpiGate("link_check", Lane.NARRATIVE, Comparison.AT_MOST, 0),
    KpiGate("spelling", Lane.NARRATIVE, Comparison.AT_MOST, 0),
    KpiGate("readability_grade", Lane.NARRATIVE, Comparison.AT_MOST, 12),
    KpiGate("symbols_resolve", Lane.NARRATIVE, Comparison.IS_TRUE, 1),
)

DEFAULT_ECHO_COS_THRESHOLD = 0.82
"""Cosine between the embeddings of a task and of its summary; null until an embedder is configured."""


class Verdict(StrEnum):
    """What a validator found; a missing tool or an unused check is unknown, never pass and never fail."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
