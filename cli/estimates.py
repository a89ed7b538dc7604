"""Estimates, rehearsals and budgets as `vp` prints them."""

import argparse
from collections.abc import Callable, Mapping

import typer

from cli.conversation import FINAL_RUN_STATES
from cli.direng import read_usd
from cli.render import format_duration, format_table, format_usd
from cli.wire import as_mapping, as_sequence

LEAST, MOST = 0.001, 0.05
QUANTILES = ("p10", "p50", "p80", "p95")
HEADERS = tuple(name.upper() for name in QUANTILES)
Numbers = Mapping[str, float]


def read_rehearsal(text: str) -> float:
    """Return the fraction that `0.01` or `1%` names; refuses what is outside 0.1% to 5%."""
    try:
        fraction = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no fraction; give one such as 0.01 or 1%", param_hint="--rehearsal"
        ) from None
    if not LEAST <= fraction <= MOST:
        raise typer.BadParameter("a rehearsal takes 0.001 (0.1%) to 0.05 (5%) of the cards", param_hint="--rehearsal")
    return fraction


def read_max_cost(text: str | None) -> str | None:
    """Return an amount of dollars as the services take it; refuses anything else."""
    if text is None:
        return None
    try:
        return read_usd(text)
    except argparse.ArgumentTypeError as error:
        raise typer.BadParameter(str(error), param_hint="--max-cost") from None


def numbers(value: object) -> Numbers:
    """Return quantiles as numbers."""
    return {name: float(str(one)) for name, one in as_mapping(value).items()}


def describe_cost(estimate: Mapping[str, object]) -> str:
    """Return what a plan costs in one phrase."""
    if not estimate["uses_model"]:
        return "no model used: 0 tokens, $0.00"
    cost = numbers(estimate["cost_microusd"])
    return f"cost {format_usd(cost['p50'])} (P50), {format_usd(cost['p80'])} (P80), up to {bound_of(estimate)} (P95)"


def bound_of(estimate: Mapping[str, object]) -> str:
    """Return the upper bound of an estimate's cost, which an approval allows."""
    return format_usd(int(str(estimate["cost_microusd_p95"])))


def approval_bound(estimate: Mapping[str, object], max_cost_usd: str | None) -> str:
    """Return what an approval allows: the upper bound in time, and in money the user's bound or the estimate's."""
    money = f"${max_cost_usd}" if max_cost_usd else bound_of(estimate)
    most = f"up to {format_duration(numbers(estimate['time_s'])['p95'])}"
    return f"{most} and {money}" if estimate["uses_model"] else most


def estimate_text(estimate: Mapping[str, object]) -> str:
    """Return an estimate: time of the plan and its cards, and where a model is used money and tokens."""
    time_s = numbers(estimate["time_s"])
    head = f"80% likely done within {format_duration(time_s['p80'])}; {describe_cost(estimate)}; {estimate['label']}"
    rows = [("whole plan", *_spread(time_s, format_duration), str(estimate["label"]))]
    cards = as_sequence(estimate["cards"])
    for card in cards:
        basis = f"{card['label']} ({card['attempts_observed']} attempts)"
        rows.append((str(card["task_id"]), *_spread(numbers(card["time_s"]), format_duration), basis))
    lines = [head, format_table(("CARD", *HEADERS, "BASIS"), rows)]
    if estimate["uses_model"]:
        lines += _money_lines(estimate)
    return "\n".join([*lines, f"estimate {estimate['estimate_id']}"])


def _money_lines(estimate: Mapping[str, object]) -> list[str]:
    money = [("whole plan", *_spread(numbers(estimate["cost_microusd"]), format_usd))]
    for card in as_sequence(estimate["cards"]):
        cost = numbers(card["cost_microusd"])
        if cost["p95"]:
            money.append((f"{card['task_id']} on {card['configuration']}", *_spread(cost, format_usd)))
    names = {"tokens in": "tokens_in", "tokens out": "tokens_out", "of them thinking": "tokens_think"}
    tokens = [(name, *_spread(numbers(estimate[key]), _format_count)) for name, key in names.items()]
    prices = estimate.get("price_table_version") or "none: no model is configured, public priors alone"
    return [
        format_table(("COST", *HEADERS), money),
        format_table(("TOKENS", *HEADERS), tokens),
        f"prices: {prices}",
    ]


