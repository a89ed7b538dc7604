"""The agent's tools on a real folder: what they show, what they change, what they refuse."""

import hashlib
import json
import os
import shutil

import pytest

from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS
from services.pas.executors.agent.tools.execution import RunTestTool
from services.pas.executors.agent.tools.searching import SearchTool
from services.pas.executors.agent.tools.toolset import Toolset


async def test_read_shows_numbered_lines_and_remembers_the_digest(bench):
    result = await bench.use("fs_read", path="./shop/price.py")
    assert not result.is_error
    assert "1\tdef total(prices):\n2\t    result = sum(prices) + 1" in result.text
    assert result.shown == {"shop/price.py": hashlib.sha256(bench.read("shop/price.py").encode()).hexdigest()}
    part = await bench.use("fs_read", path="shop/tax.py", start_line=4, end_line=99)
    assert part.text == "shop/tax.py, lines 4-5 of 5\n4\tdef tax(amount):\n5\t    return amount * RATE / 100"


async def test_long_files_are_read_in_parts_that_say_how_to_go_on(bench):
    bench.write("big.py", b"x = 1  # a line of some length, to fill the result\n" * 3000)
    first = await bench.use("fs_read", path="big.py")
    assert len(first.text) <= MAX_RESULT_CHARS
    following = int(first.text.rpartition("start_line=")[2].rstrip("]"))
    second = await bench.use("fs_read", path="big.py", start_line=following)
    assert second.text.splitlines()[1].startswith(f"{following}\t")
    beyond = await bench.use("fs_read", path="big.py", start_line=9000)
    assert beyond.is_error
    assert "has 3000 lines" in beyond.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (".env", "matches the denied .env*"),
        ("secrets/key.txt", "matches the denied secrets/**"),
        (".git/config", "git's own files"),
        ("shop/../../etc/passwd", "climbs"),
        ("/workspace/shop/price.py", "use 'shop/price.py'"),
        ("/etc/passwd", "relative to the repository's root"),
        ("~/x", "not a plain path"),
        ("shop", "is a folder"),
        ("shop/prise.py", "did you mean shop/price.py"),
        ("price.py", "did you mean shop/price.py"),
        ("shop/price.py/x", "shop/price.py is a file"),
    ],
)
async def test_read_refuses_a_path_and_says_what_is_right(bench, path, words):
    result = await bench.use("fs_read", path=path)
    assert result.is_error
    assert words in result.text
    assert "hunter2" not in result.text
    assert bool(result.denied) == (path not in {"shop", "shop/prise.py", "price.py", "shop/price.py/x"})


async def test_symlinks_are_never_followed(bench, tmp_path):
    (tmp_path / "outside.txt").write_text("hunter2")
    (bench.folder / "out").symlink_to(tmp_path / "outside.txt")
    (bench.folder / "up").symlink_to("../outside.txt")
    (bench.folder / "folder").symlink_to(tmp_path)
    (bench.folder / "in.py").symlink_to("shop/price.py")
    for path in ("out", "up", "folder/outside.txt"):
        for tool, arguments in (("fs_read", {}), ("fs_patch", {"search": "hunter2", "replace": "x"})):
            given = {"path": path} if tool == "fs_read" else {"edits": [{"path": path, **arguments}]}
            result = await bench.use(tool, **given)
            assert result.is_error
            assert result.denied
            assert "leads out of the repository" in result.text
    assert "use that path" in (await bench.use("fs_read", path="in.py")).text
    found = await bench.use("fs_search", pattern="hunter2")
    assert found.text.startswith("0 hits")
    assert (tmp_path / "outside.txt").read_text() == "hunter2"


async def test_special_and_binary_files_are_refused(bench):
    os.mkfifo(bench.folder / "pipe")
    bench.write("image.png", b"\x89PNG\0\0")
    assert "no plain file" in (await bench.use("fs_read", path="pipe")).text
    assert "binary" in (await bench.use("fs_read", path="image.png")).text


async def test_list_shows_what_the_lane_may_see(bench):
    top = await bench.use("fs_list")
    assert top.text.splitlines()[1:] == ["README.md", "settings.json", "shop/", "tests/"]
    found = await bench.use("fs_list", glob="**/*.py")
    assert found.text.splitlines()[1:] == ["shop/__init__.py", "shop/price.py", "shop/tax.py", "tests/test_price.py"]
    assert (await bench.use("fs_list", glob="*.{json,md}")).text.splitlines()[1:] == ["README.md", "settings.json"]
    inner = await bench.use("fs_list", path="shop", glob="t*.py")
    assert inner.text.splitlines()[1:] == ["shop/tax.py"]
    assert "did you mean shop/price.py" in (await bench.use("fs_list", path="shop/prise.py")).text
    assert (await bench.use("fs_list", path="README.md")).is_error


