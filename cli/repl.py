"""The REPL: words go to DirEng, slash commands act; Ctrl-C leaves the turn and never stops the run."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory

from cli import exits, render
from cli.commands import ask_for_approval, print_run
from cli.conversation import Conversation, run_rows
from cli.direng import read_usd
from cli.launch import ensure_server
from cli.wire import Wire, as_mapping, as_sequence
from services.kernel.errors import InvalidRequestError, PlatformError
from services.kernel.version import VERSION

HELP = """\
Say what you want in plain words, for example:
  where is parse_config        who calls parse_config       what breaks if parse_config changes
  rename load_cfg to load_config                            format the code
  fix the lint findings                                     run the tests
With a model (direng model add): any question about the code, any change.
Commands:
  /status [RUN]  follow the run that is going on, or show how the newest or the named one ended
  /runs          list this repository's runs
  /resume [RUN]  go on with a paused run; /resume up to 2.50 raises its cap, /resume downshift takes the next model
  /stop [RUN]    end the run that is going on, or the named one
  /diff [RUN]    show a run's changes
  /accept [RUN]  merge a run's changes into your tree and branch
  /undo          take the last accept back
  /cost          what this session's models have cost, of its cap
  /budget [USD]  show or set that cap
  /context       what the last question to a model was packed into
  /help          this text
  /quit          leave; runs go on
Ctrl-C stops an answer; of a run it leaves the watching only, the run goes on. Ctrl-D quits."""


LEAVING = frozenset({"/quit", "/exit", "quit", "exit"})


class Repl:
    """One interactive conversation."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._commands: dict[str, Callable[[str | None], None]] = {
            "/help": lambda _: render.say(HELP),
            "/status": self._status,
            "/runs": lambda _: self._runs(),
            "/resume": self._resume,
            "/cost": lambda _: render.say(str(self._talk.spend()["text"])),
            "/budget": self._budget,
            "/context": lambda _: self._context(),
            "/stop": lambda run: render.say(f"ending run {self._talk.stop(run)}; your files are as they were"),
            "/diff": lambda run: render.print_diff(str(self._talk.diff(run)["patch"])),
            "/accept": lambda run: render.say(str(self._talk.accept(run)["text"]), "green"),
            "/undo": lambda _: render.say(str(self._talk.undo()["text"]), "green"),
        }

    def names(self) -> list[str]:
        """Return the slash commands, for completion."""
        return [*self._commands, "/quit"]

    def greet(self) -> None:
        """Say where we are, and whether a run is going on."""
        render.say(f"DirEng {VERSION} in {self._talk.repo}. /help lists what you can say.")
        active = self._talk.active_session()
        if active is not None:
            render.say(describe_active(active[1], is_paused=self._talk.is_paused(active[1])), "yellow")

    def handle(self, line: str) -> None:
        """Act on one line of input."""
        if line.lower() in {"help", "?"}:
            line = "/help"
        if not line.startswith("/"):
            self._talk.work({"text": line}, ask_for_approval)
            return
        name, _, argument = line.partition(" ")
        name = name.lower()
        if name in LEAVING:
            render.fail(f"{name} takes nothing after it")
            return
        command = self._commands.get(name)
        if command is None:
            render.fail(f"there is no command {name}; /help lists them")
            return
        command(argument.strip() or None)

    def _budget(self, usd: str | None) -> None:
        spend = self._talk.spend() if usd is None else self._talk.set_budget(read_amount(usd))
        render.say(str(spend["text"]))

    def _context(self) -> None:
        audit = self._talk.last_context()
        render.say("no question of this session went to a model yet" if audit is None else format_context(audit))

    def _resume(self, words: str | None) -> None:
        first, _, rest = (words or "").partition(" ")
        run_id = first if first.startswith("run-") else None
        said = (rest if run_id else words or "").strip()
        self._talk.resume(run_id, f"resume {said}" if said and said != "downshift" else said or "resume")

    def _runs(self) -> None:
        runs = self._talk.runs()
        render.say(run_rows(runs) if runs else "no runs of this repository yet")

    def _status(self, run_id: str | None) -> None:
        active = self._talk.active_session() if run_id is None else None
        if active is not None:
            watched = Conversation(self._talk.wire, active[0], self._talk.repo)
            watched.follow(0)
            self._talk.reported_run_id = watched.reported_run_id or self._talk.reported_run_id
            return
        runs = self._talk.runs()
        if not runs and run_id is None:
            render.say("no runs of this repository yet")
            return
        named = str(runs[0]["run_id"]) if run_id is None else self._talk.full_run_id(run_id)
        if run_id is None:
            render.say("nothing is going on; the newest run:")
        run = as_mapping(self._talk.wire.get("pas", "/pas/v1/runs/status", {"run_id": named}))
        print_run(run, self._talk.left_alone(named))


def describe_active(run_id: str, *, is_paused: bool) -> str:
    """Return what is said of a run that has not ended when the REPL opens."""
    if is_paused:
        return f"run {run_id} is paused; /status says why, /resume goes on with it, /stop ends it"
    return f"run {run_id} is going on; /status follows it"


def read_amount(words: str) -> str:
    """Return the amount of dollars that `/budget` was given; refuses anything else."""
    try:
        return read_usd(words)
    except argparse.ArgumentTypeError as error:
        raise InvalidRequestError(f"/budget: {error}") from None


def format_context(audit: dict[str, object]) -> str:
    """Return the audit of a context as lines."""
    rows = [(str(one["name"]), str(one["items"]), str(one["tokens"])) for one in as_sequence(audit["sections"])]
    pruned = audit["pruned"]
    left_out = [str(item) for item in pruned] if isinstance(pruned, list) else []
    used = f"about {audit['tokens']} of {audit['input_budget']} tokens of input"
    lines = [
        f"{audit['model']}: {used}, {audit['output_budget']} kept for the answer, context {audit['limit']}",
        render.format_table(("SECTION", "ITEMS", "TOKENS"), rows),
        f"left out: {', '.join(left_out) or 'nothing'}",
        f"prompt sha256 {audit['prompt_sha256']}",
    ]
    return "\n".join(lines)


def run_repl(folder: str) -> int:
    """Open the REPL on the repository around `folder`; return the exit code."""
    home = ensure_server(os.environ)
    talk = Conversation.open(Wire(home), str(Path(folder).absolute()))
    repl = Repl(talk)
    repl.greet()
    if not sys.stdin.isatty():
        return _handle_piped(repl)
    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(home.path / "history")),
        completer=WordCompleter(repl.names(), sentence=True),
        complete_while_typing=False,
    )
    while True:
        try:
            line = prompt.prompt("direng> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return exits.OK
        if line.lower() in LEAVING:
            return exits.OK
        if line:
            _handle_safely(repl, line)


def _handle_piped(repl: Repl) -> int:
    """Act on the lines of a pipe: no prompt, no history, and nobody who could approve."""
    for line in map(str.strip, sys.stdin):
        if line.lower() in LEAVING:
            break
        if line:
            _handle_safely(repl, line)
    return exits.OK


def _handle_safely(repl: Repl, line: str) -> None:
    try:
        repl.handle(line)
    except PlatformError as error:
        render.fail(error)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        render.note("left the turn; a run that was started goes on: /status follows it, /stop ends it")
    except EOFError:
        render.note("no answer; the plan keeps waiting for your word")
    except Exception as error:  # noqa: BLE001 - the REPL loop outlives a bug: say it in one line, keep the session
        render.fail(f"bug in the terminal: {error.__class__.__name__}: {error}")
