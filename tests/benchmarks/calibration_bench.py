"""Replay public agent costs through the estimator; write tests/benchmarks/calibration.json; fail outside the gate.

    python tests/benchmarks/calibration_bench.py COSTS_CSV

Method. COSTS_CSV is the per-task cost table of the public OpenHands index (not part of the project). A lane is one of
its benchmarks, a group one harness and model on one benchmark with at least 10 priced runs. Each group is replayed in
10 random orders, one run after another (prequential): predict, score, then learn, with the estimator's own arithmetic
(discount and floors included). The prior of a group is fitted by scripts/fit_priors.py on the other models of its
lane, so it never saw the model that it is scored on. Variants: failures included, with and without the list price as
covariate; and as shipped, a posterior each for resolved and unresolved runs. At n runs learned from, a row says how
many predictions there were, which share lay inside the 50% and the 90% interval, the median half-width of the 90%
interval as a factor, the median error of the median as a factor, and the mean log score (nats, of ln USD) beside that
of the untouched prior. Gate: from n = 5 on, 90% coverage within [0.87, 0.93], and a log score above the prior's. The
groups that have a run number n differ with n: 200 is reached by the two large benchmarks alone. Totals: plans of
eight cards of one group after 0, 5 and 20 of its runs, against eight cards drawn from that group's own runs, each
retried after a failure up to three attempts; not gated.
"""

import importlib.util
import json
import math
import platform
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.kernel.ids import EstimateId, TaskId  # noqa: E402 - the tree need not be installed
from services.kernel.vocabulary import Lane  # noqa: E402
from services.plms.core.posterior import Metric, Posterior, observe, predict, shift  # noqa: E402
from services.plms.core.priors import MetricPrior  # noqa: E402
from services.plms.core.totals import Forecast, Spread, draw_totals  # noqa: E402
from services.plms.models import PlannedCard  # noqa: E402

RESULTS = Path(__file__).with_name("calibration.json")
LEARNED = (0, 1, 2, 5, 10, 20, 50, 100, 200)
ORDERS = 10
MAX_ATTEMPTS = 3
SEED = 20261121
GATE_FROM, GATE = 5, (0.87, 0.93)
REPORTED = {
    0: {"cover50": 0.487, "cover90": 0.899, "half_width": 5.5, "error": 2.27},
    5: {"cover50": 0.494, "cover90": 0.903, "half_width": 3.5, "error": 1.83},
    20: {"cover50": 0.502, "cover90": 0.909, "half_width": 3.2, "error": 1.75},
    50: {"cover50": 0.502, "cover90": 0.910, "half_width": 3.2, "error": 1.75},
    200: {"cover50": 0.506, "cover90": 0.909, "half_width": 2.7, "error": 1.52},
}
"""The same replay of a prototype without discount, on the same table, measured when the method was chosen."""


def load_fit() -> ModuleType:
    """Return scripts/fit_priors.py, which is no package."""
    spec = importlib.util.spec_from_file_location("fit_priors", ROOT / "scripts" / "fit_priors.py")
    if spec is None or spec.loader is None:
        sys.exit("scripts/fit_priors.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fit_priors"] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Row:
    """What was seen at one number of runs learned from."""

    in_50: list[bool] = field(default_factory=list)
    in_90: list[bool] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    prior_scores: list[float] = field(default_factory=list)
    groups: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, group: tuple[str, ...], start: Posterior, posterior: Posterior, log_usd: float) -> None:
        """Score one prediction."""
        predicted, usd = predict(posterior), math.exp(log_usd)
        self.in_50.append(predicted.p25 <= usd <= predicted.p75)
        self.in_90.append(predicted.p05 <= usd <= predicted.p95)
        self.half_widths.append(math.sqrt(predicted.p95 / predicted.p05))
        self.errors.append(math.exp(abs(log_usd - posterior.m)))
        self.scores.append(score_log(posterior, log_usd))
        self.prior_scores.append(score_log(start, log_usd))
        self.groups.append(group)

    def summarise(self) -> dict[str, float]:
        """Return the row's figures."""
        return {
            "predictions": len(self.in_90),
            "cover50": round(float(np.mean(self.in_50)), 3),
            "cover90": round(float(np.mean(self.in_90)), 3),
            "half_width": round(float(np.median(self.half_widths)), 2),
            "error": round(float(np.median(self.errors)), 2),
            "log_score": round(float(np.mean(self.scores)), 3),
            "prior_log_score": round(float(np.mean(self.prior_scores)), 3),
        }


