"""One platform, one scripted model server and one small repository, for many runs that go wrong in different ways."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import pas as fake
from tests.fakes.commands import Platform, git
from tests.fakes.model_server.fixtures import RemoteModelServer, run_model_server

WAIT_S = 60
RESTING = {"completed", "needs_review", "failed", "terminated", "paused"}
CAP_MICROUSD = 2_000_000
USAGE = {"input": 1000, "output": 100}
CALL_MICROUSD = 4500
"""What a call of that usage costs at 3 and 15 USD a million."""
PRICE = {"input_microusd": 3_000_000, "output_microusd": 15_000_000, "source": "operator"}
NOTES = "# Notes\n\nold line\n"
FILES = {
    "docs/notes.md": NOTES,
    "shop.py": "def total(prices):\n    return sum(prices)\n",
    "tests/test_shop.py": "from shop import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
    ".gitignore": ".env\n",
}
EDIT = {"path": "docs/notes.md", "search": "old line", "replace": "new line"}


class Surroundings(Platform):
    """A platform whose environment holds something that is nobody's business, and the keys of a test."""

    variables: dict[str, str] = {}  # noqa: RUF012 - replaced per instance

    def environment(self):
        return super().environment() | self.variables


@dataclass
class Stage:
    """What a test needs: the commands, the services over HTTP, the models' side of it all."""

    platform: Surroundings
    server: RemoteModelServer
    repo: Path
    head: str

    def send(self, method, service, path, body=None):
        """Return the status and the body of one request to a service, as its operator."""
        info = json.loads((self.platform.home / "server.json").read_text())
        request = urllib.request.Request(
            f"http://127.0.0.1:{info['ports'][service]}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {info['tokens'][service]}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def get(self, service, path):
        status, body = self.send("GET", service, path)
        assert status == 200, body
        return body

    def direng(self, *argv):
        return self.platform.direng(*argv, cwd=self.repo)

    def add_model(self, alias, **fields):
        """Configure a model of that name at the scripted server, and make it the default."""
        model = {
            "alias": alias,
            "provider": "local_llama",
            "model": alias,
            "base_url": self.server.openai_url,
            "price": PRICE,
            "context_tokens": 32_000,
        }
        status, body = self.send("PUT", "broker", f"/v1/models/{alias}", model | fields)
        assert status == 200, body
        assert self.send("POST", "broker", f"/v1/models/{alias}/default")[0] == 200

    def keep_key(self, alias, name, key):
        """Put a key into the vault under a name, for a model that is configured with it."""
        done = subprocess.run(
            ["direng", "model", "add", alias, "--provider", "local_llama", "--model", alias, "--url",
             self.server.openai_url, "--price-in", "3", "--price-out", "15", "--key", f"vault:{name}", "--key-stdin",
             "--default", "--no-test"],
            cwd=self.repo, env=self.platform.environment(), input=f"{key}\n", capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def play(self, *rules, **script):
        """Put a script in force and forget what was asked before."""
        self.server.play({"rules": list(rules), **script})
        self.server.reset()

    def start(self, run_id, *cards, **fields):
        """Return what starting a run answers."""
        basis = {"repo": str(self.repo), "prd_sha256": "0" * 64, "contract_version": "2026-11-21-001"}
        body = {
            "project_id": f"p-{run_id}",
            "run_id": run_id,
            "cards": list(cards),
            "passport_basis": basis,
            "max_cost_microusd": CAP_MICROUSD,
        }
        return self.send("POST", "pas", "/pas/v1/runs/start", body | fields)

    def wait(self, run_id, states=RESTING):
        """Return the run once it is in one of the states."""
        deadline = time.monotonic() + WAIT_S
        while (run := self.get("pas", f"/pas/v1/runs/status?run_id={run_id}"))["state"] not in states:
            assert time.monotonic() < deadline, (run["state"], run["reason"], run["cards"])
            time.sleep(0.05)
        return run

    def work(self, alias, rules, *, lane="Narrative", **script):
        """Return the run of one agent card whose model plays `rules`, once it rests."""
        self.play(*rules, **script)
        status, body = self.start(f"run-{alias}", card("t1", alias, lane=lane))
        assert status == 200, body
        return self.wait(f"run-{alias}")

    def attempts(self, run_id):
        """Return the ledger's rows of a run, oldest first."""
        return list(reversed(self.get("broker", f"/v1/ledger?kind=run&id={run_id}&limit=1000")))

    def receipts(self, run_id):
        """Return the receipts of a run's model attempts."""
        return [one for one in self.get("pas", f"/pas/v1/runs/{run_id}/receipts") if one["step"] > 0]

    def events(self, run_id):
        """Return the events of a run that has ended."""
        info = json.loads((self.platform.home / "server.json").read_text())
        request = urllib.request.Request(
            f"http://127.0.0.1:{info['ports']['pas']}/pas/v1/runs/{run_id}/events",
            headers={"Authorization": f"Bearer {info['tokens']['pas']}"},
        )
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            lines = answer.read().decode().splitlines()
        return [json.loads(line[5:]) for line in lines if line.startswith("data:")]

    def requests(self, alias):
        """Return what the model of that name was asked."""
        return [one for one in self.server.requests() if (one["body"] or {}).get("model") == alias]

    def logs(self):
        """Return all that the server wrote down in its logs."""
        return "".join(file.read_text(errors="replace") for file in self.platform.home.rglob("*.log"))

    @contextmanager
    def policy(self, **fields) -> Iterator[None]:
        """Put a broker policy in force while the block lasts."""
        file = self.platform.home / "model_broker.json"
        file.write_text(json.dumps({"version": "2026-11-21-001", "lane_overrides": {}, "fallback_chain": []} | fields))
        try:
            yield
        finally:
            file.unlink()

    def assert_sound(self, run):
        """Hold a run that has ended, however, against what must be true of every run."""
        attempts = self.attempts(run["run_id"])
        assert {attempt["state"] for attempt in attempts} <= {"settled", "failed"}
        assert sum(attempt["cost_microusd"] for attempt in attempts) == run["cost_microusd"] <= run["cap_microusd"]
        budget = self.get("broker", f"/v1/budgets?kind=run&id={run['run_id']}")
        assert (budget["reserved_microusd"], budget["spent_microusd"]) == (0, run["cost_microusd"])
        for reason in [run["reason"], *(each["reason"] for each in run["cards"])]:
            assert "\n" not in reason
            assert "Traceback" not in reason
        assert "Traceback" not in self.logs()
        assert (git("status", "--porcelain", cwd=self.repo), git("rev-parse", "HEAD", cwd=self.repo)) == ("", self.head)
        assert (self.repo / "docs/notes.md").read_text() == NOTES
        assert len(git("worktree", "list", cwd=self.repo).splitlines()) == 1, "no folder of a card is left behind"


def card(task_id, alias, *, lane="Narrative", goal="change the line", **payload):
    """Return one agent card."""
    return {
        "task_id": task_id,
        "lane": lane,
        "title": goal[:100],
        "configuration": f"agent/{alias}",
        "payload": {"kind": "agent", "goal": goal, "alias": alias, **payload},
    }


def call(*calls):
    """Return a reply that calls tools, each (name, arguments)."""
    return {"tool_calls": [{"name": name, "arguments": arguments} for name, arguments in calls], "usage": USAGE}


def at(turn, reply, **more):
    """Return the rule of one turn; `more` is its fault."""
    return {"when": {"tools_include": "finish", "turn": turn}, "reply": reply} | more


PATCH = call(("fs_patch", {"edits": [EDIT]}))
FINISH = call(("finish", {"summary": "changed it", "status": "done"}))


@contextmanager
def open_stage(folder: Path, **variables) -> Iterator[Stage]:
    """Start everything, and stop it at the end."""
    repo = fake.make_repository(folder / "repo", FILES)
    platform = Surroundings(folder / "home")
    platform.variables = variables
    with run_model_server({"rules": []}, folder) as server:
        started = platform.direng("up", cwd=repo)
        assert started.code == 0, started.err
        try:
            yield Stage(platform, server, repo, git("rev-parse", "HEAD", cwd=repo))
        finally:
            platform.direng("down", cwd=repo)
