"""Whether the tests allow a card to succeed: recorded executions before and after, nothing that a model says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from services.pas.executors.agent.toolbox import TestRun

SHOWN = 10


@dataclass(frozen=True)
class Judgement:
    """What the tests after a change say. `is_good` False: back to the model, with `text`; `line` is for people."""

    is_good: bool
    line: str
    text: str = ""


def judge_tests(before: TestRun | None, after: TestRun | None) -> Judgement:
    """Return whether the change may stand: no test fails that did not fail before, and tests that ran still run.

    None means that this lane runs no tests. Tests that could not run before prove nothing: the change may stand, and
    the run's own test cards say that it is not verified.
    """
    ran_before = before is not None and not before.is_unknown
    if after is None or (after.is_unknown and not ran_before):
        return Judgement(True, "the tests could not be run: not verified")
    if after.is_unknown:
        return Judgement(
            False,
            "the tests ran before the change and do not run after it",
            "The tests ran before your changes and cannot run now. Mend that.",
        )
    known = frozenset(before.failing) if before is not None and ran_before else frozenset[str]()
    new = [name for name in after.failing if name not in known]
    line = f"{after.counts.passed} passed, {after.counts.failed + after.counts.errors} failed"
    if not new:
        return Judgement(True, line)
    names = "\n".join(f"- {name}" for name in new[:SHOWN]) + ("\n- ..." if len(new) > SHOWN else "")
    what = "test fails" if len(new) == 1 else "tests fail"
    return Judgement(
        False,
        f"{len(new)} {what} that did not fail before",
        f"{len(new)} {what} that did not fail before your changes:\n{names}\nMend that, then call finish again.",
    )


def pick_targets(changed: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """Return the test files among the changed ones, unless they are all that the full run would run anyway."""
    targets = tuple(path for path in changed if is_test_file(path))
    return () if set(targets) == set(paths) else targets


def is_test_file(path: str) -> bool:
    """Return whether pytest would collect the file by its name."""
    name = PurePosixPath(path).name
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))
