"""One request to an ASGI app without a socket; for unit tests of the HTTP edge."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI


@dataclass(frozen=True)
class AsgiAnswer:
    """What the app answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read_json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


async def ask(
    app: FastAPI,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    *,
    client: tuple[str, int] | None = ("127.0.0.1", 50000),
) -> AsgiAnswer:
    """Return the app's answer to one request; Host and Content-Length are filled in unless given."""
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1:6000", "content-length": str(len(body))}
    sent |= {name.lower(): value for name, value in (headers or {}).items()}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": client,
        "server": ("127.0.0.1", 6000),
    }
    messages: list[Any] = []
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return incoming.pop() if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start = next(message for message in messages if message["type"] == "http.response.start")
    content = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")
    answered = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return AsgiAnswer(start["status"], answered, content)
