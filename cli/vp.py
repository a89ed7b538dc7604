"""`vp`: projects from a PRD to a finished run."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

if __name__ == "__main__":  # run as a script: the folder `cli` itself must not be importable
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import typer

from cli import exits, render
from cli.commands import examine, print_run
from cli.estimates import (
    approval_bound,
    bound_of,
    budget_text,
    estimate_text,
    read_max_cost,
    read_rehearsal,
    simulation_text,
)
from cli.projects import Ledger, read_prd
from cli.render import format_table
from cli.vp_index import make_group
from cli.wire import as_mapping, as_sequence
from services.kernel.errors import NotFoundError, PlatformError
from services.kernel.version import VERSION

app = typer.Typer(
    name="vp",
    help=(
        "Projects: create, estimate, approve, run, and look at them. "
        "A project is named by its id, a unique prefix, or left out for the current one."
    ),
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 budget, 4 auth, 5 low confidence, 6 conflict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ProjectName = Annotated[
    str | None, typer.Argument(metavar="PROJECT", help="id, unique prefix, or nothing for the current one")
]
Output = Annotated[str, typer.Option("-o", "--output", metavar="table|json", help="how to print")]
Fields = Annotated[
    str | None, typer.Option("--json", metavar="FIELDS", help="print these fields (comma-separated, or `all`) as JSON")
]
Reason = Annotated[str, typer.Option("--reason", help="why; kept with the decision")]
MaxCost = Annotated[str | None, typer.Option("--max-cost", metavar="USD", help="the most that models may cost")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
NoInput = Annotated[bool, typer.Option("--no-input", help="never ask; fail where a question would be needed")]


def show(value: object, output: str, fields: str | None, as_table: Callable[[], str]) -> None:
    """Print `value` as JSON (whole or chosen fields) or as the table."""
    if output not in {"table", "json"}:
        raise typer.BadParameter("choose table or json", param_hint="-o")
    if fields is None and output == "table":
        render.say(as_table())
    else:
        render.print_json(_select(value, fields))


def _select(value: object, fields: str | None) -> object:
    if fields is None or fields == "all":
        return value
    names = [name.strip() for name in fields.split(",")]
    if isinstance(value, list):
        return [_select(item, fields) for item in value]
    item = as_mapping(value)
    unknown = [name for name in names if name not in item]
    if unknown:
        raise typer.BadParameter(f"no field {', '.join(unknown)}; there are {', '.join(item)}", param_hint="--json")
    return {name: item[name] for name in names}


def show_whole(value: object, output: str, fields: str | None) -> None:
    """Print `value`, or chosen fields of it, as JSON or YAML."""
    chosen = _select(value, fields)
    if output == "yaml" and fields is None:
        import yaml  # noqa: PLC0415 - for this case alone

        render.say(yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        render.print_json(chosen)


app.add_typer(make_group(show_whole), name="index")


def _project_table(projects: Sequence[Mapping[str, object]]) -> str:
    rows = [(str(p["project_id"]), str(p["state"]), str(p["title"]), str(p["repo"])) for p in projects]
    return (
        format_table(("PROJECT", "STATE", "TITLE", "REPOSITORY"), rows)
        if rows
        else "no projects yet; create one with `vp new`"
    )


def _confirm(question: str, *, yes: bool, no_input: bool) -> bool:
    if yes:
        return True
    if no_input or not sys.stdin.isatty():
        render.fail("a yes is needed; run it again with --yes")
        raise typer.Exit(exits.USAGE)
    return typer.confirm(question)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    """Print the version when asked for."""
    if version:
        render.say(f"vp {VERSION}")
        raise typer.Exit


@app.command()
def new(
    title: Annotated[str, typer.Option(help="one line")],
    prd: Annotated[str, typer.Option(help="what shall be done: words, or a text file")],
    repo: Annotated[str, typer.Option(help="a folder in the repository")] = ".",
    tag: Annotated[list[str] | None, typer.Option(help="a tag; may be repeated")] = None,
    output: Output = "table",
    fields: Fields = None,
) -> None:
    """Create a project and make it the current one."""
    body = {"title": title, "prd": read_prd(prd), "repo": str(Path(repo).absolute()), "tags": tag or []}
    ledger = Ledger.open()
    session = as_mapping(
        ledger.wire.post("direng", "/sessions", {"repo": body["repo"]})
    )  # refuses what is no repository
    project = as_mapping(ledger.wire.post("plms", "/api/projects", {**body, "repo": session["repo"]}))
    ledger.set_current(str(project["project_id"]))
    show(project, output, fields, lambda: f"created {project['project_id']}: {project['title']}; next: vp estimate")


@app.command("list")
def list_projects(
    state: Annotated[str | None, typer.Option(help="only projects in this state")] = None,
    tag: Annotated[str | None, typer.Option(help="only projects with this tag")] = None,
    output: Output = "table",
    fields: Fields = None,
) -> None:
    """List projects, newest first."""
    query = {name: value for name, value in (("status", state), ("tag", tag)) if value}
    projects = Ledger.open().all(query)
    show(projects, output, fields, lambda: _project_table(projects))


@app.command("show")
def show_project(project: ProjectName = None, output: Output = "table", fields: Fields = None) -> None:
    """Show a project."""
    found = Ledger.open().find(project)
    rows = [(name, str(value)) for name, value in found.items() if name != "prd"]
    show(found, output, fields, lambda: f"{format_table(('FIELD', 'VALUE'), rows)}\n\n{found['prd']}")


@app.command()
def estimate(project: ProjectName = None, output: Output = "table", fields: Fields = None) -> None:
    """Plan a project and estimate it, with intervals."""
    ledger = Ledger.open()
    found = ledger.find(project)
    result = ledger.ask_patiently(found, "estimate", {})
    show(result, output, fields, lambda: f"{estimate_text(result)}; next: vp approve")


@app.command()
def simulate(
    project: ProjectName = None,
    rehearsal: Annotated[str, typer.Option(help="how much of the cards: 0.001 to 0.05, or 0.1% to 5%")] = "0.01",
    max_cost: MaxCost = None,
    reason: Reason = "rehearsed by the user",
    yes: Yes = False,
    no_input: NoInput = False,
    output: Output = "table",
    fields: Fields = None,
) -> None:
    """Rehearse a fraction of the cards, at least one per stratum, and estimate again."""
    fraction, bound = read_rehearsal(rehearsal), read_max_cost(max_cost)
    ledger = Ledger.open()
    found = ledger.find(project)
    offer = ledger.newest_estimate(found)
    if offer["uses_model"]:
        most = f"${bound}" if bound else bound_of(offer)
        share = f"{fraction:g} = {fraction:.2%}".replace(".00%", "%")
        if not _confirm(
            f"A rehearsal ({share} of the cards) calls models, for at most {most}. Go on?", yes=yes, no_input=no_input
        ):
            raise typer.Exit(exits.FAILED)
    body = {"rehearsal": fraction, "max_cost_usd": bound, "rationale": reason}
    result = ledger.ask_patiently(found, "simulate", body)
    show(result, output, fields, lambda: simulation_text(result))


@app.command()
def approve(
    project: ProjectName = None,
    max_cost: MaxCost = None,
    reason: Reason = "approved by the user",
    yes: Yes = False,
    no_input: NoInput = False,
    output: Output = "table",
    fields: Fields = None,
) -> None:
    """Approve the newest estimate, up to its upper bound (P95)."""
    ledger = Ledger.open()
    found = ledger.find(project)
    offer = ledger.newest_estimate(found)
    if not yes:
        render.note(estimate_text(offer), "")
    bound = read_max_cost(max_cost)
    if not _confirm(f"Approve {approval_bound(offer, bound)}?", yes=yes, no_input=no_input):
        raise typer.Exit(exits.FAILED)
    approved = ledger.approve(found, offer, reason, bound)
    show(approved, output, fields, lambda: f"approved {approved['project_id']}; next: vp start")


@app.command()
def start(
    project: ProjectName = None,
    max_cost: MaxCost = None,
    reason: Reason = "started by the user",
    yes: Yes = False,
    no_input: NoInput = False,
    output: Output = "table",
    fields: Fields = None,
) -> None:
    """Run an approved project (--yes: approve it too)."""
    bound = read_max_cost(max_cost)
    ledger = Ledger.open()
    found = ledger.find(project)
    if found["state"] == "pending_approval":
        offer = ledger.newest_estimate(found)
        if not yes:
            render.note(estimate_text(offer), "")
        if not _confirm(f"Approve {approval_bound(offer, bound)} and start?", yes=yes, no_input=no_input):
            raise typer.Exit(exits.FAILED)
        ledger.approve(found, offer, reason, bound)
    body = {"rationale": reason, "max_cost_usd": bound}
    delegation = as_mapping(ledger.wire.post("pex", f"/api/projects/{found['project_id']}/start", body))
    show(delegation, output, fields, lambda: f"started run {delegation['run_id']}; follow it with: vp logs --follow")


@app.command()
def status(project: ProjectName = None, output: Output = "table", fields: Fields = None) -> None:
    """Show where a project and its newest run stand."""
    ledger = Ledger.open()
    found = ledger.find(project)
    result = ledger.status(found)
    if fields is not None or output == "json":
        about = {name: found[name] for name in ("project_id", "title", "state", "reason")}
        show({**about, **result}, output, fields, str)
        return
    why = f" ({found['reason']})" if found["reason"] else ""
    render.say(f"project {found['project_id']}: {found['state']}{why}", "bold")
    if money := budget_text(result):
        render.say(money)
    if result["run"]:
        print_run(as_mapping(result["run"]))
    else:
        render.say("no run yet")


@app.command()
def logs(
    project: ProjectName = None,
    tail: Annotated[int, typer.Option(min=1, help="how many of the newest lines")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the run ends")] = False,
    output: Output = "table",
) -> None:
    """Show what a project's newest run did, step by step."""
    ledger = Ledger.open()
    run = ledger.status(ledger.find(project))["run"]
    if not run:
        raise NotFoundError("the project has no run yet; start one with `vp start`")
    run_view = as_mapping(run)
    newest = int(str(run_view["last_seq"]))
    is_over = run_view["state"] in {"completed", "needs_review", "failed", "terminated"}
    for event in ledger.wire.stream(
        "pas", "GET", f"/pas/v1/runs/{run_view['run_id']}/events", after=max(0, newest - tail)
    ):
        _print_log_line(event.data, output)
        if not follow and event.seq >= newest:
            return
    if follow and not is_over:
        render.note("the run has ended: vp status")


