"""Server-sent events: models out with their sequence number as the event id, resumed by Last-Event-ID."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.kernel.errors import InvalidRequestError, PlatformError

LOG = logging.getLogger("direng.sse")
M = TypeVar("M", bound=BaseModel)


def read_cursor(last_event_id: str | None, after_seq: int) -> int:
    """Return the number after which a client wants events; raise InvalidRequestError for an id that is no number."""
    if last_event_id is None:
        return after_seq
    if not last_event_id.isdecimal() or len(last_event_id) > 18:  # noqa: PLR2004 - what a 64-bit integer holds
        raise InvalidRequestError(f"Last-Event-ID {last_event_id[:40]!r} is no event number")
    return int(last_event_id)


async def stream_events(events: AsyncIterator[M], seq_of: Callable[[M], int]) -> EventSourceResponse:
    """Return the stream of `events`; an error before the first event is raised here and becomes a plain answer."""
    iterator = aiter(events)
    first = await anext(iterator, None)

    async def send() -> AsyncIterator[ServerSentEvent]:
        if first is None:
            return
        yield ServerSentEvent(data=first.model_dump_json(), id=str(seq_of(first)))
        try:
            async for event in iterator:
                yield ServerSentEvent(data=event.model_dump_json(), id=str(seq_of(event)))
        except PlatformError as error:
            LOG.warning("a stream ended early: %s; the client resumes by its cursor", error.detail)

    return EventSourceResponse(send())
