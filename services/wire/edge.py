"""One edge from a service to a neighbour: own identity, bounded retries with jitter, translated refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from services.kernel.caller import Caller, CallerSource
from services.kernel.errors import ForbiddenError, InternalError, PlatformError, UnauthenticatedError
from services.kernel.vocabulary import ServiceName

R = TypeVar("R")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently: full jitter, `first_delay_s` doubled up to `max_delay_s`."""

    attempts: int = 4
    first_delay_s: float = 0.1
    max_delay_s: float = 2.0

    def delay_s(self, attempt: int, random: Random) -> float:
        """Return the pause after failed attempt number `attempt` (from 0)."""
        return random.uniform(0, min(self.max_delay_s, self.first_delay_s * 2**attempt))


class Edge:
    """Calls one neighbour as this service; only calls that are safe to repeat go through `call`."""

    def __init__(
        self, audience: ServiceName, callers: CallerSource, random: Random, policy: RetryPolicy | None = None
    ) -> None:
        self._audience = audience
        self._callers = callers
        self._random = random
        self._policy = policy or RetryPolicy()

    async def caller(self) -> Caller:
        """Return this service's identity for the neighbour."""
        return await self._callers.caller_for(self._audience)

    async def call(self, operation: Callable[[Caller], Awaitable[R]]) -> R:
        """Run `operation`, again after a retryable error; a refusal of our own identity becomes InternalError."""
        for attempt in range(self._policy.attempts):
            try:
                return await operation(await self.caller())
            except (UnauthenticatedError, ForbiddenError) as error:
                raise InternalError(f"{self._audience} refused this service's own identity: {error.detail}") from error
            except PlatformError as error:
                if not error.is_retryable or attempt + 1 == self._policy.attempts:
                    raise
            await asyncio.sleep(self._policy.delay_s(attempt, self._random))
        raise InternalError("a retry policy needs at least one attempt")
