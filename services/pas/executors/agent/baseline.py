"""The tests of the untouched tree, when a test card of the same run has recorded them already."""

from collections.abc import Sequence

from services.pas.core.ports import ArtifactBox, CardWork, Store
from services.pas.core.records import CardRecord
from services.pas.core.validators import FAILING_OUTCOMES
from services.pas.executors.agent.toolbox import TestRun, ToolResult
from services.pas.models import TestsPayload
from services.pas.recipes.commands import TestReport


async def find_baseline(
    store: Store, artifacts: ArtifactBox, work: CardWork, paths: Sequence[str]
) -> ToolResult | None:
    """Return what a test card that this card depends on saw of the very same tree and paths; None: nobody looked."""
    for record in await store.read_cards(work.run_id):
        if record.card.task_id in work.card.deps and _has_seen(record, work, paths):
            outcome = record.outcome
            if outcome is None or outcome.detail is None or outcome.tests is None:
                continue
            report = TestReport.model_validate_json(await artifacts.get(outcome.detail.sha256))
            failing = sorted(name for name, how in report.outcomes.items() if how in FAILING_OUTCOMES)
            is_unknown = report.status == "unknown"
            run = TestRun(outcome.tests, tuple(failing), is_unknown=is_unknown, detail=outcome.detail)
            return ToolResult(text=outcome.summary, line=f"{outcome.summary} (by {record.card.task_id})", tests=run)
    return None


def _has_seen(record: CardRecord, work: CardWork, paths: Sequence[str]) -> bool:
    payload = record.card.payload
    is_same = isinstance(payload, TestsPayload) and tuple(payload.paths) == tuple(paths)
    return is_same and record.tree_out == work.tree_in
