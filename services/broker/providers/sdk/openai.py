"""OpenAI chat completions, for OpenAI itself and for any URL that speaks its protocol."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import httpx2
from openai import AsyncOpenAI, AsyncStream, Omit, OpenAIError
from openai.resources.chat import AsyncChat, AsyncCompletions
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from services.broker.models import Provider
from services.broker.providers.sdk.transport import KeyHeader

FAULTS: tuple[type[Exception], ...] = (OpenAIError,)
PLACEHOLDER = "set-by-the-transport"
"""The SDK wants a key; the guarded transport drops what it makes of it and sends the real one."""
COMPATIBLE = OpenAIModelProfile(
    # Local servers know `max_tokens` only, and newer ones both.
    openai_chat_supports_max_completion_tokens=False,
    openai_supports_strict_tool_definition=False,
)


class _PlainCompletions(AsyncCompletions):
    """Posts the body as it is.

    The SDK's own `create` walks through the whole body along its type hints first, 0.4 ms for each turn of the
    conversation, to rename fields and encode files; a chat completion has neither.
    """

    async def create(  # type: ignore[override]  # keyword arguments as pydantic_ai passes them
        self,
        *,
        stream: bool = False,
        extra_headers: Any,
        extra_body: Any,
        timeout: Any,  # noqa: ASYNC109 - the SDK's own name
        **fields: Any,
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]:
        body = {name: value for name, value in fields.items() if not isinstance(value, Omit)}
        return await self._client.post(
            "/chat/completions",
            body={**body, "stream": stream},
            options={"headers": extra_headers, "extra_json": extra_body, "timeout": timeout},
            cast_to=ChatCompletion,
            stream=stream,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )


class _PlainChat(AsyncChat):
    @cached_property
    def completions(self) -> AsyncCompletions:
        return _PlainCompletions(self._client)


class _PlainOpenAI(AsyncOpenAI):
    @cached_property
    def chat(self) -> AsyncChat:
        return _PlainChat(self)


def open_models(provider: Provider, base_url: str, client: httpx2.AsyncClient) -> Callable[[str], Model]:
    """Return what makes models by name, all at `base_url`, their calls going through `client`, without retries."""
    sdk = _PlainOpenAI(api_key=PLACEHOLDER, base_url=base_url, http_client=client, max_retries=0)
    wire: OpenAIProvider | OpenAICompatibleProvider
    if provider is Provider.OPENAI:
        wire = OpenAIProvider(openai_client=sdk)
    else:
        wire = OpenAICompatibleProvider(provider.value, openai_client=sdk, profile=COMPATIBLE)
    OpenAIChatModel("any", provider=wire)  # the first one loads more of the SDK, which takes 75 ms: not on the loop
    return lambda name: OpenAIChatModel(name, provider=wire)


def takes_temperature(model: Model) -> bool:
    """Return whether the model takes a temperature; one that reasons does not."""
    return not model.profile.get("openai_supports_reasoning", False)


def make_key_header(key: str) -> KeyHeader:
    """Return the bearer token."""
    return KeyHeader("authorization", "Bearer ", key)
