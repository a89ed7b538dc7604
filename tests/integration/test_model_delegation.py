"""A delegation that a model plans and models carry out: the real services, real HTTP to a scripted model server."""

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.broker.models import NewModel, Price, Provider
from services.home import Home
from services.kernel.vocabulary import DelegationState, Lane, RunKind, RunState
from services.pas.models import Badge
from services.pex.models import (
    ApprovalReply,
    Constraints,
    DelegationContext,
    DelegationRequest,
    ProjectRunCommand,
    SimulateProject,
    StartProject,
)
from services.pex.protocol import ModelNeededError
from services.plms.models import Approval, Label, NewProject
from services.topology import Opened, Wiring, embedded
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER
from tests.fakes.model_server import ScriptedModelServer

pytestmark = pytest.mark.sandbox
WAIT_S = 120
INTENT = "give the shapes a perimeter, and mention it in the README"
YES = ApprovalReply(approved=True, idempotency_key="key-0001", rationale="the engineer said yes")
FREE = Price(input_microusd=0, output_microusd=0, source="operator")
PLAN = {
    "summary": "add a perimeter",
    "tasks": [
        {
            "task_id": "perimeter",
            "lane": "Code-Impl",
            "title": "Add perimeter",
            "goal": "Add perimeter(width, height) to shapes.py.",
            "files": ["shapes.py"],
        },
        {
            "task_id": "readme",
            "lane": "Narrative",
            "title": "Mention perimeter",
            "goal": "Mention perimeter in README.md.",
            "files": ["README.md"],
            "deps": ["perimeter"],
            "complexity": "small",
        },
    ],
}


def call(tool, **arguments):
    return {"tool_calls": [{"name": tool, "arguments": arguments}], "usage": {"input": 1000, "output": 100}}


def work(goal, path, search, replace):
    """Return the rules of one agent: it reads a file, edits it and says that it is done."""
    turns = (
        call("fs_read", path=path),
        call("fs_patch", edits=[{"path": path, "search": search, "replace": replace}]),
        call("finish", summary=f"changed {path}", status="done"),
    )
    return [
        {"when": {"user_contains": goal, "tools_include": "fs_patch", "turn": number}, "reply": reply}
        for number, reply in enumerate(turns)
    ]


FUNCTION = "    return width * height\n\n\ndef perimeter(width, height):\n    return 2 * (width + height)\n"
PLANNING = [{"when": {"tools_include": "submit_plan"}, "reply": call("submit_plan", **PLAN)}]
CODE = work("Add perimeter(width, height)", "shapes.py", "    return width * height\n", FUNCTION)
PROSE = work("Mention perimeter", "README.md", "# Shapes\n", "# Shapes\n\nCall `perimeter` to get the perimeter.\n")
SCRIPT = [*PLANNING, *CODE, *PROSE]


@dataclass
class Platform:
    """The open services and the repository that is worked on."""

    opened: Opened
    repository: str

    @property
    def pex(self):
        return self.opened.pex.service

    async def delegate(self, intent=INTENT, **constraints):
        request = DelegationRequest(
            intent=intent,
            context=DelegationContext(repo=self.repository),
            constraints=Constraints(**constraints),
            rationale="the engineer asked",
        )
        delegation = await self.pex.delegate(ENGINEER, request)
        await self.follow(delegation.delegation_id)
        return await self.pex.get_delegation(ENGINEER, delegation.delegation_id)

    async def follow(self, delegation_id, after_seq=0):
        async with asyncio.timeout(WAIT_S):
            return [event async for event in self.pex.watch_delegation(ENGINEER, delegation_id, after_seq)]

    async def wait_for(self, delegation_id, kind):
        async with asyncio.timeout(WAIT_S):
            async for event in self.pex.watch_delegation(ENGINEER, delegation_id):
                if event.kind == kind:
                    return event
        raise AssertionError(f"the delegation ended without {kind}")

    async def wait_until_paused(self, project_id):
        async with asyncio.timeout(WAIT_S):
            while True:
                status = await self.pex.get_status(ENGINEER, project_id)
                if status.run is not None and status.run.state is RunState.PAUSED:
                    return status
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_platform(home, repository, server=None):
    async with embedded(Home(home), Wiring()) as platform:
        if server is not None:
            await platform.opened.broker.service.add_model(ENGINEER, configure(server.openai_url))
        yield Platform(platform.opened, str(repository))


def configure(url):
    price = Price(input_microusd=2_000_000, output_microusd=10_000_000, source="operator")
    return NewModel(
        alias="scripted",
        provider=Provider.LOCAL_LLAMA,
        model="scripted",
        base_url=url,
        price=price,
        context_tokens=32_000,
    )


