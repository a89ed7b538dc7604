"""Plan cards: what a model may answer, what is sent back to it once, and when a question takes the plan's place."""

import asyncio
import json

import pytest

from services.artifacts.store import ObstoreArtifactStore
from services.broker.models import Role
from services.broker.protocol import ModelsUnavailableError
from services.kernel.clock import SystemClock
from services.kernel.db import open_engine, sqlite_url, upgrade_schema
from services.kernel.vocabulary import Lane
from services.pas.calls.broker import BrokerEdge
from services.pas.core.allowlist import load_lane_allowlists
from services.pas.core.control import Gatekeeper, LaneSlots
from services.pas.core.events import Bell
from services.pas.core.ports import CardWork, NoFaults
from services.pas.core.records import NewRun
from services.pas.executors.plan import SUBMIT, PlanExecutor
from services.pas.executors.plan_faults import explain_path, find_faults, plan_schema
from services.pas.executors.recorder import RecorderParts
from services.pas.journal import SqlStepJournal
from services.pas.models import CONTRACT_VERSION, JobCard, PassportBasis, PlanPayload, StartRun, TaskTree
from services.pas.protocol import ModelMissingError
from services.pas.store import SqlPasStore
from services.pas.trees import RepositoryTrees
from tests.fakes.callers import FixedCallers
from tests.fakes.pas import make_repository
from tests.fakes.scripted_broker import Reply, ScriptedBroker, call

ALLOWLISTS = load_lane_allowlists()
CARD = JobCard(
    task_id="plan",
    lane=Lane.CODE_IMPL,
    title="Plan the work",
    configuration="plan/first",
    payload=PlanPayload(intent="add a perimeter to the shapes", context="- shapes.py:1 function area", max_tasks=4),
)


def task(task_id="code", lane="Code-Impl", **fields):
    return {"task_id": task_id, "lane": lane, "title": f"Do {task_id}", "goal": f"Change {task_id}.", **fields}


GOOD = {
    "summary": "add a perimeter",
    "tasks": [
        task("code", files=["shapes.py"]),
        task("docs", "Narrative", files=["README.md"], deps=["code"]),
    ],
}


class Desk:
    """A plan executor over real stores, a real repository and a scripted broker."""

    def __init__(self, folder, parts, work):
        self.folder, self.parts, self.work = folder, parts, work
        self.broker = None

    async def plan(self, *script, broker=None):
        """Run the card; a `broker` of before stands for a restarted server, whose attempt goes on."""
        self.broker = broker or ScriptedBroker(script=list(script))
        edge = BrokerEdge(self.broker, FixedCallers(), None)
        result = await PlanExecutor(edge, self.parts, ALLOWLISTS).execute(self.work)
        tree = None
        if result.outcome.detail is not None:
            tree = TaskTree.model_validate_json(await self.parts.artifacts.get(result.outcome.detail.sha256))
        return result, tree


@pytest.fixture
async def desk(tmp_path):
    repository = make_repository(tmp_path / "repo")
    engine = open_engine(sqlite_url(tmp_path / "pas.db"))
    upgrade_schema(engine, "services.pas")
    store, bell = SqlPasStore(engine), Bell()
    trees = RepositoryTrees(tmp_path / "trees")
    snapshot = await trees.take_snapshot(str(repository))
    basis = PassportBasis(repo=str(repository), prd_sha256="0" * 64, contract_version=CONTRACT_VERSION)
    run = NewRun(
        run_id="run-1",
        start=StartRun(project_id="p-1", passport_basis=basis, max_cost_microusd=500_000),
        repo=str(repository),
        snapshot=snapshot,
        trace_id="t",
        body_sha256="0" * 64,
        cards=(CARD,),
        created_at="2026-11-21T06:00:00.000+00:00",
    )
    await store.create_run(run)
    parts = RecorderParts(
        journal=SqlStepJournal(engine),
        store=store,
        trees=trees,
        artifacts=await ObstoreArtifactStore.open_folder(tmp_path / "artifacts"),
        gatekeeper=Gatekeeper(store, bell, LaneSlots({Lane.CODE_IMPL: 1}), SystemClock()),
        bell=bell,
        clock=SystemClock(),
        faults=NoFaults(),
    )
    folder = tmp_path / "stage"
    folder.mkdir()
    work = CardWork(
        run_id="run-1",
        repo=str(repository),
        card=CARD,
        attempt=1,
        folder=folder,
        base_tree=snapshot.tree,
        tree_in=snapshot.tree,
        cancel=asyncio.Event(),
    )
    yield Desk(folder, parts, work)
    engine.dispose()


async def test_good_plan_is_the_outcome_and_costs_one_call(desk):
    result, tree = await desk.plan(call(SUBMIT, **GOOD))
    assert result.is_success
    assert not result.changes_tree
    assert [(each.task_id, each.lane) for each in tree.tasks] == [("code", Lane.CODE_IMPL), ("docs", Lane.NARRATIVE)]
    assert result.outcome.summary == "2 tasks on Code-Impl, Narrative: add a perimeter"
    (request,) = desk.broker.requests
    assert request.tool_choice == "required"
    assert [tool.name for tool in request.tools] == [SUBMIT]
    assert len(request.model_dump_json()) < 20 * 1024
    receipts = (await desk.parts.store.read_journal("run-1")).receipts
    assert [(receipt.step, receipt.cost_microusd) for receipt in receipts] == [(1, 1000)]
    assert receipts[0].call_id.startswith("run-1:plan:1:")


