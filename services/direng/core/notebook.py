"""What a turn tells, kept before it is shown; every turn ends with exactly one `end` event."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from services.direng.core.ports import EventDraft, Following, OpenTurn, Pending, Store
from services.direng.models import TurnEvent, TurnEventKind, TurnState
from services.kernel.clock import Clock, to_iso
from services.kernel.ids import SessionId
from services.wire.bell import Bell, wait_for_ring


@dataclass
class Speech:
    """An answer that still comes: its pieces so far; `restarts` counts how often it began anew. Never stored."""

    turn: OpenTurn
    pieces: list[str] = field(default_factory=list)
    restarts: int = 0


@dataclass
class _Ear:
    """How much of a speech one watcher has heard; it keeps the speech, whose last pieces come after its end."""

    speech: Speech | None = None
    restarts: int = 0
    heard: int = 0

    def turn_to(self, speech: Speech | None) -> None:
        """Listen to this speech from now on, from its beginning if it is another one."""
        if speech is not None and speech is not self.speech:
            self.speech, self.restarts, self.heard = speech, 0, 0

    def listen(self, at: str) -> TurnEvent | None:
        """Return what is new as one delta."""
        speech = self.speech
        if speech is None:
            return None
        is_restart = speech.restarts != self.restarts
        if is_restart:
            self.restarts, self.heard = speech.restarts, 0
        fresh = "".join(speech.pieces[self.heard :])
        self.heard = len(speech.pieces)
        if not fresh and not is_restart:
            return None
        return TurnEvent(
            session_id=speech.turn.session_id,
            turn_index=speech.turn.turn_index,
            seq=0,
            at=at,
            trace_id=speech.turn.trace_id,
            kind=TurnEventKind.DELTA,
            text=fresh,
            data={"is_restart": is_restart},
        )


class Notebook:
    """Keeps the events of turns and wakes those who watch."""

    def __init__(self, store: Store, bell: Bell, clock: Clock) -> None:
        self.store = store
        self._bell = bell
        self._interrupted: dict[SessionId, tuple[TurnEvent, TurnEvent]] = {}
        self._speeches: dict[SessionId, Speech] = {}
        self._clock = clock

    def speak(self, turn: OpenTurn, text: str) -> None:
        """Let those who watch hear a piece of an answer; `close` keeps the whole."""
        speech = self._speeches.get(turn.session_id)
        if speech is None or speech.turn.turn_index != turn.turn_index:
            speech = self._speeches[turn.session_id] = Speech(turn)
        speech.pieces.append(text)
        self._bell.ring()

    def speak_anew(self, turn: OpenTurn) -> None:
        """Take back what was spoken: the answer begins again."""
        speech = self._speeches.get(turn.session_id)
        if speech is not None and speech.turn.turn_index == turn.turn_index:
            speech.pieces.clear()
            speech.restarts += 1
            self._bell.ring()

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
        self._speeches.pop(turn.session_id, None)
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

    async def refuse(
        self, turn: OpenTurn, reason: str, code: str, state: TurnState = TurnState.REFUSED, *, exit_code: int = 1
    ) -> None:
        """End a turn with one clear line."""
        error = EventDraft(TurnEventKind.ERROR, reason, data={"code": code})
        await self.close(turn, state, error, exit_code=exit_code)

    async def read_following(self, turn: OpenTurn) -> Following | None:
        """Return the stored cursor of a running turn."""
        for running in await self.store.list_running():
            if (running.session_id, running.turn_index) == (turn.session_id, turn.turn_index):
                return running.following
        return None

    async def watch_turn(self, session_id: SessionId, turn_index: int, after_seq: int) -> AsyncIterator[TurnEvent]:
        """Yield a turn's events until its end."""
        ear = _Ear()
        while True:
            rung = self._bell.listen()
            ear.turn_to(self._speeches.get(session_id))
            events = await self.store.list_events(session_id, after_seq)
            # What was spoken comes before what was kept: an answer follows its last piece.
            if (delta := ear.listen(to_iso(self._clock.now()))) is not None:
                yield delta
            for event in events:
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
        ear = _Ear()
        while True:
            rung = self._bell.listen()
            ear.turn_to(self._speeches.get(session_id))
            # The state is read before the events: the end of a turn that is over is then among them.
            session = await self.store.read_session(session_id)
            is_running = session is not None and any(turn.state is TurnState.RUNNING for turn in session.turns[-1:])
            events = await self.store.list_events(session_id, after_seq)
            if (delta := ear.listen(to_iso(self._clock.now()))) is not None:
                yield delta
            for event in events:
                after_seq = event.seq
                yield event
            interruption = self._interrupted.get(session_id) if is_running else None
            for last in interruption or ():
                yield last
            if not is_running or interruption is not None:
                return
            await wait_for_ring(rung)
