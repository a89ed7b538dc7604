"""Exit codes of both commands, stable: scripts rely on them (ARCHITECTURE.md, "Errors")."""

from services.kernel.errors import PlatformError

OK = 0
FAILED = 1
USAGE = 2
BUDGET = 3
AUTH = 4
LOW_CONFIDENCE = 5
CONFLICT = 6

_BY_STATUS = {401: AUTH, 403: AUTH, 409: CONFLICT, 429: BUDGET}


def exit_code_of(error: PlatformError) -> int:
    """Return the exit code that stands for an error."""
    return _BY_STATUS.get(error.status, FAILED)
