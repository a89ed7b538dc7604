"""`direng index ...`: build the code index, ask it, follow it, keep it fresh."""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from cli import exits, render
from cli.launch import ensure_server
from cli.wire import Json, Wire, as_mapping, as_sequence
from services.kernel.errors import InvalidRequestError, PlatformError

SERVICE = "vector_ops"
VERBS = ("where_defined", "who_calls", "impact_set", "search", "nn_snippet", "repo_map", "context_pack")
MAX_LIMIT = 500
MIN_BUDGET, MAX_BUDGET, DEFAULT_BUDGET = 100, 100_000, 2_000
MAX_ROWS = 1_000
MAX_TEXT_CHARACTERS = 20_000
MAX_URL_CHARACTERS = 60_000
"""A query is a URL, and HTTP servers refuse longer ones; a character that is no ASCII letter takes 3 to 12."""
_SHORT_SHA = 12
_TICK_S = 0.5


class UsageError(InvalidRequestError):
    """The words of the command do not fit; ends the command with code 2."""


def do_index(arguments: argparse.Namespace) -> int:
    """`direng index ...`."""
    handlers: dict[str, Callable[[argparse.Namespace], int]] = {
        "build": do_build,
        "status": do_status,
        "query": do_query,
        "watch": do_watch,
        "doctor": do_doctor,
        "install": do_schedule,
        "uninstall": do_schedule,
        "cypher": do_cypher,
        "mcp": do_mcp,
    }
    try:
        return handlers[arguments.action](arguments)
    except UsageError as error:
        render.fail(error)
        return exits.USAGE


def do_build(arguments: argparse.Namespace) -> int:
    """`direng index build`: refresh now, with a line that says how long it has taken so far."""
    body = {"repo": _repo(arguments)}
    wire = _open_wire()
    report = as_mapping(_while_ticking("indexing", lambda: wire.post(SERVICE, "/refresh", body)))
    if arguments.json:
        _show_whole(arguments, report)
        return exits.OK
    if report["note"]:
        render.note(str(report["note"]), "yellow")
    took = render.format_duration(float(str(report["duration_s"])))
    what = "already fresh" if report["outcome"] == "fresh" else f"indexed in {took}, {report['files_parsed']} parsed"
    render.say(
        f"{str(report['commit_sha'])[:_SHORT_SHA]}: {what};"
        f" {report['files_total']} files, {report['symbols_total']} symbols"
    )
    return exits.OK


def do_status(arguments: argparse.Namespace) -> int:
    """`direng index status`: what the index holds and how fresh it is; exit 1 when it is behind."""
    query = {"repo": _repo(arguments)}
    wire = _open_wire()
    snapshot = as_mapping(_while_ticking("indexing", lambda: wire.get(SERVICE, "/snapshot", query)))
    if arguments.json:
        _show_whole(arguments, snapshot)
    else:
        for name, value in describe_snapshot(snapshot):
            render.say(f"{name:<12}{value}")
    return exits.OK if as_mapping(snapshot["stamp"])["is_fresh"] else exits.FAILED


def describe_snapshot(snapshot: Json) -> list[tuple[str, str]]:
    """Return the lines of `direng index status`."""
    stamp = as_mapping(snapshot["stamp"])
    pending, history = stamp.get("dense_pending"), str(stamp.get("history_commit") or "")
    dirty = _count_dirty(stamp)
    warnings = _warnings(stamp)
    return [
        ("commit", str(stamp["indexed_commit"])),
        ("freshness", _describe_freshness(stamp)),
        ("uncommitted", f"{dirty} files, read as they are on disk" if dirty else "none"),
        ("files", str(snapshot["files"])),
        ("symbols", str(snapshot["symbols"])),
        ("edges", str(snapshot["references"])),
        ("vectors", "not used yet" if pending is None else f"{pending} chunks to come" if pending else "level"),
        ("history", history[:_SHORT_SHA] or "not used yet"),
        ("graph store", "; ".join(warnings) or "no complaint"),
        ("schema", str(snapshot["schema_version"])),
    ]


def do_query(arguments: argparse.Namespace) -> int:
    """`direng index query VERB TEXT`: one line a hit on stdout, the stamp on stderr."""
    parameters = _read_query(arguments)
    wire = _open_wire()
    answer = as_mapping(_while_ticking("indexing", lambda: wire.get(SERVICE, "/query", parameters)))
    if arguments.json:
        _show_whole(arguments, answer)
        return exits.OK
    if answer["text"]:
        render.say(str(answer["text"]).rstrip("\n"))
    else:
        for hit in as_sequence(answer["hits"]):
            for line in format_hit(hit):
                render.say(line)
    _note_rest(answer)
    return exits.OK


