"""`direng`: the engineer's command. Without arguments it opens the REPL."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

if __name__ == "__main__":  # run as a script: the folder `cli` itself must not be importable
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

from cli import exits, render
from services.kernel.errors import PlatformError
from services.kernel.version import VERSION

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - has no public name
PROVIDERS = ("anthropic", "openai", "google", "local_llama")
AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
EPILOG = """\
exit codes: 0 ok, 1 failed, 2 usage, 3 budget, 4 auth, 5 low confidence, 6 conflict
examples:
  direng                                              open the REPL in this repository
  direng ask "where is parse_config defined"          a question, answered from the index
  direng implement "rename load_cfg to load_config"   plan, estimate, approve, run, report
  direng ask "how are totals made" --max-cost 0.10    a question for a model (direng model add), for ten cents at most
  direng accept                                       merge the newest run's changes; direng undo takes it back
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="direng",
        description="Chat with an engineering platform about the repository you are in.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"direng {VERSION}")
    parser.add_argument("--json", action="store_true", help="print events as JSON, one object a line")
    parser.add_argument("--repo", default=".", help="a folder in the repository (default: this folder)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in (
        ("ask", "ask about the code"),
        ("implement", "have something changed"),
        ("fix", "have something mended"),
    ):
        _add_work(_add_command(commands, name, text))
    for name, text, default in (
        ("accept", "merge a run's changes into your tree", "the newest with changes"),
        ("diff", "show a run's changes", "the newest with changes"),
        ("status", "follow a run, or show how it ended", "the one that is going on, else the newest"),
        ("stop", "end a run now", "the one that is going on"),
    ):
        _add_command(commands, name, text).add_argument(
            "run", nargs="?", help=f"run id or unique prefix (default: {default})"
        )
    _add_resume(_add_command(commands, "resume", "go on with a paused run"))
    for name, text in (
        ("undo", "take the last accept back"),
        ("runs", "list this repository's runs"),
        ("up", "start the server"),
        ("down", "stop the server; runs continue when it is started again"),
        ("doctor", "say what is missing and how to get it"),
        ("config", "show where things are"),
    ):
        _add_command(commands, name, text)
    _add_model(_add_command(commands, "model", "connect models, and see which are"))
    _add_index(_add_command(commands, "index", "ask the code index, and keep it fresh"))
    return parser


def _add_command(commands: Subparsers, name: str, text: str) -> argparse.ArgumentParser:
    """Return the parser of a sub-command; it takes the common options behind its name too."""
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--repo", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _add_index(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(
        dest="action", metavar="build|status|query|watch|doctor|install|uninstall|cypher|mcp", required=True
    )
    for name, text in (
        ("build", "bring the index level with the last commit"),
        ("status", "show what the index holds and how fresh it is"),
        ("watch", "follow the freshness of the index until Ctrl-C"),
        ("doctor", "say what the index misses and how to get it"),
        ("mcp", "serve the index to other agents over stdin and stdout (Model Context Protocol)"),
    ):
        _add_output(_add_command(actions, name, text))
    query = _add_command(actions, "query", "ask the index")
    query.add_argument("verb", metavar="VERB", help="where_defined, who_calls, impact_set, search, nn_snippet, ...")
    query.add_argument("text", metavar="TEXT", nargs="?", default="", help="a symbol or words; `-` reads stdin")
    query.add_argument("--limit", type=int, metavar="N", help="at most so many hits (default: 20)", default=20)
    query.add_argument("--budget", type=int, metavar="N", help="tokens of repo_map, context_pack (default: 2000)")
    query.add_argument("--explain", action="store_true", help="show the parts of each score")
    _add_output(query)
    for name, text in (("install", "keep the index fresh from now on"), ("uninstall", "take that back")):
        schedule = _add_command(actions, name, f"{text}: a git hook and a cron line, or what is chosen")
        schedule.add_argument("--hook", action="store_true", help="the post-commit hook")
        schedule.add_argument("--cron", action="store_true", help="the cron line, each minute")
        schedule.add_argument("--daemon", action="store_true", help="a daemon that stays, as a unit of your systemd")
    cypher = _add_command(actions, "cypher", "ask the graph store (Neo4j) with a query that only reads")
    cypher.add_argument("query", metavar="QUERY", help="Cypher; $repo is given to it")
    cypher.add_argument("--limit", type=int, metavar="N", default=100, help="at most so many rows (default: 100)")
    _add_output(cypher)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", dest="json", action=_Output, choices=("table", "json"), default=argparse.SUPPRESS, help="(default: table)"
    )


class _Output(argparse.Action):
    """`-o json` is another way to say `--json`."""

    def __call__(
        self, _parser: object, namespace: argparse.Namespace, values: object, _option: str | None = None
    ) -> None:
        namespace.json = values == "json"


