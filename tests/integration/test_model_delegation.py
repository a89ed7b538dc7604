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
from services.kernel.vocabulary import DelegationState, Lane
from services.pex.models import (
    ApprovalReply,
    Constraints,
    DelegationContext,
    DelegationRequest,
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


PLANNING = [{"when": {"tools_include": "submit_plan"}, "reply": call("submit_plan", **PLAN)}]


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
