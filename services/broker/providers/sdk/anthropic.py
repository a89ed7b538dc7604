"""Anthropic messages."""

from collections.abc import Callable

import httpx2
from anthropic import AnthropicError, AsyncAnthropic
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider

from services.broker.models import Provider
from services.broker.providers.sdk.transport import KeyHeader

FAULTS: tuple[type[Exception], ...] = (AnthropicError,)
PLACEHOLDER = "set-by-the-transport"


def open_models(_provider: Provider, base_url: str, client: httpx2.AsyncClient) -> Callable[[str], Model]:
    """Return what makes models by name, all at `base_url`, their calls going through `client`, without retries."""
    # An explicit key keeps the SDK from looking for credentials in the environment and in its own files.
    sdk = AsyncAnthropic(api_key=PLACEHOLDER, base_url=base_url, http_client=client, max_retries=0)
    wire = AnthropicProvider(anthropic_client=sdk)
    return lambda name: AnthropicModel(name, provider=wire)


def takes_temperature(model: Model) -> bool:
    """Return whether the model takes a temperature; newer ones answer 400 to it."""
    return not model.profile.get("anthropic_disallows_sampling_settings", False)


def make_key_header(key: str) -> KeyHeader:
    """Return Anthropic's own header."""
    return KeyHeader("x-api-key", "", key)
