"""Vector-Ops keeps its promises as an object and behind a socket."""

import json
from dataclasses import replace

import pytest

from services.kernel.caller import ScopeMissingError
from services.kernel.clock import SystemClock
from services.kernel.errors import InvalidRequestError, PlatformError, UnauthenticatedError
from services.kernel.http import HttpCall, closing
from services.kernel.version import VERSION
from services.vector_ops.app import create_app
from services.vector_ops.client import HttpVectorOps
from services.vector_ops.models import IndexQuery, QueryKind, RefreshRequest
from services.vector_ops.protocol import SymbolNotFoundError, UnindexableError
from services.vector_ops.shelf import open_vector_ops
from services.vector_ops.truth.schema import SCHEMA_VERSION
from tests.fakes.identity import ENGINEER, NOBODY, READER, KnownCallers
from tests.fakes.sockets import serve
from tests.fakes.sources import SourceTree

FILES = {
    "shop/__init__.py": "from shop.pricing import total\n",
    "shop/pricing.py": 'def total(items):\n    """Add up prices."""\n    return sum(items)\n',
    "shop/cart.py": "from shop import total as t\n\n\ndef pay(items):\n    return t(items)\n",
    "tests/test_cart.py": "from shop.cart import pay\n\n\ndef test_pay():\n    assert pay([1]) == 1\n",
}


@pytest.fixture
def tree(tmp_path):
    made = SourceTree(tmp_path / "repo")
    made.commit(FILES)
    return made


@pytest.fixture(params=["embedded", "loopback"])
async def vector_ops(request, tmp_path):
    parts = open_vector_ops(tmp_path / "index", SystemClock())
    if request.param == "embedded":
        yield parts.service
    else:
        async with serve(create_app(parts, KnownCallers())) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                yield HttpVectorOps(call)
    parts.close()


