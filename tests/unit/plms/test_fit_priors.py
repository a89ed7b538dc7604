"""The fit of the public priors, on tables whose truth is known."""

import csv
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "fit_priors.py"
MODELS = (
    *("claude-opus-4-6", "claude-sonnet-4-6", "GPT-5.2", "GPT-5.4", "Gemini-3-Flash", "Gemini-3.1-Pro"),
    *("GLM-5", "Kimi-K2.5", "MiniMax-M3", "Nemotron-3-Nano", "Qwen3.5-Flash", "Trinity-Large-Thinking"),
)
ELASTICITY, MEDIAN_USD, BETWEEN_SD, WITHIN_SD, P_RESOLVED = 0.5, 0.8, 0.3, 0.7, 0.7


@pytest.fixture(scope="module")
def fit():
    spec = importlib.util.spec_from_file_location("fit_priors", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fit_priors"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fit_priors"]


@pytest.fixture(scope="module")
def tables(fit, tmp_path_factory):
    """Write costs of 24 configurations with known parameters, and runtimes, as the public tables have them."""
    folder, random = tmp_path_factory.mktemp("tables"), np.random.default_rng(20261121)
    listed = {model: fit.find_price(model).output_usd for model in MODELS}
    reference = math.exp(np.mean([math.log(usd) for usd in listed.values()]))
    costs, scores = folder / "costs.csv", folder / "scores.csv"
    with costs.open("w", newline="") as cost_file, scores.open("w", newline="") as score_file:
        cost_rows, score_rows = csv.writer(cost_file), csv.writer(score_file)
        cost_rows.writerow(["harness", "model", "benchmark", "instance_id", "cost_usd", "resolved"])
        score_rows.writerow(["harness", "model", "benchmark", "average_runtime_s"])
        for benchmark in fit.BENCHMARKS:
            for harness in ("one", "two"):
                for model, usd in listed.items():
                    price_effect = ELASTICITY * math.log(usd / reference)
                    mean = math.log(MEDIAN_USD) + price_effect + random.normal(0, BETWEEN_SD)
                    for task, log_usd in enumerate(random.normal(mean, WITHIN_SD, 120)):
                        is_resolved = random.random() < P_RESOLVED
                        cost_rows.writerow([harness, model, benchmark, task, math.exp(log_usd), is_resolved])
                    cost_rows.writerow([harness, model, benchmark, "free", 0.0, True])
                    cost_rows.writerow([harness, model, benchmark, "lost", "", ""])
                    score_rows.writerow([harness, model, benchmark, math.exp(random.normal(6.0, 0.5))])
    return costs, scores


def test_fit_finds_the_truth_behind_a_table(fit, tables):
    found = fit.fit(*tables)
    for work in found["analogues"].values():
        cost = work["cost"]
        assert work["runs"] == len(MODELS) * 2 * 120
        assert cost["median"] / 1e6 == pytest.approx(MEDIAN_USD, rel=0.25)
        assert cost["elasticity"] == pytest.approx(ELASTICITY, abs=0.2)
        assert cost["between_sd_priced"] == pytest.approx(BETWEEN_SD, abs=0.15)
        assert cost["within_sd"] == pytest.approx(WITHIN_SD, abs=0.05)
        assert work["time"]["between_sd"] == pytest.approx(0.5, abs=0.2)
        odds = work["failure"]
        assert odds["failures"] / sum(odds.values()) == pytest.approx(1 - P_RESOLVED, abs=0.05)
    assert found["pooled"]["runs"] == 5 * len(MODELS) * 2 * 120


def test_what_is_judgement_stays_when_the_file_is_fitted_again(fit, tables, tmp_path, capsys):
    out = tmp_path / "agent.json"
    out.write_text(json.dumps({"version": "v9", "plan": {"source": "mine"}, "pooled": "old"}))
    fit.main(*map(str, tables), str(out))
    written = json.loads(out.read_text())
    assert (written["version"], written["plan"]) == ("v9", {"source": "mine"})
    assert written["pooled"]["cost"]["median"] > 0
    assert "wrote" in capsys.readouterr().out
