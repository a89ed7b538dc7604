"""`direng model`: what is refused before anything is started or sent, and how amounts are read and shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.launch import keep_variable, key_variables, server_environment
from cli.models import UsageError, cure_variable, format_price, format_usd, parse_usd, state_of
from services.broker.models import Price, PriceTier
from services.home import Home

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ("--provider", "local_llama", "--model", "m1", "--url", "http://127.0.0.1:9/v1")
HOSTED = ("--provider", "openai", "--model", "gpt-5-mini")
SECRET = "sk-ant-not-to-be-shown"


def direng(home, *argv, **environment):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "cli.direng", *argv],
        env={**kept, "DIRENG_HOME": str(home), "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("Claude Big", *LOCAL, "--free"), "is no name for a model"),
        (("../x", *LOCAL, "--free"), "is no name for a model"),
        (("m", "--provider", "local_llama", "--model", "m1", "--free"), "local_llama needs --url"),
        (("m", *LOCAL, "--price-in", "3"), "needs both --price-in and --price-out"),
        (("m", *LOCAL, "--free", "--price-in", "3", "--price-out", "4"), "contradict each other"),
        (("m", *LOCAL, "--price-in", "three", "--price-out", "4"), "--price-in three: write USD"),
        (("m", *LOCAL, "--price-in", "3", "--price-out", "-4"), "write USD"),
        (("m", *LOCAL, "--price-in", "0.0000001", "--price-out", "4"), "at most six decimals"),
        (("m", *LOCAL, "--price-in", "nan", "--price-out", "4"), "write USD"),
        (("m", *HOSTED, "--key", SECRET), "never the key itself"),
        (("m", *HOSTED, "--key", f"env:{SECRET}"), "never the key itself"),
        (("m", *HOSTED, "--key", f"vault:{SECRET}"), "never the key itself"),
        (("m", *HOSTED, "--key", "env:AbCdEf0123456789"), "never the key itself"),
        (("m", *HOSTED, "--key-stdin"), "--key-stdin needs --key vault:NAME"),
        (("m", *HOSTED, "--key", "env:OPENAI_API_KEY", "--key-stdin"), "give --key vault:NAME"),
        (("m", *HOSTED, "--key", "vault:openai", "--key-stdin"), "no key came in on stdin"),
        (("m", "--provider", "acme", "--model", "x"), "invalid choice"),
        (("m", *HOSTED, "--context", "many"), "--context"),
        (("m", *HOSTED, "--context", "5"), "at least 1024 tokens"),
        (("m", "--model", "x"), "--provider"),
        ((), "NAME"),
    ],
)
def test_flags_that_do_not_fit_end_with_code_2_and_start_nothing(tmp_path, argv, line):
    home = tmp_path / "home"
    done = direng(home, "model", "add", *argv)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.strip().splitlines()[-1].split(": ", 1)[0] in {"error", "direng model add"}
    assert SECRET not in done.stdout + done.stderr
    assert not home.exists()


def test_model_alone_names_its_actions(tmp_path):
    done = direng(tmp_path / "home", "model")
    assert done.returncode == 2
    assert "add|list|test|default|remove" in done.stderr


@pytest.mark.parametrize(
    ("text", "microusd"),
    [("3", 3_000_000), ("$0.25", 250_000), ("0", 0), ("0.000001", 1), ("0.1", 100_000)],
)
def test_a_price_is_read_exactly(text, microusd):
    assert parse_usd(text, "--price-in") == microusd


@pytest.mark.parametrize("text", ["1e999999999", "1e2", "-1", "1.", "1,5", "inf", "٣", "3 "])
def test_what_is_no_plain_amount_is_refused(text):
    with pytest.raises(UsageError, match="write USD per million tokens"):
        parse_usd(text, "--price-in")


@pytest.mark.parametrize(
    ("microusd", "text"),
    [(3_000_000, "$3.00"), (0, "$0.00"), (123, "$0.000123"), (250_000, "$0.25"), (1_500_000_000, "$1500.00")],
)
def test_an_amount_is_shown_exactly(microusd, text):
    assert format_usd(microusd) == text


def test_a_price_is_shown_as_in_and_out_and_what_long_inputs_cost_more():
    price = Price(input_microusd=3_000_000, output_microusd=15_000_000, source="operator")
    assert format_price(price.model_dump(mode="json")) == "$3.00/$15.00"
    long = PriceTier(above_tokens_in=200_000, input_microusd=6_000_000, output_microusd=22_500_000)
    tiered = price.model_copy(update={"tiers": (long,)})
    assert format_price(tiered.model_dump(mode="json")) == "$3.00/$15.00, above 200000 in: $6.00/$22.50"
    assert format_price(Price(input_microusd=0, output_microusd=0, source="operator").model_dump(mode="json")) == "free"
    assert format_price(None) == "unknown"


@pytest.mark.parametrize(
    ("problem", "is_open", "state"),
    [("", False, "ready"), ("", True, "resting after failures"), ("no price", True, "no price")],
)
def test_the_state_of_a_model_is_said_in_words(problem, is_open, state):
    assert state_of({"problem": problem, "is_breaker_open": is_open}) == state


def test_the_cure_for_a_missing_variable_depends_on_the_shell():
    assert "running server was started without it" in cure_variable("MY_KEY", {"MY_KEY": "x"})
    assert "export MY_KEY=" in cure_variable("MY_KEY", {"MY_KEY": ""})


def test_a_server_gets_the_named_variable_and_its_value_is_not_kept(tmp_path):
    home = Home(tmp_path / "home")
    environment = {"DIRENG_HOME": str(home.path), "MY_KEY": SECRET, "OTHER": "x", "OPENAI_API_KEY": "y"}
    assert server_environment(environment, key_variables(home)).keys() & {"MY_KEY", "OTHER"} == set()
    for _ in range(2):
        keep_variable(environment, "MY_KEY")
    assert key_variables(home) == ("MY_KEY",)
    given = server_environment(environment, key_variables(home))
    assert given["MY_KEY"] == SECRET
    assert given["OPENAI_API_KEY"] == "y"
    assert "OTHER" not in given
    assert all(SECRET not in file.read_text() for file in home.path.iterdir())
