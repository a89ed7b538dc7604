"""Fit the public priors of agent cards and write them as JSON. Usage: fit_priors.py COSTS_CSV SCORES_CSV OUT_JSON.

COSTS_CSV holds one row per benchmark task and configuration (harness, model, benchmark, cost_usd, resolved), SCORES_CSV
one per configuration and benchmark (average_runtime_s): the two tables of the public OpenHands index. Only figures
derived from them are written; the tables themselves are not part of the project. The method is docs/adr/0018.
"""

import csv
import gzip
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from genai_prices import Usage, calc_price
from genai_prices import __version__ as prices_version
from scipy import optimize, stats

BENCHMARKS = ("swe-bench", "swt-bench", "swe-bench-multimodal", "commit0", "gaia")
MIN_RUNS = 10
"""A configuration with fewer priced runs says nothing about its spread."""
PRICED_AT = datetime(2026, 6, 1, tzinfo=UTC)
OPEN_MODELS = {
    "DeepSeek-V3.2-Reasoner": "deepseek/deepseek-v3.2",
    "DeepSeek-V4-Pro": "deepseek/deepseek-v4-pro",
    "GLM-4.7": "z-ai/glm-4.7",
    "GLM-5": "z-ai/glm-5",
    "GLM-5.1": "z-ai/glm-5.1",
    "Kimi-K2-Thinking": "moonshotai/kimi-k2-thinking",
    "Kimi-K2.5": "moonshotai/kimi-k2.5",
    "Kimi-K2.6": "moonshotai/kimi-k2.6",
    "MiniMax-M2.1": "minimax/minimax-m2.1",
    "MiniMax-M2.5": "minimax/minimax-m2.5",
    "MiniMax-M2.7": "minimax/minimax-m2.7",
    "MiniMax-M3": "minimax/minimax-m3",
    "Nemotron-3-Nano": "nvidia/nemotron-3-nano-30b-a3b",
    "Nemotron-3-Super": "nvidia/nemotron-3-super-120b-a12b",
    "Qwen3-Coder-480B": "qwen/qwen3-coder",
    "Qwen3-Coder-Next": "qwen/qwen3-coder-next",
    "Qwen3.5-Flash": "qwen/qwen3.5-flash-02-23",
    "Qwen3.6-Plus": "qwen/qwen3.6-plus",
    "Trinity-Large-Thinking": "arcee-ai/trinity-large-thinking",
}
"""Open-weight models have no single vendor: their list price is that of one large reseller."""
PREVIEWS = {
    "Gemini-3-Flash": "gemini-3-flash-preview",
    "Gemini-3-Pro": "gemini-3-pro-preview",
    "Gemini-3.1-Pro": "gemini-3.1-pro-preview",
}
CACHED_SHARE, CACHED_PRICE = 0.8, 0.1
OUT_PER_IN, THINK_PER_OUT = 0.02, 0.5
MIX_BETWEEN_SD, MIX_WITHIN_SD, THINK_SD = 0.7, 0.3, 0.8
"""Judgement: no public table of this size has tokens per run. Most input of an agent loop is its own past, read from
the cache at a tenth of the price; output is a few per cent of it. The spreads are added to those of cost."""

Group = tuple[str, str, str]


@dataclass(frozen=True)
class Runs:
    """Runs of one configuration on one benchmark: ln USD, and whether each was resolved (None: unknown)."""

    log_usd: tuple[float, ...]
    is_resolved: tuple[bool | None, ...]


@dataclass(frozen=True)
class Price:
    """List price in USD per million tokens."""

    input_usd: float
    output_usd: float


def read_runs(path: Path) -> dict[Group, Runs]:
    """Return the priced runs by (benchmark, harness, model); a cost of zero is a missing cost."""
    rows: dict[Group, list[tuple[float, bool | None]]] = defaultdict(list)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["cost_usd"] and float(row["cost_usd"]) > 0:
                resolved = {"True": True, "False": False}.get(row["resolved"])
                rows[row["benchmark"], row["harness"], row["model"]].append(
                    (math.log(float(row["cost_usd"])), resolved)
                )
    return {
        group: Runs(*(tuple(column) for column in zip(*entries, strict=True)))
        for group, entries in rows.items()
        if len(entries) >= MIN_RUNS
    }


def read_runtimes(path: Path) -> dict[str, list[float]]:
    """Return ln of the average seconds per run, by benchmark. Under a minute is a broken submission, not a run."""
    times: dict[str, list[float]] = defaultdict(list)
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if float(row["average_runtime_s"] or 0) >= 60:  # noqa: PLR2004 - said above
                times[row["benchmark"]].append(math.log(float(row["average_runtime_s"])))
    return times


