"""The platform's fixed ports, which only one test on a machine can use at a time."""

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claim_fixed_ports():
    """Hold the fixed ports while the block runs; wait for other test processes to give them up."""
    path = Path(tempfile.gettempdir()) / f"direng-tests-fixed-ports-{os.geteuid()}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
