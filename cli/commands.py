"""The sub-commands of `direng`."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cli import exits, render
from cli.conversation import Conversation, run_rows
from cli.launch import ensure_server, find_server, start_server, stop_server
from cli.wire import Wire, as_mapping, as_sequence
from services.home import find_home
from services.kernel.errors import PlatformError

HOW_TO_ANSWER: dict[tuple[str, ...], str] = {
    ("handle it yourself", "delegate to PEX"): "nothing was run; run it again with --direct (A) or --delegate (B)",
}
PAUSED = "the run keeps waiting: `direng resume` (--max-cost USD, --downshift) goes on with it, `direng stop` ends it"


def _open(arguments: argparse.Namespace) -> Conversation:
    home = ensure_server(os.environ)
    folder = str(Path(arguments.repo).absolute())
    return Conversation.open(Wire(home), folder, is_json=arguments.json)


def ask_for_approval() -> bool | None:
    """Ask on the terminal; return None when there is none."""
    if not sys.stdin.isatty():
        return None
    while True:
        word = input("[y]es / [n]o: ").strip().lower()
        if word in {"y", "yes"}:
            return True
        if word in {"n", "no", ""}:
            return False


def approve_unasked() -> bool:
    """Say yes for `--yes`, visibly."""
    render.note("approved up to that bound (--yes)")
    return True


def do_work(arguments: argparse.Namespace) -> int:
    """`direng ask|implement|fix`: one turn, with the approval where one is needed."""
    talk = _open(arguments)
    body: dict[str, object] = {"text": arguments.text, "purpose": arguments.command, "handling": arguments.handling}
    if arguments.max_cost is not None:
        body["max_cost_usd"] = arguments.max_cost
    ending = talk.work(body, approve_unasked if arguments.yes else ask_for_approval)
    if ending.waits_for_approval and ending.state == "waiting":
        render.note("nobody can be asked here; run it again with --yes, or approve it in the REPL (`direng`)")
        return exits.USAGE
    if ending.state == "waiting" and ending.options:
        render.note(_how_to_answer(ending.options))
    return ending.exit_code


def _how_to_answer(options: tuple[str, ...]) -> str:
    if "terminate" in options:
        return PAUSED
    return HOW_TO_ANSWER.get(options, "nothing was run; say it again in the words of one option")


def do_resume(arguments: argparse.Namespace) -> int:
    """`direng resume [RUN]`: go on with a paused run, under a higher cap or with the next model where that is said."""
    talk = _open(arguments)
    words = "downshift" if arguments.downshift else "resume"
    if arguments.max_cost is not None:
        words = f"{words} up to {arguments.max_cost}"
    ending = talk.resume(arguments.run, words)
    if ending.state == "waiting" and ending.options:
        render.note(_how_to_answer(ending.options))
    return ending.exit_code


def do_accept(arguments: argparse.Namespace) -> int:
    """`direng accept [RUN]`."""
    change = _open(arguments).accept(arguments.run)
    if arguments.json:
        render.print_json(change)
    else:
        render.say(str(change["text"]))
    return exits.OK


def do_undo(arguments: argparse.Namespace) -> int:
    """`direng undo`."""
    change = _open(arguments).undo()
    if arguments.json:
        render.print_json(change)
    else:
        render.say(str(change["text"]))
    return exits.OK


def do_diff(arguments: argparse.Namespace) -> int:
    """`direng diff [RUN]`."""
    found = _open(arguments).diff(arguments.run)
    if arguments.json:
        render.print_json(found)
    else:
        render.print_diff(str(found["patch"]))
    return exits.OK


def do_runs(arguments: argparse.Namespace) -> int:
    """`direng runs`."""
    runs = _open(arguments).runs()
    if arguments.json:
        render.print_json(runs)
    elif runs:
        render.say(run_rows(runs))
    else:
        render.say("no runs of this repository yet")
    return exits.OK


def do_status(arguments: argparse.Namespace) -> int:
    """`direng status [RUN]`: follow the run that is going on, or show how the named one ended."""
    talk = _open(arguments)
    if arguments.run is None and (active := talk.active_session()) is not None:
        talk.session_id = active[0]
        return talk.follow(0).exit_code
    runs = talk.runs()
    if not runs and arguments.run is None:
        render.say("no runs of this repository yet")
        return exits.OK
    run_id = str(runs[0]["run_id"]) if arguments.run is None else talk.full_run_id(arguments.run)
    run = as_mapping(talk.wire.get("pas", "/pas/v1/runs/status", {"run_id": run_id}))
    if arguments.json:
        render.print_json(run)
    else:
        print_run(run, talk.left_alone(run_id))
    return exits.OK


def do_stop(arguments: argparse.Namespace) -> int:
    """`direng stop [RUN]`."""
    named = _open(arguments).stop(arguments.run)
    if arguments.json:
        render.print_json({"run_id": named})
    else:
        render.say(f"ending run {named}; your files are as they were")
    return exits.OK


def print_run(run: dict[str, object], left_alone: Sequence[str] = ()) -> None:
    """Print a run with its cards and findings, what it left alone, and how to take its result."""
    render.say(f"run {run['run_id']}: {run['state']}{' (' + str(run['badge']) + ')' if run['badge'] else ''}", "bold")
    if run["reason"]:
        render.say(f"  {run['reason']}")
    if run["cap_microusd"] or run["cost_microusd"]:
        spent, cap = (render.format_usd(float(str(run[f"{name}_microusd"]))) for name in ("cost", "cap"))
        render.say(f"  spent {spent} of {cap}, {int(str(run['tokens'])):,} tokens")
    cards = as_sequence(run["cards"])
    rows = [
        (
            str(card["task_id"]),
            str(card["lane"]),
            str(card["state"]),
            render.format_duration(float(str(card["time_s"]))),
            _summary(card),
        )
        for card in cards
    ]
    render.say(render.format_table(("CARD", "LANE", "STATE", "TIME", "RESULT"), rows))
    for finding in as_sequence(run["findings"]):
        render.say(f"  check {finding['name']}: {finding['verdict']}: {finding['detail']}")
    if run["branch"]:
        render.say(
            f"  branch {run['branch']}: {run['files_changed']} files, +{run['lines_added']} -{run['lines_deleted']}"
        )
    if left_alone:
        render.say("  left alone:")
        render.say("\n".join(f"    {line}" for line in left_alone))
    kept = [
        str(ref["path"]) for ref in as_sequence(run["artifacts"]) if str(ref["path"]).startswith("artifacts/partial/")
    ]
    if kept and not run["files_changed"]:
        render.say(f"  kept, not tested: {', '.join(kept)}; see it with direng diff {run['run_id']}", "cyan")
    if run["state"] in {"completed", "needs_review"} and run["files_changed"]:
        render.say(f"  read it: direng diff {run['run_id']}; merge it: direng accept {run['run_id']}", "cyan")


def _summary(card: dict[str, object]) -> str:
    outcome = card["outcome"]
    return str(as_mapping(outcome)["summary"]) if outcome else str(card["reason"])


def do_up(arguments: argparse.Namespace) -> int:
    """`direng up`."""
    home = find_home(os.environ)
    home.create()
    running = find_server(home)
    if running is not None:
        render.say(f"already running: process {running.pid}, DirEng on 127.0.0.1:{running.ports['direng']}")
        return exits.OK
    start_server(home, os.environ)
    server = home.read_server()
    if arguments.json:
        render.print_json({"pid": server.pid, "ports": dict(server.ports)})
    else:
        render.say(f"running: process {server.pid}, DirEng on 127.0.0.1:{server.ports['direng']}, home {home.path}")
    return exits.OK


def do_down(_arguments: argparse.Namespace) -> int:
    """`direng down`."""
    was_running = stop_server(find_home(os.environ))
    render.say(
        "stopped; runs that were going on continue at the next start" if was_running else "no server was running"
    )
    return exits.OK


def do_config(arguments: argparse.Namespace) -> int:
    """`direng config`."""
    home = find_home(os.environ)
    values = {
        "home": str(home.path),
        "log": str(home.log_file),
        "server_file": str(home.server_file),
        "interpreter": sys.executable,
    }
    if arguments.json:
        render.print_json(values)
    else:
        render.say(render.format_table(("KEY", "VALUE"), list(values.items())))
    return exits.OK


def do_doctor(arguments: argparse.Namespace) -> int:
    """`direng doctor`: exit 1 when something needed is missing."""
    checks = examine(arguments.repo)
    if arguments.json:
        render.print_json(checks)
    else:
        for check in checks:
            render.say(
                f"{'ok     ' if check['is_good'] else 'MISSING'}  {check['name']}: {check['detail']}",
                "" if check["is_good"] else "red",
            )
            if not check["is_good"] and check["cure"]:
                render.say(f"         cure: {check['cure']}", "yellow")
    return exits.OK if all(check["is_good"] for check in checks) else exits.FAILED


def examine_interpreter(repo: str) -> dict[str, object]:
    """Return which interpreter would run the repository's tests, and whether it can."""
    own = Path(repo).absolute() / ".venv"
    has_pytest = any((own / "lib").glob("python3*/site-packages/pytest/__init__.py"))
    python, prefix = (own / "bin/python", own) if has_pytest else (Path(sys.executable), Path(sys.prefix))
    whose = "the repository's" if has_pytest else "the platform's: the repository has no .venv with pytest"
    is_good = any((prefix / "lib").glob("python3*/site-packages/pytest/__init__.py"))
    detail = f"{python} ({whose})" if is_good else f"{python} has no pytest"
    return {"name": "interpreter", "is_good": is_good, "detail": detail, "cure": "reinstall the package: make setup"}


def examine(repo: str) -> list[dict[str, object]]:
    """Return the findings of this side (can a server start?) and of the server, if one does."""
    git = shutil.which("git")
    cure = "apt-get install git"
    checks: list[dict[str, object]] = [
        {"name": "git", "is_good": git is not None, "detail": git or "not on PATH", "cure": cure},
        examine_interpreter(repo),
    ]
    try:
        wire = Wire(ensure_server(os.environ))
        checks += as_sequence(wire.get("direng", "/doctor", {"repo": str(Path(repo).absolute())}))
    except PlatformError as error:
        checks.append(
            {
                "name": "server",
                "is_good": False,
                "detail": error.detail,
                "cure": "mend what the line says, then `direng up`",
            }
        )
    return checks
