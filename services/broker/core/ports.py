"""What the broker's rules need of the outside: the wire to models, prices, keys. The store's port is in `ledger.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from services.broker.models import (
    AttemptOutcome,
    Message,
    Price,
    Provider,
    ToolCall,
    ToolSpec,
    ToolStyle,
    Usage,
)


@dataclass(frozen=True)
class Target:
    """One model to call, as the operator configured it."""

    alias: str
    provider: Provider
    model: str
    base_url: str | None
    key_ref: str | None
    tool_style: ToolStyle
    is_caching: bool = True


@dataclass(frozen=True)
class WireRequest:
    """One attempt. `idempotency_key` goes to the provider as a header; a provider that knows it charges once."""

    target: Target
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    tool_choice: Literal["auto", "required", "none"]
    max_tokens: int
    temperature: float
    timeout_s: float
    idempotency_key: str


@dataclass(frozen=True)
class WireReply:
    """What a model said. `usage` None: the provider told none."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage | None
    opaque: str = ""


class WireError(Exception):
    """An attempt failed. `usage` is what the provider told it cost, None when it told nothing.

    `is_billable` False: the provider refused before it worked, so nothing is owed. `detail` is one line, no secret.
    """

    def __init__(
        self,
        outcome: AttemptOutcome,
        detail: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_billable: bool = False,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_billable = is_billable
        self.usage = usage


class ModelWire(Protocol):
    """Calls models over their providers' own protocols."""

    async def call(self, request: WireRequest, on_text: Callable[[str], None] | None = None) -> WireReply:
        """Make one attempt, streaming its text to `on_text` when given; raise WireError.

        No retry, no redirect, no URL but the target's. A model without native tool calls is spoken to in text, and
        malformed tool text raises WireError(MALFORMED).
        """
        ...

    async def check(self, target: Target) -> str:
        """Ask the endpoint for its models, unpaid; return one line. Raises WireError."""
        ...

    async def warm(self, providers: frozenset[Provider]) -> None:
        """Load the SDKs of these providers off the event loop, so that the first call need not."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class PriceTable(Protocol):
    """Public prices and context sizes, a pinned snapshot."""

    @property
    def version(self) -> str:
        """Name of the snapshot."""
        ...

    def find_price(self, provider: Provider, model: str) -> Price | None:
        """Return the list price, or None for a model the table does not know."""
        ...

    def find_context_tokens(self, provider: Provider, model: str) -> int | None:
        """Return the size of the context, or None."""
        ...


class KeySource(Protocol):
    """Where keys are, by reference."""

    def resolve(self, ref: str) -> str:
        """Return the key behind `env:NAME` or `vault:NAME`; raise WireError(KEY_MISSING) that names the reference."""
        ...
