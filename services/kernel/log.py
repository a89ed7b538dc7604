"""Structured logs (one JSON object a line) and the trace id that joins all steps of one delegation."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from services.kernel.ids import TraceId, new_trace_id

_TRACE: ContextVar[TraceId | None] = ContextVar("trace_id", default=None)


def current_trace_id() -> TraceId:
    """Return the trace id of the work in progress, starting a new trace when there is none."""
    trace = _TRACE.get()
    if trace is None:
        trace = new_trace_id()
        _TRACE.set(trace)
    return trace


@contextmanager
def trace(trace_id: TraceId | None) -> Iterator[TraceId]:
    """Run the block under `trace_id` (a new one when None)."""
    chosen = trace_id or new_trace_id()
    token = _TRACE.set(chosen)
    try:
        yield chosen
    finally:
        _TRACE.reset(token)


class JsonFormatter(logging.Formatter):
    """One line a record: ts, level, logger, trace_id, message, and the stack trace of a bug."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "trace_id": _TRACE.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure_logging(log_file: Path, level: str = "INFO") -> logging.Handler:
    """Send all log records to `log_file`; return the handler so that its owner can close it."""
    handler = logging.FileHandler(log_file, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    return handler
