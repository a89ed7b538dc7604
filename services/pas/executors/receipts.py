"""Receipts of model attempts, as the broker tells them."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.broker.models import AttemptOutcome, RoutingReceipt
from services.kernel.ids import GitOid, ReceiptId
from services.pas.core.ports import CardWork
from services.pas.core.records import EventDraft
from services.pas.models import CONTRACT_VERSION, EventKind, Receipt


@dataclass(frozen=True)
class ReceiptBook:
    """Writes the receipts of one attempt of a card; `tier` is the sandbox of its lane."""

    work: CardWork
    tier: str

    def write(self, attempts: Sequence[RoutingReceipt], first_step: int, tree: GitOid, at: str) -> tuple[Receipt, ...]:
        """Return one receipt per model attempt, numbered from `first_step`."""
        card = self.work.card
        return tuple(
            Receipt(
                receipt_id=ReceiptId(f"rcpt-{self.work.run_id}.{card.task_id}.{self.work.attempt}.{step}"),
                run_id=self.work.run_id,
                task_id=card.task_id,
                attempt=self.work.attempt,
                step=step,
                call_id=attempt.call_id,
                fallback_from=attempt.fallback_from,
                lane=card.lane,
                configuration=card.configuration,
                provider=attempt.provider.value,
                model=attempt.model,
                time_ms=attempt.time_ms,
                tokens_in=attempt.usage.tokens_in,
                tokens_out=attempt.usage.tokens_out,
                tokens_think=attempt.usage.tokens_think,
                cost_microusd=attempt.cost_microusd,
                sandbox_tier=self.tier,
                contract_version=CONTRACT_VERSION,
                exit_code=None,
                is_success=attempt.outcome is AttemptOutcome.OK,
                tree_in=tree,
                tree_out=tree,
                recorded_at=at,
            )
            for step, attempt in enumerate(attempts, start=first_step)
        )

    def tell_detours(self, attempts: Sequence[RoutingReceipt]) -> tuple[EventDraft, ...]:
        """Return a line for each attempt that failed: which model, how, and what was tried instead."""
        lines = []
        for position, attempt in enumerate(attempts):
            if attempt.outcome is AttemptOutcome.OK:
                continue
            after = attempts[position + 1] if position + 1 < len(attempts) else None
            line = f"{attempt.alias} ({attempt.model}): {attempt.outcome.value.replace('_', ' ')}"
            if after is not None:
                line += "; tried again" if after.alias == attempt.alias else f"; fell back to {after.alias}"
            lines.append(EventDraft(EventKind.BUDGET, line[:300], task_id=self.work.card.task_id))
        return tuple(lines)
