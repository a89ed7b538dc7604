"""The agent's run_test in the real sandbox: counts, failing names, and a work folder that no test can change."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from services.artifacts.store import ObstoreArtifactStore
from services.broker.models import ToolCall
from services.kernel.ids import GitOid, RunId
from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import load_lane_allowlists
from services.pas.core.ports import CardWork, NoFaults
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, ToolScene
from services.pas.executors.agent.tools.toolset import open_toolset
from services.pas.executors.workbench import Programs, Workbench
from services.pas.models import AgentPayload, JobCard
from services.vector_ops.protocol import UnindexableError
from tests.fakes.pas import open_isolation

pytestmark = pytest.mark.sandbox

OID = GitOid("0" * 40)
FILES = {
    "price.py": "def total(prices):\n    return sum(prices) + 1\n",
    "tests/test_price.py": (
        "import pathlib\n\nfrom price import total\n\n\n"
        "def test_total():\n    pathlib.Path('price.py').write_text('spoiled')\n    assert total([1, 2]) == 3\n\n\n"
        "def test_type():\n    pathlib.Path('locked').mkdir(mode=0o000)\n    assert isinstance(total([1]), int)\n"
    ),
}


async def _no_index(repo, kind, text, limit):
    raise UnindexableError("there is no index here")


async def _open(tmp_path, files):
    folder = tmp_path / "stage" / "work"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    programs = Programs(python=Path(sys.executable), ruff=Path(sys.executable).with_name("ruff"))
    bench = Workbench(open_isolation(), load_lane_allowlists(), programs, NoFaults())
    artifacts = await ObstoreArtifactStore.open_folder(tmp_path / "artifacts")
    return folder, open_toolset(bench, artifacts, programs, _no_index), artifacts


async def _run(tools, folder, **arguments):
    payload = AgentPayload(goal="Mend the total")
    card = JobCard(task_id="fix", lane=Lane.CODE_IMPL, title="Fix", configuration="agent/first", payload=payload)
    work = CardWork(RunId("run-1"), str(folder), card, 1, folder, OID, OID, asyncio.Event())
    scene = ToolScene(work, folder, load_lane_allowlists()[Lane.CODE_IMPL], {}, "fix.1.s3")
    return await tools.run(ToolCall(call_id="c", name="run_test", arguments=json.dumps(arguments)), scene)


async def test_failing_tests_are_named_and_shown_and_the_work_folder_stays_as_it_was(tmp_path):
    folder, tools, artifacts = await _open(tmp_path, FILES)
    result = await _run(tools, folder)
    assert not result.is_error, result.text
    assert result.tests is not None
    assert (result.tests.counts.passed, result.tests.counts.failed) == (1, 1)
    assert result.tests.failing == ("tests/test_price.py::test_total",)
    assert "assert 4 == 3" in result.text
    assert len(result.text) <= MAX_RESULT_CHARS
    assert (folder / "price.py").read_text() == FILES["price.py"]
    assert [path.name for path in folder.parent.iterdir()] == ["work"], "the copy and its inputs are gone"
    assert result.tests.detail is not None
    report = json.loads(await artifacts.get(result.tests.detail.sha256))
    assert report["failed"] == 1


async def test_chosen_tests_run_alone_and_unknown_ones_are_refused(tmp_path):
    folder, tools, _ = await _open(tmp_path, FILES)
    chosen = await _run(tools, folder, paths=["tests/test_price.py::test_type"])
    assert (chosen.tests.counts.collected, chosen.tests.failing) == (1, ())
    missing = await _run(tools, folder, paths=["tests/test_prise.py"])
    assert missing.is_error
    assert "did you mean tests/test_price.py" in missing.text
    outside = await _run(tools, folder, paths=["../x"])
    assert outside.denied


async def test_a_project_without_tests_is_unknown_and_a_dead_test_process_is_a_failure(tmp_path):
    folder, tools, _ = await _open(tmp_path / "a", {"price.py": "X = 1\n"})
    none = await _run(tools, folder)
    assert none.tests.is_unknown
    dying = {"tests/test_x.py": "import os\n\n\ndef test_x():\n    os._exit(0)\n"}
    folder, tools, _ = await _open(tmp_path / "b", dying)
    dead = await _run(tools, folder)
    assert not dead.tests.is_unknown
    assert dead.tests.failing
