"""`PydanticWire`: models over their providers' own protocols, through pydantic_ai.direct (ADR-0014).

Nothing of the model stack is loaded before it is needed: `warm` loads it in a worker thread, the first call does so
otherwise, and only the SDKs of providers in use. One client per provider, URL and key is kept open.
"""

import asyncio
import hashlib
import importlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from services.broker.core.ports import KeySource, Target, WireError, WireReply, WireRequest
from services.broker.models import AttemptOutcome, Provider, ToolStyle
from services.broker.protocol import UrlRefusedError
from services.broker.providers.text_protocol import read_reply, write_request
from services.broker.providers.urls import check_base_url, is_private_url
from services.kernel.clock import Clock, SystemClock

if TYPE_CHECKING:
    from services.broker.providers.sdk.failures import Site
    from services.broker.providers.sdk.lines import Line

SDK_ROOM = "services.broker.providers.sdk"
DEFAULT_URLS = {
    Provider.OPENAI: "https://api.openai.com/v1",
    Provider.ANTHROPIC: "https://api.anthropic.com",
    Provider.GOOGLE: "https://generativelanguage.googleapis.com",
}
MAX_LINES = 32

LineName = tuple[Provider, str, str]
Lines = OrderedDict[LineName, "asyncio.Task[Line]"]


@dataclass(frozen=True)
class Route:
    """How to leave this machine: directly, or through the proxy that the operator set; nothing comes from elsewhere.

    Loopback and private hosts are called directly: what lies on the own network is no business of a proxy.
    """

    proxy_url: str | None = None
    ca_file: str | None = None


class PydanticWire:
    """Satisfies core.ports.ModelWire. Use from one event loop or several; each has its own connections."""

    def __init__(self, keys: KeySource, *, clock: Clock | None = None, route: Route | None = None) -> None:
        self._keys = keys
        self._clock = clock or SystemClock()
        self._route = route or Route()
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, Lines] = WeakKeyDictionary()

    async def warm(self, providers: frozenset[Provider]) -> None:
        if providers:
            await asyncio.to_thread(_load, providers)

    async def call(self, request: WireRequest, on_text: Callable[[str], None] | None = None) -> WireReply:
        if request.target.tool_style is ToolStyle.TEXT:
            return await self._call_in_text(request, on_text)
        line, site = await self._open(request.target)
        return await line.call(request, site, on_text)

    async def _call_in_text(self, request: WireRequest, on_text: Callable[[str], None] | None) -> WireReply:
        """Speak to a model without tool calls of its own; its prose reaches `on_text` at once, when it is read."""
        line, site = await self._open(request.target)
        reply = await line.call(write_request(request), site, None)
        reply = read_reply(reply, request)
        if on_text is not None and reply.text:
            on_text(reply.text)
        return reply

    async def check(self, target: Target) -> str:
        line, site = await self._open(target)
        listing = importlib.import_module(f"{SDK_ROOM}.listing")
        told: str = await listing.list_models(line, site)
        return told

    async def close(self) -> None:
        lines = self._lines.pop(asyncio.get_running_loop(), OrderedDict())
        # Those of other loops end with their loops: a connection cannot be closed from outside.
        for opening in lines.values():
            await (await opening).close()

    async def _open(self, target: Target) -> "tuple[Line, Site]":
        base_url = _find_url(target)
        key = self._find_key(target)
        name = (target.provider, base_url, hashlib.sha256(key.encode()).hexdigest())
        lines = self._lines.setdefault(asyncio.get_running_loop(), OrderedDict())
        opening = lines.get(name)
        if opening is None:
            # Loading an SDK and the certificates takes up to a second, so it is done beside the loop, and once.
            work = asyncio.to_thread(_open_line, target.provider, base_url, key, self._route)
            opening = lines[name] = asyncio.create_task(work)
            await _drop_idle(lines)
        lines.move_to_end(name)
        try:
            # A caller that gives up leaves the line to those who wait for it too.
            line = opening.result() if opening.done() else await asyncio.shield(opening)
        except (ImportError, OSError, ValueError) as error:
            lines.pop(name, None)
            detail = f"no connection for {target.alias} can be prepared: {error}"
            raise WireError(AttemptOutcome.REJECTED, detail.splitlines()[0][:300]) from None
        failures = importlib.import_module(f"{SDK_ROOM}.failures")
        return line, failures.Site(target, base_url, key, self._clock.now())

    def _find_key(self, target: Target) -> str:
        if target.key_ref is not None:
            return self._keys.resolve(target.key_ref)
        if target.base_url is None:
            raise WireError(
                AttemptOutcome.KEY_MISSING,
                f"the model {target.alias} has no key: add it again with `direng model add --key env:NAME`",
            )
        return ""


def _find_url(target: Target) -> str:
    """Return the base URL of a target; raise WireError(REJECTED) for one that may not be called."""
    url = target.base_url or DEFAULT_URLS.get(target.provider)
    if url is None:
        raise WireError(AttemptOutcome.REJECTED, f"the model {target.alias} has no base URL; add it again with --url")
    try:
        return check_base_url(url)
    except UrlRefusedError as error:
        raise WireError(AttemptOutcome.REJECTED, error.detail) from None


def _load(providers: frozenset[Provider]) -> None:
    lines = importlib.import_module(f"{SDK_ROOM}.lines")
    for provider in sorted(providers):
        lines.load_dialect(provider)


def _open_line(provider: Provider, base_url: str, key: str, route: Route) -> "Line":
    lines = importlib.import_module(f"{SDK_ROOM}.lines")
    transport = importlib.import_module(f"{SDK_ROOM}.transport")
    proxy_url = None if is_private_url(base_url) else route.proxy_url
    line: Line = lines.Line(provider, base_url, key, transport.Outbound(proxy_url, route.ca_file))
    return line


async def _drop_idle(lines: Lines) -> None:
    """Close the lines that were not used for longest, beyond MAX_LINES; one that opens or is in use stays."""
    idle = [name for name, opening in lines.items() if opening.done() and not opening.result().calls]
    for name in idle[: max(0, len(lines) - MAX_LINES)]:
        await lines.pop(name).result().close()