def _add_model(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="add|list|test|default|remove", required=True)
    add = _add_command(actions, "add", "connect a model, or change one")
    add.add_argument("name", metavar="NAME", help="what you call it, for example claude")
    add.add_argument("--provider", required=True, choices=PROVIDERS, help="local_llama: any OpenAI-compatible URL")
    add.add_argument("--model", required=True, metavar="ID", help="the provider's name of the model")
    add.add_argument("--url", metavar="URL", help="where it is, up to /v1 (default: the provider's own)")
    add.add_argument("--key", metavar="REF", help="where its key is: env:VARIABLE or vault:NAME (default: the usual)")
    add.add_argument(
        "--key-stdin", action="store_true", help="with vault:NAME: read the key (hidden) and keep it there"
    )
    add.add_argument("--price-in", metavar="USD", help="per million tokens of input (default: the public price)")
    add.add_argument("--price-out", metavar="USD", help="per million tokens of output")
    add.add_argument("--free", action="store_true", help="its calls cost nothing: your own machine")
    add.add_argument("--context", type=int, metavar="TOKENS", help="size of its context (default: as published)")
    add.add_argument("--tools", choices=("native", "text"), default="native", help="text: it knows no tool calls")
    add.add_argument("--default", action="store_true", help="make it the default (the first one is)")
    add.add_argument("--no-test", action="store_true", help="do not try it with one small call")
    _add_command(actions, "list", "list the connected models")
    _add_command(actions, "test", "make one small real call to a model").add_argument(
        "name", metavar="NAME", nargs="?", help="as `direng model list` shows it (default: the default model)"
    )
    _add_command(actions, "default", "make a model the default").add_argument(
        "name", metavar="NAME", help="as `direng model list` shows it"
    )
    remove = _add_command(actions, "remove", "forget a model")
    remove.add_argument("name", metavar="NAME", help="as `direng model list` shows it")
    remove.add_argument("--forget-key", action="store_true", help="remove its key from the vault too")


def read_usd(text: str) -> str:
    """Return an amount of dollars as the services take it; raise argparse's error for anything else."""
    plain = text.removeprefix("$")
    if not AMOUNT.fullmatch(plain):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in USD; give one such as 2 or 0.50")
    return plain


def _add_max_cost(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--max-cost", metavar="USD", type=read_usd, help=text)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", help="run id or unique prefix (default: the one that is paused)")
    _add_max_cost(parser, "what the run may cost from now on, all in all")
    parser.add_argument("--downshift", action="store_true", help="go on with the next model of the chain")


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="what you want, in plain words")
    parser.add_argument("--yes", action="store_true", help="approve up to the estimate's upper bound")
    _add_max_cost(parser, "the most that models may cost (default: the session's cap, or the estimate's upper bound)")
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--delegate",
        action="store_const",
        dest="handling",
        const="delegate",
        help="hand it to PEX, the orchestrator, whatever its size",
    )
    who.add_argument(
        "--direct",
        action="store_const",
        dest="handling",
        const="direct",
        help="do it as a direct run, whatever its size",
    )
    parser.set_defaults(handling="auto")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return _dispatch(arguments)
    except PlatformError as error:
        render.fail(error)
        return exits.exit_code_of(error)
    except KeyboardInterrupt:
        render.note("interrupted; a run that was started goes on: `direng status` follows it, `direng stop` ends it")
        return exits.FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED


def _dispatch(arguments: argparse.Namespace) -> int:
    from cli import commands  # noqa: PLC0415 - `--version` and `--help` need nothing of it

    handlers: dict[str, Callable[[argparse.Namespace], int]] = {
        "ask": commands.do_work,
        "implement": commands.do_work,
        "fix": commands.do_work,
        "accept": commands.do_accept,
        "diff": commands.do_diff,
        "status": commands.do_status,
        "stop": commands.do_stop,
        "resume": commands.do_resume,
        "undo": commands.do_undo,
        "runs": commands.do_runs,
        "up": commands.do_up,
        "down": commands.do_down,
        "doctor": commands.do_doctor,
        "config": commands.do_config,
    }
    if arguments.command == "model":
        from cli.models import do_model  # noqa: PLC0415 - as above

        return do_model(arguments)
    if arguments.command == "index":
        from cli.index import do_index  # noqa: PLC0415 - as above

        return do_index(arguments)
    if arguments.command is None:
        from cli.repl import run_repl  # noqa: PLC0415 - prompt_toolkit is for the REPL alone

        return run_repl(arguments.repo)
    return handlers[arguments.command](arguments)


if __name__ == "__main__":
    sys.exit(main())
