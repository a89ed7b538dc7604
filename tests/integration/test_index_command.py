"""`direng index`: what is refused before anything starts, the real commands on a server, the hook and the cron line."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from cli.index import VERBS, describe_snapshot, format_hit, format_stamp
from cli.schedule import HookInTheWayError, Place, UnschedulableError, install, uninstall
from services.vector_ops.models import QueryKind
from tests.fakes.commands import Platform, git

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 90


@pytest.fixture
def repo(tmp_path):
    made = tmp_path / "my repo"
    make_repo(made)
    return made


def make_repo(folder):
    folder.mkdir()
    git("init", "-q", "-b", "main", cwd=folder)
    (folder / "shop.py").write_text(
        "def total(lines):\n    return sum(lines)\n\n\ndef bill():\n    return total([1])\n"
    )
    git("add", "-A", cwd=folder)
    git("commit", "-qm", "The shop", cwd=folder)


def direng(home, *argv, cwd="/", stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "cli.direng", *argv],
        env={"PATH": os.environ["PATH"], "DIRENG_HOME": str(home), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def test_the_verbs_of_the_command_are_those_of_the_index():
    assert tuple(QueryKind) == VERBS


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("query", "whose", "x"), f"'whose' is no verb of the index; the verbs are {', '.join(VERBS)}"),
        (("query", "search"), "search needs a TEXT"),
        (("query", "search", "-"), "search needs a TEXT"),
        (("query", "search", "x", "--limit", "0"), "--limit 0: give a number from 1 to 500"),
        (("query", "repo_map", "--budget", "5"), "--budget 5: give a number from 100 to 100000"),
        (("query", "search", "y" * 20_001), "longer than 20000 characters"),
        (("query", "search", "\u68ee" * 7_000), "characters as a URL, of 60000; give its essential part"),
        (("query", "search", "\udcff" * 7_000), "characters as a URL"),  # bytes that are no UTF-8
        (("cypher", "RETURN 1", "--limit", "5000"), "--limit 5000: give a number from 1 to 1000"),
    ],
)
def test_words_that_do_not_fit_are_one_line_and_code_2_and_start_nothing(tmp_path, argv, line):
    done = direng(tmp_path / "home", "index", *argv)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert line in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("action", ["build", "status", "query repo_map", "watch", "cypher x", "mcp", "install"])
def test_a_folder_whose_name_is_not_utf_8_is_refused_in_one_line(tmp_path, action):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    done = direng(tmp_path / "home", "index", *action.split(), cwd=folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the name of this folder is not UTF-8" in done.stderr
    assert not (tmp_path / "home").exists()


def test_index_alone_names_its_actions(tmp_path):
    done = direng(tmp_path, "index")
    assert done.returncode == 2
    assert "build|status|query|watch|doctor" in done.stderr


STAMP = {"indexed_commit": "a" * 40, "head_commit": "b" * 40, "dirty_paths": ["x.py"], "lag_s": 75.0, "is_fresh": False}


def test_a_hit_is_one_line_even_when_its_path_or_snippet_has_several():
    hit = {
        "path": "a\nb.py",
        "line": 3,
        "symbol": "f",
        "snippet": "def f(\n    x,\n)",
        "tier": "exact",
        "reason": "calls f",
    }
    assert format_hit(hit) == ["a\\nb.py:3  f  def f( x, )  [exact, calls f]"]
    bare = {**hit, "tier": None, "reason": "", "symbol": "", "score": 1.5, "parts": {"words": 1.0, "path": 0.5}}
    assert format_hit(bare) == ["a\\nb.py:3  def f( x, )", "    1.500 = words 1.000 + path 0.500"]


def test_a_stamp_says_how_far_behind_and_what_is_included():
    assert (
        format_stamp(STAMP) == "index at aaaaaaaaaaaa, behind bbbbbbbbbbbb by 1 min 15 s, 1 uncommitted files included"
    )
    fresh = {**STAMP, "is_fresh": True, "dirty_paths": [], "dense_pending": 7}
    assert format_stamp(fresh) == "index at aaaaaaaaaaaa, fresh, 7 vectors to come"


def test_a_status_tells_what_the_graph_store_complains_of():
    snapshot = {"stamp": {**STAMP, "warnings": ["Neo4j is away"]}, "files": 1, "symbols": 2, "references": 3}
    lines = dict(describe_snapshot({**snapshot, "schema_version": 2}))
    assert (lines["graph store"], lines["edges"], lines["vectors"]) == ("Neo4j is away", "3", "not used yet")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One platform and one repository for all that needs a server."""
    folder = tmp_path_factory.mktemp("served")
    make_repo(folder / "shop")
    own = Platform(folder / "home")
    yield own, folder / "shop"
    own.direng("down", cwd=folder)


