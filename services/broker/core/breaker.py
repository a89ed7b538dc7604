"""A circuit breaker per model: after three failures in a row it is left alone for a while, then tried once."""

from dataclasses import dataclass

from services.kernel.clock import Clock

FAILURES_TO_OPEN = 3
OPEN_S = 30.0


@dataclass
class _Circuit:
    failures: int = 0
    opened_at_s: float | None = None
    is_on_trial: bool = False


class Breakers:
    """All breakers of this process; used on the event loop only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def admit(self, alias: str) -> bool:
        """Return whether the model may be asked now; the one trial of a half-open breaker is then taken."""
        circuit = self._circuits.get(alias)
        if circuit is None or circuit.opened_at_s is None:
            return True
        if circuit.is_on_trial or self.find_wait_s(alias) > 0:
            return False
        circuit.is_on_trial = True
        return True

    def is_open(self, alias: str) -> bool:
        """Return whether the model would be passed over."""
        circuit = self._circuits.get(alias)
        return circuit is not None and circuit.opened_at_s is not None

    def find_wait_s(self, alias: str) -> float:
        """Return how long the model is still left alone."""
        circuit = self._circuits.get(alias)
        if circuit is None or circuit.opened_at_s is None:
            return 0.0
        return max(0.0, circuit.opened_at_s + OPEN_S - self._clock.monotonic_s())

    def give_back(self, alias: str) -> None:
        """End a trial without a verdict: the model was not asked, or what happened says nothing about it."""
        circuit = self._circuits.get(alias)
        if circuit is not None:
            circuit.is_on_trial = False

    def close(self, alias: str) -> None:
        """Note that the model answered."""
        self._circuits.pop(alias, None)

    def count_failure(self, alias: str) -> None:
        """Note a failure; the third in a row, or one on trial, opens the breaker."""
        circuit = self._circuits.setdefault(alias, _Circuit())
        circuit.failures += 1
        if circuit.is_on_trial or circuit.failures >= FAILURES_TO_OPEN:
            circuit.opened_at_s = self._clock.monotonic_s()
        circuit.is_on_trial = False
