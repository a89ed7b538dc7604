"""Who asks, in tests: a real Authenticator over a fixed table of tokens."""

from collections.abc import Iterable
from dataclasses import replace

from services.kernel.caller import Caller
from services.kernel.errors import UnauthenticatedError
from services.kernel.vocabulary import Scope


def make_caller(subject: str, *scopes: Scope) -> Caller:
    """Return a Caller whose token is derived from its subject, so that two processes agree on it."""
    return Caller(subject, frozenset(scope.value for scope in scopes), token=f"token-of-{subject}")


ENGINEER = make_caller("user:engineer", *Scope)
"""Holds every scope."""

READER = make_caller("user:reader", Scope.PLMS_READ_METRICS, Scope.PAS_READ_STATUS, Scope.INDEX_READ)
"""May look, and change nothing."""

WRITER = make_caller("user:writer", Scope.PROJECT_WRITE)
"""May change projects, and override nothing."""

RUN_TWO = replace(make_caller("service:run-two", Scope.PAS_SUBMIT), run_id="run-two")
"""The token of one run."""

NOBODY = make_caller("user:nobody")
"""Has a good token and no scope at all."""

STRANGER = Caller("user:stranger", frozenset(scope.value for scope in Scope), token="forged")
"""Claims every scope, with a token that no KnownCallers table holds."""


class KnownCallers:
    """An Authenticator that knows the given callers by their tokens, and nobody else."""

    def __init__(self, callers: Iterable[Caller] = (ENGINEER, READER, WRITER, RUN_TWO, NOBODY)) -> None:
        self._by_token = {caller.token: caller for caller in callers}

    async def authenticate(self, token: str) -> Caller:
        """Return the Caller that owns `token`."""
        try:
            return self._by_token[token]
        except KeyError:
            raise UnauthenticatedError("the token is not known") from None