def find_price(model: str) -> Price:
    """Return a model's list price from genai-prices."""
    if model in OPEN_MODELS:
        provider, name = "openrouter", OPEN_MODELS[model]
    elif model.startswith("Gemini"):
        provider, name = "google", PREVIEWS.get(model, model.lower())
    else:
        provider, name = ("anthropic", model) if model.startswith("claude") else ("openai", model.lower())

    def price_of(usage: Usage) -> float:
        found = calc_price(usage, name, provider_id=provider, genai_request_timestamp=PRICED_AT)
        return 1000 * float(found.total_price)

    return Price(
        price_of(Usage(input_tokens=1000, output_tokens=0)), price_of(Usage(input_tokens=0, output_tokens=1000))
    )


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float, float]:
    """Return (mean of y, sd of y, slope on x, sd of y given x)."""
    line = stats.linregress(x, y)
    residuals = np.asarray(y) - line.intercept - line.slope * np.asarray(x)
    priced_sd = math.sqrt(float(residuals @ residuals) / (len(y) - 2))
    return float(np.mean(y)), float(np.std(y, ddof=1)), float(line.slope), priced_sd


def fit_spread(runs: Sequence[Runs]) -> tuple[float, float]:
    """Return (a, b) of the inverse-gamma by marginal likelihood: a group's variance is (b / a) F(n - 1, 2a)."""
    variances = np.array([np.var(entry.log_usd, ddof=1) for entry in runs])
    degrees = np.array([len(entry.log_usd) - 1 for entry in runs])
    keep = variances > 0

    def loss(log_parameters: Sequence[float]) -> float:
        a, b = np.exp(log_parameters)
        scale = b / a
        return -float(np.sum(stats.f.logpdf(variances[keep] / scale, degrees[keep], 2 * a) - math.log(scale)))

    start = [math.log(4.0), math.log(3 * float(np.mean(variances)))]
    a, b = np.exp(optimize.minimize(loss, start, method="Nelder-Mead").x)
    return float(a), float(b)


def fit_shifts(runs: Sequence[Runs]) -> tuple[float, float]:
    """Return by how much ln cost of resolved and of unresolved runs lies from that of all, within a configuration."""
    shifts = []
    for entry in runs:
        costs, won = np.array(entry.log_usd), np.array([flag is True for flag in entry.is_resolved])
        lost = np.array([flag is False for flag in entry.is_resolved])
        if min(won.sum(), lost.sum()) >= 3:  # noqa: PLR2004 - a mean of fewer is noise
            shifts.append((costs[won].mean() - costs.mean(), costs[lost].mean() - costs.mean()))
    success, failure = np.mean(shifts, axis=0)
    return float(success), float(failure)


def fit_failures(runs: Sequence[Runs]) -> tuple[float, float]:
    """Return Beta(failures, successes) by moments of the configurations' shares of unresolved runs."""
    shares = np.array([np.mean([flag is False for flag in entry.is_resolved]) for entry in runs])
    mean, variance = float(shares.mean()), float(shares.var(ddof=1))
    strength = mean * (1 - mean) / variance - 1
    return mean * strength, (1 - mean) * strength


def fit_cost(groups: Mapping[Group, Runs], prices: Mapping[str, Price], reference_usd: float) -> dict[str, Any]:
    """Return the prior of cost on one benchmark, at the reference price, and how the outcome shifts it."""
    runs = list(groups.values())
    a, b = fit_spread(runs)
    success, failure = fit_shifts(runs)
    line = fit_line(_covariate(groups, prices, reference_usd), [float(np.mean(entry.log_usd)) for entry in runs])
    return {
        "success_shift": success,
        "failure_shift": failure,
        "cost": _spread(1e6, *line, within=math.sqrt(b / (a - 1)), a=a),
    }


def _covariate(groups: Mapping[Group, Runs], prices: Mapping[str, Price], reference_usd: float) -> list[float]:
    return [math.log(prices[model].output_usd / reference_usd) for _, _, model in groups]


