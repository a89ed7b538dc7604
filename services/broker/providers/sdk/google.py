"""Google's Gemini API."""

from collections.abc import Callable

import httpx2
from google.genai.errors import APIError
from google.genai.types import HttpRetryOptions
from pydantic_ai.models import Model
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider

from services.broker.models import Provider
from services.broker.providers.sdk.transport import KeyHeader

FAULTS: tuple[type[Exception], ...] = (APIError,)
PLACEHOLDER = "set-by-the-transport"


def open_models(_provider: Provider, base_url: str, client: httpx2.AsyncClient) -> Callable[[str], Model]:
    """Return what makes models by name, all at `base_url`, their calls going through `client`, without retries."""
    retries = HttpRetryOptions(attempts=1)
    wire = GoogleProvider(api_key=PLACEHOLDER, base_url=base_url, http_client=client, retry_options=retries)
    return lambda name: GoogleModel(name, provider=wire)


def takes_temperature(_model: Model) -> bool:
    """Return whether the model takes a temperature; all of Google's do."""
    return True


def make_key_header(key: str) -> KeyHeader:
    """Return Google's own header."""
    return KeyHeader("x-goog-api-key", "", key)
