"""The guarded connection under every SDK: what leaves, what may come back, and a record of both.

The SDKs read the environment (other keys, organisations, custom headers, proxies) and follow redirects. None of it
passes: only known headers leave, the key is set here and nowhere else, a redirect is refused, and so is a reply that is
compressed although nobody asked for it, or too large.
"""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache

import httpx2

from services.broker.providers.exchange import CURRENT, MEBIBYTE, Exchange

KEEPALIVE_S = 60.0
"""Beyond the time that an agent's tool takes between two calls, below what load balancers allow."""
MAX_CONNECTIONS = 1000
PHASES_S = {"connect": 10.0, "pool": 10.0, "read": None, "write": None}
"""The caller bounds the whole attempt; a connection that is not there within ten seconds is told earlier."""
KEPT_HEADERS = frozenset({
    "accept", "connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding",
    "anthropic-version", "anthropic-beta",
})  # fmt: skip


class ReplyRefusedError(httpx2.TransportError):
    """The guard stopped the exchange; Exchange.refusal says why."""


@dataclass(frozen=True)
class KeyHeader:
    """How a provider wants its key; an empty key sends no header."""

    name: str
    prefix: str
    key: str

    def __repr__(self) -> str:
        return f"KeyHeader({self.name!r})"


@dataclass(frozen=True)
class Outbound:
    """How connections leave this machine: directly unless the operator set a proxy."""

    proxy_url: str | None = None
    ca_file: str | None = None


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests for one client; everything that it sees goes to the task's Exchange."""

    def __init__(self, key: KeyHeader, user_agent: str, outbound: Outbound) -> None:
        self._key = key
        self._user_agent = user_agent
        self._inner = httpx2.AsyncHTTPTransport(
            verify=_load_certificates(outbound.ca_file),
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_S,
            ),
            proxy=outbound.proxy_url,
        )

    def __repr__(self) -> str:
        return f"GuardedTransport({self._key!r})"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = CURRENT.get() or Exchange()
        self._clean_headers(request)
        request.extensions = {**request.extensions, "timeout": PHASES_S}
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.RequestError as error:
            exchange.fault = error
            raise
        exchange.status, exchange.headers = response.status_code, response.headers
        refusal = _judge(response, exchange)
        if refusal:
            exchange.refusal = refusal
            await response.aclose()
            raise ReplyRefusedError(refusal, request=request)
        # The inner transport's responses always stream asynchronously.
        response.stream = _GuardedStream(response.stream, exchange)  # type: ignore[arg-type]
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _clean_headers(self, request: httpx2.Request) -> None:
        kept = [(name, value) for name, value in request.headers.raw if name.lower().decode("ascii") in KEPT_HEADERS]
        headers = httpx2.Headers(kept)
        headers["user-agent"] = self._user_agent
        headers["accept-encoding"] = "identity"
        if self._key.key:
            headers[self._key.name] = f"{self._key.prefix}{self._key.key}"
        request.headers = headers


class _GuardedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        try:
            async for part in self._inner:
                if not exchange.note_part(part):
                    exchange.refusal = f"it is too large; it was left after {exchange.size_bytes // MEBIBYTE} MB"
                    raise ReplyRefusedError(exchange.refusal)
                yield part
        except httpx2.RequestError as error:
            exchange.fault = exchange.fault or error
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()


def _judge(response: httpx2.Response, exchange: Exchange) -> str:
    """Return why the response may not be read, empty when it may."""
    if 300 <= response.status_code < 400:  # noqa: PLR2004 - HTTP's class of redirects
        exchange.redirect_to = response.headers.get("location", "")
        return "the endpoint redirects"
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in {"", "identity"}:
        return "the endpoint compressed its reply although it was asked not to"
    return ""


@cache
def _load_certificates(ca_file: str | None) -> ssl.SSLContext:
    """Return the machine's certificates, or those of `ca_file`; reading them takes 40 ms, so it is done once."""
    if ca_file is not None:
        return ssl.create_default_context(cafile=ca_file)
    return httpx2.create_ssl_context(trust_env=False)


def open_client(key: KeyHeader, user_agent: str, outbound: Outbound) -> httpx2.AsyncClient:
    """Return a client that reads nothing of the environment, follows no redirect, and sends `key` alone."""
    transport = GuardedTransport(key, user_agent, outbound)
    return httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=None)
