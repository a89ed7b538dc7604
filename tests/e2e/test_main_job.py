"""The main job through the real commands: plan, estimate, approve, run in the sandbox, report, accept, undo."""

import json
import subprocess
import time

from tests.fakes.commands import git

INTENT = "rename stockbook.pricing.compute_total to price_lines everywhere and run the tests"


def tree_of(repo):
    return {
        path.relative_to(repo): path.read_bytes()
        for path in repo.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def test_a_delegated_rename_ends_verified_and_is_accepted_and_undone(platform, sample):
    before, head = tree_of(sample), git("rev-parse", "HEAD", cwd=sample)
    done = platform.direng("implement", INTENT, "--delegate", "--yes", cwd=sample)
    assert done.code == 0, done.out + done.err
    assert "verified" in done.out
    assert tree_of(sample) == before, "nothing may change before the user's word"
    assert git("rev-parse", "HEAD", cwd=sample) == head

    accepted = platform.direng("accept", cwd=sample)
    assert accepted.code == 0, accepted.err
    assert git("status", "--porcelain", cwd=sample) == ""
    assert "def price_lines(" in (sample / "stockbook/pricing.py").read_text()
    assert "def compute_total(self)" in (sample / "stockbook/cart.py").read_text(), "a method of the same name stays"

    undone = platform.direng("undo", cwd=sample)
    assert undone.code == 0, undone.err
    assert tree_of(sample) == before
    assert git("rev-parse", "HEAD", cwd=sample) == head


def test_all_fourteen_steps_leave_events_under_one_trace(platform, sample):
    done = platform.direng("--json", "implement", INTENT, "--delegate", "--yes", cwd=sample)
    events = [json.loads(line) for line in done.out.splitlines()]
    steps = {event["step"] for event in events if event["step"]}
    assert steps == set(range(1, 15))
    delegated = [event for event in events if event["step"]]
    assert len({event["trace_id"] for event in delegated}) == 1


def test_uncommitted_and_untracked_work_survives_byte_for_byte_and_is_never_committed(platform, sample):
    (sample / "stockbook/money.py").write_text((sample / "stockbook/money.py").read_text() + "\n# my unfinished edit\n")
    (sample / "notes.txt").write_bytes(b"private\r\nnotes\xff")
    before = tree_of(sample)
    done = platform.direng("implement", INTENT, "--delegate", "--yes", cwd=sample)
    assert done.code == 0, done.out + done.err
    assert tree_of(sample) == before
    assert platform.direng("accept", cwd=sample).code == 0
    assert (sample / "notes.txt").read_bytes() == b"private\r\nnotes\xff"
    committed = git("show", "--stat", "--format=", "HEAD", cwd=sample)
    assert "money.py" not in committed
    assert "notes.txt" not in committed
    assert git("status", "--porcelain", cwd=sample).split() == ["M", "stockbook/money.py", "??", "notes.txt"]
    assert platform.direng("undo", cwd=sample).code == 0
    assert tree_of(sample) == before


def test_an_edit_made_meanwhile_in_the_same_lines_makes_accept_refuse_with_exit_6(platform, sample):
    assert platform.direng("implement", INTENT, "--delegate", "--yes", cwd=sample).code == 0
    source = sample / "stockbook/pricing.py"
    source.write_text(source.read_text().replace("def compute_total(", "def compute_grand_total("))
    before, head = tree_of(sample), git("rev-parse", "HEAD", cwd=sample)
    refused = platform.direng("accept", cwd=sample)
    assert refused.code == 6
    assert "pricing.py" in refused.err
    assert (tree_of(sample), git("rev-parse", "HEAD", cwd=sample)) == (before, head)


def test_vp_takes_a_project_from_prd_to_artifacts(platform, sample):
    created = platform.vp("new", "--title", "Rename", "--prd", INTENT, "--json", "project_id,state", cwd=sample)
    assert created.code == 0, created.err
    project = json.loads(created.out)["project_id"]
    assert json.loads(platform.vp("estimate", project[:10], "--json", "label,uses_model", cwd=sample).out) == {
        "label": "prior-led",
        "uses_model": False,
    }
    assert platform.vp("start", "--no-input", cwd=sample).code == 2
    assert platform.vp("approve", "--yes", cwd=sample).code == 0
    assert platform.vp("start", cwd=sample).code == 0
    followed = platform.vp("logs", "--tail", "100", "--follow", cwd=sample)
    assert "rename" in followed.out
    status = wait_for(platform, sample, "completed")
    assert status["run"]["badge"] == "verified"
    paths = {item["path"] for item in json.loads(platform.vp("artifacts", "-o", "json", cwd=sample).out)}
    assert any(path.endswith("diff.patch") for path in paths)
    listed = json.loads(platform.vp("list", "-o", "json", cwd=sample).out)
    assert [(item["project_id"], item["state"]) for item in listed] == [(project, "completed")]


def wait_for(platform, repo, state):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        project = json.loads(platform.vp("show", "-o", "json", cwd=repo).out)
        if project["state"] == state:
            return json.loads(platform.vp("status", "-o", "json", cwd=repo).out)
        time.sleep(0.2)
    raise AssertionError(f"the project did not become {state}: {project['state']} {project['reason']}")


def test_index_questions_are_answered_with_places_and_a_stamp(platform, sample):
    where = platform.direng("ask", "where is net_amount", cwd=sample)
    assert (where.code, "stockbook/pricing.py:14" in where.out, "fresh" in where.out) == (0, True, True)
    (sample / "stockbook/extra.py").write_text("def brand_new_thing():\n    return 1\n")
    dirty = platform.direng("ask", "where is brand_new_thing", cwd=sample)
    assert "stockbook/extra.py:1" in dirty.out
    assert "uncommitted" in dirty.out


def test_a_repository_with_folders_named_services_and_cli_is_worked_on_not_imported(platform, tmp_path):
    repo = tmp_path / "lookalike"
    for name in ("services", "cli"):
        (repo / name).mkdir(parents=True)
        (repo / name / "__init__.py").write_text("")
    (repo / "services/core.py").write_text("def old_name():\n    return 41\n")
    (repo / "cli/main.py").write_text("from services.core import old_name\n\n\ndef run():\n    return old_name() + 1\n")
    (repo / "tests").mkdir()
    (repo / "tests/test_it.py").write_text("from cli.main import run\n\n\ndef test_it():\n    assert run() == 42\n")
    git("init", "-q", "-b", "main", cwd=repo)
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "x", cwd=repo)
    done = platform.direng(
        "implement", "rename old_name to new_name and run the tests", "--delegate", "--yes", cwd=repo
    )
    assert done.code == 0, done.out + done.err
    assert "1 of 1 tests passed" in done.out
    assert platform.direng("accept", cwd=repo).code == 0
    assert "from services.core import new_name" in (repo / "cli/main.py").read_text()


def test_a_direct_run_is_stopped_on_request_and_changes_nothing(platform, sample):
    (sample / "tests/test_slow.py").write_text("import time\n\n\ndef test_slow():\n    time.sleep(60)\n")
    before = tree_of(sample)
    told = subprocess.Popen(
        ["direng", "implement", "run the tests", "--direct"],
        cwd=sample,
        env=platform.environment(),
        stdin=subprocess.DEVNULL,
    )
    wait_until(lambda: any(run["state"] == "executing" for run in runs_of(platform, sample)))
    stopped = platform.direng("stop", cwd=sample)
    assert stopped.code == 0, stopped.err
    assert told.wait(timeout=30) == 1, "a stopped run is no success"
    assert [run["state"] for run in runs_of(platform, sample)] == ["terminated"]
    assert tree_of(sample) == before
    again = platform.direng("stop", cwd=sample)
    assert (again.code, "no run is going on" in again.err) == (1, True)


def runs_of(platform, repo):
    return json.loads(platform.direng("runs", "--json", cwd=repo).out)


def wait_until(is_true, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
