"""Every command that the documents show is run here, in the order in which they show it."""

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks():
    for document in DOCUMENTS:
        for number, body in enumerate(BLOCK.findall(document.read_text()), start=1):
            yield pytest.param(body, id=f"{document.name}-{number}")


@pytest.mark.parametrize("body", list(blocks()))
def test_the_commands_of_a_block_work_one_after_the_other(platform, sample, body):
    commands = [line.removeprefix("$ ") for line in body.splitlines() if line.startswith("$ ")]
    assert commands
    for command in commands:
        done = platform.run(*shlex.split(command), cwd=sample)
        assert done.code == 0, f"{command}\n{done.out}{done.err}"


def model_commands():
    """Every `direng model add` line of a shell block."""
    for document in DOCUMENTS:
        for body in MAKE_BLOCK.findall(document.read_text()):
            yield from (line for line in body.splitlines() if line.startswith("direng model add "))


def test_every_model_that_the_documents_connect_is_accepted(platform, tmp_path):
    commands = [shlex.split(line) for line in model_commands()]
    assert commands
    for command in commands:
        # Without the call that would try it: none of these models is here.
        done = platform.run(*command, "--no-test", cwd=tmp_path)
        assert done.code == 0, f"{command}\n{done.out}{done.err}"
    names = [command[3] for command in commands]
    listed = platform.direng("model", "list", "--json", cwd=tmp_path)
    views = {view["alias"]: view for view in json.loads(listed.out)}
    assert sorted(views) == sorted(names)
    assert all(view["price"] is not None for view in views.values())


def test_every_make_target_that_the_documents_name_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(
            re.findall(
                r"\bmake ([a-z-]+)", " ".join(re.findall(r"`[^`]*`|^make .*$", document.read_text(), re.MULTILINE))
            )
        )
        assert named <= targets, f"{document.name} names {named - targets}"


def test_every_path_that_a_document_names_exists():
    for document in DOCUMENTS:
        for path in re.findall(r"`((?:docs|services|cli|contracts|scripts|tests)/[^` *]*)`", document.read_text()):
            assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_no_block_of_commands_is_left_unrun():
    for document in DOCUMENTS:
        for body in MAKE_BLOCK.findall(document.read_text()):
            run = ("make ", "direng model add ", "# ")
            assert all(line.startswith(run) for line in body.splitlines()), f"{document.name}: {body}"