class TestVectorOps:
    """The same promises over every binding."""

    async def ask(self, service, tree, kind, text, caller=ENGINEER, **more):
        return await service.query(caller, IndexQuery(repo=str(tree.root), kind=kind, text=text, **more))

    async def test_refresh_reports_the_commit_and_is_fresh_the_second_time(self, vector_ops, tree):
        request = RefreshRequest(repo=str(tree.root))
        first, second = await vector_ops.refresh(ENGINEER, request), await vector_ops.refresh(ENGINEER, request)
        assert (first.outcome, second.outcome) == ("refreshed", "fresh")
        assert first.commit_sha == second.commit_sha == str(tree.git.head.target)
        assert (first.files_total, first.files_parsed) == (4, 4)

    async def test_each_verb_answers_with_hits_and_a_stamp(self, vector_ops, tree):
        tree.write({"new.py": "from shop import total\ntotal([])\n"})
        defined = await self.ask(vector_ops, tree, QueryKind.WHERE_DEFINED, "total")
        assert [(hit.path, hit.line, hit.kind, hit.reason) for hit in defined.hits] == [
            ("shop/pricing.py", 1, "function", "Add up prices.")
        ]
        calls = await self.ask(vector_ops, tree, QueryKind.WHO_CALLS, "total")
        assert [(hit.path, hit.line, hit.tier) for hit in calls.hits] == [
            ("new.py", 2, "exact"),
            ("shop/cart.py", 5, "exact"),
        ]
        impact = await self.ask(vector_ops, tree, QueryKind.IMPACT_SET, "total")
        direct = {hit.path for hit in impact.hits if hit.is_direct}
        assert direct == {"shop/pricing.py", "shop/cart.py", "shop/__init__.py", "new.py"}
        assert {hit.path for hit in impact.hits} - direct == {"tests/test_cart.py"}
        found = await self.ask(vector_ops, tree, QueryKind.SEARCH, "add up prices")
        assert found.hits[0].path == "shop/pricing.py"
        for answer in (defined, calls, impact, found):
            assert answer.stamp.indexed_commit == answer.stamp.head_commit == str(tree.git.head.target)
            assert answer.stamp.dirty_paths == ("new.py",)
            assert answer.stamp.is_fresh

    async def test_the_limit_holds(self, vector_ops, tree):
        answer = await self.ask(vector_ops, tree, QueryKind.IMPACT_SET, "total", limit=1)
        assert (len(answer.hits), answer.is_truncated) == (1, True)

    async def test_snapshot_is_bound_to_its_commit(self, vector_ops, tree):
        snapshot = await vector_ops.snapshot(READER, str(tree.root))
        assert (snapshot.files, snapshot.symbols, snapshot.schema_version) == (4, 3, SCHEMA_VERSION)
        assert snapshot.stamp.indexed_commit == str(tree.git.head.target)

    async def test_an_unknown_symbol_carries_near_names(self, vector_ops, tree):
        with pytest.raises(SymbolNotFoundError, match="near names: total"):
            await self.ask(vector_ops, tree, QueryKind.WHO_CALLS, "totall")

    async def test_what_is_no_symbol_is_an_invalid_request(self, vector_ops, tree):
        with pytest.raises(InvalidRequestError, match="is no symbol"):
            await self.ask(vector_ops, tree, QueryKind.WHO_CALLS, "a & b")

    async def test_a_folder_that_is_no_repository_is_unindexable(self, vector_ops, tmp_path):
        with pytest.raises(UnindexableError, match="is no git repository"):
            await vector_ops.refresh(ENGINEER, RefreshRequest(repo=str(tmp_path)))
        SourceTree(tmp_path / "empty")
        with pytest.raises(UnindexableError, match="no commit yet"):
            await vector_ops.snapshot(ENGINEER, str(tmp_path / "empty"))

    async def test_reading_and_refreshing_need_their_own_scopes(self, vector_ops, tree):
        with pytest.raises(ScopeMissingError):
            await vector_ops.refresh(READER, RefreshRequest(repo=str(tree.root)))
        with pytest.raises(ScopeMissingError):
            await self.ask(vector_ops, tree, QueryKind.SEARCH, "total", caller=NOBODY)
        with pytest.raises(ScopeMissingError):
            await vector_ops.snapshot(NOBODY, str(tree.root))

    async def test_long_and_odd_words_arrive_unharmed(self, vector_ops, tree):
        for text in ("ünïcödé & prices=1?#", "prices " * 2_800):
            assert (await self.ask(vector_ops, tree, QueryKind.SEARCH, text)).hits[0].path == "shop/pricing.py"


@pytest.fixture
async def wire(tmp_path):
    parts = open_vector_ops(tmp_path / "index", SystemClock())
    async with serve(create_app(parts, KnownCallers())) as base_url:
        call = HttpCall(base_url)
        async with closing(call):
            yield call
    parts.close()


async def test_health_is_open_and_names_the_service(wire):
    assert json.loads(await wire.send("GET", "/health", replace(NOBODY, token=""))) == {
        "status": "ok",
        "service": "vector_ops",
        "version": VERSION,
    }


async def test_everything_else_needs_a_token(wire, tree):
    for method, path in (("POST", "/refresh"), ("GET", "/query"), ("GET", "/snapshot")):
        with pytest.raises(UnauthenticatedError):
            await wire.send(method, path, replace(ENGINEER, token=""))


async def test_payload_is_another_name_for_text(wire, tree):
    parameters = {"repo": str(tree.root), "kind": "where_defined", "payload": "total"}
    assert b"shop/pricing.py" in await wire.send("GET", "/query", ENGINEER, query=parameters)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "drop_tables"},
        {"text": ""},
        {"text": None},
        {"text": "x" * 1_000_000},
        {"limit": "0"},
        {"limit": "501"},
        {"repo": ""},
    ],
    ids=["kind", "empty text", "no text", "1 MB of text", "limit 0", "limit 501", "no repository"],
)
async def test_bad_parameters_are_one_clear_line(wire, tree, change):
    parameters = {"repo": str(tree.root), "kind": "search", "text": "x"} | change
    given = {name: value for name, value in parameters.items() if value is not None}
    with pytest.raises(PlatformError) as caught:
        await wire.send("GET", "/query", ENGINEER, query=given)
    assert caught.value.status == 422
    assert "\n" not in caught.value.detail