def _read_query(arguments: argparse.Namespace) -> dict[str, str]:
    if arguments.verb not in VERBS:
        raise UsageError(f"{arguments.verb!r} is no verb of the index; the verbs are {', '.join(VERBS)}")
    text = sys.stdin.read(MAX_TEXT_CHARACTERS + 1) if arguments.text == "-" else arguments.text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # bytes that were no UTF-8
    if not text.strip() and arguments.verb != "repo_map":
        raise UsageError(f"{arguments.verb} needs a TEXT: a symbol, or words to search for")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UsageError(f"the text is longer than {MAX_TEXT_CHARACTERS} characters; give its essential part")
    budget = DEFAULT_BUDGET if arguments.budget is None else arguments.budget
    parameters = {
        "repo": _repo(arguments),
        "kind": arguments.verb,
        "limit": str(_check_range("--limit", arguments.limit, 1, MAX_LIMIT)),
        "budget_tokens": str(_check_range("--budget", budget, MIN_BUDGET, MAX_BUDGET)),
        "explain": "true" if arguments.explain else "false",
    }
    return check_size({**parameters, "text": text}) if text.strip() else parameters


def check_size(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query; raise UsageError when they are too long for a URL."""
    length = len(urlencode(parameters))
    if length > MAX_URL_CHARACTERS:
        raise UsageError(
            f"the text takes {length} characters as a URL, of {MAX_URL_CHARACTERS}; give its essential part"
        )
    return dict(parameters)


def format_hit(hit: Json) -> list[str]:
    """Return a hit as `path:line  symbol  snippet  [tier, reason]`, then the parts of its score, if it has them."""
    snippet = " ".join(str(hit["snippet"]).split())
    notes = ", ".join(str(note) for note in (hit["tier"], hit["reason"]) if note)
    parts = [f"{hit['path']}:{hit['line']}".replace("\n", "\\n"), str(hit["symbol"]), snippet]
    lines = ["  ".join([part for part in parts if part] + ([f"[{notes}]"] if notes else []))]
    scores = hit.get("parts")
    if scores:
        shown = " + ".join(f"{name} {float(str(value)):.3f}" for name, value in as_mapping(scores).items())
        lines.append(f"    {float(str(hit['score'])):.3f} = {shown}")
    return lines


def _note_rest(answer: Json) -> None:
    stamp = as_mapping(answer["stamp"])
    if not answer["hits"] and not answer["text"]:
        render.note("nothing found")
    if answer["is_truncated"]:
        render.note("... there is more; raise --limit or --budget")
    render.note(format_stamp(stamp))
    for warning in _warnings(stamp):
        render.note(f"warning: {warning}", "yellow")


def format_stamp(stamp: Json) -> str:
    """Return what an answer was computed from, in one line."""
    dirty = _count_dirty(stamp)
    words = [f"index at {str(stamp['indexed_commit'])[:_SHORT_SHA]}", _describe_freshness(stamp)]
    if dirty:
        words.append(f"{dirty} uncommitted files included")
    if stamp.get("dense_pending"):
        words.append(f"{stamp['dense_pending']} vectors to come")
    return ", ".join(words)


def _describe_freshness(stamp: Json) -> str:
    if stamp["is_fresh"]:
        return "fresh"
    behind = render.format_duration(float(str(stamp["lag_s"])))
    return f"behind {str(stamp['head_commit'])[:_SHORT_SHA]} by {behind}"


def _count_dirty(stamp: Json) -> int:
    dirty = stamp["dirty_paths"]
    return len(dirty) if isinstance(dirty, list) else 0


def _warnings(stamp: Json) -> list[str]:
    warnings = stamp.get("warnings")
    return [str(warning) for warning in warnings] if isinstance(warnings, list) else []


def do_watch(arguments: argparse.Namespace) -> int:
    """`direng index watch`: one line whenever the state of the index changes."""
    path = f"/freshness?{urlencode({'repo': _repo(arguments)})}"
    wire = _open_wire()
    try:
        for event in wire.stream(SERVICE, "GET", path):
            if arguments.json:
                render.print_json(event.data)
            else:
                render.say(_format_event(event.data))
    except KeyboardInterrupt:
        return exits.OK
    render.note("the server has ended; `direng index watch` starts it again", "yellow")
    return exits.FAILED


def _format_event(snapshot: Mapping[str, object]) -> str:
    stamp = as_mapping(snapshot["stamp"])
    return f"{format_stamp(stamp)}; {snapshot['files']} files, {snapshot['symbols']} symbols"


def do_cypher(arguments: argparse.Namespace) -> int:
    """`direng index cypher QUERY`: the rows of a query that only reads."""
    limit = str(_check_range("--limit", arguments.limit, 1, MAX_ROWS))
    question = {"repo": _repo(arguments), "query": arguments.query, "limit": limit}
    answer = as_mapping(_open_wire().get(SERVICE, "/cypher", question))
    rows = as_sequence(answer["rows"])
    if arguments.json:
        _show_whole(arguments, answer)
        return exits.OK
    if rows:
        names = list(rows[0])
        render.say(render.format_table(names, [[str(row[name]) for name in names] for row in rows]))
    else:
        render.note("no rows")
    if answer["is_truncated"]:
        render.note("... there are more rows; raise --limit")
    return exits.OK


def do_doctor(arguments: argparse.Namespace) -> int:
    """`direng index doctor`: exit 1 when something needed is missing."""
    from cli.index_checks import examine_index  # noqa: PLC0415 - it loads what the index uses

    checks = examine_index(_repo(arguments), os.environ)
    if arguments.json:
        render.print_json(checks)
    else:
        for check in checks:
            is_good = bool(check["is_good"])
            mark = "ok     " if is_good else "MISSING"
            render.say(f"{mark}  {check['name']}: {check['detail']}", "" if is_good else "red")
            if not is_good:
                render.say(f"         cure: {check['cure']}", "yellow")
    return exits.OK if all(check["is_good"] for check in checks) else exits.FAILED


def do_schedule(arguments: argparse.Namespace) -> int:
    """`direng index install|uninstall`: the git hook and the cron line, or what was chosen of them and the daemon."""
    from cli.schedule import Place, install, uninstall  # noqa: PLC0415 - subprocess is for this case alone

    place = Place.find(_repo(arguments), os.environ)
    chosen = [name for name in ("hook", "cron", "daemon") if getattr(arguments, name)]
    # All that may be there is taken back, but only what costs nothing at rest is put in unasked.
    parts = chosen or (["hook", "cron"] if arguments.action == "install" else ["hook", "cron", "daemon"])
    lines = (install if arguments.action == "install" else uninstall)(place, parts)
    if arguments.json:
        render.print_json({"action": arguments.action, "lines": lines})
    else:
        for line in lines:
            render.say(line)
    return exits.OK


def do_mcp(arguments: argparse.Namespace) -> int:
    """`direng index mcp`: the tools of the index for another agent, until stdin ends."""
    from cli.tool_server import serve_tools  # noqa: PLC0415 - the SDK is for this case alone

    repo = _repo(arguments)
    serve_tools(_open_wire(), repo)
    return exits.OK


def _show_whole(arguments: argparse.Namespace, value: object) -> None:
    """Print a whole answer: as JSON, or as `vp index` was asked to."""
    getattr(arguments, "show", render.print_json)(value)


def _open_wire() -> Wire:
    return Wire(ensure_server(os.environ))


def _repo(arguments: argparse.Namespace) -> str:
    repo = str(Path(arguments.repo).absolute())
    try:
        repo.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{repo}: the name of this folder is not UTF-8, so the index cannot name it") from None
    return repo


def _check_range(flag: str, value: int, lowest: int, highest: int) -> int:
    if not lowest <= value <= highest:
        raise UsageError(f"{flag} {value}: give a number from {lowest} to {highest}")
    return value


def _while_ticking(what: str, ask: Callable[[], object]) -> object:
    """Return what `ask` returns; on a terminal, show how long it has taken once it takes a second."""
    if not sys.stderr.isatty():
        return ask()
    answers: list[object] = []
    errors: list[PlatformError] = []

    def run() -> None:
        try:
            answers.append(ask())
        except PlatformError as error:
            errors.append(error)

    started_s = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_TICK_S)
        passed_s = time.monotonic() - started_s
        if thread.is_alive() and passed_s > 1:
            sys.stderr.write(f"\r{what} ... {passed_s:.0f} s")
            sys.stderr.flush()
    if time.monotonic() - started_s > 1:
        sys.stderr.write("\r\x1b[K")
    if errors:
        raise errors[0]
    return answers[0]
