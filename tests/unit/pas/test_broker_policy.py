import json
from importlib.resources import files

import pytest

from services.kernel.vocabulary import Lane
from services.pas.policy.validate_broker_policy import find_faults, load_schema, main

EXAMPLE = (files("services.pas.policy") / "model_broker_example.json").read_text("utf-8")


def changed(**changes):
    return json.dumps({**json.loads(EXAMPLE), **changes})


def test_the_example_is_valid():
    assert find_faults(EXAMPLE) == []


@pytest.mark.parametrize("missing", ["version", "default_provider", "lane_overrides", "fallback_chain"])
def test_a_missing_part_is_named(missing):
    policy = json.loads(EXAMPLE)
    del policy[missing]
    assert any(missing in fault for fault in find_faults(json.dumps(policy)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(version="today"), "version"),
        (changed(surprise=1), "surprise"),
        (changed(lane_overrides={"Code-Magic": {"provider": "openai", "model": "x"}}), "Code-Magic"),
        (changed(default_provider={"provider": "acme", "model": "x"}), "acme"),
        (changed(default_provider={"provider": "openai", "model": "x", "temperature": 3}), "temperature"),
        (changed(cost_optimization={"budget_cap_usd": -1}), "budget_cap_usd"),
        ('{"version": "2026-11-21-001", "version": "2026-11-21-002"}', "duplicate"),
        ("[", "not JSON"),
        ("[]", "object"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_reason(text, words):
    assert any(words in fault for fault in find_faults(text))


def test_lanes_of_the_schema_are_the_lanes_of_the_platform():
    assert load_schema()["properties"]["lane_overrides"]["propertyNames"]["enum"] == [lane.value for lane in Lane]


def test_exit_codes_are_valid_0_invalid_1_unreadable_2(tmp_path, capsys):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(EXAMPLE)
    bad.write_text('{"version": "2025-11-07-001"}')
    assert main([str(good)]) == 0
    assert capsys.readouterr().out == "VALID\n"
    assert main([str(bad)]) == 1
    assert "default_provider" in capsys.readouterr().out
    assert main([str(tmp_path / "absent.json")]) == 2
