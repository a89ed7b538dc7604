"""One session with the DirEng service: send a turn, show what it tells, ask for the user's word."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cli import exits, render
from cli.speech import Speech, is_streamed
from cli.wire import Wire, as_mapping, as_sequence
from services.kernel.errors import ConflictError, NotFoundError, UnavailableError

FINAL_RUN_STATES = frozenset({"completed", "needs_review", "failed", "terminated"})


@dataclass
class Ending:
    """How a turn ended: `state` as in services.direng.models.TurnState; `seq` of its last event.

    `options` are those of the question it ended with.
    """

    state: str = "failed"
    exit_code: int = exits.FAILED
    seq: int = 0
    waits_for_approval: bool = False
    options: tuple[str, ...] = ()


@dataclass
class Conversation:
    """A session bound to a repository."""

    wire: Wire
    session_id: str
    repo: str
    is_json: bool = False
    last: Ending = field(default_factory=Ending)
    reported_run_id: str | None = None
    """The run with changes, or without success, that was last reported here: what `/diff` and `/accept` mean."""
    speech: Speech = field(default_factory=Speech)
    _tick: str = ""
    _heard: str = ""

    @classmethod
    def open(cls, wire: Wire, folder: str, *, is_json: bool = False) -> "Conversation":
        """Open a session on the repository around `folder`; refuses with one clear line."""
        session = as_mapping(wire.post("direng", "/sessions", {"repo": folder}))
        return cls(wire, str(session["session_id"]), str(session["repo"]), is_json)

    def take_turn(self, body: dict[str, object]) -> Ending:
        """Send one turn and show its events until it ends; an interrupt stops an answer, and leaves a run running."""
        try:
            return self._show(self.wire.stream("direng", "POST", f"/sessions/{self.session_id}/turns", body))
        except KeyboardInterrupt:
            if not self.stop_answer():
                raise
            return self.follow(self.last.seq)

    def stop_answer(self) -> bool:
        """End the answer that is being told, so that no more of it is paid for; return whether there was one."""
        try:
            self.wire.post("direng", f"/sessions/{self.session_id}/stop", {})
        except ConflictError:
            return False
        return True

    def follow(self, after: int) -> Ending:
        """Show the events of the session after `after` until its last turn ends."""
        return self._show(self.wire.stream("direng", "GET", f"/sessions/{self.session_id}/events", after=after))

    def _show(self, events: Iterator[object]) -> Ending:
        ending = self.last = Ending(seq=self.last.seq)
        self._tick, self._heard = "", ""
        has_ended = False
        for event in events:
            data = event.data  # type: ignore[attr-defined]  # StreamedEvent
            ending.seq = event.seq or ending.seq  # type: ignore[attr-defined]
            if self.is_json:
                render.print_json(data)
            else:
                self._show_event(data)
            self._keep_report(data)
            has_ended = _note_ending(ending, data) or has_ended
        if not has_ended:  # http.client ends a broken stream without a word
            raise UnavailableError("the server went away; what it was doing goes on: `direng up`, then `direng runs`")
        return ending

    def _show_event(self, event: dict[str, object]) -> None:
        if event["kind"] == "delta":
            self._hear(event)
        elif event["kind"] != "tick" or event["text"] != self._tick:
            self._print(event)
        self._tick = str(event["text"]) if event["kind"] == "tick" else self._tick

    def _hear(self, delta: dict[str, object]) -> None:
        """Print a piece of an answer as it comes."""
        before = "" if as_mapping(delta["data"]).get("is_restart") else self._heard
        self._heard = before + str(delta["text"])
        if is_streamed():
            self.speech.tell(self._heard)

    def _print(self, event: dict[str, object]) -> None:
        """Print an event; of an answer that was spoken already only what is set under it."""
        if not self.speech.shown:
            render.print_event(event)
            return
        if event["kind"] == "answer":
            self.speech.tell(str(event["text"]))
        self.speech.end()
        if event["kind"] != "answer":
            render.print_event(event)

    def work(self, body: dict[str, object], ask: Callable[[], bool | None]) -> Ending:
        """Take a turn and, when it waits for approval, the turn with the user's word.

        `ask` returns the word, or None when nobody can be asked; the delegation then keeps waiting.
        """
        ending = self.take_turn(body)
        while ending.waits_for_approval and ending.state == "waiting":
            word = ask()
            if word is None:
                return ending
            ending = self.take_turn({"is_approved": word})
        return ending

    def sessions(self) -> list[dict[str, object]]:
        """Return this repository's sessions, newest first."""
        return as_sequence(self.wire.get("direng", "/sessions", {"repo": self.repo}))

    def runs(self) -> list[dict[str, object]]:
        """Return this repository's runs, newest first."""
        return as_sequence(self.wire.get("pas", "/pas/v1/runs", {"repo": self.repo}))

    def accept(self, run_id: str | None) -> dict[str, object]:
        """Merge a run's hunks; return what was done. None: the run that `pick_run` names."""
        body = {"run_id": self.pick_run(run_id)}
        return as_mapping(self.wire.post("direng", f"/sessions/{self.session_id}/accept", body))

    def undo(self) -> dict[str, object]:
        """Take the repository's last accept back, whoever accepted it."""
        owners = (str(session["session_id"]) for session in self.sessions() if session.get("run_id"))
        return as_mapping(self.wire.post("direng", f"/sessions/{next(owners, self.session_id)}/undo", {}))

    def diff(self, run_id: str | None) -> dict[str, object]:
        """Return a run's id and patch. None: the run that `pick_run` names."""
        query = {"run_id": self.pick_run(run_id)}
        return as_mapping(self.wire.get("direng", f"/sessions/{self.session_id}/diff", query))

    def pick_run(self, prefix: str | None) -> str:
        """Return the full id of the named run, else of the one last reported here, else of the repository's newest.

        Runs that completed without a change are passed over. A run that was neither named nor reported here is told.
        """
        if prefix is not None:
            return self.full_run_id(prefix)
        if self.reported_run_id is not None:
            return self.reported_run_id
        for run in self.runs():
            if run["state"] != "completed" or run["files_changed"]:
                render.note(f"run {run['run_id']}: {run['title']}")
                return str(run["run_id"])
        raise NotFoundError("no run of this repository to act on; see `direng runs`")

    def left_alone(self, run_id: str) -> list[str]:
        """Return what the report of a run told as left alone; nothing for a run of no session, as of `vp`."""
        for session in self.sessions():
            if session.get("run_id") == run_id:
                path = f"/sessions/{session['session_id']}/events"
                for event in self.wire.stream("direng", "GET", path, after=0):
                    data = as_mapping(event.data["data"])
                    if event.data["kind"] == "report" and data.get("run_id") == run_id:
                        return [str(line) for line in data.get("left_alone") or ()]  # type: ignore[attr-defined]  # a JSON list
        return []

    def _keep_report(self, event: dict[str, object]) -> None:
        """Remember the run of a report, unless it completed without a change: there is nothing to take from it."""
        if event["kind"] == "report":
            data = as_mapping(event["data"])
            if data["state"] != "completed" or data["files"]:
                self.reported_run_id = str(data["run_id"])

    def full_run_id(self, prefix: str) -> str:
        """Return the one run of the repository whose id starts with `prefix`."""
        matches = [str(run["run_id"]) for run in self.runs() if str(run["run_id"]).startswith(prefix)]
        if len(matches) != 1:
            raise NotFoundError(
                f"{'no run starts' if not matches else f'{len(matches)} runs start'} with {prefix}; see `direng runs`"
            )
        return matches[0]

    def active_session(self) -> tuple[str, str] | None:
        """Return (session id, run id) of a run of this repository that is still going on, if one is."""
        active = {str(run["run_id"]) for run in self.runs() if run["state"] not in FINAL_RUN_STATES}
        for session in self.sessions():
            if session.get("run_id") in active:
                return str(session["session_id"]), str(session["run_id"])
        return None

    def is_paused(self, run_id: str) -> bool:
        """Return whether a run of this repository waits for the user's word."""
        return any(run["run_id"] == run_id and run["state"] == "paused" for run in self.runs())

    def spend(self) -> dict[str, object]:
        """Return what the session's models may cost and have cost."""
        return as_mapping(as_mapping(self.wire.get("direng", f"/sessions/{self.session_id}"))["spend"])

    def set_budget(self, usd: str) -> dict[str, object]:
        """Set the most that the session's models may cost; return the new state."""
        session = self.wire.post("direng", f"/sessions/{self.session_id}/budget", {"max_cost_usd": usd})
        return as_mapping(as_mapping(session)["spend"])

    def last_context(self) -> dict[str, object] | None:
        """Return the audit of the last context that went to a model in this session."""
        last = None
        for event in self.wire.stream("direng", "GET", f"/sessions/{self.session_id}/events", after=0):
            audit = as_mapping(event.data["data"]).get("context")
            last = as_mapping(audit) if isinstance(audit, dict) else last
        return last

    def resume(self, run_id: str | None, words: str) -> Ending:
        """Tell a paused run of this repository how to go on (None: the one that waits), and follow it to its end."""
        owners = {str(one["run_id"]): str(one["session_id"]) for one in self.sessions() if one.get("run_id")}
        paused = [str(run["run_id"]) for run in self.runs() if run["state"] == "paused"]
        named = self.full_run_id(run_id) if run_id is not None else next(iter(paused), None)
        if named is None or named not in paused or named not in owners:
            raise NotFoundError("no run of a session is paused; see `direng runs` (a project's run: vp resume)")
        owner = Conversation(self.wire, owners[named], self.repo, self.is_json)
        ending = owner.take_turn({"text": words, "purpose": "resume"})
        self.reported_run_id = owner.reported_run_id or self.reported_run_id
        return ending

    def stop(self, run_id: str | None) -> str:
        """End a run now (None: the one that is going on); return its id. Nothing of the user's changes."""
        if run_id is None:
            active = self.active_session()
            if active is None:
                raise NotFoundError("no run is going on; see `direng runs`")
            named = active[1]
        else:
            named = self.full_run_id(run_id)
        self.wire.post("pas", "/pas/v1/runs/terminate", {"run_id": named, "reason": "stopped by the user"})
        return named


def _note_ending(ending: Ending, event: dict[str, object]) -> bool:
    """Keep what an event says of how its turn ends; return whether it was the last."""
    data = as_mapping(event["data"])
    if event["kind"] == "approval_required":
        ending.waits_for_approval = True
    if event["kind"] == "question":
        ending.options = tuple(str(option) for option in data.get("options") or ())  # type: ignore[attr-defined]  # a JSON list
    if event["kind"] != "end":
        return False
    ending.state, ending.exit_code = str(data["state"]), int(str(data["exit_code"]))
    return True


def run_rows(runs: list[dict[str, object]]) -> str:
    """Return the runs as a table."""
    rows = [
        (
            str(run["run_id"]),
            str(run["state"]),
            str(run["badge"] or ""),
            str(run["files_changed"]),
            str(run["branch"]),
            str(run["title"]),
        )
        for run in runs
    ]
    return render.format_table(("RUN", "STATE", "BADGE", "FILES", "BRANCH", "TITLE"), rows)
