"""A delegation through the real DirEng, PEX, PLMS, Vector-Ops and PAS: real git, real bubblewrap, no model."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from services.direng.app import create_service as create_direng
from services.direng.core.service import DirEngService
from services.direng.models import Accept, NewSession, TurnInput
from services.direng.protocol import NothingToAcceptError
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.errors import ConflictError
from services.kernel.vocabulary import ProjectState
from services.pex.app import create_service as create_pex
from services.pex.core.service import PexService
from services.plms.app import open_plms
from services.plms.core.service import PlmsService
from services.vector_ops.shelf import open_vector_ops
from tests.fakes import pas as fake
from tests.fakes.callers import FixedCallers
from tests.fakes.identity import ENGINEER
from tests.fakes.speaking_broker import SpeakingBroker

pytestmark = pytest.mark.sandbox
WAIT_S = 90


@dataclass
class Platform:
    """The services of one home."""

    direng: DirEngService
    pex: PexService
    plms: PlmsService
    session: str = ""

    async def say(self, text="", **fields):
        async with asyncio.timeout(WAIT_S):
            turn = TurnInput(text=text, **fields)
            return [event async for event in self.direng.take_turn(ENGINEER, self.session, turn)]


@asynccontextmanager
async def running_platform(home: Path, repository: Path):
    """Open everything over `home`, with a session on `repository`."""
    async with fake.running_pas(home) as pas:
        plms = open_plms(sqlite_url(home / "plms.db"), SystemClock())
        index = open_vector_ops(home / "index", SystemClock())
        shared = {"callers": FixedCallers(), "clock": SystemClock(), "random": Random(1)}
        near = {"pas": pas.service, "vector_ops": index.service, **shared}
        pex = create_pex(sqlite_url(home / "pex.db"), plms=plms.service, **near)
        direng = create_direng(
            sqlite_url(home / "direng.db"), home=home, pex=pex.service, broker=SpeakingBroker(), **near
        )
        await pex.service.recover()
        await direng.service.recover()
        platform = Platform(direng.service, pex.service, plms.service)
        platform.session = (await direng.service.open_session(ENGINEER, NewSession(repo=str(repository)))).session_id
        yield platform
        await direng.close()
        await pex.close()
        index.close()
        plms.close()


def data_of(events, kind):
    return next(event.data for event in events if event.kind.value == kind)


async def test_delegated_rename_comes_back_and_is_accepted_and_undone_on_a_dirty_tree(tmp_path):
    long_readme = fake.SAMPLE["README.md"] + "\n".join(f"Line {number}." for number in range(20)) + "\n"
    repository = fake.make_repository(tmp_path / "repo", {**fake.SAMPLE, "README.md": long_readme})
    (repository / "notes.txt").write_bytes(b"mine\r\n\x00")
    (repository / "README.md").write_text(f"{long_readme}An edit of my own.\n")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and ".git" not in path.parts}
    head = fake.git(repository, "rev-parse", "HEAD")
    async with running_platform(tmp_path / "home", repository) as platform:
        asked = await platform.say("rename area to surface and run the tests", handling="delegate")
        assert data_of(asked, "end")["state"] == "waiting"
        done = await platform.say("yes")
        assert data_of(done, "end") == {"state": "done", "exit_code": 0}
        events = (*asked, *done)
        assert {event.step for event in events} - {None} == set(range(1, 15))
        assert len({event.trace_id for event in events}) == 1
        report = data_of(done, "report")
        assert report["badge"] == "verified"
        assert {path: path.read_bytes() for path in before} == before
        await _check_books(platform, events)

        change = await platform.direng.accept(ENGINEER, platform.session, Accept())
        assert fake.git(repository, "rev-parse", "HEAD") == change.commit != head
        assert "surface" in fake.git(repository, "show", "--stat=200", "-p", "HEAD")
        assert "An edit of my own" not in fake.git(repository, "show", "HEAD")
        with pytest.raises(ConflictError):
            await platform.direng.accept(ENGINEER, platform.session, Accept())
        await platform.direng.undo(ENGINEER, platform.session)
        assert {path: path.read_bytes() for path in before} == before
        assert fake.git(repository, "rev-parse", "HEAD") == head
        with pytest.raises(NothingToAcceptError):
            await platform.direng.undo(ENGINEER, platform.session)


async def _check_books(platform, events):
    session = await platform.direng.get_session(ENGINEER, platform.session)
    delegation = await platform.pex.get_delegation(ENGINEER, session.delegation_id)
    project = await platform.plms.get_project(ENGINEER, delegation.project_id)
    assert project.state is ProjectState.COMPLETED
    metrics = await platform.plms.get_metrics(ENGINEER, delegation.project_id)
    assert metrics.runs == 1
    assert sum(lane.attempts for lane in metrics.lanes) == 4
    assert delegation.trace_id == events[0].trace_id == delegation.report.run.trace_id


async def test_accept_over_an_edit_of_the_same_lines_changes_nothing(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with running_platform(tmp_path / "home", repository) as platform:
        done = await platform.say("rename area to surface", handling="direct")
        assert data_of(done, "end") == {"state": "done", "exit_code": 0}
        changed = [repository / path for path in data_of(done, "report")["files"]]
        source = next(path for path in changed if path.suffix == ".py")
        source.write_text(source.read_text().replace("area", "extent"))
        content = {path: path.read_bytes() for path in changed}
        with pytest.raises(ConflictError):
            await platform.direng.accept(ENGINEER, platform.session, Accept())
        assert {path: path.read_bytes() for path in changed} == content


async def test_estimate_learns_from_the_run_before(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with running_platform(tmp_path / "home", repository) as platform:
        first = await platform.say("rename area to surface", handling="delegate")
        await platform.say("yes")
        second = await platform.say("rename area to surface", handling="delegate")
        assert data_of(second, "estimate")["time_p95_s"] < data_of(first, "estimate")["time_p95_s"]
        assert data_of(second, "estimate")["uses_model"] is False
