"""One session with the DirEng service: send a turn, show what it tells, ask for the user's word."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cli import exits, render
from cli.wire import Wire, as_mapping, as_sequence
from services.kernel.errors import NotFoundError, UnavailableError

FINAL_RUN_STATES = frozenset({"completed", "needs_review", "failed", "terminated"})


@dataclass
class Ending:
    """How a turn ended: `state` as in services.direng.models.TurnState; `seq` of its last event."""

    state: str = "failed"
    exit_code: int = exits.FAILED
    seq: int = 0
    waits_for_approval: bool = False


@dataclass
class Conversation:
    """A session bound to a repository."""

    wire: Wire
    session_id: str
    repo: str
    is_json: bool = False
    last: Ending = field(default_factory=Ending)

    @classmethod
    def open(cls, wire: Wire, folder: str, *, is_json: bool = False) -> "Conversation":
        """Open a session on the repository around `folder`; refuses with one clear line."""
        session = as_mapping(wire.post("direng", "/sessions", {"repo": folder}))
        return cls(wire, str(session["session_id"]), str(session["repo"]), is_json)

    def take_turn(self, body: dict[str, object]) -> Ending:
        """Send one turn and show its events until it ends."""
        return self._show(self.wire.stream("direng", "POST", f"/sessions/{self.session_id}/turns", body))

    def follow(self, after: int) -> Ending:
        """Show the events of the session after `after` until its last turn ends."""
        return self._show(self.wire.stream("direng", "GET", f"/sessions/{self.session_id}/events", after=after))

    def _show(self, events: Iterator[object]) -> Ending:
        ending = self.last = Ending(seq=self.last.seq)
        has_ended = False
        for event in events:
            data = event.data  # type: ignore[attr-defined]  # StreamedEvent
            ending.seq = event.seq or ending.seq  # type: ignore[attr-defined]
            if self.is_json:
                render.print_json(data)
            else:
                render.print_event(data)
            if data["kind"] == "approval_required":
                ending.waits_for_approval = True
            if data["kind"] == "end":
                has_ended = True
                end = as_mapping(data["data"])
                ending.state, ending.exit_code = str(end["state"]), int(str(end["exit_code"]))
        if not has_ended:  # http.client ends a broken stream without a word
            raise UnavailableError("the server went away; what it was doing goes on: `direng up`, then `direng runs`")
        return ending

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

    def session_of_newest_run(self, run_id: str | None) -> str:
        """Return the session that owns `run_id` (None: the newest run of the repository)."""
        for session in self.sessions():
            if session.get("run_id") and (run_id is None or str(session["run_id"]).startswith(run_id)):
                return str(session["session_id"])
        raise NotFoundError(
            "no run of this repository to act on; see `direng runs`"
            if run_id is None
            else f"no session of this repository has run {run_id}; see `direng runs`"
        )

    def accept(self, run_id: str | None) -> dict[str, object]:
        """Merge a run's hunks; return what was done."""
        full = None if run_id is None else self.full_run_id(run_id)
        owner = self.session_id if full is not None else self.session_of_newest_run(None)
        return as_mapping(self.wire.post("direng", f"/sessions/{owner}/accept", {"run_id": full}))

    def undo(self) -> dict[str, object]:
        """Take the last accept back."""
        return as_mapping(self.wire.post("direng", f"/sessions/{self.session_of_newest_run(None)}/undo", {}))

    def diff(self, run_id: str | None) -> str:
        """Return a run's patch."""
        full = None if run_id is None else self.full_run_id(run_id)
        owner = self.session_id if full is not None else self.session_of_newest_run(None)
        query = {"run_id": full} if full else None
        return str(as_mapping(self.wire.get("direng", f"/sessions/{owner}/diff", query))["patch"])

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
