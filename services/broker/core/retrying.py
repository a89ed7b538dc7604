"""What to do after a failed attempt: ask again, ask the next model, or give up."""

from dataclasses import dataclass
from enum import Enum
from random import Random

from services.broker.core.ports import WireError
from services.broker.models import AttemptOutcome

MAX_ATTEMPTS = 3
FIRST_DELAY_S = 0.5
MAX_DELAY_S = 8.0
MAX_RETRY_AFTER_S = 30.0

_O = AttemptOutcome
TRANSIENT = frozenset({_O.RATE_LIMITED, _O.SERVER_ERROR, _O.TIMEOUT, _O.UNREACHABLE, _O.CUT, _O.MALFORMED})
BREAKING = TRANSIENT - {_O.RATE_LIMITED}
"""What opens a breaker: a model that is only busy says itself when to come again."""
KEY_FAULTS = frozenset({_O.KEY_REFUSED, _O.KEY_MISSING})
MAYBE_BILLED = frozenset({_O.TIMEOUT, _O.CUT, _O.MALFORMED})
"""After these the provider may have worked and charge for it, whatever it said."""


class Verdict(Enum):
    """What follows a failure."""

    RETRY = "retry"
    NEXT = "next"
    LARGER = "larger"
    GIVE_UP = "give up"


@dataclass(frozen=True)
class Decision:
    """A verdict and the pause before it is carried out."""

    verdict: Verdict
    delay_s: float = 0.0


def decide(error: WireError, attempt: int, random: Random) -> Decision:
    """Return what follows attempt number `attempt` (from 1) of one model: full jitter, or the provider's own pause."""
    if error.outcome is AttemptOutcome.CONTEXT_OVERFLOW:
        return Decision(Verdict.LARGER)
    if error.outcome is AttemptOutcome.REJECTED:
        return Decision(Verdict.GIVE_UP)
    if error.outcome not in TRANSIENT or attempt >= MAX_ATTEMPTS:
        return Decision(Verdict.NEXT)
    if error.retry_after_s is not None:
        if error.retry_after_s > MAX_RETRY_AFTER_S:
            return Decision(Verdict.NEXT)
        return Decision(Verdict.RETRY, max(0.0, error.retry_after_s))
    return Decision(Verdict.RETRY, random.uniform(0, min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (attempt - 1))))


def may_be_billed(error: WireError) -> bool:
    """Return whether an attempt that told no usage must be counted in full."""
    return error.is_billable or error.outcome in MAYBE_BILLED