def fit_benchmark(
    groups: Mapping[Group, Runs], prices: Mapping[str, Price], runtimes: Sequence[float], reference_usd: float
) -> dict[str, Any]:
    """Return everything that is believed about one benchmark, at the reference price."""
    runs = list(groups.values())
    money = fit_cost(groups, prices, reference_usd)
    a, within = money["cost"]["a"], money["cost"]["within_sd"]
    failures, successes = fit_failures(runs)
    tokens = [
        float(np.mean(entry.log_usd)) - math.log(_effective_usd(prices[model]))
        for (_, _, model), entry in groups.items()
    ]
    tokens_in = fit_line(_covariate(groups, prices, reference_usd), tokens)
    time_mean, time_sd = float(np.mean(runtimes)), float(np.std(runtimes, ddof=1))
    return money | {
        "configurations": len(groups),
        "runs": sum(len(entry.log_usd) for entry in runs),
        "failure": {"failures": failures, "successes": successes},
        # Averages are published: the median of a log-normal lies half its variance below.
        "time": _spread(1.0, time_mean - within**2 / 2, time_sd, 0.0, time_sd, within=within, a=a),
        "tokens_in": _tokens(1.0, tokens_in, within, a),
        "tokens_out": _tokens(OUT_PER_IN, tokens_in, within, a),
        "tokens_think": _tokens(OUT_PER_IN * THINK_PER_OUT, tokens_in, within, a, THINK_SD),
    }


def _effective_usd(price: Price) -> float:
    """Return what one million tokens of input cost with the output that comes with them."""
    discount = 1 - CACHED_SHARE + CACHED_SHARE * CACHED_PRICE
    return discount * price.input_usd + OUT_PER_IN * price.output_usd


def _spread(
    unit: float, mean: float, sd: float, slope: float, priced: float, *, within: float, a: float
) -> dict[str, float]:
    return {
        "median": unit * math.exp(mean),
        "between_sd": sd,
        "between_sd_priced": priced,
        "within_sd": within,
        "a": a,
        "elasticity": slope,
    }


def _tokens(
    share: float, line: tuple[float, float, float, float], within: float, a: float, extra_sd: float = 0.0
) -> dict[str, float]:
    """Return tokens as cost over an assumed price of a mix, wider by what the mix is uncertain."""
    mean, sd, slope, priced = line
    mix_sd = math.hypot(MIX_BETWEEN_SD, extra_sd)
    wide, wide_priced = math.hypot(sd, mix_sd), math.hypot(priced, mix_sd)
    return _spread(1e6 * share, mean, wide, slope, wide_priced, within=math.hypot(within, MIX_WITHIN_SD), a=a)


def pool(analogues: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the prior of a lane that no benchmark resembles: their mean, as wide as they differ and are wide."""
    pooled: dict[str, Any] = {
        "configurations": sum(entry["configurations"] for entry in analogues),
        "runs": sum(entry["runs"] for entry in analogues),
        "success_shift": float(np.mean([entry["success_shift"] for entry in analogues])),
        "failure_shift": float(np.mean([entry["failure_shift"] for entry in analogues])),
        "failure": {"failures": 1.0, "successes": 1.0},
    }
    for metric in ("time", "cost", "tokens_in", "tokens_out", "tokens_think"):
        parts = [entry[metric] for entry in analogues]
        medians = [math.log(part["median"]) for part in parts]
        across = float(np.var(medians, ddof=1))
        pooled[metric] = {
            "median": math.exp(float(np.mean(medians))),
            "between_sd": math.sqrt(across + float(np.mean([part["between_sd"] ** 2 for part in parts]))),
            "between_sd_priced": math.sqrt(across + float(np.mean([part["between_sd_priced"] ** 2 for part in parts]))),
            "within_sd": math.sqrt(float(np.mean([part["within_sd"] ** 2 for part in parts]))),
            "a": min(part["a"] for part in parts),
            "elasticity": float(np.mean([part["elasticity"] for part in parts])),
        }
    return pooled


def fit(costs: Path, scores: Path) -> dict[str, Any]:
    """Return the fitted part of the priors file."""
    runs, runtimes = read_runs(costs), read_runtimes(scores)
    prices = {model: find_price(model) for model in sorted({model for _, _, model in runs})}
    listed = [price.output_usd for price in prices.values()]
    reference_usd = math.exp(float(np.mean(np.log(listed))))
    analogues = {
        name: fit_benchmark(
            {group: entry for group, entry in runs.items() if group[0] == name}, prices, runtimes[name], reference_usd
        )
        for name in BENCHMARKS
    }
    return {
        "price": {
            "reference_microusd": round(1e6 * reference_usd),
            "lowest_microusd": round(1e6 * min(listed)),
            "highest_microusd": round(1e6 * max(listed)),
            "table": f"genai-prices {prices_version} at {PRICED_AT.date()}",
        },
        "analogues": analogues,
        "pooled": pool(list(analogues.values())),
    }


def _round(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round(entry) for key, entry in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main(costs: str, scores: str, out: str) -> None:
    """Replace the fitted part of the file at `out`; what is judgement in it (source, lanes, plan) stays."""
    path = Path(out)
    kept = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(kept | _round(fit(Path(costs), Path(scores))), indent=2) + "\n", "utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 - three arguments
        sys.exit(__doc__)
    main(*sys.argv[1:])
