"""The platform's error tree: nine kinds, closed (ARCHITECTURE.md, "Errors").

PlatformError
├── InvalidRequestError   422
├── UnauthenticatedError  401
├── ForbiddenError        403
├── NotFoundError         404
├── ConflictError         409
├── LimitExceededError    429
├── UnavailableError      503  retryable
├── DeadlineExceededError 504  retryable
└── InternalError         500

A service error subclasses one kind and sets a stable `code` such as `plms.project_not_found`. The wire body is
`{code, detail, retryable}`; `error_from_wire` rebuilds the same class on the other side.
"""

from collections.abc import Iterator
from typing import ClassVar, TypedDict


class WireError(TypedDict):
    """The JSON body of every error response."""

    code: str
    detail: str
    retryable: bool


class PlatformError(Exception):
    """Something went wrong; `detail` is one clear line: what is wrong and what to do."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    is_retryable: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def to_wire(self) -> WireError:
        """Return the JSON body for this error."""
        return {"code": self.code, "detail": self.detail, "retryable": self.is_retryable}


class InvalidRequestError(PlatformError):
    """The request itself is wrong; sending it again will not help."""

    status = 422
    code = "invalid_request"


class UnauthenticatedError(PlatformError):
    """No valid token came with the request."""

    status = 401
    code = "unauthenticated"


class ForbiddenError(PlatformError):
    """The caller is known but lacks the scope."""

    status = 403
    code = "forbidden"


class NotFoundError(PlatformError):
    """The thing named does not exist, or is not the caller's to see."""

    status = 404
    code = "not_found"


class ConflictError(PlatformError):
    """The request contradicts the present state."""

    status = 409
    code = "conflict"


class LimitExceededError(PlatformError):
    """A rate, size or budget limit was reached."""

    status = 429
    code = "limit_exceeded"


class UnavailableError(PlatformError):
    """A part the request needs is not there right now."""

    status = 503
    code = "unavailable"
    is_retryable = True


class DeadlineExceededError(PlatformError):
    """The work did not finish in its time."""

    status = 504
    code = "deadline_exceeded"
    is_retryable = True


class InternalError(PlatformError):
    """A bug: the log holds the stack trace under the trace id."""

    status = 500
    code = "internal"


KINDS: tuple[type[PlatformError], ...] = (
    InvalidRequestError,
    UnauthenticatedError,
    ForbiddenError,
    NotFoundError,
    ConflictError,
    LimitExceededError,
    UnavailableError,
    DeadlineExceededError,
    InternalError,
)

# 405 and 413 come from the HTTP layer itself; both mean that the request is wrong.
_KIND_OF_STATUS = {kind.status: kind for kind in KINDS} | {
    400: InvalidRequestError,
    405: InvalidRequestError,
    413: InvalidRequestError,
}


def kind_of_status(status: int) -> type[PlatformError]:
    """Return the error kind that an HTTP status stands for (unknown statuses are internal)."""
    return _KIND_OF_STATUS.get(status, InternalError)


def _subclasses(cls: type[PlatformError]) -> Iterator[type[PlatformError]]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


def error_from_wire(status: int, body: WireError) -> PlatformError:
    """Rebuild the exception that the other side raised.

    Returns an instance of the class with the same `code` when this process knows one, else of the kind of `status`
    (its instance then carries the foreign code).
    """
    for cls in _subclasses(PlatformError):
        if cls.code == body["code"] and cls.status == status:
            return cls(body["detail"])
    error = kind_of_status(status)(body["detail"])
    # An unknown code still tells the reader what happened, and whether asking again may help.
    error.code = body["code"]  # type: ignore[misc]
    error.is_retryable = body["retryable"]  # type: ignore[misc]
    return error
