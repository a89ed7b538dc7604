"""DirEng: conversations, the user's word on results, what may be done; satisfies `protocol.DirEng`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.direng.calls.broker import BrokerEdge
from services.direng.calls.pas import PasEdge
from services.direng.calls.vector_ops import VectorOpsEdge
from services.direng.core.answering import Answerer
from services.direng.core.following import DIFF_PATH, RECONNECT_S, Follower
from services.direng.core.grants import GRANTS
from services.direng.core.money import read_usd
from services.direng.core.notebook import Notebook
from services.direng.core.ports import OpenTurn, Worktree
from services.direng.core.questions import describe_stamp
from services.direng.core.spending import Purse
from services.direng.core.telling import PARTIAL, count_of
from services.direng.core.turns import TurnTaker, read_word
from services.direng.models import (
    Accept,
    Change,
    Check,
    Diff,
    Grant,
    NewSession,
    Session,
    SetCap,
    TurnEvent,
    TurnInput,
    TurnState,
)
from services.direng.protocol import (
    NothingPendingError,
    NothingToAcceptError,
    NothingToStopError,
    SessionNotFoundError,
    TurnInProgressError,
)
from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import PlatformError, UnavailableError
from services.kernel.ids import RunId, SessionId, TraceId, new_trace_id
from services.kernel.log import trace
from services.kernel.vocabulary import RunState, Scope
from services.pas.models import RunView
from services.pas.protocol import RunNotFoundError

LOG = logging.getLogger("direng.direng")
HealthCheck = Callable[[], Awaitable[Sequence[Check]]]
_WORDS = frozenset({"approval", "paid"})
"""What a yes or a no answers."""
_TAKEABLE = frozenset({RunState.COMPLETED, RunState.NEEDS_REVIEW})


@dataclass(frozen=True)
class DirEngParts:
    """What DirEng is made of."""

    notebook: Notebook
    turns: TurnTaker
    follower: Follower
    answerer: Answerer
    purse: Purse
    pas: PasEdge
    index: VectorOpsEdge
    broker: BrokerEdge
    worktree: Worktree
    clock: Clock
    new_id: Callable[[str], str]
    checks: tuple[HealthCheck, ...]


class DirEngService:
    """One object for sessions and for changes."""

    def __init__(self, parts: DirEngParts) -> None:
        self._parts = parts
        self._store = parts.notebook.store
        self._tasks: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """End half-done accepts and undos, and go on with the turns that a stopped server left; call after start."""
        for line in await self._parts.worktree.recover():
            LOG.warning("recovered: %s", line)
        for turn in await self._store.list_running():
            self._spawn(turn, self._go_on(turn))

    async def close(self) -> None:
        """Stop telling; runs go on in PAS, and `recover` goes on telling."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open_session(self, caller: Caller, new: NewSession) -> Session:
        caller.require(Scope.SESSION_USE)
        repo = await self._parts.worktree.locate(new.repo)
        session = Session(
            session_id=SessionId(self._parts.new_id("ses")),
            repo=repo,
            created_at=to_iso(self._parts.clock.now()),
            turns=(),
        )
        await self._store.add_session(session)
        return session

    async def list_sessions(self, caller: Caller, repo: str | None = None) -> tuple[Session, ...]:
        caller.require(Scope.SESSION_USE)
        return await self._store.list_sessions(repo)

    async def get_session(self, caller: Caller, session_id: SessionId) -> Session:
        session = await self._read_session(caller, session_id)
        return session.model_copy(update={"spend": await self._parts.purse.read(session_id)})

    async def set_cap(self, caller: Caller, session_id: SessionId, cap: SetCap) -> Session:
        await self._read_session(caller, session_id)
        await self._parts.purse.set_cap(session_id, read_usd(cap.max_cost_usd), f"set by {caller.subject}")
        return await self.get_session(caller, session_id)

    async def stop_answer(self, caller: Caller, session_id: SessionId) -> Session:
        session = await self._read_session(caller, session_id)
        if not self._parts.answerer.stop(session_id):
            raise NothingToStopError("no answer is being told; a run is ended with /stop or `direng stop`")
        return session

    async def _read_session(self, caller: Caller, session_id: SessionId) -> Session:
        caller.require(Scope.SESSION_USE)
        session = await self._store.read_session(session_id)
        if session is None:
            raise SessionNotFoundError(f"no session {session_id}; open one on a repository")
        return session

    async def take_turn(self, caller: Caller, session_id: SessionId, turn: TurnInput) -> AsyncIterator[TurnEvent]:
        await self._read_session(caller, session_id)
        pending = await self._store.read_pending(session_id)
        waits = pending is not None and pending.kind in _WORDS
        if turn.is_approved is not None and not waits:
            raise NothingPendingError("nothing waits for an approval in this session")
        is_reply = pending is not None and (pending.kind not in _WORDS or read_word(turn) is not None)
        # A reply belongs to the delegation it answers: one trace over all fourteen steps.
        trace_id = pending.trace_id if pending is not None and is_reply else new_trace_id()
        after_seq = await self._store.last_seq(session_id)
        text = turn.text if turn.is_approved is None else ("yes" if turn.is_approved else "no")
        opened = await self._store.begin_turn(session_id, text, trace_id)
        if opened is None:
            raise TurnInProgressError("the last turn is still running; follow it with /status, or wait for its end")
        self._spawn(opened, self._parts.turns.take(opened, turn, pending))
        async for event in self._parts.notebook.watch_turn(session_id, opened.turn_index, after_seq):
            yield event

    async def watch_session(
        self, caller: Caller, session_id: SessionId, after_seq: int = 0
    ) -> AsyncIterator[TurnEvent]:
        await self._read_session(caller, session_id)
        async for event in self._parts.notebook.watch_session(session_id, after_seq):
            yield event

    async def accept(self, caller: Caller, session_id: SessionId, accept: Accept) -> Change:
        session = await self._read_session(caller, session_id)
        run = await self._find_run(session, accept.run_id)
        if run.state not in _TAKEABLE or run.result_tree is None or not run.files_changed:
            raise NothingToAcceptError(f"run {run.run_id} is {run.state.value} and has no changes to accept")
        passport = await self._parts.pas.get_passport(run.run_id)
        merged = await self._parts.worktree.accept(
            run, passport, f"{run.title or 'Accept a run'}\n\nRun: {run.run_id}\n"
        )
        await self._store.note_accept(session_id, session.repo, run.run_id)
        what = f"commit {merged.commit[:10]} on {merged.branch}" if merged.commit else "untracked files only, no commit"
        text = f"accepted: {count_of(len(merged.paths), 'file')}, {what}; /undo takes it back"
        return Change(run_id=run.run_id, commit=merged.commit, paths=merged.paths, text=text)

    async def undo(self, caller: Caller, session_id: SessionId) -> Change:
        session = await self._read_session(caller, session_id)
        run_id = await self._find_accepted(session)
        merged = await self._parts.worktree.undo(session.repo, run_id)
        text = f"undone: {count_of(len(merged.paths), 'file')} as before; /accept takes the run again"
        return Change(run_id=run_id, commit=merged.commit, paths=merged.paths, text=text)

    async def _find_accepted(self, session: Session) -> RunId:
        """Return the last accepted run; one whose accept was ended by recovery was never noted, but is the newest."""
        noted = await self._store.list_accepted(session.repo)
        newest: tuple[RunId, ...] = () if session.run_id is None or session.run_id in noted else (session.run_id,)
        for run_id in (*newest, *noted):
            if await self._parts.worktree.is_accepted(run_id):
                return run_id
        raise NothingToAcceptError("no accepted run in this repository; there is nothing to undo")

    async def get_diff(self, caller: Caller, session_id: SessionId, run_id: RunId | None = None) -> Diff:
        session = await self._read_session(caller, session_id)
        run = await self._find_run(session, run_id)
        whole = [ref for ref in run.artifacts if ref.path == DIFF_PATH]
        partial = [ref for ref in run.artifacts if ref.path.startswith(PARTIAL)]
        if not whole and not partial:
            raise NothingToAcceptError(f"run {run.run_id} is {run.state.value} and has no diff yet")
        content = await self._parts.pas.get_artifact((whole or partial)[-1].sha256)
        return Diff(run_id=run.run_id, patch=content.decode("utf-8", "replace"))

    async def _find_run(self, session: Session, run_id: RunId | None) -> RunView:
        """Return a run of the session's repository; None: the session's newest."""
        wanted = run_id or session.run_id
        if wanted is None:
            raise NothingToAcceptError("this session has no run yet; ask for a change first")
        try:
            run = await self._parts.pas.get_run(wanted)
        except RunNotFoundError:
            raise NothingToAcceptError(f"no run {wanted}; `direng runs` lists them") from None
        if run.repo != session.repo:
            raise NothingToAcceptError(f"run {wanted} belongs to another repository ({run.repo})")
        return run

    async def list_grants(self, caller: Caller) -> tuple[Grant, ...]:
        caller.require(Scope.SESSION_USE)
        return GRANTS

    async def examine(self, caller: Caller, repo: str | None = None) -> tuple[Check, ...]:
        caller.require(Scope.SESSION_USE)
        found: list[Check] = []
        for check in self._parts.checks:
            found.extend(await check())
        if repo is not None:
            found.append(await self._examine_repository(repo))
            found.append(await self._examine_index(repo))
        return (*found, *await self._examine_models())

    async def _examine_models(self) -> tuple[Check, ...]:
        """Return one line per configured model: is its endpoint there, and does it take the key? Nothing is paid."""
        try:
            probes = await self._parts.broker.check_models()
        except PlatformError as error:
            return (Check(name="models", is_good=False, detail=error.detail, cure="do what the line says"),)
        if not probes:
            detail = "none is configured; index, recipes and tests need none (add one: direng model add)"
            return (Check(name="model", is_good=True, detail=detail),)
        return tuple(
            Check(name=f"model {probe.alias}", is_good=probe.is_good, detail=probe.detail, cure=probe.cure)
            for probe in probes
        )

    async def _examine_repository(self, repo: str) -> Check:
        try:
            root = await self._parts.worktree.locate(repo)
        except PlatformError as error:
            return Check(
                name="repository", is_good=False, detail=error.detail, cure="do what the line says, then ask again"
            )
        return Check(name="repository", is_good=True, detail=root)

    async def _examine_index(self, repo: str) -> Check:
        try:
            snapshot = await self._parts.index.snapshot(repo)
        except PlatformError as error:
            return Check(
                name="index",
                is_good=False,
                detail=error.detail,
                cure="mend the repository first; a question then builds it",
            )
        size = f"{snapshot.files} files, {snapshot.symbols} symbols"
        return Check(name="index", is_good=True, detail=f"{size}; {describe_stamp(snapshot.stamp)}")

    async def _go_on(self, turn: OpenTurn) -> None:
        if turn.following is not None:
            await self._parts.follower.follow(turn, turn.following)
            return
        reason = "the server stopped during this turn; nothing was changed; say it again"
        await self._parts.notebook.refuse(turn, reason, "direng.interrupted", TurnState.FAILED)

    async def _fail(self, turn: OpenTurn, reason: str, code: str) -> None:
        """End a turn with one line; while even that cannot be kept, who watches is told at least."""
        while True:
            try:
                await self._parts.notebook.refuse(turn, reason, code, TurnState.FAILED)
            except UnavailableError as error:
                LOG.warning("the end of turn %s of %s cannot be kept yet: %s", turn.turn_index, turn.session_id, reason)
                self._parts.notebook.interrupt(turn, error.detail, to_iso(self._parts.clock.now()))
                await asyncio.sleep(RECONNECT_S)
            else:
                return

    def _spawn(self, turn: OpenTurn, work: Awaitable[None]) -> None:
        """Run a turn in a task of its own: it goes on when the client leaves."""

        async def run() -> None:
            with trace(TraceId(turn.trace_id)):
                try:
                    await work
                except PlatformError as error:
                    await self._fail(turn, error.detail, error.code)
                except asyncio.CancelledError:
                    raise
                except Exception:  # the edge of a turn: a bug must end it with one line, or its session hangs for ever
                    LOG.exception("a bug ended turn %s of %s", turn.turn_index, turn.session_id)
                    line = f"internal error; the server's log has the details under trace {turn.trace_id}"
                    await self._fail(turn, line, "internal")

        task = asyncio.create_task(run(), name=f"direng:{turn.session_id}:{turn.turn_index}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
