"""The only way a delegation changes state: along DELEGATION_TRANSITIONS, with events, in one transaction."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from services.kernel.ids import DelegationId
from services.kernel.vocabulary import (
    DELEGATION_TRANSITIONS,
    DelegationState,
    IllegalTransitionError,
    check_transition,
    is_final,
)
from services.pex.core.ports import EventDraft, GuardMark, Record, Store
from services.pex.models import DelegationEvent
from services.pex.protocol import DelegationNotFoundError
from services.wire.bell import Bell, wait_for_ring


class Journal:
    """Reads and moves delegations and wakes those who watch them."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self.store = store
        self._bell = bell

    async def add(self, record: Record, *events: EventDraft) -> Record:
        """Keep a new delegation."""
        added = await self.store.add(record, events)
        self._bell.ring()
        return added

    async def read(self, delegation_id: DelegationId) -> Record:
        """Return a delegation; raise DelegationNotFoundError."""
        record = await self.store.read(delegation_id)
        if record is None:
            raise DelegationNotFoundError(f"no delegation {delegation_id}")
        return record

    async def move(
        self,
        record: Record,
        target: DelegationState,
        *events: EventDraft,
        own: dict[str, Any] | None = None,
        **parts: Any,
    ) -> Record:
        """Take one arrow; `parts` are fields of the delegation, `own` those of its record.

        Raises IllegalTransitionError, also when somebody else moved it meanwhile.
        """
        source = record.delegation.state
        check_transition(DELEGATION_TRANSITIONS, source, target)
        moved = replace(
            record, **(own or {}), delegation=record.delegation.model_copy(update={"state": target, **parts})
        )
        kept = await self.store.change(moved, source, events)
        if kept is None:
            raise IllegalTransitionError(f"delegation {record.delegation.delegation_id} is no longer {source}")
        self._bell.ring()
        return kept

    async def fail(self, record: Record, reason: str, step: int, **parts: Any) -> Record:
        """End a delegation with its reason."""
        event = EventDraft(step, "failed", reason)
        return await self.move(record, DelegationState.FAILED, event, reason=reason, **parts)

    async def relay(self, delegation_id: DelegationId, pas_seq: int, events: tuple[EventDraft, ...]) -> None:
        """Keep what PAS told, once."""
        if await self.store.relay(delegation_id, pas_seq, events):
            self._bell.ring()

    async def mark(self, delegation_id: DelegationId, mark: GuardMark, *events: EventDraft) -> None:
        """Keep where the budget guard stands, with what it told."""
        await self.store.mark(delegation_id, mark, events)
        self._bell.ring()

    async def watch(self, delegation_id: DelegationId, after_seq: int) -> AsyncIterator[DelegationEvent]:
        """Yield events after `after_seq`, then live ones, until the delegation waits for a word or has ended."""
        while True:
            rung = self._bell.listen()
            # The state is read before the events: whatever led to a resting state is then among them.
            state = (await self.read(delegation_id)).delegation.state
            for event in await self.store.list_events(delegation_id, after_seq):
                after_seq = event.seq
                yield event
            if is_resting(state):
                return
            await wait_for_ring(rung)


def is_resting(state: DelegationState) -> bool:
    """Return whether nothing happens without a word from outside."""
    return state is DelegationState.AWAITING_APPROVAL or is_final(DELEGATION_TRANSITIONS, state)