async def test_model_plans_within_the_schema_and_the_plan_waits_for_approval(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with (
        ScriptedModelServer(PLANNING) as server,
        open_platform(tmp_path / "home", repository, server) as platform,
    ):
        waiting = await platform.delegate()
        assert waiting.state is DelegationState.AWAITING_APPROVAL, waiting.reason
        assert [(card.task_id, card.lane, card.deps) for card in waiting.plan.cards[1:-1]] == [
            ("perimeter", Lane.CODE_IMPL, ()),
            ("readme", Lane.NARRATIVE, ("perimeter",)),
        ]
        assert waiting.plan.planning.cost_microusd == 1000 * 2 + 100 * 10
        assert waiting.estimate.uses_model
        assert waiting.estimate.cost_microusd.p95 > waiting.estimate.cost_microusd.p50 > 0
        texts = [event.text for event in await platform.follow(waiting.delegation_id)]
        assert "planning cost $0.0030 with scripted" in texts
        metrics = await platform.opened.plms.service.get_metrics(ENGINEER, waiting.project_id)
        assert metrics.total_cost_microusd == 3000
        assert len(server.requests) == 1


async def test_approved_plan_runs_on_two_lanes_and_comes_back_verified(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with ScriptedModelServer(SCRIPT) as server, open_platform(tmp_path / "home", repository, server) as platform:
        waiting = await platform.delegate()
        await platform.pex.approve(ENGINEER, waiting.delegation_id, YES)
        await platform.follow(waiting.delegation_id)
        done = await platform.pex.get_delegation(ENGINEER, waiting.delegation_id)
        assert done.state is DelegationState.DONE, done.reason
        run = done.report.run
        assert (run.state, run.badge) == (RunState.COMPLETED, Badge.VERIFIED), run
        assert {card.lane for card in run.cards if card.configuration == "agent/scripted"} == {
            Lane.CODE_IMPL,
            Lane.NARRATIVE,
        }
        shown = fake.git(repository, "show", run.branch)
        assert "+def perimeter(width, height):" in shown
        assert "+Call `perimeter` to get the perimeter." in shown
        assert fake.git(repository, "status", "--porcelain") == ""
        assert run.cost_microusd == done.report.budget.spent_microusd == 6 * 3000
        assert "$0.0180 spent" in done.report.summary
        metrics = await platform.opened.plms.service.get_metrics(ENGINEER, waiting.project_id)
        assert metrics.total_cost_microusd == 7 * 3000
        assert len(server.requests) == 7


async def test_run_that_will_cost_too_much_is_paused_with_facts_and_goes_on_under_a_new_cap(tmp_path):
    dear = work("Add perimeter(width, height)", "shapes.py", "    return width * height\n", FUNCTION)
    dear[0]["reply"]["usage"] = {"input": 350_000, "output": 0}
    dear[1]["fault"] = {"kind": "slow", "delay_s": 1}  # the guard looks at most twice a second
    script = [*PLANNING, *dear, *PROSE]
    repository = fake.make_repository(tmp_path / "repo")
    async with ScriptedModelServer(script) as server, open_platform(tmp_path / "home", repository, server) as platform:
        waiting = await platform.delegate(max_cost_usd="1.00")
        await platform.pex.approve(ENGINEER, waiting.delegation_id, YES)
        told = await platform.wait_for(waiting.delegation_id, "budget")
        assert "Code-Impl: $0.70 spent" in told.text
        assert "receipt: perimeter scripted: $0.70, 350000 in" in told.text
        assert "A) resume: go on under the cap of $1.00" in told.text
        status = await platform.wait_until_paused(waiting.project_id)
        assert status.run.reason.startswith("projected $")
        assert status.projected_overrun_pct > 25
        calls = len(server.requests)
        command = ProjectRunCommand(reason="worth it", max_cost_usd="5.00")
        await platform.pex.resume_project(ENGINEER, waiting.project_id, command)
        await platform.follow(waiting.delegation_id)
        done = await platform.pex.get_delegation(ENGINEER, waiting.delegation_id)
        assert done.state is DelegationState.DONE, done.reason
        assert done.report.run.badge is Badge.VERIFIED
        assert done.report.budget.cap_microusd == 5_000_000
        assert calls < len(server.requests) == 7


async def test_cap_that_stops_a_call_pauses_the_run_and_a_higher_one_lets_it_go_on(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with ScriptedModelServer(SCRIPT) as server, open_platform(tmp_path / "home", repository, server) as platform:
        waiting = await platform.delegate(max_cost_usd="0.055")
        texts = [event.text for event in await platform.follow(waiting.delegation_id)]
        assert "your cap of $0.0550 is below P05" in texts[-1]
        await platform.pex.approve(ENGINEER, waiting.delegation_id, YES)
        told = await platform.wait_for(waiting.delegation_id, "budget")
        assert "nothing was called" in told.text
        assert "A) raise: " in told.text
        status = await platform.wait_until_paused(waiting.project_id)
        assert status.run.cost_microusd <= 55_000
        assert [line.partition(":")[0] for line in status.budget.options] == ["raise", "terminate"]
        assert len(server.requests) < 4
        command = ProjectRunCommand(reason="worth it", max_cost_usd="1.00")
        await platform.pex.resume_project(ENGINEER, waiting.project_id, command)
        await platform.follow(waiting.delegation_id)
        done = await platform.pex.get_delegation(ENGINEER, waiting.delegation_id)
        assert done.state is DelegationState.DONE, done.reason
        assert len(server.requests) == 7


async def test_free_model_works_under_a_cap_of_nothing(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with ScriptedModelServer(SCRIPT) as server, open_platform(tmp_path / "home", repository) as platform:
        free = configure(server.openai_url).model_copy(update={"price": FREE})
        await platform.opened.broker.service.add_model(ENGINEER, free)
        waiting = await platform.delegate()
        assert waiting.estimate.cost_microusd.p95 == 0
        await platform.pex.approve(ENGINEER, waiting.delegation_id, YES)
        await platform.follow(waiting.delegation_id)
        done = await platform.pex.get_delegation(ENGINEER, waiting.delegation_id)
        assert done.state is DelegationState.DONE, done.reason
        assert done.report.budget.spent_microusd == 0
        assert done.report.projected_overrun_pct < 0


async def test_rehearsal_costs_little_moves_the_estimate_and_leaves_no_branch(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with ScriptedModelServer(SCRIPT) as server, open_platform(tmp_path / "home", repository, server) as platform:
        new = NewProject(title="Shapes", prd=INTENT, repo=platform.repository)
        project = await platform.opened.plms.service.create_project(ENGINEER, new)
        order = SimulateProject(rehearsal=0.05, rationale="to know more")
        simulation = await platform.pex.simulate_project(ENGINEER, project.project_id, order)
        assert (simulation.strata, simulation.cards_rehearsed) == (2, 2)
        assert simulation.run.run_kind is RunKind.REHEARSAL
        assert simulation.run.branch == ""
        assert simulation.after.rehearsed_cards == 2
        assert simulation.after.cost_microusd.p50 < simulation.before.cost_microusd.p50
        assert fake.git(repository, "branch", "--list", "direng/*") == ""
        assert len(server.requests) == 7


async def test_plan_that_could_pass_the_users_cap_calls_no_model(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with (
        ScriptedModelServer(PLANNING) as server,
        open_platform(tmp_path / "home", repository, server) as platform,
    ):
        refused = await platform.delegate(max_cost_usd="0.0001")
        assert refused.state is DelegationState.FAILED
        assert refused.reason.startswith("planning did not succeed: the cap of run:plan-")
        assert "planning may cost $0.0001" in refused.reason
        assert server.requests == ()


async def test_without_a_model_a_project_is_estimated_by_priors_and_its_start_says_what_to_configure(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with open_platform(tmp_path / "home", repository) as platform:
        plms = platform.opened.plms.service
        new = NewProject(title="Shapes", prd="Build a web shop with a cart.", repo=platform.repository)
        project = await plms.create_project(ENGINEER, new)
        estimate = await platform.pex.estimate_project(ENGINEER, project.project_id)
        assert estimate.label is Label.PRIOR_LED
        assert estimate.cost_microusd.p50 > 0
        order = SimulateProject(rehearsal=0.01, rationale="to know more")
        simulation = await platform.pex.simulate_project(ENGINEER, project.project_id, order)
        assert simulation.run is None
        assert simulation.note.startswith("0.01 = 1%: nothing was rehearsed; no model is configured")
        approval = Approval(estimate_id=estimate.estimate_id, rationale="good", max_cost_microusd=10_000_000)
        await plms.approve(ENGINEER, project.project_id, approval)
        with pytest.raises(ModelNeededError, match="direng model add"):
            await platform.pex.start_project(ENGINEER, project.project_id, StartProject(rationale="go"))


async def test_plan_of_a_killed_server_is_taken_up_and_its_call_is_not_paid_again(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with ScriptedModelServer(PLANNING) as server:
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.test_model_delegation", str(tmp_path / "home"), str(repository),
            server.openai_url,
        )  # fmt: skip
        assert await killed.wait() == -signal.SIGKILL
        assert len(server.requests) == 1
        async with open_platform(tmp_path / "home", repository) as platform:
            (delegation,) = await platform.pex.list_delegations(ENGINEER)
            await platform.follow(delegation.delegation_id)
            again = await platform.pex.get_delegation(ENGINEER, delegation.delegation_id)
            assert again.state is DelegationState.AWAITING_APPROVAL, again.reason
            assert again.plan.planning.cost_microusd == 3000
        assert len(server.requests) == 1


async def _delegate_until_killed(home, repository, url):
    wiring = Wiring(faults=fake.KillAt("agent_model_called"))
    async with embedded(Home(Path(home)), wiring) as platform:
        await platform.opened.broker.service.add_model(ENGINEER, configure(url))
        await Platform(platform.opened, repository).delegate()


if __name__ == "__main__":
    asyncio.run(_delegate_until_killed(*sys.argv[1:]))
