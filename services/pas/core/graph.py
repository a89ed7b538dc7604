"""The card graph: checked once at the start, then always walked in the same order."""

from collections.abc import Sequence

from services.kernel.ids import TaskId
from services.pas.models import JobCard
from services.pas.protocol import CardGraphError

MAX_CARDS = 500


def order_cards(cards: Sequence[JobCard]) -> tuple[JobCard, ...]:
    """Return the cards so that each comes after its dependencies.

    Among cards that could come next the higher priority (smaller number), then the order given, decides; so the order
    is a function of the cards alone. Raises CardGraphError for no card, too many, a duplicate, unknown or cyclic id.
    """
    known = _check(cards)
    waiting = {card.task_id: set(card.deps) for card in cards}
    ordered: list[JobCard] = []
    while waiting:
        ready = [card for card in cards if card.task_id in waiting and not waiting[card.task_id]]
        if not ready:
            raise CardGraphError(f"the cards {', '.join(sorted(waiting))} depend on each other in a circle")
        chosen = min(ready, key=lambda card: card.priority)
        ordered.append(known[chosen.task_id])
        del waiting[chosen.task_id]
        for missing in waiting.values():
            missing.discard(chosen.task_id)
    return tuple(ordered)


def _check(cards: Sequence[JobCard]) -> dict[TaskId, JobCard]:
    if not cards:
        raise CardGraphError("a run needs at least one card")
    if len(cards) > MAX_CARDS:
        raise CardGraphError(f"a run has at most {MAX_CARDS} cards; this one has {len(cards)}")
    known = {card.task_id: card for card in cards}
    if len(known) != len(cards):
        twice = sorted({card.task_id for card in cards if [c.task_id for c in cards].count(card.task_id) > 1})
        raise CardGraphError(f"the task id {twice[0]} is used twice")
    for card in cards:
        for dep in card.deps:
            if dep not in known:
                raise CardGraphError(f"the card {card.task_id} depends on {dep}, which is no card of this run")
    return known


def find_leaves(cards: Sequence[JobCard]) -> tuple[TaskId, ...]:
    """Return the cards that no other depends on, in order."""
    needed = {dep for card in cards for dep in card.deps}
    return tuple(card.task_id for card in cards if card.task_id not in needed)
