"""PEX over neighbours in memory and its real database."""

from dataclasses import dataclass
from random import Random

import pytest

from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.pex.app import OpenPex, create_service
from services.pex.core.service import PexService
from tests.fakes.callers import FixedCallers
from tests.fakes.memory_pas import FakePas
from tests.fakes.plms import FakePlms
from tests.fakes.vector_ops import FakeVectorOps, make_hit

REPO = "/home/engineer/shop"


@dataclass
class World:
    """PEX and its neighbours; `open` makes another PEX on the same database, as a restart does."""

    pex: PexService
    plms: FakePlms
    pas: FakePas
    index: FakeVectorOps
    parts: OpenPex
    url: str

    def open(self) -> OpenPex:
        return create_service(
            self.url,
            plms=self.plms,
            pas=self.pas,
            vector_ops=self.index,
            callers=FixedCallers(),
            clock=SystemClock(),
            random=Random(1),
        )

    async def restart(self) -> None:
        await self.parts.close()
        self.parts = self.open()
        self.pex = self.parts.service


@pytest.fixture
async def world(tmp_path):
    index = FakeVectorOps(
        definitions=[
            make_hit("shop/prices.py", 10, "shop.prices.total"),
            make_hit("shop/prices.py", 30, "shop.prices.round_up"),
            make_hit("shop/orders.py", 5, "shop.orders.Order.total", "method"),
            make_hit("shop/config.py", 3, "shop.config.load_config"),
        ],
        references=[
            make_hit("shop/app.py", 8, "load_config", "call"),
            make_hit("tests/test_config.py", 4, "load_config", "call"),
        ],
    )
    made = World(None, FakePlms(), FakePas(), index, None, sqlite_url(tmp_path / "pex.db"))
    made.parts = made.open()
    made.pex = made.parts.service
    yield made
    await made.parts.close()