def test_build_status_and_queries_answer_from_the_index(served):
    platform, shop = served
    built = platform.direng("index", "build", cwd=shop)
    assert (built.code, built.err) == (0, "")
    assert "indexed in" in built.out
    assert "already fresh" in platform.direng("index", "build", cwd=shop).out
    status = platform.direng("index", "status", cwd=shop)
    assert (status.code, "freshness   fresh" in status.out) == (0, True)
    callers = platform.direng("index", "query", "who_calls", "total", cwd=shop)
    assert callers.out.startswith("shop.py:6  bill  return total([1])  [exact")
    assert callers.err.startswith("index at ")
    scored = platform.direng("index", "query", "search", "bill total", "--explain", "--limit", "1", cwd=shop)
    assert " = words " in scored.out


def test_an_answer_and_a_status_are_json_on_demand(served):
    platform, shop = served
    (shop / "new.py").write_text("def newcomer(): ...\n")
    for flags in (("--json",), ("-o", "json")):
        done = platform.direng("index", "query", "where_defined", "newcomer", *flags, cwd=shop)
        answer = json.loads(done.out)
        assert [hit["path"] for hit in answer["hits"]] == ["new.py"]
        assert answer["stamp"]["dirty_paths"] == ["new.py"]
    (shop / "new.py").unlink()
    snapshot = json.loads(platform.direng("index", "status", "-o", "json", cwd=shop).out)
    assert snapshot["stamp"]["is_fresh"] is True


def test_a_map_is_printed_as_text_and_a_missing_symbol_is_one_line(served):
    platform, shop = served
    assert "def total" in platform.direng("index", "query", "repo_map", cwd=shop).out
    done = platform.direng("index", "query", "where_defined", "totla", cwd=shop)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("error: no definition of totla")


def test_cypher_without_a_graph_store_says_how_to_get_one(served):
    platform, shop = served
    done = platform.direng("index", "cypher", "MATCH (n) RETURN n", cwd=shop)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "VECTOR_OPS_NEO4J_URL" in done.err


def test_the_doctor_looks_at_every_part(served):
    platform, shop = served
    checks = json.loads(platform.direng("index", "doctor", "--json", cwd=shop).out)
    names = {check["name"] for check in checks}
    assert names >= {"grammars", "sqlite", "watching", "git", "libgit2", "FAISS", "neural", "graph store", "index"}
    assert all(check["is_good"] for check in checks), [check for check in checks if not check["is_good"]]


