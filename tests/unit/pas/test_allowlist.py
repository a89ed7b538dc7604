"""What a lane may ask for: the attacks of the escape catalogue at the level of words (no sandbox, no sockets)."""

import json

import pytest

from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import load_lane_allowlists
from services.pas.recipes import commands
from services.pas.recipes.models import PathsParams, TestParams

DRIVER = "/opt/platform/driver.py"
SCRIPTS = {"test-driver": DRIVER}
LANES = load_lane_allowlists()
ALL_LANES = pytest.mark.parametrize("lane", list(Lane))
CODE = LANES[Lane.CODE_IMPL]


def is_allowed(argv, lane=Lane.CODE_IMPL):
    return LANES[lane].check_command(argv, SCRIPTS).is_allowed


RUNNER = ["python", "-I", "-m", "services.pas.recipes.runner"]


@ALL_LANES
def test_every_lane_may_run_the_recipe_runner(lane):
    assert is_allowed([*RUNNER, "--recipe", "rename-symbol", "--params", "/inputs/params.json"], lane)
    assert is_allowed(
        [*RUNNER, "--recipe", "rename-symbol", "--params", "/inputs/params.json", "--root", "/lane"], lane
    )


@pytest.mark.parametrize(
    "argv",
    [
        commands.format_argv(PathsParams()),
        commands.format_check_argv(PathsParams(paths=("src/a.py", "tests"))),
        commands.fix_argv(PathsParams()),
        commands.check_argv(PathsParams(paths=("src/a.py",))),
        commands.pytest_argv(TestParams(), DRIVER, "/lane", is_own_interpreter=True),
        commands.pytest_argv(
            TestParams(paths=("tests/test_a.py::test_b[1-x]",), select="not slow"),
            DRIVER,
            "/lane",
            is_own_interpreter=False,
        ),
        ["ruff", "--version"],
        ["pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "tests/unit"],
    ],
)
def test_code_lane_may_run_what_the_recipes_build(argv):
    decision = CODE.check_command(argv, SCRIPTS)
    assert decision.is_allowed, decision.reason


# Numbers are those of the catalogue; each line was seen to execute, read or write out of policy somewhere.
ATTACKS = [
    # 1-10 git: lanes have no git at all
    ["git", "-c", "core.fsmonitor=x", "status"],
    ["git", "--config-env=core.pager=X", "log"],
    ["git", "-c", "alias.x=!cmd", "x"],
    ["git", "--exec-path=/lane", "pwn"],
    ["git", "--git-dir=/lane/x", "status"],
    ["git", "-C", "/etc", "status"],
    ["git", "grep", "-Osh"],
    ["git", "ls-remote", "--upload-pack=x", "."],
    ["git", "clone", "ext::sh -c x"],
    ["git", "difftool", "-x", "cmd"],
    ["git", "rebase", "-x", "cmd"],
    ["git", "log", "--output=f"],
    ["git", "diff", "--no-index", "/dev/null", "/etc/passwd"],
    ["git", "diff"],
    # 11-15
    ["find", ".", "-exec", "id", ";"],
    ["find", ".", "-delete"],
    ["sed", "e", "a"],
    ["sed", "-i", "s/a/b/", "a"],
    ["awk", 'BEGIN{system("id")}'],
    ["tar", "--to-command=id", "-xf", "a.tar"],
    ["tar", "--checkpoint-action=exec=id", "-cf", "a.tar", "."],
    ["make", "SHELL=/lane/x"],
    ["make", "-n"],
    # 16 python
    ["python", "-c", "print(1)"],
    ["python", "-"],
    ["python", "script.py"],
    ["python", "-m", "services.pas.recipes.runner"],
    ["python", "-I", "-m", "http.server"],
    ["python", "-I", "-m", "services.pas.recipes.runner.evil"],
    ["python", "-Im", "services.pas.recipes.runner"],
    ["python", "-I", "-c", "print(1)"],
    ["python", "-I", "/lane/driver.py"],
    ["python", "-I", "{test-driver}"],
    # 17 pytest
    ["pytest", "-p", "evil"],
    ["pytest", "-pevil"],
    ["pytest", "-c", "other.ini"],
    ["pytest", "-o", "addopts=-p evil"],
    ["pytest", "--rootdir=/"],
    ["pytest", "--override-ini=x=y"],
    # 18-24
    ["pip", "install", "."],
    ["pip", "download", "x"],
    ["npm", "test"],
    ["env", "id"],
    ["xargs", "id"],
    ["timeout", "1", "id"],
    ["nice", "id"],
    ["setsid", "id"],
    ["stdbuf", "-o0", "id"],
    ["busybox", "sh"],
    ["ld-linux-x86-64.so.2", "/bin/id"],
    ["sort", "--compress-program=x", "a"],
    ["rg", "--pre", "x", "a"],
    ["zip", "-TT", "x"],
    ["man", "-P", "x", "ls"],
    ["gcc", "-wrapper", "x", "a.c"],
    ["gcc", "@file"],
    ["gdb", "-ex", "shell id"],
    ["ssh", "-oProxyCommand=x", "h"],
    ["sh", "-c", "id"],
    ["bash", "-lc", "id"],
    ["perl", "-e", "1"],
    ["node", "-e", "1"],
    ["vim", "-c", "!id"],
    # 25-26 a program under another name
    ["/proc/self/root/usr/bin/curl", "x"],
    ["./ruff", "check"],
    ["/lane/ruff", "check"],
    ["../ruff", "check"],
    ["Ruff", "check"],
    ["ruff ", "check"],
    ["curl", "x"],
    ["wget", "x"],
    # 27 lenient option parsing
    ["ruff", "check", "--out=json"],
    ["ruff", "check", "--output-form=json"],
    ["ruff", "check", "-qn"],
    ["ruff", "check", "-eE501"],
    ["ruff", "check", ".", "--fix"],
    ["ruff", "check", "--fix", "--fix"],
    ["ruff", "check", "--fix=yes"],
    ["ruff", "check", "--select"],
    ["ruff", "check", "--select", "--fix"],
    ["ruff", "check", "--", "--config=x"],
    ["ruff", "check", "--config", "a.toml"],
    ["ruff", "check", "--output-file=a"],
    ["ruff", "check", "--cache-dir=/etc"],
    ["ruff", "check", "-"],
    ["ruff", "server"],
    ["ruff"],
    ["grep", "-R", "x", "."],
    ["grep", "-f", "a", "b"],
    ["grep", "x"],
    # 30 paths
    ["ruff", "check", "../../etc/x"],
    ["ruff", "check", "a/../../x"],
    ["ruff", "check", "/etc/passwd"],
    ["ruff", "check", "/lane/../etc/passwd"],
    ["ruff", "check", "/lanes/x"],
    ["ruff", "check", "~/x"],
    ["ruff", "check", "~root"],
    ["ruff", "check", "file:///etc/passwd"],
    ["ruff", "check", "@response"],
    ["ruff", "check", "/inputs/x"],
    [*RUNNER, "--recipe", "x", "--params", "/inputs/../etc/passwd"],
    [*RUNNER, "--recipe", "x", "--params", "/proc/1/environ"],
    [*RUNNER, "--recipe", "../x", "--params", "/inputs/a"],
    # 31 an environment in the argv
    ["LD_PRELOAD=/lane/x.so", "ruff", "check"],
    ["PYTHONPATH=/lane", "python", "-I", DRIVER],
]


@pytest.mark.parametrize("argv", ATTACKS, ids=lambda argv: " ".join(argv)[:60])
def test_attack_is_denied_in_every_lane_with_a_reason(argv):
    for lane in Lane:
        decision = LANES[lane].check_command(argv, SCRIPTS)
        assert not decision.is_allowed
        assert decision.reason
        assert "\n" not in decision.reason
        assert decision.rule


@ALL_LANES
@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "ksh", "csh", "tcsh", "fish", "ash", "busybox"])
def test_raw_shell_is_denied_by_name(lane, shell):
    assert LANES[lane].check_command([shell]).rule.startswith("commands.deny[")