async def test_search_finds_text_and_expressions_with_places(bench):
    found = await bench.use("fs_search", pattern="RATE")
    assert found.text.splitlines()[1:] == ["shop/tax.py:1: RATE = 19", "shop/tax.py:5: return amount * RATE / 100"]
    found = await bench.use("fs_search", pattern=r"^def \w+\(", regex=True, glob="shop/*.py")
    assert [row.partition(" ")[0] for row in found.text.splitlines()[1:]] == ["shop/price.py:1:", "shop/tax.py:4:"]
    assert "0 hits" in (await bench.use("fs_search", pattern="TOKEN")).text
    assert "1 hits" in (await bench.use("fs_search", pattern="rate = 19", ignore_case=True)).text
    some = await bench.use("fs_search", pattern="e", max_hits=2)
    assert "there may be more" in some.text


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+b", r"(\w{1,3})*x", r"(a)\1", "(unclosed", "a?" * 60, "((){65000}){65000}"]
)
async def test_expressions_that_could_stall_the_server_are_refused(bench, pattern):
    bench.write("evil.txt", b"a" * 5000 + b"\n")
    result = await bench.use("fs_search", pattern=pattern, regex=True)
    assert result.is_error
    assert result.line


async def test_costly_expressions_look_at_less_of_a_line_and_say_so(bench):
    bench.write("evil.txt", b"a" * 5000 + b"\n")
    result = await bench.use("fs_search", pattern="a*a*a*b", regex=True)
    assert "searched only in their first" in result.text


async def test_search_that_takes_too_long_stops_and_says_so(bench):
    ticks = iter(range(0, 1000, 2))
    slow = Toolset((SearchTool(lambda: float(next(ticks))),))
    bench.write("a.txt", b"line\n" * 50)
    bench.tools = slow
    result = await bench.use("fs_search", pattern="x+y", regex=True)
    assert "not all files were searched" in result.text


async def test_patch_changes_all_files_or_none(bench):
    good = {"path": "shop/price.py", "search": "    result = sum(prices) + 1", "replace": "    result = sum(prices)"}
    bad = {"path": "shop/tax.py", "search": "RATE = 18", "replace": "RATE = 7"}
    refused = await bench.use("fs_patch", edits=[good, bad])
    assert refused.is_error
    assert refused.changes == {}
    assert "RATE = 19" in refused.text
    done = await bench.use("fs_patch", edits=[good])
    assert not done.is_error
    assert "sum(prices)\n" in bench.read("shop/price.py")
    assert "lines 2-2" in done.text


async def test_patch_takes_a_unified_diff(bench):
    diff = (
        "--- a/shop/price.py\n+++ b/shop/price.py\n@@ -1,9 +1,9 @@\n def total(prices):\n"
        "-    result = sum(prices) + 1\n+    result = sum(prices)\n     return result\n"
        "--- /dev/null\n+++ b/shop/new.py\n@@ -0,0 +1 @@\n+NEW = 1\n"
    )
    result = await bench.use("fs_patch", diff=diff)
    assert not result.is_error, result.text
    assert set(result.changes) == {"shop/price.py", "shop/new.py"}
    assert bench.read("shop/new.py") == "NEW = 1\n"


async def test_patch_makes_and_removes_files_on_request_only(bench):
    assert not (await bench.use("fs_patch", edits=[{"path": "a/b.txt", "search": "", "replace": "text"}])).is_error
    assert bench.read("a/b.txt") == "text\n"
    again = await bench.use("fs_patch", edits=[{"path": "a/b.txt", "search": "", "replace": "other"}])
    assert again.is_error
    assert "exists already" in again.text
    gone = await bench.use("fs_patch", edits=[{"path": "a/b.txt", "delete": True}])
    assert gone.changes == {"a/b.txt": None}
    missing = await bench.use("fs_patch", edits=[{"path": "shop/prices.py", "search": "x", "replace": "y"}])
    assert "did you mean shop/price.py" in missing.text


async def test_edit_of_a_file_that_changed_since_it_was_read_is_refused(bench):
    await bench.use("fs_read", path="shop/tax.py")
    bench.write("shop/tax.py", b"RATE = 20\n")
    edit = {"path": "shop/tax.py", "search": "RATE = 20", "replace": "RATE = 7"}
    refused = await bench.use("fs_patch", edits=[edit])
    assert refused.is_error
    assert "changed since you read it" in refused.text
    await bench.use("fs_read", path="shop/tax.py")
    assert not (await bench.use("fs_patch", edits=[edit])).is_error
    after_own_edit = {"path": "shop/tax.py", "search": "RATE = 7", "replace": "RATE = 8"}
    assert not (await bench.use("fs_patch", edits=[after_own_edit])).is_error


