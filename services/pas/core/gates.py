"""The KPI table (SPEC.md section 1): what each lane's result is judged by, and against which threshold."""

from dataclasses import dataclass
from enum import StrEnum

from services.kernel.vocabulary import Lane


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
