"""The job cards of each recipe: lanes, dependencies and payloads (ADR-0011)."""

from collections.abc import Mapping

from pydantic import JsonValue

from services.kernel.ids import TaskId
from services.kernel.vocabulary import Lane
from services.pas.models import JobCard, RecipePayload, TestsPayload, TreeRef
from services.plms.models import PlannedCard

TESTS = "recipe/run-tests"
BASELINE, MENTIONS, CHECK = TaskId("baseline"), TaskId("mentions"), TaskId("tests")
RENAME = TaskId("rename")


def plan_tests(paths: tuple[str, ...]) -> tuple[JobCard, ...]:
    """Return the one card of `run-tests`."""
    return (_tests(CHECK, "Run the tests", paths, TreeRef.INPUT, ()),)


def plan_rename(params: Mapping[str, JsonValue], paths: tuple[str, ...]) -> tuple[JobCard, ...]:
    """Return baseline, rename (code), mentions (documentation) and tests; `params` are the recipe's without `part`."""
    old, new = str(params["old"]).rpartition(".")[2], params["new"]
    return (
        _tests(BASELINE, "Run the tests before the change", paths, TreeRef.BASE, ()),
        _recipe(
            RENAME,
            Lane.CODE_IMPL,
            f"Rename {old} to {new} in the code",
            "rename-symbol",
            {**params, "part": "code", "prose": "deferred"},
        ),
        _recipe(
            MENTIONS,
            Lane.NARRATIVE,
            f"Rename mentions of {old} in documentation",
            "rename-symbol",
            {**params, "part": "mentions"},
            (RENAME,),
        ),
        _tests(CHECK, "Run the tests after the change", paths, TreeRef.INPUT, (MENTIONS,)),
    )


def plan_tidying(recipe: str, paths: tuple[str, ...], test_paths: tuple[str, ...]) -> tuple[JobCard, ...]:
    """Return baseline, the recipe (format or lint-fix) over `paths`, and tests."""
    task, title = TaskId(recipe), "Format the code" if recipe == "format" else "Repair the linter's findings"
    return (
        _tests(BASELINE, "Run the tests before the change", test_paths, TreeRef.BASE, ()),
        _recipe(task, Lane.CODE_IMPL, title, recipe, {"paths": list(paths)} if paths else {}),
        _tests(CHECK, "Run the tests after the change", test_paths, TreeRef.INPUT, (task,)),
    )


def describe_for_estimate(cards: tuple[JobCard, ...], files: int) -> tuple[PlannedCard, ...]:
    """Return what the estimator may know; `files` is how many files the code-changing cards are expected to touch."""
    return tuple(
        PlannedCard(
            task_id=card.task_id,
            lane=card.lane,
            configuration=card.configuration,
            deps=card.deps,
            size_units=max(1, files) if isinstance(card.payload, RecipePayload) and card.lane is Lane.CODE_IMPL else 1,
        )
        for card in cards
    )


def _tests(task: TaskId, title: str, paths: tuple[str, ...], tree: TreeRef, deps: tuple[TaskId, ...]) -> JobCard:
    return JobCard(
        task_id=task,
        lane=Lane.CODE_IMPL,
        title=title,
        configuration=TESTS,
        deps=deps,
        payload=TestsPayload(paths=paths, tree=tree),
    )


def _recipe(  # noqa: PLR0917 - a row of the table above
    task: TaskId, lane: Lane, title: str, recipe: str, params: Mapping[str, JsonValue], deps: tuple[TaskId, ...] = ()
) -> JobCard:
    return JobCard(
        task_id=task,
        lane=lane,
        title=title[:200],
        configuration=f"recipe/{recipe}",
        deps=deps,
        payload=RecipePayload(recipe=recipe, params=params),
    )
