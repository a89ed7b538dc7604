"""Bad input: one clear line, nothing changed, a stable exit code."""

import json
import os
import socket

import pytest

from tests.fakes.commands import git
from tests.fakes.ports import claim_fixed_ports


def assert_one_line(done, code, *words):
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == code, done.out + done.err
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in done.out + done.err


def test_a_folder_that_is_no_repository_is_refused(platform, tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    assert_one_line(platform.direng("implement", "rename a to b", cwd=folder), 1, "git")
    assert_one_line(platform.vp("new", "--title", "x", "--prd", "rename a to b", cwd=folder), 1, "git")
    assert list(folder.iterdir()) == []


def test_an_empty_repository_is_refused(platform, tmp_path):
    git("init", "-q", "-b", "main", "empty", cwd=tmp_path)
    assert_one_line(platform.direng("implement", "rename a to b", cwd=tmp_path / "empty"), 1, "commit")


def test_a_detached_head_is_refused(platform, sample):
    git("checkout", "-q", "--detach", cwd=sample)
    assert_one_line(
        platform.direng("implement", "rename net_amount to net_sum", "--delegate", "--yes", cwd=sample), 6, "HEAD"
    )


@pytest.mark.parametrize(
    ("intent", "words"),
    [
        ("rename no_such_symbol_at_all to x", "no_such_symbol_at_all"),
        ("rename net_amount to class", "keyword"),
        ("rename net_amount to 2fast", "2fast"),
        ("make everything better", "recipe"),
    ],
)
def test_words_that_cannot_be_done_change_nothing(platform, sample, intent, words):
    head = git("rev-parse", "HEAD", cwd=sample)
    assert_one_line(platform.direng("implement", intent, "--yes", cwd=sample), 1, words)
    assert git("rev-parse", "HEAD", cwd=sample) == head
    assert git("status", "--porcelain", cwd=sample) == ""
    assert git("branch", "--list", "direng/*", cwd=sample) == ""


def test_an_ambiguous_symbol_gets_a_question_whose_options_can_be_sent(platform, sample):
    done = platform.direng("--json", "implement", "rename compute_total to x1", cwd=sample)
    events = [json.loads(line) for line in done.out.splitlines()]
    question = next(event for event in events if event["kind"] == "question")
    assert "pricing.py" in question["text"]
    assert "cart.py" in question["text"]
    assert done.code == 1
    option = next(line for line in question["text"].splitlines() if "A)" in line).split("A)")[1].strip()
    chosen = platform.direng("implement", option, "--delegate", "--yes", cwd=sample)
    assert chosen.code == 0, chosen.out + chosen.err


def test_a_new_name_that_is_bound_already_is_refused_by_the_run(platform, sample):
    done = platform.direng(
        "implement", "rename stockbook.pricing.net_amount to compute_total", "--delegate", "--yes", cwd=sample
    )
    assert done.code == 1
    assert "compute_total" in done.out + done.err
    assert "pricing.py" in done.out + done.err
    assert git("status", "--porcelain", cwd=sample) == ""


@pytest.mark.parametrize(
    ("content", "word"), [(b"", "empty"), (b"\x00\x01\xff\xfe", "UTF-8"), (b"x" * 1_000_001, "bytes")]
)
def test_a_useless_prd_is_refused(platform, sample, tmp_path, content, word):
    prd = tmp_path / "prd.md"
    prd.write_bytes(content)
    assert_one_line(platform.vp("new", "--title", "x", "--prd", str(prd), cwd=sample), 1, word)


def test_unknown_projects_and_runs_are_named(platform, sample):
    assert_one_line(platform.vp("status", "prj-unknown", cwd=sample), 1, "prj-unknown")
    assert_one_line(platform.vp("status", cwd=sample), 1, "current")
    assert_one_line(platform.direng("diff", "run-unknown", cwd=sample), 1, "run-unknown")


def test_a_home_that_others_can_read_or_that_is_a_file_is_refused(platform, sample):
    platform.home.mkdir(mode=0o755)
    platform.home.chmod(0o755)
    assert_one_line(platform.direng("runs", cwd=sample), 4, "chmod 700")
    platform.home.rmdir()
    platform.home.write_text("a file")
    assert_one_line(platform.direng("runs", cwd=sample), 4, "DIRENG_HOME")
    platform.home.unlink()


def test_a_second_server_on_one_home_is_refused(platform, sample):
    assert platform.direng("up", cwd=sample).code == 0
    python = next(path for path in platform.environment()["PATH"].split(":")) + "/python"
    second = platform.run(python, "-I", "-m", "services.host", "--home", str(platform.home), cwd=sample)
    assert second.code == 1
    assert "already runs" in second.err
    assert platform.direng("runs", cwd=sample).code == 0, "the first one goes on"


def test_a_taken_port_is_named_with_the_way_out(platform, sample, tmp_path):
    user = tmp_path / "user"
    user.mkdir()
    with claim_fixed_ports(), socket.create_server(("127.0.0.1", 6300)):
        environment = {**platform.environment(), "HOME": str(user)}
        del environment["DIRENG_HOME"]
        done = platform.run(
            "env", "-i", *(f"{name}={value}" for name, value in environment.items()), "direng", "up", cwd=sample
        )
    assert_one_line(done, 1, "6300", "DIRENG_HOME")


def test_without_bubblewrap_nothing_runs_and_doctor_says_the_cure(platform, sample, tmp_path):
    """The server's PATH finds no bwrap: no isolation, no run."""
    hidden = tmp_path / "hide"
    hidden.mkdir()
    own_mounts = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-r", "-m")
    hide = f"mount --bind {hidden} /usr/bin/bwrap 2>/dev/null || mount --bind /dev/null /usr/bin/bwrap"
    work = "direng doctor; direng implement 'run the tests' --delegate --yes; code=$?; direng down; exit $code"
    done = platform.run(*own_mounts, "sh", "-c", f"{hide}; {work}", cwd=sample)
    assert done.code == 1, done.out + done.err
    assert "MISSING" in done.out
    assert "bubblewrap" in done.out + done.err
