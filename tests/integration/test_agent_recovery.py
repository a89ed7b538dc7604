"""kill -9 of a real server in the middle of an agent card; the next one goes on, pays nothing twice, ends the same."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from services.kernel.vocabulary import RunState
from services.pas.passport.signature import verify_passport
from tests.fakes.agent_repository import SCRIPT, make_shop, mend_shop
from tests.fakes.agent_server import open_server, write_script
from tests.fakes.identity import ENGINEER

pytestmark = pytest.mark.sandbox
ROOT = Path(__file__).parents[2]
CALLS = 4
POINTS = [
    ("agent_model_called", 1),
    ("agent_tool_ran", 3),
    ("agent_checked", 2),
    ("agent_step_recorded", 8),
]
"""Fault point and which passing: the first model call, the patch, the last check, the record of the patch.

`tests/unit/pas/test_agent_restart.py` has every passing of every point, without a process."""


def _serve(home, fault, count, request=None):
    text = "" if request is None else request.model_dump_json()
    return subprocess.run(
        [sys.executable, "-m", "tests.fakes.agent_server", str(home), fault, str(count)],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _query(home, sql):
    connection = sqlite3.connect(home / "pas.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def _paid(home):
    rows = [json.loads(line) for line in (home / "ledger.jsonl").read_text().splitlines()]
    return [json.loads(row["completion"])["call_id"] for row in rows if row["kind"] == "call"]


def _start(folder):
    home = folder / "home"
    write_script(home, SCRIPT)
    return home, mend_shop(make_shop(folder / "repo"), has_test_cards=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Tree, paid calls and step keys of the run when nothing happens to it."""
    home, request = _start(tmp_path_factory.mktemp("undisturbed"))
    ended = _serve(home, "none", 0, request)
    assert (ended.returncode, ended.stderr) == (0, "")
    (result,) = _query(home, "SELECT result FROM runs")
    return json.loads(result[0])["tree"], _paid(home), _query(home, "SELECT key FROM steps ORDER BY number")


@pytest.mark.parametrize(("point", "count"), POINTS)
async def test_killed_card_goes_on_from_its_last_recorded_step(tmp_path, point, count, undisturbed):
    tree, paid, keys = undisturbed
    home, request = _start(tmp_path)
    killed = _serve(home, point, count, request)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = _query(home, "SELECT number, key, result FROM steps ORDER BY number")

    ended = _serve(home, "none", 0)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert _query(home, "SELECT number, key, result FROM steps ORDER BY number")[: len(before)] == before
    assert _query(home, "SELECT key FROM steps ORDER BY number") == keys, "no step was repeated"
    assert _paid(home) == paid, "no call was paid twice"
    assert len(paid) == len(set(paid)) == CALLS
    async with open_server(home) as parts:
        view = await parts.service.get_run(ENGINEER, "run-shop")
        receipts = await parts.service.list_receipts(ENGINEER, "run-shop")
        passport = verify_passport(await parts.service.get_passport(ENGINEER, "run-shop"), home)
    assert (view.state, view.result_tree, passport.result_tree) == (RunState.COMPLETED, tree, tree)
    assert [receipt.step for receipt in receipts] == [1, 2, 3, 4, 0]
    assert view.cost_microusd == CALLS * 1000


async def test_card_survives_a_kill_at_every_start(tmp_path, undisturbed):
    tree, paid, _ = undisturbed
    home, request = _start(tmp_path)
    for point, count in [("agent_checked", 1), ("agent_tool_ran", 4), ("agent_checked", 1)]:
        assert _serve(home, point, count, request).returncode == -signal.SIGKILL
        request = None
    assert _serve(home, "none", 0).returncode == 0
    assert _paid(home) == paid
    (result,) = _query(home, "SELECT result FROM runs")
    assert json.loads(result[0])["tree"] == tree