def score_log(posterior: Posterior, log_usd: float) -> float:
    """Return the log density that the predictive Student-t gave to what happened."""
    scale = math.sqrt(posterior.b * (posterior.kappa + 1) / (posterior.a * posterior.kappa))
    z, df = (log_usd - posterior.m) / scale, 2 * posterior.a
    constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2 - math.log(scale)
    return constant - (df + 1) / 2 * math.log1p(z * z / df)


def prior_of(fitted: Mapping[str, object], log_ratio: float | None) -> Posterior:
    """Return the state that a group starts from; `log_ratio` None: its price is not used."""
    prior = MetricPrior.model_validate(fitted["cost"])
    in_usd = shift(prior.to_posterior(is_priced=log_ratio is not None), -math.log(1e6))
    return shift(in_usd, prior.elasticity * (log_ratio or 0.0))


def replay(rows: Mapping[int, Row], group: tuple[str, ...], start: Posterior, runs: Sequence[float]) -> None:
    """Predict, score and learn one run after another."""
    state = start
    for n, log_usd in enumerate(runs):
        if n in rows:
            rows[n].add(group, start, state, log_usd)
        state = observe(state, math.exp(log_usd))


def fit_held_out(fit: ModuleType, costs: Path) -> Iterator[tuple[tuple[str, ...], Any, dict[str, Any], float]]:
    """Yield each group with its runs, the prior that the other models of its lane give, and ln of its price ratio."""
    runs = fit.read_runs(costs)
    prices = {model: fit.find_price(model) for _, _, model in runs}
    reference = math.exp(float(np.mean([math.log(price.output_usd) for price in prices.values()])))
    fits = {}
    for group, entry in runs.items():
        benchmark, _, model = group
        if (benchmark, model) not in fits:
            others = {key: value for key, value in runs.items() if key[0] == benchmark and key[2] != model}
            failures, successes = fit.fit_failures(list(others.values()))
            odds = {"failure": {"failures": failures, "successes": successes}}
            fits[benchmark, model] = fit.fit_cost(others, prices, reference) | odds
        yield group, entry, fits[benchmark, model], math.log(prices[model].output_usd / reference)


def replay_all(fit: ModuleType, costs: Path) -> dict[str, dict[int, Row]]:
    """Return the rows of every variant."""
    random = np.random.default_rng(SEED)
    rows: dict[str, dict[int, Row]] = defaultdict(lambda: {n: Row() for n in LEARNED})
    for group, entry, fitted, log_ratio in fit_held_out(fit, costs):
        plain, priced = prior_of(fitted, None), prior_of(fitted, log_ratio)
        log_usd, resolved = np.array(entry.log_usd), np.array([flag is True for flag in entry.is_resolved])
        for _ in range(ORDERS):
            order = random.permutation(len(log_usd))
            shuffled, is_success = log_usd[order].tolist(), resolved[order]
            replay(rows["without price"], group, plain, shuffled)
            replay(rows["with price"], group, priced, shuffled)
            for outcome, flag in (("success_shift", True), ("failure_shift", False)):
                own = log_usd[order][is_success == flag].tolist()
                replay(rows["as shipped: with price, by outcome"], group, shift(priced, fitted[outcome]), own)
    return rows


def pay_until_resolved(entry: Any, random: np.random.Generator) -> float:
    """Return the USD of one card in a world of a group's own runs: again after each failure, at most three times."""
    usd = 0.0
    for _ in range(MAX_ATTEMPTS):
        run = int(random.integers(len(entry.log_usd)))
        usd += math.exp(entry.log_usd[run])
        if entry.is_resolved[run] is True:
            break
    return usd


