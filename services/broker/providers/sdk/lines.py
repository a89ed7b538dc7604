"""A line: one provider's client at one URL with one key, and the attempts made through it."""

import asyncio
import importlib
from collections.abc import Callable
from typing import Literal, Protocol

import httpx2
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import AgentRunError, UserError
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from services.broker.core.ports import WireReply, WireRequest
from services.broker.models import MAX_MESSAGE_CHARS, Provider, ToolCall
from services.broker.providers.exchange import CURRENT, Exchange
from services.broker.providers.sdk.failures import Site, explain, explain_cut, explain_malformed, explain_timeout
from services.broker.providers.sdk.messages import (
    build_history,
    build_parameters,
    join_text,
    list_calls,
    read_usage,
    seal,
)
from services.broker.providers.sdk.transport import KeyHeader, Outbound, open_client

USER_AGENT = "direng"
PARSER_FAULTS: tuple[type[Exception], ...] = (
    AgentRunError,
    UserError,
    httpx2.HTTPError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,
)
"""What pydantic_ai raises, and what its parsers stumble over in a hostile reply; each SDK adds its own errors."""
STREAM_END = b"[DONE]"
TOO_LONG = f"its text has more than {MAX_MESSAGE_CHARS} characters"
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Dialect(Protocol):
    """One provider's SDK module: openai, anthropic or google of this room."""

    FAULTS: tuple[type[Exception], ...]

    def open_models(self, provider: Provider, base_url: str, client: httpx2.AsyncClient) -> Callable[[str], Model]:
        """Return what makes models by name, all at `base_url`, their calls going through `client`, without retries."""
        ...

    def takes_temperature(self, model: Model) -> bool:
        """Return whether the model takes a temperature; the others refuse it, or warn."""
        ...

    def make_key_header(self, key: str) -> KeyHeader:
        """Return how the provider wants its key."""
        ...


def load_dialect(provider: Provider) -> Dialect:
    """Return the provider's SDK module, loading the SDK when it is not yet."""
    name = "openai" if provider is Provider.LOCAL_LLAMA else provider.value
    module: Dialect = importlib.import_module(f"services.broker.providers.sdk.{name}")
    return module


class Line:
    """One client, kept open between calls. `calls` counts those under way: a line in use is never dropped."""

    def __init__(self, provider: Provider, base_url: str, key: str, outbound: Outbound) -> None:
        self._provider = provider
        self._base_url = base_url
        self._dialect = load_dialect(provider)
        self._models: dict[str, Model] = {}
        self._faults = (*PARSER_FAULTS, *self._dialect.FAULTS)
        self.client = open_client(self._dialect.make_key_header(key), USER_AGENT, outbound)
        self._make_model = self._dialect.open_models(provider, base_url, self.client)
        self.calls = 0

    def __repr__(self) -> str:
        return f"Line({self._provider.value}, {self._base_url!r})"

    async def close(self) -> None:
        """Close the client's connections."""
        await self.client.aclose()

    async def call(self, request: WireRequest, site: Site, on_text: Callable[[str], None] | None) -> WireReply:
        """Make one attempt; raise WireError."""
        exchange = Exchange()
        token = CURRENT.set(exchange)
        self.calls += 1
        try:
            async with asyncio.timeout(request.timeout_s):
                response = await self._ask(request, on_text)
            return _read_reply(response, exchange, site, is_streamed=on_text is not None)
        except TimeoutError:
            raise explain_timeout(request.timeout_s, exchange, site) from None
        except self._faults as error:
            # The cause would carry the provider's body, and with it whatever it echoed.
            raise explain(error, exchange, site) from None
        finally:
            self.calls -= 1
            CURRENT.reset(token)

    async def _ask(self, request: WireRequest, on_text: Callable[[str], None] | None) -> ModelResponse:
        model = self._find_model(request.target.model)
        history = build_history(request.target, request.messages)
        parameters = build_parameters(request.tools)
        settings = self._build_settings(model, request)
        if on_text is None:
            return await model_request(
                model, history, model_settings=settings, model_request_parameters=parameters, instrument=False
            )
        async with model_request_stream(
            model, history, model_settings=settings, model_request_parameters=parameters, instrument=False
        ) as stream:
            size = 0
            async for event in stream:
                piece = _read_piece(event)
                size += len(piece)
                if size > MAX_MESSAGE_CHARS:
                    raise ValueError(TOO_LONG)
                if piece:
                    on_text(piece)
            return stream.get()

    def _find_model(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = self._make_model(name)
        return model

    def _build_settings(self, model: Model, request: WireRequest) -> ModelSettings:
        settings = ModelSettings(
            max_tokens=request.max_tokens,
            timeout=request.timeout_s,
            extra_headers={"Idempotency-Key": request.idempotency_key},
        )
        if request.tools:
            settings["tool_choice"] = request.tool_choice
        if request.target.is_caching:
            settings["cache"] = True
        if self._dialect.takes_temperature(model):
            settings["temperature"] = request.temperature
        return settings


def _read_piece(event: ModelResponseStreamEvent) -> str:
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    return ""


def _read_reply(response: ModelResponse, exchange: Exchange, site: Site, *, is_streamed: bool) -> WireReply:
    details = response.provider_details or {}
    is_finished = "finish_reason" in details or response.finish_reason == "content_filter"
    if is_streamed and not is_finished and STREAM_END not in exchange.tail:
        raise explain_cut(exchange, site)
    usage = read_usage(response.usage)
    try:
        text, calls = _read_content(response, is_finished=is_finished)
    except ValueError as error:
        failure = explain_malformed(str(error), exchange, site)
        failure.usage = usage
        raise failure from None
    return WireReply(
        text=text,
        tool_calls=calls,
        finish_reason=_read_finish(response, calls),
        usage=usage,
        opaque=seal(site.target, response),
    )


def _read_content(response: ModelResponse, *, is_finished: bool) -> tuple[str, tuple[ToolCall, ...]]:
    """Return text and calls; raise ValueError when there is no answer, or none that a message could carry."""
    details = response.provider_details or {}
    if not response.parts and not is_finished:
        raise ValueError("it holds no answer")
    if response.finish_reason == "error":
        raise ValueError(f"the provider gave the answer up ({details.get('finish_reason')})")
    text = join_text(response) or str(details.get("refusal", ""))
    if len(text) > MAX_MESSAGE_CHARS:
        raise ValueError(TOO_LONG)
    try:
        return text, list_calls(response)
    except ValueError:
        raise ValueError("a tool call has no name or id, or one that is too long") from None


def _read_finish(response: ModelResponse, calls: tuple[ToolCall, ...]) -> FinishReason:
    if response.finish_reason == "length":
        return "length"
    if response.finish_reason == "content_filter":
        return "content_filter"
    # Some servers call tools and say `stop`.
    return "tool_calls" if calls else "stop"
