"""The three bindings of each service; the same suite runs over all of them."""

import shutil

import pytest

from services.kernel.clock import SystemClock
from services.kernel.db import open_engine, sqlite_url
from services.kernel.http import HttpCall, closing
from services.plms.app import create_app, open_plms
from services.plms.client import HttpPlms
from services.plms.tables import METADATA
from tests.fakes.identity import KnownCallers
from tests.fakes.sockets import serve, serve_in_process

BINDINGS = ("embedded", "loopback", "networked")


@pytest.fixture(scope="session")
def empty_plms_file(tmp_path_factory):
    """A database with PLMS's schema and no rows; tests copy it, which is faster than migrating each."""
    path = tmp_path_factory.mktemp("plms") / "empty.db"
    open_plms(sqlite_url(path), SystemClock()).close()
    return path


@pytest.fixture(scope="session")
def plms_process(tmp_path_factory):
    """A PLMS in a process of its own: its base URL and an engine on its database."""
    url = sqlite_url(tmp_path_factory.mktemp("plms") / "process.db")
    with serve_in_process("tests.conformance.plms_process:build", url) as base_url:
        engine = open_engine(url)
        yield base_url, engine
        engine.dispose()


def empty_tables(engine):
    """Delete every row; PLMS holds nothing in memory between requests."""
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture(params=BINDINGS)
async def plms(request, tmp_path, empty_plms_file):
    """PLMS as an object, behind a socket of this process, and behind a process of its own."""
    if request.param == "networked":
        base_url, engine = request.getfixturevalue("plms_process")
        call = HttpCall(base_url)
        async with closing(call):
            yield HttpPlms(call)
        empty_tables(engine)
        return
    parts = open_plms(sqlite_url(shutil.copy(empty_plms_file, tmp_path)), SystemClock())
    if request.param == "embedded":
        yield parts.service
    else:
        async with serve(create_app(parts, KnownCallers())) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                yield HttpPlms(call)
    parts.close()
