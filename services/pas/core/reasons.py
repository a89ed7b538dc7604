"""One clear line for whatever ended a card or a run."""

import errno
import logging

from services.kernel.errors import PlatformError

LOG = logging.getLogger("direng.pas")


def explain_error(error: Exception) -> str:
    """Return what went wrong and what to do; a bug's trace goes to the log."""
    if isinstance(error, PlatformError):
        return error.detail
    if isinstance(error, OSError):
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        cure = "free some space and start the run again" if full else "check the platform's home"
        return f"a file of the run could not be read or written ({error.strerror}); {cure}"
    LOG.error("bug in a step of a run", exc_info=error)
    return f"internal error ({error.__class__.__name__}); the server's log has the details"