def _print_log_line(event: Mapping[str, object], output: str) -> None:
    if output == "json":
        render.print_json(event)
    else:
        render.say(f"{event['at']}  {event['kind']:<10}  {event['task_id'] or '-':<12}  {event['text']}")


@app.command()
def pause(project: ProjectName = None, reason: Reason = "paused by the user") -> None:
    """Start no further card; running ones finish."""
    _steer(project, "pause", reason)


@app.command()
def resume(
    project: ProjectName = None,
    max_cost: MaxCost = None,
    downshift: Annotated[bool, typer.Option("--downshift", help="go on with the next model of the chain")] = False,
    reason: Reason = "resumed by the user",
) -> None:
    """Go on with a paused run, under a higher cap (all in all) or with the next model where that is said."""
    _steer(project, "resume", reason, {"max_cost_usd": read_max_cost(max_cost), "is_downshift": downshift})


@app.command()
def terminate(
    project: ProjectName = None, reason: Reason = "terminated by the user", yes: Yes = False, no_input: NoInput = False
) -> None:
    """Stop all cards now and end the run."""
    if _confirm("End the run now?", yes=yes, no_input=no_input):
        _steer(project, "terminate", reason)


def _steer(project: str | None, verb: str, reason: str, terms: Mapping[str, object] | None = None) -> None:
    ledger = Ledger.open()
    run = as_mapping(ledger.command(ledger.find(project), verb, reason, terms)["run"])
    is_ending = verb == "terminate" and run["state"] != "terminated"
    render.say(f"run {run['run_id']}: {'ending; see vp status' if is_ending else run['state']}")


