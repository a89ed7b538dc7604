"""Rows of the PAS tables as values."""

from dataclasses import dataclass

import sqlalchemy as sa

from services.kernel.ids import GitOid, RunId, TaskId
from services.kernel.vocabulary import RunState, TaskState
from services.pas.core.records import CardRecord, ModelFacts, RunRecord, RunResult, Snapshot
from services.pas.models import ArtifactRef, Badge, CardOutcome, CardView, Finding, JobCard, RunView, StartRun


@dataclass(frozen=True)
class Spend:
    """What a run's receipts sum up to, and the ceiling it was given when it was resumed."""

    cost_microusd: int
    tokens: int
    cap_microusd: int | None


def _outcome(row: sa.RowMapping) -> CardOutcome | None:
    return CardOutcome.model_validate_json(row["outcome"]) if row["outcome"] else None


def _result(row: sa.RowMapping) -> RunResult | None:
    return RunResult.model_validate_json(row["result"]) if row["result"] else None


def run_record(row: sa.RowMapping) -> RunRecord:
    """Return the run of a `runs` row."""
    return RunRecord(
        run_id=RunId(row["run_id"]),
        start=StartRun.model_validate_json(row["start"]),
        repo=row["repo"],
        snapshot=Snapshot.model_validate_json(row["snapshot"]),
        state=RunState(row["state"]),
        reason=row["reason"],
        trace_id=row["trace_id"],
        result=_result(row),
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        last_seq=row["last_seq"],
        body_sha256=row["body_sha256"],
        models=ModelFacts.model_validate_json(row["models"]) if row["models"] else None,
    )


def card_record(row: sa.RowMapping) -> CardRecord:
    """Return the card of a `cards` row."""
    return CardRecord(
        card=JobCard.model_validate_json(row["card"]),
        state=TaskState(row["state"]),
        attempt=row["attempt"],
        reason=row["reason"],
        tree_out=GitOid(row["tree_out"]) if row["tree_out"] else None,
        outcome=_outcome(row),
    )


def card_view(row: sa.RowMapping) -> CardView:
    """Return the card of a `cards` row as others see it."""
    card = JobCard.model_validate_json(row["card"])
    return CardView(
        task_id=TaskId(row["task_id"]),
        lane=card.lane,
        title=card.title,
        configuration=card.configuration,
        deps=card.deps,
        state=TaskState(row["state"]),
        attempt=row["attempt"],
        reason=row["reason"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        time_s=row["time_s"],
        outcome=_outcome(row),
    )


def run_view(
    row: sa.RowMapping,
    cards: tuple[CardView, ...],
    findings: tuple[Finding, ...],
    artifacts: tuple[ArtifactRef, ...],
    spend: Spend,
) -> RunView:
    """Return the run of a `runs` row as others see it."""
    run, result = run_record(row), _result(row)
    return RunView(
        run_id=run.run_id,
        project_id=run.start.project_id,
        run_kind=run.start.run_kind,
        title=run.start.title,
        repo=run.repo,
        state=run.state,
        reason=run.reason,
        trace_id=run.trace_id,
        cards=cards,
        findings=findings,
        badge=Badge(row["badge"]) if row["badge"] else None,
        base_commit=run.snapshot.base_commit,
        base_branch=run.snapshot.base_branch,
        snapshot_tree=run.snapshot.tree,
        result_tree=result.tree if result else None,
        branch=result.branch if result else "",
        commit=result.commit if result else None,
        files_changed=result.files_changed if result else 0,
        lines_added=result.lines_added if result else 0,
        lines_deleted=result.lines_deleted if result else 0,
        artifacts=artifacts,
        cost_microusd=spend.cost_microusd,
        tokens=spend.tokens,
        cap_microusd=run.start.max_cost_microusd if spend.cap_microusd is None else spend.cap_microusd,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        last_seq=run.last_seq,
    )
