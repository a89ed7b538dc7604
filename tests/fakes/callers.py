"""A CallerSource for tests: every neighbour gets the same identity."""

from services.kernel.caller import Caller
from services.kernel.vocabulary import ServiceName
from tests.fakes.identity import ENGINEER


class FixedCallers:
    """Returns one Caller for every audience."""

    def __init__(self, caller: Caller = ENGINEER) -> None:
        self._caller = caller

    async def caller_for(self, audience: ServiceName) -> Caller:
        return self._caller
