"""What happened on the wire during one attempt, as the guard of the connection saw it."""

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

MEBIBYTE = 1024 * 1024
MAX_REPLY_BYTES = 16 * MEBIBYTE
"""The most that a whole reply may have on the wire; its text is bounded to MAX_MESSAGE_CHARS besides."""
MAX_STREAM_BYTES = 64 * MEBIBYTE
"""The same for a stream, where a token of four bytes has some 250 around it."""
MAX_EVENT_BYTES = 8 * MEBIBYTE
"""The longest line of a stream; the SDKs collect a line piece by piece, in time that grows with its square."""
MAX_ERROR_BYTES = 64 * 1024
MAX_DETAIL_CHARS = 300
TAIL_BYTES = 256
REDACTED = "[key]"
MIN_SECRET_CHARS = 6
BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass
class Exchange:
    """One request and what came back. `fault` is the transport's error, `refusal` why the guard itself stopped."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    line_bytes: int = 0
    tail: bytes = b""
    error_body: bytearray = field(default_factory=bytearray)
    fault: Exception | None = None
    refusal: str = ""
    redirect_to: str = ""

    @property
    def is_stream(self) -> bool:
        """Return whether the reply comes as events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def note_part(self, part: bytes) -> bool:
        """Count a piece of the body; return False when the reply has grown past its bound."""
        self.size_bytes += len(part)
        newline = part.rfind(b"\n")
        self.line_bytes = self.line_bytes + len(part) if newline < 0 else len(part) - newline
        self.tail = part[-TAIL_BYTES:] if len(part) >= TAIL_BYTES else (self.tail + part)[-TAIL_BYTES:]
        if self.status is not None and self.status >= 400 and len(self.error_body) < MAX_ERROR_BYTES:  # noqa: PLR2004
            self.error_body += part[: MAX_ERROR_BYTES - len(self.error_body)]
        if self.size_bytes <= MAX_REPLY_BYTES:
            return self.line_bytes <= MAX_EVENT_BYTES or not self.is_stream
        return self.is_stream and self.size_bytes <= MAX_STREAM_BYTES and self.line_bytes <= MAX_EVENT_BYTES

    @property
    def error_text(self) -> str:
        """Return what the provider's error body says: its `message` when it is JSON of a known shape, else its text."""
        text = bytes(self.error_body).decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(body, list) and body:
            body = body[0]
        error = body.get("error", body) if isinstance(body, dict) else body
        message = error.get("message", error.get("detail")) if isinstance(error, dict) else error
        return message if isinstance(message, str) else text


CURRENT: ContextVar[Exchange | None] = ContextVar("broker_exchange", default=None)
"""The exchange of the attempt that the present task makes; the SDKs offer no other way to reach their responses."""


def scrub(text: str, secret: str, limit: int = MAX_DETAIL_CHARS) -> str:
    """Return `text` as one line of at most `limit` characters without `secret`, whole or abbreviated by a provider."""
    text = text[: 4 * MAX_ERROR_BYTES]
    if len(secret) >= MIN_SECRET_CHARS:
        text = text.replace(secret, REDACTED)
    line = BLANKS.sub(" ", text).strip()
    if len(secret) >= MIN_SECRET_CHARS:
        # Providers echo keys as `sk-ab***wxyz`: a word that begins like the key and has stars in it goes too.
        line = re.sub(re.escape(secret[:3]) + r"\S*\*+\S*", REDACTED, line)
        line = line.replace(secret, REDACTED)
    return line if len(line) <= limit else line[: limit - 1] + "…"
