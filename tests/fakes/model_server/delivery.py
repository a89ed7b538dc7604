"""Sending an answer over HTTP, whole or streamed, and everything that can go wrong on the way."""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator, Mapping

from aiohttp import web

from tests.fakes.model_server.conversation import Answer, BadRequestError, Conversation
from tests.fakes.model_server.script import Fault
from tests.fakes.model_server.wires import ModelProtocol

STATUSES = {
    "rate_limited": (429, "Rate limit reached for requests per minute"),
    "server_error": (500, "The server had an error while processing your request"),
    "unauthorized": (401, "The key is not valid"),
    "forbidden": (403, "The key may not use this model"),
    "bad_request": (400, "The request is not acceptable"),
}
NO_FAULT = Fault("none")
JSON_HEADERS = {"Content-Type": "application/json"}
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


async def send_json(
    request: web.Request, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send one JSON document; it has left when this returns."""
    response = web.Response(status=status, body=json.dumps(body).encode(), headers={**JSON_HEADERS, **(headers or {})})
    await response.prepare(request)
    await response.write_eof()
    return response


def hang_up(request: web.Request) -> None:
    """Close the connection; what was written before still arrives."""
    if request.transport is not None:
        request.transport.close()


def is_gone(request: web.Request) -> bool:
    """Return whether the client has closed the connection."""
    return request.transport is None or request.transport.is_closing()


class Delivery:
    """One answer to one request. `state` says in the end what became of it (see RecordedRequest)."""

    def __init__(self, request: web.Request, wire: ModelProtocol, talk: Conversation, fault: Fault | None) -> None:
        self._request = request
        self._wire = wire
        self._talk = talk
        self._fault = fault or NO_FAULT
        self.state = "open"
        self.status = 0

    async def send(self, answer: Answer | None) -> web.StreamResponse:
        """Send the answer, or the failure when the script has no answer."""
        try:
            await asyncio.sleep(self._fault.delay_s)
            if is_gone(self._request):
                raise ConnectionResetError
            if answer is None or self._fault.kind == "malformed_body":
                return await self._fail()
            return await (self._stream(answer) if self._talk.stream else self._whole(answer))
        except (ConnectionError, asyncio.CancelledError):
            self.state = "abandoned"
            raise

    async def refuse(self, error: BadRequestError) -> web.StreamResponse:
        """Send a refusal in the protocol's own shape."""
        self.state, self.status = "refused", error.status
        return await send_json(self._request, error.status, self._wire.error(error.status, error.detail, error.code))

    async def _fail(self) -> web.StreamResponse:
        self.state = "failed"
        fault = self._fault
        if fault.kind in STATUSES:
            return await self._fail_with_status()
        if fault.kind == "context_overflow":
            self.status = 400
            return await send_json(self._request, 400, self._wire.overflow(self._talk, self._talk.input_tokens // 2))
        if fault.kind == "redirect":
            self.status = 302
            return await send_json(self._request, 302, {}, {"Location": fault.to})
        if fault.kind == "malformed_body":
            return await self._send_bytes([b'{"id": "broken", "choices": [{"message": {"role": "assis'], JSON_HEADERS)
        if fault.kind == "endless":
            return await self._babble()
        hang_up(self._request)
        return web.Response()

    async def _fail_with_status(self) -> web.StreamResponse:
        fault = self._fault
        status, detail = STATUSES[fault.kind]
        is_key = fault.kind == "unauthorized"
        self.status = fault.status if fault.kind == "server_error" else self._wire.key_status if is_key else status
        wait = fault.retry_after_s
        headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
        body = self._wire.error(self.status, fault.message or detail, "key" if is_key else "")
        return await send_json(self._request, self.status, body, headers)

    async def _whole(self, answer: Answer) -> web.StreamResponse:
        content = json.dumps(self._wire.body(self._talk, answer), ensure_ascii=False).encode()
        self.status = 200
        if self._fault.kind in {"cut_body", "cut_stream", "error_in_stream"}:
            self.state = "failed"
            return await self._send_bytes([content[: len(content) // 2]], JSON_HEADERS, promised_bytes=len(content))
        step = max(1, len(content) // 10) if self._fault.trickle_s else len(content)
        parts = (content[start : start + step] for start in range(0, len(content), step))
        response = await self._send_bytes(parts, JSON_HEADERS, promised_bytes=len(content))
        self.state = "answered"
        return response

    async def _stream(self, answer: Answer) -> web.StreamResponse:
        self.status = 200
        events = self._wire.stream(self._talk, answer)
        if self._fault.kind in {"cut_stream", "cut_body", "error_in_stream"}:
            self.state = "failed"
            return await self._send_bytes(self._broken(events), STREAM_HEADERS)
        response = await self._send_bytes((*events, self._wire.DONE), STREAM_HEADERS)
        self.state = "answered"
        return response

    def _broken(self, events: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the first `after` events and how they end; `state` is failed, so the connection is closed then."""
        sent = [event for event, _ in zip(events, range(self._fault.after), strict=False)]
        yield from sent
        if self._fault.kind == "error_in_stream":
            yield self._wire.error_event(self._fault.message or "Overloaded")
        if self._fault.kind == "cut_body":
            rest = next(events, b"")
            yield rest[: len(rest) // 2]

    async def _send_bytes(
        self, parts: Iterable[bytes], headers: Mapping[str, str], promised_bytes: int | None = None
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=200, headers=headers)
        if promised_bytes is not None:
            response.content_length = promised_bytes
        self.status = 200
        await response.prepare(self._request)
        for part in parts:
            if part:
                await response.write(part)
            if self._fault.trickle_s:
                await asyncio.sleep(self._fault.trickle_s)
        if self.state == "failed" and self._fault.kind != "malformed_body" and not self._fault.clean:
            hang_up(self._request)
        else:
            await response.write_eof()
        return response

    async def _babble(self) -> web.StreamResponse:
        """Talk without end: until the client goes, or `duration_s` are over, then hang up."""
        response = web.StreamResponse(status=200, headers=STREAM_HEADERS if self._talk.stream else JSON_HEADERS)
        self.status = 200
        await response.prepare(self._request)
        until = time.monotonic() + self._fault.duration_s
        while time.monotonic() < until:
            await response.write(self._wire.babble(self._talk) if self._talk.stream else b" " * 64)
            await asyncio.sleep(self._fault.trickle_s or 0.01)
        hang_up(self._request)
        return response
