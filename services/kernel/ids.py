"""Identifiers: one NewType each, so that a project id can never be passed where a run id belongs."""

import secrets
import time
from typing import NewType

ProjectId = NewType("ProjectId", str)
EstimateId = NewType("EstimateId", str)
DelegationId = NewType("DelegationId", str)
RunId = NewType("RunId", str)
TaskId = NewType("TaskId", str)
SessionId = NewType("SessionId", str)
ReceiptId = NewType("ReceiptId", str)
Sha256 = NewType("Sha256", str)
GitOid = NewType("GitOid", str)
TraceId = NewType("TraceId", str)

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
"""What every identifier looks like; anything else is refused at the edge (it may become a file name)."""

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """Return `prefix-` plus 16 characters: 8 of milliseconds since 1970 (sortable), 8 random (40 bits)."""
    millis = time.time_ns() // 1_000_000
    head = "".join(_CROCKFORD[(millis >> shift) & 31] for shift in range(35, -1, -5))
    tail = "".join(secrets.choice(_CROCKFORD) for _ in range(8))
    return f"{prefix}-{head}{tail}"


def new_trace_id() -> TraceId:
    """Return a W3C Trace Context trace id: 32 lower-case hex digits."""
    return TraceId(secrets.token_hex(16))