@pytest.mark.parametrize("text", ["; id", "a | b", "$(id)", "> /etc/x", "`id`", "*", "&&", "a'b\"c"])
def test_metacharacters_are_ordinary_characters_in_a_text_operand(text):
    assert is_allowed(["grep", "-n", "--", text, "src/a.py"])


@pytest.mark.parametrize(
    "hidden", ["\0", "\n", "\r", "\x1b[2J", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\ud800", "\u00ad"]
)
def test_hidden_character_is_denied_anywhere_and_never_echoed(hidden):
    for argv in (["ruff", "check", f"a{hidden}b"], [f"ruff{hidden}", "check"], ["grep", f"x{hidden}", "a"]):
        decision = CODE.check_command(argv)
        assert not decision.is_allowed
        assert hidden not in decision.reason


def test_visible_letters_of_any_language_are_allowed_in_paths():
    assert is_allowed(["ruff", "check", "src/größe.py"])


@pytest.mark.parametrize(
    "argv", [["grep", *["x"] * 10_000], ["grep", "x" * 2_000_000, "a"], ["grep", *["x" * 8000] * 9], [], [""]]
)
def test_oversized_or_empty_command_is_denied(argv):
    assert not is_allowed(argv)


def test_head_with_a_script_that_the_server_did_not_give_matches_nothing():
    argv = ["python", "-I", DRIVER]
    assert CODE.check_command(argv, SCRIPTS).is_allowed
    assert not CODE.check_command(argv).is_allowed


def test_lane_without_the_program_denies_it():
    assert not is_allowed(["ruff", "format", "."], Lane.NARRATIVE)
    assert not is_allowed(["pytest"], Lane.CODE_API_DESIGN)
    assert not is_allowed(["ruff", "check", "--fix", "."], Lane.CODE_API_DESIGN)


@ALL_LANES
@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.local",
        "deploy/.env.production",
        ".ENV",
        ".env.d/values",
        "secrets/token",
        "secrets/a/b/c",
        "secrets",
        "app/secrets/token",
        "Secrets/token",
        "tls.pem",
        "certs/TLS.PEM",
        "a/b/id.key",
        "./.env",
        "a/./secrets/x",
        "a//.env",
        ".git/config",
        ".git",
        "sub/.git/hooks/x",
    ],
)
def test_secret_and_git_files_are_denied_at_any_depth(lane, path):
    decision = LANES[lane].check_path(path)
    assert not decision.is_allowed
    assert not LANES[lane].check_command(["grep", "x", path]).is_allowed


@ALL_LANES
@pytest.mark.parametrize(
    "path", ["src/a.py", "README.md", "environment.py", "docs/secrets.md", "keys/monkey.py", ".github/x.yml"]
)
def test_ordinary_files_are_allowed(lane, path):
    assert LANES[lane].check_path(path).is_allowed


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../../b", "~/x", "a\\..\\b", "a\0b", "-rf", "file:/x"])
def test_path_that_could_lead_out_is_denied(path):
    assert not CODE.check_path(path).is_allowed


@ALL_LANES
def test_packaged_file_has_the_required_keys_and_no_network(lane):
    dumped = json.loads(LANES[lane].model_dump_json())
    assert dumped["lane"] == lane
    assert dumped["network"] == {"outbound": False}
    assert {"max_cpu_pct", "max_mem_mb", "max_exec_seconds", "max_parallel"} <= dumped["limits"].keys()
    assert {"patch_only", "require_unified_diff", "backups"} == dumped["fs_ops"].keys()
    assert LANES[lane].sandbox_limits().exec_seconds == dumped["limits"]["max_exec_seconds"]
