"""kill -9 of a real server process at the named fault points; then a new one takes the run to the same end."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from services.kernel.vocabulary import RunState
from services.pas.models import EventKind, TreeRef
from services.pas.passport.signature import verify_passport
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER

pytestmark = pytest.mark.sandbox
ROOT = Path(__file__).parents[2]
RUN_ID = "run-recovery"


def _request(repository):
    return fake.start(
        repository,
        fake.check_tests("base", tree=TreeRef.BASE),
        fake.rename("code", "area", "surface"),
        fake.rename("text", "area", "surface", "code", part="mentions"),
        fake.check_tests("tests", "code", "text"),
        run_id=RUN_ID,
    )


def _serve(home, fault, request=None):
    """Run a server process on the home; return how it ended."""
    text = "" if request is None else request.model_dump_json()
    return subprocess.run(
        [sys.executable, "-m", "tests.fakes.pas", str(home), fault],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


async def _read(home):
    async with fake.running_pas(home) as parts:
        view = await parts.service.get_run(ENGINEER, RUN_ID)
        receipts = await parts.service.list_receipts(ENGINEER, RUN_ID)
        events = [event async for event in parts.service.watch_run(ENGINEER, RUN_ID)]
        passport = await parts.service.get_passport(ENGINEER, RUN_ID)
    return view, receipts, events, verify_passport(passport, home)


def _receipts_in_database(home):
    with sqlite3.connect(home / "pas.db") as connection:
        rows = connection.execute("SELECT receipt_id FROM receipts ORDER BY position").fetchall()
    connection.close()
    return [row[0] for row in rows]


@pytest.fixture(scope="module")
def undisturbed_tree(tmp_path_factory):
    """The tree that the run ends with when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    repository = fake.make_repository(folder / "repo")
    assert _serve(folder / "home", "none", _request(repository)).returncode == 0
    with sqlite3.connect(folder / "home" / "pas.db") as connection:
        (result,) = connection.execute("SELECT result FROM runs").fetchone()
    connection.close()
    return json.loads(result)["tree"]


@pytest.mark.parametrize("fault", ["card_running", "between_cards", "reporting"])
async def test_killed_run_goes_on_and_ends_with_the_same_tree(tmp_path, fault, undisturbed_tree):
    repository, home = fake.make_repository(tmp_path / "repo"), tmp_path / "home"
    killed = _serve(home, fault, _request(repository))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = _receipts_in_database(home)
    if fault != "card_running":
        assert before, "a card had finished before the kill"

    ended = _serve(home, "none")
    assert (ended.returncode, ended.stderr) == (0, "")
    view, receipts, events, passport = await _read(home)

    assert (view.state, view.result_tree) == (RunState.COMPLETED, undisturbed_tree)
    assert passport.result_tree == undisturbed_tree
    ids = [receipt.receipt_id for receipt in receipts]
    assert ids[: len(before)] == before, "no receipt was lost"
    assert len(ids) == len(set(ids)) == len(view.cards), "no completed step ran twice"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    per_card = Counter(event.task_id for event in events if event.kind is EventKind.RECEIPT)
    assert set(per_card.values()) == {1}
    started = Counter(event.task_id for event in events if event.state == "running")
    done_before = {receipt_id.split(".")[1] for receipt_id in before}
    assert all(started[task_id] == 1 for task_id in done_before)
    assert fake.git(repository, "branch", "--list", "direng/*").split() == [f"direng/{RUN_ID}"]
    assert fake.git(repository, "status", "--porcelain") == ""


async def test_run_survives_a_kill_at_every_start(tmp_path):
    repository, home = fake.make_repository(tmp_path / "repo"), tmp_path / "home"
    assert _serve(home, "card_running", _request(repository)).returncode == -signal.SIGKILL
    assert _serve(home, "between_cards").returncode == -signal.SIGKILL
    assert _serve(home, "reporting").returncode == -signal.SIGKILL
    assert _serve(home, "none").returncode == 0
    view, receipts, _, _ = await _read(home)
    assert view.state is RunState.COMPLETED
    assert len(receipts) == len(view.cards)


async def test_drained_server_leaves_the_run_to_the_next_one(tmp_path):
    repository, home = fake.slow_repository(tmp_path / "repo", 2.0), tmp_path / "home"
    request = fake.start(
        repository, fake.rename("code", "area", "surface"), fake.check_tests("tests", "code"), run_id=RUN_ID
    )
    async with fake.running_pas(home) as parts:
        await parts.service.start_run(ENGINEER, request)
        await fake.wait_until(parts, RUN_ID, lambda view: view.cards[1].state == "running")
    async with fake.running_pas(home) as parts:
        stopped = await parts.service.get_run(ENGINEER, RUN_ID)
        assert stopped.state is RunState.EXECUTING
        view = await fake.finish(parts, RUN_ID)
        receipts = await parts.service.list_receipts(ENGINEER, RUN_ID)
    assert (view.state, view.reason) == (RunState.COMPLETED, "")
    assert [receipt.task_id for receipt in receipts] == ["code", "tests"]


async def test_paused_run_is_still_paused_after_a_restart(tmp_path):
    repository, home = fake.slow_repository(tmp_path / "repo", 1.0), tmp_path / "home"
    request = fake.start(
        repository, fake.check_tests("tests"), fake.rename("code", "area", "surface", "tests"), run_id=RUN_ID
    )
    why = fake.reason(RUN_ID)
    async with fake.running_pas(home) as parts:
        await parts.service.start_run(ENGINEER, request)
        await fake.wait_until(parts, RUN_ID, lambda view: view.cards[0].state == "running")
        await parts.service.pause_run(ENGINEER, why)
    async with fake.running_pas(home) as parts:
        assert (await parts.service.get_run(ENGINEER, RUN_ID)).state is RunState.PAUSED
        await parts.service.resume_run(ENGINEER, why)
        assert (await fake.finish(parts, RUN_ID)).state is RunState.COMPLETED


async def test_run_that_was_stored_but_never_launched_is_launched_at_the_next_start(tmp_path):
    repository, home = fake.make_repository(tmp_path / "repo"), tmp_path / "home"
    async with fake.running_pas(home, is_launching=False) as parts:
        view = await parts.service.start_run(ENGINEER, _request(repository))
        assert view.state is RunState.PENDING
    async with fake.running_pas(home) as parts:
        assert (await fake.finish(parts, RUN_ID)).state is RunState.COMPLETED