async def test_faulty_plan_is_repaired_once_with_its_exact_faults(desk):
    bad = {"summary": "x", "tasks": [task("code", deps=["none"], files=["../etc/passwd"]), task("code")]}
    result, tree = await desk.plan(call(SUBMIT, **bad), call(SUBMIT, **GOOD))
    assert result.is_success
    assert len(tree.tasks) == 2
    repair = desk.broker.requests[1].messages[-1]
    assert repair.role is Role.TOOL
    assert "the id code is used twice" in repair.content
    assert "tasks[0].deps: none is no task of this plan" in repair.content
    assert "'../etc/passwd' leaves the repository" in repair.content


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="I would first look at shapes.py."),
        Reply(calls=((SUBMIT, '{"tasks": [' ),)),
        Reply(calls=((SUBMIT, "[]"),)),
        Reply(calls=(("delete_everything", {}),)),
        Reply(calls=((SUBMIT, GOOD),), finish_reason="length"),
        call(SUBMIT, tasks=[]),
        call(SUBMIT, tasks=[task("a", "Kitchen")]),
        call(SUBMIT, tasks=[task(f"t{number}") for number in range(5)]),
        call(SUBMIT, tasks=[task("a", deps=["b"]), task("b", deps=["a"])]),
        call(SUBMIT, tasks=[task("a", deps=["a"])]),
        call(SUBMIT, tasks=[task("a", goal="  ")]),
        call(SUBMIT, tasks=[task("a", files=["secrets/key.txt"])]),
        call(SUBMIT, tasks=[task("a", files=["x.py"]), task("b", files=["x.py"])]),
        call(SUBMIT, tasks=[task("a", shell="rm -rf /")]),
    ],
    ids=[
        "words", "cut JSON", "no object", "wrong tool", "cut answer", "nothing", "unknown lane", "too many", "circle",
        "own dependency", "blank goal", "secret", "clash", "unknown field",
    ],
)  # fmt: skip
async def test_plan_that_stays_wrong_becomes_a_question_after_two_calls(desk, reply):
    result, tree = await desk.plan(reply, reply, call(SUBMIT, **GOOD))
    assert result.is_success
    assert tree.tasks == ()
    assert tree.question.startswith("The plan was refused twice")
    assert len(tree.options) == 2
    assert len(desk.broker.requests) == 2


async def test_question_of_the_model_is_the_outcome_and_its_guess_is_dropped(desk):
    asked = {"question": "Of which shapes?", "options": ["rectangles", "all"], "tasks": [task("code")]}
    _, tree = await desk.plan(call(SUBMIT, **asked))
    assert tree.question == "Of which shapes?"
    assert tree.options == ("rectangles", "all")
    assert tree.tasks == ()


async def test_every_call_of_a_turn_is_answered_before_the_repair(desk):
    twice = Reply(calls=((SUBMIT, {"tasks": []}), (SUBMIT, GOOD)))
    await desk.plan(twice, call(SUBMIT, **GOOD))
    answers = [message.tool_call_id for message in desk.broker.requests[1].messages if message.role is Role.TOOL]
    assert answers == [each.call_id for each in desk.broker.requests[1].messages[2].tool_calls]


async def test_restarted_attempt_repeats_no_call(desk):
    bad = call(SUBMIT, tasks=[])
    await desk.plan(bad, ModelsUnavailableError("away"))
    # The failed repair is recorded too: the attempt ends as it did, whoever runs it again.
    again, _ = await desk.plan(broker=ScriptedBroker(script=[bad, call(SUBMIT, **GOOD)]))
    assert not again.is_success
    assert again.reason == "away"
    assert desk.broker.requests == []


async def test_finished_plan_is_read_from_the_journal_after_a_restart(desk):
    _, first = await desk.plan(call(SUBMIT, **GOOD))
    _, again = await desk.plan(broker=ScriptedBroker())
    assert again == first
    assert desk.broker.requests == []


async def test_model_that_is_away_fails_the_card_with_its_reason(desk):
    result, tree = await desk.plan(ModelsUnavailableError("every model of the chain failed: first: timeout"))
    assert not result.is_success
    assert tree is None
    assert "timeout" in result.reason


async def test_cancelled_card_asks_nobody(desk):
    desk.work.cancel.set()
    result, _ = await desk.plan(call(SUBMIT, **GOOD))
    assert result.is_cancelled
    assert desk.broker.requests == []


async def test_server_without_a_broker_refuses_the_card(desk):
    with pytest.raises(ModelMissingError):
        await PlanExecutor(None, desk.parts, ALLOWLISTS).execute(desk.work)


def test_schema_has_no_references_and_names_the_six_lanes():
    text = json.dumps(plan_schema(7))
    assert "$ref" not in text
    assert all(lane.value in text for lane in Lane)
    assert plan_schema(7)["properties"]["tasks"]["maxItems"] == 7


def test_tasks_in_a_chain_may_change_the_same_file():
    tasks = [task("a", files=["x.py"]), task("b", deps=["a"]), task("c", files=["x.py"], deps=["b"])]
    assert find_faults({"tasks": tasks}, 4, ALLOWLISTS) == ()


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b", "C:/x", "a\\b", "", " ", "x\0y", "~/x", ".git/config"])
def test_path_that_is_none_of_the_repository_is_named(path):
    assert explain_path(path)


@pytest.mark.parametrize("path", ["x.py", "a/b/c.md", ".github/workflows/ci.yml", "späße.txt"])
def test_path_of_the_repository_is_fine(path):
    assert explain_path(path) == ""
