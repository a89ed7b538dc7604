"""Golden transcripts: what a person sees, word for word, with ids, commits and times normalised.

`make golden` rewrites them; read the diff before committing.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fakes.terminal import Terminal, normalise

HERE = Path(__file__).parent
FAULTY = HERE.parent / "fakes/faulty_server.py"
RENAME = "rename stockbook.pricing.compute_total to price_lines everywhere and run the tests"
TICK = re.compile(r"^  \d+/\d+ cards, .*$", re.MULTILINE)


def check(name, text, *replacements):
    """Compare a transcript with its golden file, or rewrite the file when that was asked for."""
    assert TICK.search(text), "a run must be narrated"
    # How many ticks there are depends on the machine; that there are some is asserted above.
    text = re.sub(r"(\[n\]o: )(?=  \d)", r"\1\n", text)  # the terminal's echo of Enter is off
    folded = re.sub(r"(  … ticks …\n)+", "  … ticks …\n", TICK.sub("  … ticks …", normalise(text, *replacements)))
    golden = HERE / name
    if os.environ.get("DIRENG_REWRITE_GOLDEN"):
        golden.write_text(folded)
    assert folded == golden.read_text()


def test_one_repl_delegation_with_approval(platform, sample):
    assert platform.direng("up", cwd=sample).code == 0
    terminal = Terminal(["direng"], cwd=sample, environment=platform.environment())
    terminal.expect("direng> ")
    terminal.send("where is net_amount")
    terminal.expect("fresh)")
    terminal.expect("direng> ")
    terminal.send(RENAME)
    terminal.expect("[y]es / [n]o:")
    terminal.send("y")
    terminal.expect("/accept merges it")
    terminal.expect("direng> ")
    terminal.send("/accept")
    terminal.expect("accepted")
    terminal.expect("direng> ")
    terminal.send("/undo")
    terminal.expect("undone")
    terminal.expect("direng> ")
    terminal.send("/quit")
    assert terminal.close() == 0
    check("repl_delegation.txt", terminal.text, (str(sample), "REPO"), (str(platform.home), "HOME"))


def test_one_kill_and_recovery(platform, sample):
    server = subprocess.Popen(
        [sys.executable, str(FAULTY), str(platform.home), "between_cards"], env=platform.environment()
    )
    while not (platform.home / "server.json").exists():
        time.sleep(0.05)
    text = ""
    for argv in (
        ["direng", "implement", RENAME, "--delegate", "--yes"],
        ["direng", "up"],
        ["direng", "status"],
        ["direng", "accept"],
    ):
        done = platform.run(*argv, cwd=sample)
        text += f"$ {' '.join(repr(word) if ' ' in word else word for word in argv)}\n{done.out}{done.err}"
        if argv[1] == "implement":
            assert server.wait(timeout=60) == -9
            text += "(the server was killed with SIGKILL between two cards)\n"
        if argv[1] == "up":
            wait_for_end(platform, sample)
    check(
        "kill_and_recovery.txt",
        re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text),
        (str(sample), "REPO"),
        (str(platform.home), "HOME"),
    )


def wait_for_end(platform, repo):
    deadline = time.monotonic() + 90
    while json.loads(platform.direng("--json", "runs", cwd=repo).out)[0]["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.3)
