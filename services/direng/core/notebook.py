"""What a turn tells, kept before it is shown; every turn ends with exactly one `end` event."""

from collections.abc import AsyncIterator

from services.direng.core.ports import EventDraft, Following, OpenTurn, Pending, Store
from services.direng.models import TurnEvent, TurnEventKind, TurnState
from services.kernel.ids import SessionId
from services.wire.bell import Bell, wait_for_ring


class Notebook:
    """Keeps the events of turns and wakes those who watch."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self.store = store
        self._bell = bell
        self._interrupted: dict[SessionId, tuple[TurnEvent, TurnEvent]] = {}

    async def tell(self, turn: OpenTurn, *events: EventDraft, following: Following | None = None) -> None:
        """Keep events, together with the cursor of what is followed."""
        await self.store.tell(turn, events, following)
        self._interrupted.pop(turn.session_id, None)
        self._bell.ring()

    async def close(
        self,
        turn: OpenTurn,
        state: TurnState,
        *events: EventDraft,
        exit_code: int = 0,
        pending: Pending | None = None,
    ) -> None:
        """End a turn with its last events."""
        end = EventDraft(TurnEventKind.END, state.value, data={"state": state.value, "exit_code": exit_code})
        await self.store.end_turn(turn, state, (*events, end), pending)
        self._interrupted.pop(turn.session_id, None)
        self._bell.ring()

    def interrupt(self, turn: OpenTurn, reason: str, at: str) -> None:
        """Send those who watch away with one clear line: what the turn tells cannot be kept now (a full disk).

        Nothing is stored. The turn goes on as soon as it can be kept again, and whoever comes then sees all of it.
        """
        told = {"session_id": turn.session_id, "turn_index": turn.turn_index, "at": at, "trace_id": turn.trace_id}
        code, state = {"code": "direng.interrupted"}, TurnState.FAILED.value
        end = {"state": state, "exit_code": 1}
        self._interrupted[turn.session_id] = (
            TurnEvent(**told, seq=0, kind=TurnEventKind.ERROR, text=reason, data=code),
            TurnEvent(**told, seq=0, kind=TurnEventKind.END, text=state, data=end),
        )
        self._bell.ring()

    async def refuse(self, turn: OpenTurn, reason: str, code: str, state: TurnState = TurnState.REFUSED) -> None:
        """End a turn with one clear line and exit code 1."""
        error = EventDraft(TurnEventKind.ERROR, reason, data={"code": code})
        await self.close(turn, state, error, exit_code=1)

    async def read_following(self, turn: OpenTurn) -> Following | None:
        """Return the stored cursor of a running turn."""
        for running in await self.store.list_running():
            if (running.session_id, running.turn_index) == (turn.session_id, turn.turn_index):
                return running.following
        return None

    async def watch_turn(self, session_id: SessionId, turn_index: int, after_seq: int) -> AsyncIterator[TurnEvent]:
        """Yield a turn's events until its end."""
        while True:
            rung = self._bell.listen()
            for event in await self.store.list_events(session_id, after_seq):
                after_seq = event.seq
                if event.turn_index == turn_index:
                    yield event
                    if event.kind is TurnEventKind.END:
                        return
            if (interruption := self._interrupted.get(session_id)) is not None:
                for last in interruption:
                    yield last
                return
            await wait_for_ring(rung)

    async def watch_session(self, session_id: SessionId, after_seq: int) -> AsyncIterator[TurnEvent]:
        """Yield a session's events, live while its last turn is running."""
        while True:
            rung = self._bell.listen()
            # The state is read before the events: the end of a turn that is over is then among them.
            session = await self.store.read_session(session_id)
            is_running = session is not None and any(turn.state is TurnState.RUNNING for turn in session.turns[-1:])
            for event in await self.store.list_events(session_id, after_seq):
                after_seq = event.seq
                yield event
            interruption = self._interrupted.get(session_id) if is_running else None
            for last in interruption or ():
                yield last
            if not is_running or interruption is not None:
                return
            await wait_for_ring(rung)
