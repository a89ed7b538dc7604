"""OpenAI chat completions, for OpenAI itself and for any URL that speaks its protocol."""

from collections.abc import Callable

import httpx2
from openai import AsyncOpenAI, OpenAIError
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


def open_models(provider: Provider, base_url: str, client: httpx2.AsyncClient) -> Callable[[str], Model]:
    """Return what makes models by name, all at `base_url`, their calls going through `client`, without retries."""
    sdk = AsyncOpenAI(api_key=PLACEHOLDER, base_url=base_url, http_client=client, max_retries=0)
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
