"""Two terminals on one repository: each acts on what it was shown."""

import json
import subprocess

from tests.fakes.commands import git


def open_repl(platform, repo):
    """A REPL fed by a pipe."""
    return subprocess.Popen(
        ("direng",),
        cwd=repo,
        env=platform.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read_until(repl, words):
    for line in repl.stdout:
        if words in line:
            return line
    raise AssertionError(f"the REPL ended before it said {words!r}")


def subject_of_head(repo):
    return git("log", "-1", "--format=%s", cwd=repo)


def test_accept_in_a_repl_takes_the_run_that_it_reported_though_another_terminal_made_a_newer_one(platform, sample):
    with open_repl(platform, sample) as repl:
        repl.stdin.write("rename net_amount to net_sum\n")
        repl.stdin.flush()
        read_until(repl, "/accept merges it")
        other = platform.direng("implement", "rename Cart to Basket", "--direct", cwd=sample)
        assert other.code == 0, other.err
        out, _ = repl.communicate("/accept\n")
    assert "accepted: 2 files" in out
    assert "net_amount" in subject_of_head(sample)
    undone = platform.direng("undo", cwd=sample)
    assert undone.code == 0, undone.err
    assert "The books" in subject_of_head(sample)


def test_run_of_a_project_is_read_accepted_and_undone_without_naming_it(platform, sample):
    prd = "rename net_amount to net_sum and run the tests"
    for argv in (("new", "--title", "Net", "--prd", prd), ("estimate",), ("start", "--yes"), ("logs", "--follow")):
        done = platform.vp(*argv, cwd=sample)
        assert done.code == 0, done.err
    view = json.loads(platform.vp("status", "-o", "json", cwd=sample).out)
    assert view["state"] == "completed"
    assert "+def net_sum" in json.loads(platform.direng("diff", "--json", cwd=sample).out)["patch"]
    accepted = platform.direng("accept", cwd=sample)
    assert accepted.code == 0, accepted.err
    assert view["run"]["run_id"] in accepted.err
    assert "net_amount" in subject_of_head(sample)
    undone = platform.direng("undo", cwd=sample)
    assert undone.code == 0, undone.err
    assert "The books" in subject_of_head(sample)


def test_status_of_an_ended_run_lists_what_was_left_alone_and_how_to_take_it(platform, sample):
    done = platform.direng("implement", "rename Cart.compute_total to cart_total", "--direct", cwd=sample)
    assert done.code == 0, done.err
    told = platform.direng("status", cwd=sample).out
    assert "stockbook/reports.py:7: inside a string" in told
    assert "merge it: direng accept run-" in told


def test_question_to_a_one_shot_says_how_to_answer(platform, sample):
    done = platform.direng("implement", "format the code", cwd=sample)
    assert done.code == 1
    assert "--direct (A) or --delegate (B)" in done.err
