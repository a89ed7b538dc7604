"""A model's wire, prices and keys in memory: real implementations of the broker's ports that follow a script."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from services.broker.app import BrokerParts, BrokerPorts, open_broker
from services.broker.core.ports import Target, WireError, WireReply, WireRequest
from services.broker.models import (
    AttemptOutcome,
    BudgetKind,
    BudgetScope,
    CompletionRequest,
    Message,
    NewModel,
    Price,
    Provider,
    Purpose,
    Role,
    Usage,
)
from services.broker.protocol import UrlRefusedError
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.vocabulary import Lane

PRICE = Price(input_microusd=1_000_000, output_microusd=2_000_000, source="operator")
"""One micro-USD per token in, two per token out: a cost is easily read."""
FREE = Price(input_microusd=0, output_microusd=0, source="operator")
USAGE = Usage(tokens_in=10, tokens_out=5)
COST_MICROUSD = 20
"""Of USAGE at PRICE."""


def reply(text: str = "done", usage: Usage | None = USAGE, **more: Any) -> WireReply:
    """Return an answer."""
    return WireReply(text=text, tool_calls=more.pop("tool_calls", ()), finish_reason="stop", usage=usage, **more)


def fault(outcome: AttemptOutcome, **more: Any) -> WireError:
    """Return a failure."""
    return WireError(outcome, more.pop("detail", f"the scripted {outcome.value}"), **more)


Step = WireReply | WireError | Callable[[WireRequest], Awaitable[WireReply]]


@dataclass
class ScriptedWire:
    """Answers by alias from its script, one step a call; when a script has ended, its last step again."""

    script: dict[str, list[Step]] = field(default_factory=dict)
    requests: list[WireRequest] = field(default_factory=list)
    checks: dict[str, str | WireError] = field(default_factory=dict)
    warmed: set[Provider] = field(default_factory=set)
    under_way: int = 0
    most_under_way: int = 0
    is_closed: bool = False

    def play(self, alias: str, *steps: Step) -> None:
        """Set what the model does next."""
        self.script[alias] = list(steps)

    async def call(self, request: WireRequest, on_text: Callable[[str], None] | None = None) -> WireReply:
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._follow(request, on_text)
        finally:
            self.under_way -= 1

    async def _follow(self, request: WireRequest, on_text: Callable[[str], None] | None) -> WireReply:
        steps = self.script.get(request.target.alias, [])
        step = reply() if not steps else steps[0] if len(steps) == 1 else steps.pop(0)
        await asyncio.sleep(0)
        if isinstance(step, WireError):
            if on_text is not None and step.outcome is AttemptOutcome.CUT:
                on_text("half of ")
            raise step
        answer = step if isinstance(step, WireReply) else await step(request)
        if on_text is not None:
            for word in answer.text.split(" "):
                on_text(word if word == answer.text.split(" ")[0] else f" {word}")
        return answer

    async def check(self, target: Target) -> str:
        found = self.checks.get(target.alias, "it answers")
        if isinstance(found, WireError):
            raise found
        return found

    async def warm(self, providers: frozenset[Provider]) -> None:
        self.warmed |= providers

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class ListPrices:
    """A price table of a few models."""

    prices: dict[str, Price] = field(default_factory=dict)
    contexts: dict[str, int] = field(default_factory=dict)
    version: str = "list-1"

    def find_price(self, provider: Provider, model: str) -> Price | None:
        return self.prices.get(f"{provider.value}/{model}")

    def find_context_tokens(self, provider: Provider, model: str) -> int | None:
        return self.contexts.get(f"{provider.value}/{model}")


@dataclass
class ListKeys:
    """Keys by reference."""

    keys: dict[str, str] = field(default_factory=dict)

    def resolve(self, ref: str) -> str:
        if ref not in self.keys:
            raise WireError(AttemptOutcome.KEY_MISSING, f"{ref} holds no key; set it and start again")
        return self.keys[ref]


def check_url(url: str) -> str:
    """Accept loopback URLs and refuse any other."""
    if not url.startswith("http://127.0.0.1"):
        raise UrlRefusedError(f"{url} may not be called")
    return url


@dataclass
class Pauses:
    """A sleep that only notes how long."""

    slept_s: list[float] = field(default_factory=list)

    async def sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        await asyncio.sleep(0)


def new_model(alias: str = "main", **changes: Any) -> NewModel:
    """Return a model of an OpenAI-compatible server."""
    body = {"alias": alias, "provider": Provider.LOCAL_LLAMA, "model": f"{alias}-model", "price": PRICE}
    return NewModel(**body | {"base_url": "http://127.0.0.1:9/v1", "context_tokens": 8192} | changes)


def scope(text: str) -> BudgetScope:
    """Return the budget that `kind:id` names."""
    kind, _, name = text.partition(":")
    return BudgetScope(kind=BudgetKind(kind), id=name)


def ask(call_id: str = "call-0001", scopes: Iterable[str] = ("session:s-1",), **changes: Any) -> CompletionRequest:
    """Return a request."""
    body = {
        "call_id": call_id,
        "scopes": tuple(scope(text) for text in scopes),
        "lane": Lane.CODE_IMPL,
        "purpose": Purpose.AGENT,
        "messages": (Message(role=Role.USER, content="Say done."),),
        "max_tokens": 100,
    }
    return CompletionRequest(**body | changes)


def make_ports(home: Path, wire: ScriptedWire, **changes: Any) -> BrokerPorts:
    """Return ports over a database in `home`."""
    body = {
        "home": home,
        "database_url": sqlite_url(home / "broker.db"),
        "clock": SystemClock(),
        "random": Random(7),
        "wire": wire,
        "prices": ListPrices,
        "keys": ListKeys(),
        "check_url": check_url,
    }
    return BrokerPorts(**body | changes)


def open_scripted(home: Path, wire: ScriptedWire | None = None, **changes: Any) -> BrokerParts:
    """Return an open broker over a scripted wire."""
    return open_broker(make_ports(home, wire or ScriptedWire(), **changes))
