"""OpenAI chat completions, for OpenAI itself and for any URL that speaks its protocol."""

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


def build_model(provider: Provider, name: str, base_url: str, client: httpx2.AsyncClient) -> Model:
    """Return the model `name` at `base_url`, its calls going through `client`, without retries."""
    sdk = AsyncOpenAI(api_key=PLACEHOLDER, base_url=base_url, http_client=client, max_retries=0)
    if provider is Provider.OPENAI:
        return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=sdk))
    compatible = OpenAICompatibleProvider(provider.value, openai_client=sdk, profile=COMPATIBLE)
    return OpenAIChatModel(name, provider=compatible)


def takes_temperature(model: Model) -> bool:
    """Return whether the model takes a temperature; one that reasons does not."""
    return not model.profile.get("openai_supports_reasoning", False)


def make_key_header(key: str) -> KeyHeader:
    """Return the bearer token."""
    return KeyHeader("authorization", "Bearer ", key)
