"""What auth promises.

PlatformError
├── UnauthenticatedError
│   ├── TokenExpiredError         auth.token_expired
│   └── TokenInvalidError         auth.token_invalid      unsigned, wrong key, wrong audience, missing claim, revoked
├── ForbiddenError
│   └── GrantRefusedError         auth.grant_refused      the client may not have those scopes or that audience
├── ConflictError
│   └── RotationPendingError      auth.rotation_pending   the key of the last rotation does not sign yet
└── LimitExceededError
    └── TooManyFailuresError      auth.too_many_failures  too many refused attempts at POST /token
"""

from typing import Protocol

from services.auth.models import Introspection, IntrospectRequest, Jwks, KeyRotation, Revocation, Token, TokenRequest
from services.kernel.caller import Caller
from services.kernel.errors import ConflictError, ForbiddenError, LimitExceededError, UnauthenticatedError


class TokenExpiredError(UnauthenticatedError):
    """The token's time is over."""

    code = "auth.token_expired"


class TokenInvalidError(UnauthenticatedError):
    """The token proves nothing."""

    code = "auth.token_invalid"


class GrantRefusedError(ForbiddenError):
    """The client asked for more than it may have."""

    code = "auth.grant_refused"


class RotationPendingError(ConflictError):
    """The key of the last rotation does not sign yet."""

    code = "auth.rotation_pending"


class TooManyFailuresError(LimitExceededError):
    """A client guessed too often; it waits."""

    code = "auth.too_many_failures"


class Auth(Protocol):
    """Keys and tokens."""

    async def issue_token(self, request: TokenRequest) -> Token:
        """Return a token for a client that proves itself by its assertion.

        Raises TokenInvalidError, GrantRefusedError.
        """
        ...

    async def introspect(self, caller: Caller, request: IntrospectRequest) -> Introspection:
        """Say whether a token is good for an audience; needs auth.admin."""
        ...

    async def revoke(self, caller: Caller, revocation: Revocation) -> None:
        """Make tokens invalid from now on; needs auth.admin."""
        ...

    async def rotate_keys(self, caller: Caller) -> KeyRotation:
        """Start signing with a new key; needs auth.admin. Raises RotationPendingError while the last one lasts."""
        ...

    async def get_jwks(self) -> Jwks:
        """Return the public keys; open to anybody."""
        ...
