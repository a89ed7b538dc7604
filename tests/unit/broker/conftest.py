"""A broker over a scripted wire and a database of its own, with time and pauses in the test's hand."""

import shutil
from types import SimpleNamespace

import pytest

from tests.fakes.broker import ListKeys, ListPrices, Pauses, ScriptedWire, new_model, open_scripted
from tests.fakes.identity import ENGINEER
from tests.fakes.time import HandClock


@pytest.fixture(scope="session")
def empty_broker_file(tmp_path_factory):
    """A database with the broker's schema and no rows; copied, which is faster than migrating for each test."""
    home = tmp_path_factory.mktemp("broker")
    parts = open_scripted(home)
    parts.engine.dispose()
    return home / "broker.db"


@pytest.fixture
def home(tmp_path, empty_broker_file):
    shutil.copy(empty_broker_file, tmp_path)
    return tmp_path


@pytest.fixture
async def stage(home):
    """Everything a test acts on: wire, clock, pauses, keys, prices, and `open` for a broker over them."""
    wire, clock, pauses, keys, prices = ScriptedWire(), HandClock(), Pauses(), ListKeys(), ListPrices()
    opened = []

    def reopen(**changes):
        made = {"clock": clock, "keys": keys, "prices": lambda: prices, "sleep": pauses.sleep} | changes
        parts = open_scripted(home, wire, **made)
        opened.append(parts)
        return parts.service

    yield SimpleNamespace(
        home=home, wire=wire, clock=clock, pauses=pauses, keys=keys, prices=prices, open=reopen, opened=opened
    )
    for parts in opened:
        await parts.close()


@pytest.fixture
async def broker(stage):
    """A broker with one model, `main`."""
    service = stage.open()
    await service.add_model(ENGINEER, new_model())
    return service