def _spread(quantiles: Numbers, form: Callable[[float], str]) -> tuple[str, str, str, str]:
    return tuple(form(quantiles[name]) for name in QUANTILES)  # type: ignore[return-value]  # four names


def _format_count(count: float) -> str:
    return f"{count:,.0f}"


def simulation_text(simulation: Mapping[str, object]) -> str:
    """Return what a rehearsal came to: the estimate before and after it."""
    before, after = as_mapping(simulation["before"]), as_mapping(simulation["after"])
    if not simulation["cards_rehearsed"]:
        return f"{simulation['note']}\nthe estimate stays as it is: {estimate_text(after)}"
    rows = []
    for name, key, form in (("time", "time_s", format_duration), ("cost", "cost_microusd", format_usd)):
        for when, estimate in (("before", before), ("after", after)):
            quantiles = numbers(estimate[key])
            rows.append((name, when, *_spread(quantiles, form), str(estimate["label"])))
    lines = [
        str(simulation["note"]),
        format_table(("", "ESTIMATE", *HEADERS, "LABEL"), rows),
    ]
    run = simulation["run"]
    if run:
        view = as_mapping(run)
        lines.append(
            f"rehearsal {view['run_id']}: {view['state']}, spent {format_usd(float(str(view['cost_microusd'])))}"
        )
    return "\n".join([*lines, f"estimate {after['estimate_id']}; next: vp approve"])


def budget_text(status: Mapping[str, object]) -> str:
    """Return the spend of a run that goes on against its cap, and why it is paused; empty where no money is spent."""
    if not status.get("budget"):
        return ""
    budget = as_mapping(status["budget"])
    cap = float(str(budget["cap_microusd"]))
    run = as_mapping(status["run"]) if status.get("run") else {}
    is_paused = run.get("state") == "paused"
    if not cap and not is_paused:
        return ""
    if run.get("state") in FINAL_RUN_STATES:
        return ""  # the run's own lines say what it spent
    lines = [_describe_spend(budget, cap)] if cap else []
    if is_paused:
        lines += _pause_lines(budget)
    return "\n".join(lines)


def _describe_spend(budget: Mapping[str, object], cap: float) -> str:
    spent, projected = float(str(budget["spent_microusd"])), float(str(budget["projected_microusd"]))
    overrun, left = budget["projected_overrun_pct"], budget["t_minus_depletion_min"]
    share = "" if overrun is None else f" ({float(str(overrun)):+.0f}% against the cap)"
    rate = "" if left is None else f", the cap is spent in {float(str(left)):.1f} min at this rate"
    return f"spent {format_usd(spent)} of {format_usd(cap)}, projected {format_usd(projected)}{share}{rate}"


def _pause_lines(budget: Mapping[str, object]) -> list[str]:
    lines = []
    for lane in as_sequence(budget["top_lanes"]):
        spent, projected, estimated = (
            format_usd(float(str(lane[f"{name}_microusd"]))) for name in ("spent", "projected", "estimated")
        )
        lines.append(f"  {lane['lane']}: {spent} spent, {projected} projected, {estimated} estimated")
    for receipt in as_sequence(budget["last_receipts"]):
        who = receipt["model"] if receipt["model"] != "none" else receipt["configuration"]
        cost = format_usd(float(str(receipt["cost_microusd"])))
        lines.append(
            f"  receipt: {receipt['task_id']} {who}: {cost}, {receipt['tokens_in']} in, {receipt['tokens_out']} out"
        )
    options = budget["options"]
    lines += [f"  {option}" for option in (options if isinstance(options, list) else [])]
    return [*lines, "  vp resume [--max-cost USD] [--downshift], or vp terminate"]
