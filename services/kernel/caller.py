"""Who is asking. Authentication makes a Caller at the edge; core checks it; embedded mode is no side door."""

from dataclasses import dataclass, field
from typing import Protocol

from services.kernel.errors import ForbiddenError
from services.kernel.vocabulary import Scope, ServiceName


class ScopeMissingError(ForbiddenError):
    """The token does not carry the scope that the operation needs."""

    code = "auth.scope_missing"


@dataclass(frozen=True)
class Caller:
    """An authenticated principal, made from a validated token.

    `subject` is `user:<name>` or `service:<name>`; `token` is the bearer token for the one service it was issued for
    (empty where no wire is crossed); `run_id` and `project_id` bind a run token to its run.
    """

    subject: str
    scopes: frozenset[str]
    token: str = field(default="", repr=False)
    run_id: str | None = None
    project_id: str | None = None

    def require(self, scope: Scope) -> None:
        """Raise ScopeMissingError unless the caller holds `scope`."""
        if scope.value not in self.scopes:
            raise ScopeMissingError(f"{self.subject} lacks the scope {scope.value}; ask for a token that carries it")


class CallerSource(Protocol):
    """Where a service gets the identity under which it calls a neighbour."""

    async def caller_for(self, audience: ServiceName) -> Caller:
        """Return this service's own Caller for `audience`, with a token that is valid for some minutes more."""
        ...


class Authenticator(Protocol):
    """Turns a bearer token into a Caller for one audience."""

    async def authenticate(self, token: str) -> Caller:
        """Return the Caller; raise UnauthenticatedError with the reason otherwise."""
        ...