async def test_edit_that_would_break_a_whole_file_is_refused_with_the_line(bench):
    edit = {"path": "shop/price.py", "search": "    return result", "replace": "    return result)"}
    refused = await bench.use("fs_patch", edits=[edit])
    assert refused.is_error
    assert refused.changes == {}
    assert "would break the file: line 3" in refused.text
    edit = {"path": "settings.json", "search": '{"debug": true}', "replace": '{"debug": true'}
    assert (await bench.use("fs_patch", edits=[edit])).is_error
    bench.write("broken.py", b"def f(:\n    pass\nx = 1\n")
    assert not (
        await bench.use("fs_patch", edits=[{"path": "broken.py", "search": "x = 1", "replace": "x = 2"}])
    ).is_error


@pytest.mark.parametrize("path", [".env", "new.key", "secrets/new", ".git/hooks/x", "../x", "/etc/x", "a/.GIT/x"])
async def test_patch_writes_nothing_that_the_lane_denies(bench, path):
    result = await bench.use("fs_patch", edits=[{"path": path, "search": "", "replace": "x"}])
    assert result.is_error
    assert result.denied
    assert result.changes == {}
    diff = await bench.use("fs_patch", diff=f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n")
    assert diff.is_error
    assert diff.changes == {}


@pytest.mark.parametrize("path", ["shop", "shop/price.py/new", "x" * 300, "d/" * 600 + "x"])
async def test_patch_makes_no_file_that_cannot_be(bench, path):
    result = await bench.use("fs_patch", edits=[{"path": path, "search": "", "replace": "x"}])
    assert result.is_error
    assert result.changes == {}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fs_read", {"path": "README.md"}),
        ("fs_list", {"glob": "*"}),
        ("fs_search", {"pattern": "x"}),
        ("fs_patch", {"edits": [{"path": "README.md", "search": "# Shop", "replace": "# Store"}]}),
    ],
)
async def test_folder_that_is_gone_is_an_answer_and_no_crash(bench, name, arguments):
    shutil.rmtree(bench.folder)
    result = await bench.use(name, **arguments)
    assert result.is_error
    assert name in result.text


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("fs.read", '{"path": "README.md"}', "did you mean fs_read? fs_read takes path, start_line?, end_line?"),
        ("shell", "{}", "there is no tool 'shell'"),
        ("fs_read", '{"path": "a', "no JSON"),
        ("fs_read", "[1]", "one JSON object"),
        ("fs_read", "", "'path' is a required property"),
        ("fs_read", '{"path": 3}', "path: 3 is not of type 'string'"),
        ("fs_read", '{"path": "a", "path": "b"}', "twice"),
        ("fs_read", '{"path": "a", "lines": 3}', "'lines' was unexpected"),
        (
            "fs_patch",
            '{"edits": [{"path": "a", "old_string": "x"}]}',
            "fs_patch takes edits? [{path, search?, replace?, delete?}], diff?",
        ),
        ("fs_list", '{"glob": "*a*a*a*a*a*a*b"}', "too many stars"),
        ("fs_search", '{"pattern": "x", "glob": " "}', "is empty"),
        ("fs_patch", "{}", "give either edits"),
        ("fs_patch", '{"edits": [{"path": "README.md"}]}', "neither search nor replace"),
        ("rag_query", '{"kind": "guess", "text": "x"}', "is not one of"),
        ("finish", '{"summary": "x", "status": "blocked"}', "needs a reason"),
        ("fs_read", "[" * 100_000, "nested too deeply"),
    ],
)
async def test_wrong_calls_get_an_answer_that_says_what_is_right(bench, name, text, words):
    result = await bench.send(name, text)
    assert result.is_error
    assert words in result.text
    assert len(result.line) <= 200
    assert not result.is_done


async def test_index_answers_carry_their_stamp(bench):
    result = await bench.use("rag_query", kind="where_defined", text="total")
    assert result.text.splitlines()[1] == "shop/price.py:1: shop.price.total (function) [exact] def total(prices):"
    assert result.text.splitlines()[-1] == (
        "[index of commit aaaaaaaaaaaa, 12 s behind bbbbbbbbbbbb; uncommitted, read as on disk: shop/tax.py;"
        " your own edits are not in it]"
    )
    unknown = await bench.use("rag_query", kind="who_calls", text="totl")
    assert unknown.is_error
    assert "near names: total" in unknown.text


async def test_finish_ends_the_work(bench):
    done = await bench.use("finish", summary="The total\nis right.", status="done")
    assert (done.is_done, done.line) == (True, "done: The total is right.")
    blocked = await bench.use("finish", summary="No access", status="blocked", reason="the key is missing")
    assert (blocked.is_done, blocked.line) == (True, "blocked: the key is missing")


def test_all_schemas_together_fit_into_five_kib(bench):
    specs = [*bench.tools.specs, RunTestTool.spec]
    size = sum(len(json.dumps(spec.model_dump(mode="json"))) for spec in specs)
    assert size <= 5 * 1024
    assert isinstance(bench.tools, Toolset)
