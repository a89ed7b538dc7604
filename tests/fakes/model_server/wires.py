"""The protocols that the server speaks, behind one shape."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from tests.fakes.model_server.anthropic_wire import AnthropicWire
from tests.fakes.model_server.conversation import Answer, Conversation
from tests.fakes.model_server.google_wire import GoogleWire
from tests.fakes.model_server.openai_wire import OpenAiWire


class ModelProtocol(Protocol):
    """One provider's protocol."""

    name: str
    key_status: int
    """The status with which a wrong key is refused."""
    DONE: bytes

    def parse(self, body: Mapping[str, object], headers: Mapping[str, str], size_bytes: int) -> Conversation:
        """Return the request; raise BadRequestError."""
        ...

    def error(self, status: int, detail: str, code: str = "") -> dict[str, object]:
        """Return the body of an error."""
        ...

    def overflow(self, talk: Conversation, limit: int) -> dict[str, object]:
        """Return the body of a context overflow."""
        ...

    def body(self, talk: Conversation, answer: Answer) -> dict[str, object]:
        """Return the whole answer."""
        ...

    def stream(self, talk: Conversation, answer: Answer) -> Iterator[bytes]:
        """Yield the answer as events, without the last one."""
        ...

    def error_event(self, detail: str) -> bytes:
        """Return an error in the middle of a stream."""
        ...

    def babble(self, talk: Conversation) -> bytes:
        """Return one more event of an endless stream."""
        ...

    def models(self, names: list[str]) -> dict[str, object]:
        """Return the list of models."""
        ...

    def model(self, name: str) -> dict[str, object]:
        """Return one model."""
        ...


OPENAI: ModelProtocol = OpenAiWire()
ANTHROPIC: ModelProtocol = AnthropicWire()
GOOGLE: ModelProtocol = GoogleWire()
