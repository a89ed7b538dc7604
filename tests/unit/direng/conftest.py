"""DirEng over the real PEX, with PAS, PLMS and the index in memory, on a real git repository."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pygit2
import pytest

from services.direng.app import OpenDirEng
from services.direng.app import create_service as create_direng
from services.direng.core.service import DirEngService
from services.direng.models import NewSession, TurnInput
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.pex.app import OpenPex
from services.pex.app import create_service as create_pex
from tests.fakes.callers import FixedCallers
from tests.fakes.identity import ENGINEER
from tests.fakes.memory_pas import FakePas
from tests.fakes.plms import FakePlms
from tests.fakes.speaking_broker import SpeakingBroker
from tests.fakes.vector_ops import FakeVectorOps, make_hit

ALICE = pygit2.Signature("Test", "test@example.invalid", 1_700_000_000, 0)


def make_repository(folder: Path) -> Path:
    """Return a git repository with one commit on main."""
    repository = pygit2.init_repository(str(folder), initial_head="main")
    (folder / "shop.py").write_text("def load_config():\n    return {}\n")
    repository.index.add("shop.py")
    repository.index.write()
    repository.create_commit("HEAD", ALICE, ALICE, "Start", repository.index.write_tree(), [])
    return folder


@dataclass
class World:
    """DirEng and its neighbours; `restart` opens DirEng and PEX again on the same databases."""

    folder: Path
    repo: Path
    plms: FakePlms
    pas: FakePas
    index: FakeVectorOps
    broker: SpeakingBroker
    pex_parts: OpenPex
    parts: OpenDirEng

    @property
    def direng(self) -> DirEngService:
        return self.parts.service

    def open(self) -> None:
        self.pex_parts = create_pex(
            sqlite_url(self.folder / "pex.db"),
            plms=self.plms,
            pas=self.pas,
            vector_ops=self.index,
            callers=FixedCallers(),
            clock=SystemClock(),
            random=Random(1),
        )
        self.parts = create_direng(
            sqlite_url(self.folder / "direng.db"),
            home=self.folder / "home",
            pex=self.pex_parts.service,
            pas=self.pas,
            vector_ops=self.index,
            broker=self.broker,
            callers=FixedCallers(),
            clock=SystemClock(),
            random=Random(2),
            tick_s=0.05,
        )

    async def close(self) -> None:
        await self.parts.close()
        await self.pex_parts.close()

    async def restart(self) -> None:
        await self.close()
        self.open()
        await self.pex_parts.service.recover()
        await self.direng.recover()

    async def open_session(self):
        return (await self.direng.open_session(ENGINEER, NewSession(repo=str(self.repo)))).session_id

    async def say(self, session_id, text="", **fields):
        turn = TurnInput(text=text, **fields)
        return [event async for event in self.direng.take_turn(ENGINEER, session_id, turn)]


@pytest.fixture
async def world(tmp_path):
    index = FakeVectorOps(
        definitions=[
            make_hit("shop.py", 1, "shop.load_config"),
            make_hit("a.py", 1, "a.total"),
            make_hit("b.py", 1, "b.total"),
            make_hit("wide.py", 7, "wide.spread"),
            make_hit("mid.py", 7, "mid.middle"),
        ],
        references=[
            make_hit("app.py", 8, "load_config", "call"),
            *[make_hit(f"user{number}.py", 2, "spread", "call") for number in range(12)],
            *[make_hit(f"user{number}.py", 3, "middle", "call") for number in range(5)],
        ],
    )
    (tmp_path / "home").mkdir()
    repo = make_repository(tmp_path / "repo")
    made = World(tmp_path, repo, FakePlms(), FakePas(), index, SpeakingBroker(), None, None)
    made.open()
    yield made
    await made.close()
