"""What `vp` asks of the services, and which project it means."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from cli import render
from cli.launch import ensure_server
from cli.wire import Wire, as_mapping, as_sequence
from services.home import Home
from services.kernel.errors import DeadlineExceededError, InvalidRequestError, NotFoundError

MAX_PRD_BYTES = 800_000
STILL_RUNNING = "pex.still_running"


@dataclass(frozen=True)
class Ledger:
    """The projects of this home, by id, unique prefix or current."""

    wire: Wire
    home: Home

    @classmethod
    def open(cls) -> "Ledger":
        """Reach the server, starting it when there is none."""
        home = ensure_server(os.environ)
        return cls(Wire(home), home)

    @property
    def _current_file(self) -> Path:
        return self.home.path / "vp.json"

    def set_current(self, project_id: str) -> None:
        """Make a project the one that commands mean when they name none."""
        draft = self._current_file.with_suffix(".tmp")
        draft.write_text(json.dumps({"current": project_id}), encoding="utf-8")
        draft.replace(self._current_file)

    def current(self) -> str:
        """Return the current project; raise NotFoundError with what to do when there is none."""
        try:
            return str(json.loads(self._current_file.read_text(encoding="utf-8"))["current"])
        except (FileNotFoundError, ValueError, KeyError):
            raise NotFoundError("no current project; create one with `vp new`, or name one: see `vp list`") from None

    def find(self, name: str | None) -> dict[str, object]:
        """Return the project that `name` means: an id, a unique prefix, or None for the current one."""
        wanted = name or self.current()
        matches = [project for project in self.all() if str(project["project_id"]).startswith(wanted)]
        exact = [project for project in matches if project["project_id"] == wanted]
        if exact:
            return exact[0]
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(str(project["project_id"]) for project in matches[:5])
            raise InvalidRequestError(f"{wanted} means {len(matches)} projects ({names}); give more of the id")
        raise NotFoundError(f"there is no project {wanted}; see `vp list`")

    def all(self, query: Mapping[str, str] | None = None) -> list[dict[str, object]]:
        """Return projects, newest first."""
        return as_sequence(self.wire.get("plms", "/api/projects", query))

    def newest_estimate(self, project: Mapping[str, object]) -> dict[str, object]:
        """Return the project's newest estimate; raise NotFoundError when there is none."""
        estimates = as_sequence(self.wire.get("plms", f"/api/projects/{project['project_id']}/estimates"))
        if not estimates:
            raise NotFoundError(f"project {project['project_id']} has no estimate yet; run `vp estimate`")
        return estimates[0]

    def ask_patiently(self, project: Mapping[str, object], verb: str, body: Mapping[str, object]) -> dict[str, object]:
        """Have PEX estimate or simulate; while a model still works on it, ask again: nothing is paid twice."""
        while True:
            try:
                return as_mapping(self.wire.post("pex", f"/api/projects/{project['project_id']}/{verb}", body))
            except DeadlineExceededError as error:
                if error.code != STILL_RUNNING:
                    raise
                render.note(f"{error.detail} (Ctrl-C leaves it running)")

    def approve(
        self,
        project: Mapping[str, object],
        estimate: Mapping[str, object],
        rationale: str,
        max_cost_usd: str | None = None,
    ) -> dict[str, object]:
        """Approve an estimate up to its upper bound (P95), or to what the user allows."""
        time_s = as_mapping(estimate["time_s"])
        bound = estimate["cost_microusd_p95"] if max_cost_usd is None else int(Decimal(max_cost_usd) * 1_000_000)
        body = {
            "estimate_id": estimate["estimate_id"],
            "rationale": rationale,
            "max_cost_microusd": bound,
            "max_time_s": time_s["p95"],
        }
        return as_mapping(self.wire.post("plms", f"/api/projects/{project['project_id']}/approve", body))

    def command(
        self, project: Mapping[str, object], verb: str, reason: str, terms: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """Pause, resume or terminate a project's run; `terms` are a resumed run's new cap and downshift."""
        body = {"reason": reason, **(terms or {})}
        return as_mapping(self.wire.post("pex", f"/api/projects/{project['project_id']}/{verb}", body))

    def status(self, project: Mapping[str, object]) -> dict[str, object]:
        """Return where a project stands."""
        return as_mapping(self.wire.get("pex", f"/api/projects/{project['project_id']}/status"))


def read_prd(value: str) -> str:
    """Return the PRD that `--prd` gives: the content of a file, or the words themselves.

    Raises InvalidRequestError for one that is empty, binary or too large.
    """
    text = value
    if _is_file(value):
        content = Path(value).read_bytes()
        if len(content) > MAX_PRD_BYTES:
            raise InvalidRequestError(
                f"{value} has {len(content)} bytes; a PRD has at most {MAX_PRD_BYTES}: split the project"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequestError(f"{value} is no UTF-8 text; give the PRD as text or Markdown") from None
    if "\0" in text:
        raise InvalidRequestError("the PRD is binary; give it as text or Markdown")
    if not text.strip():
        raise InvalidRequestError("the PRD is empty; say what shall be done")
    return text


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # words too long, or with a NUL, to be a path
        return False
