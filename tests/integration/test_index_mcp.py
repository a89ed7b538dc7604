"""The official SDK's client lists and calls the tools of the index: over streamable HTTP, with a token."""

from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from services.kernel.clock import SystemClock
from services.vector_ops.app import create_app
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.identity import ENGINEER, KnownCallers
from tests.fakes.sockets import serve
from tests.fakes.sources import SourceTree

FILES = {
    "shop/__init__.py": "",
    "shop/pricing.py": 'def total(items):\n    """Add up prices."""\n    return sum(items)\n',
    "shop/cart.py": "from shop.pricing import total\n\n\ndef pay(items):\n    return total(items)\n",
}
TOOLS = {
    "where_defined",
    "who_calls",
    "impact_set",
    "search",
    "nn_snippet",
    "repo_map",
    "context_pack",
    "index_status",
    "index_refresh",
}


@pytest.fixture
def tree(tmp_path):
    made = SourceTree(tmp_path / "repo")
    made.commit(FILES)
    return made


@pytest.fixture
async def url(tmp_path):
    parts = open_vector_ops(tmp_path / "index", SystemClock())
    async with serve(create_app(parts, KnownCallers())) as base_url:
        yield f"{base_url}/mcp"
    parts.close()


@asynccontextmanager
async def connect(url):
    """Connect the SDK's client; no fixture, because its scope must end in the task in which it began."""
    headers = {"Authorization": f"Bearer {ENGINEER.token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as one,
    ):
        yield one


def text_of(result):
    return result.content[0].text


async def test_the_tools_are_listed_with_what_they_do_and_take(url):
    async with connect(url) as client:
        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == TOOLS
        for tool in listed:
            assert tool.description
            assert tool.input_schema["type"] == "object"
            assert tool.annotations.read_only_hint == (tool.name != "index_refresh")


async def test_every_tool_answers_with_text_and_the_same_as_data(url, tree):
    async with connect(url) as client:
        repo = str(tree.root)
        refreshed = await client.call_tool("index_refresh", {"repo": repo})
        assert refreshed.structured_content["outcome"] == "refreshed"
        defined = await client.call_tool("where_defined", {"symbol": "total", "repo": repo})
        assert text_of(defined).startswith("shop/pricing.py:1 total | def total(items)")
        assert defined.structured_content["hits"][0]["path"] == "shop/pricing.py"
        calls = await client.call_tool("who_calls", {"symbol": "total", "repo": repo})
        assert text_of(calls).startswith("shop/cart.py:5 pay | return total(items) [exact")
        assert "shop/cart.py" in text_of(await client.call_tool("impact_set", {"symbol": "total", "repo": repo}))
        assert "shop/pricing.py" in text_of(await client.call_tool("search", {"text": "add up prices", "repo": repo}))
        assert "shop/pricing.py" in text_of(
            await client.call_tool("nn_snippet", {"text": "add up prices", "repo": repo})
        )
        assert "def total(items)" in text_of(await client.call_tool("repo_map", {"repo": repo}))
        packed = await client.call_tool("context_pack", {"text": "add up prices", "repo": repo, "budget_tokens": 500})
        assert "## Citations" in text_of(packed)
        status = await client.call_tool("index_status", {"repo": repo})
        assert text_of(status).startswith("3 files, 2 symbols")
        assert str(tree.git.head.target)[:12] in text_of(status)


async def test_uncommitted_work_is_in_the_answer_and_the_answer_says_so(url, tree):
    async with connect(url) as client:
        tree.write({"shop/new.py": "from shop.pricing import total\n\n\ndef late():\n    total([])\n"})
        calls = await client.call_tool("who_calls", {"symbol": "total", "repo": str(tree.root)})
        assert "shop/new.py:5 late" in text_of(calls)
        assert "+ 1 uncommitted files, fresh" in text_of(calls)


async def test_a_name_with_a_line_break_stays_one_line_of_the_answer(url, tree):
    tree.commit({"shop/a\nsrc/b.py": "def odd():\n    return 1\n"})
    async with connect(url) as client:
        defined = await client.call_tool("where_defined", {"symbol": "odd", "repo": str(tree.root)})
        assert text_of(defined).startswith("shop/a\\nsrc/b.py:1 odd | def odd():\n[index at")
        assert defined.structured_content["hits"][0]["path"] == "shop/a\nsrc/b.py"


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("where_defined", {"symbol": "totall"}, "near names: total"),
        ("who_calls", {"symbol": "a & b"}, "is no symbol"),
        ("search", {"text": "x" * 1_000_000}, "search: text: String should have at most 20000 characters"),
        ("search", {"text": ""}, "the query is empty"),
        ("search", {"text": "x" * 30_000}, "20000"),
        ("search", {"text": "x", "limit": 0}, "greater than or equal to 1"),
        ("search", {"text": "x", "repo": "/nowhere"}, "no git repository"),
    ],
)
async def test_what_cannot_be_answered_is_an_error_that_says_why(url, tree, tool, arguments, words):
    async with connect(url) as client:
        result = await client.call_tool(tool, {"repo": str(tree.root), **arguments})
        assert result.is_error
        assert words in text_of(result)


async def test_without_a_repository_the_tool_asks_for_one(url):
    async with connect(url) as client:
        result = await client.call_tool("index_status", {})
        assert result.is_error
        assert "repo: give a folder in the repository" in text_of(result)


async def test_a_request_without_a_token_is_refused(url):
    async with httpx2.AsyncClient() as http:
        answer = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert answer.status_code == 401
        token = {"Authorization": f"Bearer {ENGINEER.token}"}
        assert (await http.get(url, headers=token)).status_code == 405