@app.command()
def artifacts(project: ProjectName = None, output: Output = "table", fields: Fields = None) -> None:
    """List the artifacts of a project's newest run."""
    ledger = Ledger.open()
    found = as_sequence(ledger.wire.get("pex", f"/api/projects/{ledger.find(project)['project_id']}/artifacts"))
    rows = [(str(item["path"]), str(item["size_bytes"]), str(item["sha256"])) for item in found]
    show(found, output, fields, lambda: format_table(("PATH", "BYTES", "SHA-256"), rows))


@app.command()
def doctor(output: Output = "table", fields: Fields = None) -> None:
    """Say what is missing and how to get it."""
    checks = examine(".")
    rows = [
        ("ok" if c["is_good"] else "MISSING", str(c["name"]), str(c["detail"]), "" if c["is_good"] else str(c["cure"]))
        for c in checks
    ]
    show(checks, output, fields, lambda: format_table(("", "CHECK", "FOUND", "CURE"), rows))
    if not all(check["is_good"] for check in checks):
        raise typer.Exit(exits.FAILED)


def main() -> int:
    """Run the command; return its exit code."""
    try:
        app()  # leaves by SystemExit: 0, 2 for wrong usage, or the code of typer.Exit
    except PlatformError as error:
        render.fail(error)
        return exits.exit_code_of(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    return exits.OK


if __name__ == "__main__":
    sys.exit(main())