def learn_group(
    entry: Any, start: Posterior, fitted: Mapping[str, Any], runs: int, random: np.random.Generator
) -> Forecast:
    """Return what is known of a group after some of its runs, as the estimator would know it."""
    states = {True: shift(start, fitted["success_shift"]), False: shift(start, fitted["failure_shift"])}
    counts = {True: fitted["failure"]["successes"], False: fitted["failure"]["failures"]}
    for run in random.permutation(len(entry.log_usd))[:runs]:
        flag = entry.is_resolved[run] is True
        states[flag] = observe(states[flag], math.exp(entry.log_usd[run]))
        counts[flag] += 1
    cost = Spread(states[True], states[False])
    return Forecast(cost, (counts[False], counts[True]), {Metric.COST: cost})


def replay_totals(fit: ModuleType, costs: Path) -> dict[str, dict[str, float]]:
    """Return how often a plan's total lay in its intervals: plans of eight cards of one group, each group twice."""
    rows: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    random = np.random.default_rng(SEED)
    cards = [PlannedCard(task_id=TaskId(f"c{n}"), lane=Lane.CODE_IMPL, configuration="agent/a") for n in range(8)]
    for group, entry, fitted, log_ratio in fit_held_out(fit, costs):
        start = prior_of(fitted, log_ratio)
        for learned in (0, 5, 20):
            if learned + len(cards) > len(entry.log_usd):
                continue
            for repeat in range(2):
                forecast = learn_group(entry, start, fitted, learned, random)
                seed = EstimateId(f"{group}-{learned}-{repeat}")
                total = draw_totals(seed, cards, [forecast] * len(cards)).cost_microusd
                usd = sum(pay_until_resolved(entry, random) for _ in cards)
                rows[str(learned)].append((total.p05 <= usd <= total.p95, usd <= total.p80, usd <= total.p95))
    names = ("cover90", "below_p80", "below_p95")
    return {
        learned: {"plans": len(found)}
        | {name: round(float(np.mean(column)), 3) for name, column in zip(names, zip(*found, strict=True), strict=True)}
        for learned, found in rows.items()
    }


def cover_by_group(rows: Mapping[int, Row]) -> dict[str, float]:
    """Return the 90% coverage of the groups from n = 5 on: lanes, and the tenth percentile of groups."""
    by_lane, by_group = defaultdict(list), defaultdict(list)
    for n, row in rows.items():
        if n < GATE_FROM:
            continue
        for group, inside in zip(row.groups, row.in_90, strict=True):
            by_lane[group[0]].append(inside)
            by_group[group].append(inside)
    lanes = {lane: round(float(np.mean(found)), 3) for lane, found in sorted(by_lane.items())}
    worst = float(np.quantile([np.mean(found) for found in by_group.values()], 0.1))
    return lanes | {"tenth percentile of groups": round(worst, 3)}


def is_within_gate(row: Mapping[str, float]) -> bool:
    """Say whether a row holds what the estimator promises."""
    return GATE[0] <= row["cover90"] <= GATE[1] and row["log_score"] > row["prior_log_score"]


def main(costs: str) -> int:
    """Write the results; return 1 when a variant leaves the gate."""
    fit = load_fit()
    rows = replay_all(fit, Path(costs))
    totals = replay_totals(fit, Path(costs))
    tables = {name: {str(n): row.summarise() for n, row in entry.items() if row.in_90} for name, entry in rows.items()}
    outside = [
        f"{name}, n = {n}: {row}"
        for name, table in tables.items()
        for n, row in table.items()
        if int(n) >= GATE_FROM and not is_within_gate(row)
    ]
    results = {
        "method": (__doc__ or "").partition("Method. ")[2].strip(),
        "python": platform.python_version(),
        "variants": tables,
        "cover90_from_5": {name: cover_by_group(entry) for name, entry in rows.items()},
        "totals": totals,
        "reported": {str(n): row for n, row in REPORTED.items()},
        "outside_gate": outside,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    for name, table in tables.items():
        print(name)
        for n, row in table.items():
            print(f"  n={n:>3}", *(f"{key} {value}" for key, value in row.items()))
    for learned, row in totals.items():
        print(f"totals n={learned}", *(f"{key} {value}" for key, value in row.items()))
    print("outside the gate:", "; ".join(outside) or "none")
    return 1 if outside else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