async def test_watch_tells_of_a_commit_as_it_happens(served):
    platform, shop = served
    process = await asyncio.create_subprocess_exec(
        *("env", "--default-signal=INT", "direng", "index", "watch"),  # what runs in the background may ignore it
        cwd=shop,
        env=platform.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    first = await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
    assert first.startswith(b"index at ")
    git("commit", "-qm", "Nothing", "--allow-empty", cwd=shop)
    sha = git("rev-parse", "--short=12", "HEAD", cwd=shop).strip().encode()
    while sha not in await asyncio.wait_for(process.stdout.readline(), LIMIT_S):
        pass
    process.send_signal(2)
    _out, errors = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert (process.returncode, errors) == (0, b"")


async def test_another_agent_asks_over_stdin_and_stdout(served):
    platform, shop = served
    command = shutil.which("direng", path=platform.environment()["PATH"])
    server = StdioServerParameters(command=command, args=["index", "mcp"], env=platform.environment(), cwd=shop)
    async with stdio_client(server) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()
        assert {tool.name for tool in (await session.list_tools()).tools} >= set(VERBS)
        answer = await session.call_tool("who_calls", {"symbol": "total"})
        assert "shop.py:6 bill" in answer.content[0].text
        wrong = await session.call_tool("where_defined", {"symbol": "totla"})
        assert wrong.is_error


# The hook and the cron line


def environment_of(tmp_path, crontab="absent"):
    """Return an environment whose crontab is absent, or a program that keeps its table in a file."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    if crontab != "absent" and not (folder / "crontab").exists():
        table = tmp_path / "crontab"
        script = f'#!/bin/sh\nif [ "$1" = -l ]; then cat "{table}" 2>/dev/null; else cat > "{table}"; fi\n'
        (folder / "crontab").write_text(script)
        (folder / "crontab").chmod(0o755)
    return {"PATH": str(folder), "DIRENG_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}


def place_of(folder, tmp_path, **options):
    return Place.find(str(folder), environment_of(tmp_path, **options))


def test_a_hook_is_made_executable_and_taken_away_whole(repo, tmp_path):
    place, hook = place_of(repo, tmp_path), repo / ".git/hooks/post-commit"
    hook.unlink(missing_ok=True)
    assert str(hook) in install(place, ["hook"])[0]
    once = hook.read_text()
    install(place, ["hook"])
    assert hook.read_text() == once
    assert os.access(hook, os.X_OK)
    subprocess.run(["sh", "-n", hook], check=True)
    uninstall(place, ["hook"])
    assert not hook.exists()
    assert uninstall(place, ["hook"]) == ["hook: none was there"]


@pytest.mark.parametrize(
    "former", ["#!/bin/sh\necho hello\nexit 3\n", "#!/usr/bin/env bash\nexec true\n", "echo plain\n"]
)
def test_a_hook_that_is_there_is_kept_and_given_back_as_it_was(repo, tmp_path, former):
    place, hook = place_of(repo, tmp_path), repo / ".git/hooks/post-commit"
    hook.write_text(former)
    hook.chmod(0o750)
    install(place, ["hook"])
    text = hook.read_text()
    assert all(line in text for line in former.splitlines())
    assert text.startswith(former.splitlines()[0] if former.startswith("#!") else "# >>>")
    assert text.index("refresh_daemon") < text.index(former.splitlines()[-1])
    assert hook.stat().st_mode & 0o777 == 0o750
    uninstall(place, ["hook"])
    assert hook.read_text() == former


@pytest.mark.parametrize(
    ("former", "mode", "line"),
    [
        (b"#!/usr/bin/env python3\nprint(1)\n", 0o755, "is a script for python3"),
        (b"#!/bin/sh\necho off\n", 0o644, "is not executable"),
        (b"\x7fELF\xff\xfe", 0o755, "is no text"),
    ],
)
def test_a_hook_that_nothing_can_be_added_to_is_left_alone(repo, tmp_path, former, mode, line):
    place, hook = place_of(repo, tmp_path), repo / ".git/hooks/post-commit"
    hook.write_bytes(former)
    hook.chmod(mode)
    with pytest.raises(HookInTheWayError, match=line):
        install(place, ["hook"])
    assert hook.read_bytes() == former


def test_repositories_that_share_a_folder_of_hooks_keep_their_own_lines(repo, tmp_path):
    other = tmp_path / "other"
    make_repo(other)
    for one in (repo, other):
        git("config", "core.hooksPath", str(tmp_path / "hooks"), cwd=one)
        install(place_of(one, tmp_path), ["hook"])
    hook = tmp_path / "hooks/post-commit"
    assert hook.read_text().count("refresh_daemon") == 2
    uninstall(place_of(repo, tmp_path), ["hook"])
    assert hook.read_text().count("refresh_daemon") == 1
    assert str(other) in hook.read_text()


def test_a_linked_working_tree_uses_the_hook_of_its_repository(repo, tmp_path):
    git("worktree", "add", "-q", str(tmp_path / "side"), cwd=repo)
    assert place_of(tmp_path / "side", tmp_path).hook == repo / ".git/hooks/post-commit"


def test_a_bare_repository_has_no_hook_and_no_repository_is_one_clear_error(repo, tmp_path):
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"), cwd=tmp_path)
    assert install(place_of(tmp_path / "bare.git", tmp_path), ["hook"]) == ["hook: none, the repository is bare"]
    with pytest.raises(UnschedulableError, match="not a git repository"):
        place_of(tmp_path / "bin", tmp_path)


def test_the_cron_line_joins_the_others_once_and_leaves_them_when_it_goes(repo, tmp_path):
    (tmp_path / "crontab").write_text("0 4 * * * backup\n")
    place = place_of(repo, tmp_path, crontab="there")
    for _ in range(2):
        install(place, ["cron"])
    rows = (tmp_path / "crontab").read_text().splitlines()
    assert (len(rows), rows[0]) == (2, "0 4 * * * backup")
    assert rows[1].startswith("* * * * * env ")
    assert f"--repo '{repo}' --once" in rows[1]
    uninstall(place, ["cron"])
    assert (tmp_path / "crontab").read_text() == "0 4 * * * backup\n"
    assert uninstall(place, ["cron"]) == ["cron: nothing of ours is there"]


def test_without_crontab_the_line_is_told(repo, tmp_path):
    told = install(place_of(repo, tmp_path), ["cron"])[0]
    assert "* * * * * env" in told
    assert uninstall(place_of(repo, tmp_path), ["cron"]) == ["cron: there is no crontab here"]


def environment_with_systemd(tmp_path, *, refused="nothing"):
    """Return an environment whose systemctl writes down what it is told, and refuses one action."""
    environment = environment_of(tmp_path)
    program = tmp_path / "bin/systemctl"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> "{tmp_path}/told"\n[ "$2" != {refused} ] || {{ echo "No bus" >&2; exit 1; }}\n'
    )
    program.chmod(0o755)
    return environment


def test_a_daemon_is_a_unit_that_is_started_and_goes_as_it_came(repo, tmp_path):
    place = Place.find(str(repo), environment_with_systemd(tmp_path))
    assert install(place, ["daemon"]) == [
        f"daemon: {place.unit.name} follows the repository from now on, after each login too"
    ]
    unit = place.unit.read_text()
    assert f'"--repo" "{repo}"\n' in unit
    assert f'"DIRENG_HOME={tmp_path / "home"}" "{sys.executable}" "-I" "-m"' in unit
    assert uninstall(place, ["daemon"]) == [f"daemon: stopped and removed {place.unit.name}"]
    assert not place.unit.exists()
    told = (tmp_path / "told").read_text().splitlines()
    names = [line.replace(place.unit.name, "UNIT") for line in told]
    reload = "--user daemon-reload"
    assert names == [reload, "--user enable UNIT", "--user restart UNIT", "--user disable --now UNIT", reload]
    assert uninstall(place, ["daemon"]) == ["daemon: nothing of ours is there"]


@pytest.mark.parametrize("refused", ["absent", "daemon-reload", "restart"])
def test_without_a_systemd_that_runs_it_the_daemons_command_is_told_and_nothing_stays(repo, tmp_path, refused):
    environment = (
        environment_of(tmp_path) if refused == "absent" else environment_with_systemd(tmp_path, refused=refused)
    )
    place = Place.find(str(repo), environment)
    told = install(place, ["daemon"])[0]
    assert told.splitlines()[1].endswith(f"-m services.vector_ops.refresh_daemon --repo '{repo}'")
    assert not place.unit.exists()


def test_odd_names_are_quoted_for_systemd(tmp_path):
    made = tmp_path / 'a "b" $HOME 5%n \\'
    make_repo(made)
    place = Place.find(str(made), environment_with_systemd(tmp_path))
    install(place, ["daemon"])
    assert '/a \\"b\\" $$HOME 5%%n \\\\"\n' in place.unit.read_text()


def test_a_commit_runs_the_hook_and_the_index_follows(repo, tmp_path):
    home = tmp_path / "home"
    done = direng(home, "index", "install", "--hook", cwd=repo)
    assert (done.returncode, done.stderr) == (0, "")
    git("commit", "-qm", "Again", "--allow-empty", cwd=repo)
    metadata, deadline = home / "index/metadata.json", time.monotonic() + LIMIT_S
    while not metadata.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert json.loads(metadata.read_text())["commit_sha"] == git("rev-parse", "HEAD", cwd=repo).strip()
    assert direng(home, "index", "uninstall", "--hook", cwd=repo).returncode == 0
