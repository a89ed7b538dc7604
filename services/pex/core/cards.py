"""The job cards of each recipe and of each task tree: lanes, dependencies and payloads (ADR-0011, ADR-0017)."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from services.kernel.ids import TaskId
from services.kernel.vocabulary import Lane
from services.pas.models import (
    AgentPayload,
    JobCard,
    LaneModel,
    PlannedTask,
    PlanPayload,
    RecipePayload,
    TaskTree,
    TestsPayload,
    TreeRef,
)
from services.pex.models import Plan
from services.plms.models import ModelPrice, PlannedCard

TESTS = "recipe/run-tests"
BASELINE, MENTIONS, CHECK = TaskId("baseline"), TaskId("mentions"), TaskId("tests")
RENAME, AGENT, PLAN = TaskId("rename"), TaskId("agent"), TaskId("plan")
AGENT_RECIPE = "agent"
"""What a plan calls itself whose cards are done by models."""
UNCONFIGURED = "unconfigured"
"""Stands for the model's alias while there is none: such a card can be estimated, and not started."""


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


def plan_agent(goal: str, title: str, hints: tuple[str, ...], model: LaneModel | None) -> tuple[JobCard, ...]:
    """Return baseline, one agent card on Code-Impl, and tests."""
    alias = model.alias if model else UNCONFIGURED
    agent = JobCard(
        task_id=AGENT,
        lane=Lane.CODE_IMPL,
        title=title,
        configuration=f"agent/{alias}",
        payload=AgentPayload(goal=goal, files_hint=hints),
    )
    return _between_tests((agent,))


def plan_tree(tree: TaskTree, models: Iterable[LaneModel]) -> tuple[JobCard, ...]:
    """Return baseline, one agent card per task on its lane, and tests after the last of them.

    `models` holds the model of every lane that the tree uses.
    """
    aliases = {model.lane: model.alias for model in models}
    names = _name_tasks(tree.tasks)
    return _between_tests(tuple(_agent(task, names, aliases[task.lane]) for task in tree.tasks))


def plan_thinking(intent: str, context: str, model: LaneModel) -> JobCard:
    """Return the card that has a model turn an intent into a task tree."""
    return JobCard(
        task_id=PLAN,
        lane=Lane.CODE_IMPL,
        title="Plan the work",
        configuration=f"plan/{model.alias}",
        payload=PlanPayload(intent=intent, context=context),
    )


def needs_model(card: JobCard) -> bool:
    """Return whether only a model can do the card."""
    return isinstance(card.payload, AgentPayload | PlanPayload)


def describe_for_estimate(plan: Plan, files: int) -> tuple[PlannedCard, ...]:
    """Return what the estimator may know; `files` is how many files the code-changing cards are expected to touch.

    A card that needs a model carries the price of its lane's model when it was planned, pinned into the estimate: the
    base rates, at which most calls settle. Its attempts and its own cap are those it will run with.
    """
    prices = {model.lane: _price(model) for model in plan.models}
    is_alone = sum(needs_model(card) for card in plan.cards) == 1
    return tuple(
        PlannedCard(
            task_id=card.task_id,
            lane=card.lane,
            configuration=card.configuration,
            deps=card.deps,
            size_units=_count_files(card, files, is_alone=is_alone),
            price=prices.get(card.lane) if needs_model(card) else None,
            max_attempts=card.max_attempts,
            max_cost_microusd=card.max_cost_microusd,
        )
        for card in plan.cards
    )


def _count_files(card: JobCard, files: int, *, is_alone: bool) -> int:
    if isinstance(card.payload, AgentPayload):
        return max(1, files if is_alone else len(card.payload.files_hint))
    return max(1, files) if isinstance(card.payload, RecipePayload) and card.lane is Lane.CODE_IMPL else 1


def _price(model: LaneModel) -> ModelPrice:
    return ModelPrice(
        input_microusd=model.input_microusd,
        output_microusd=model.output_microusd,
        price_table_version=model.price_table_version or "unknown",
    )


def _between_tests(work: tuple[JobCard, ...]) -> tuple[JobCard, ...]:
    needed = {dep for card in work for dep in card.deps}
    leaves = tuple(card.task_id for card in work if card.task_id not in needed)
    return (
        _tests(BASELINE, "Run the tests before the change", (), TreeRef.BASE, ()),
        *work,
        _tests(CHECK, "Run the tests after the change", (), TreeRef.INPUT, leaves),
    )


def _name_tasks(tasks: tuple[PlannedTask, ...]) -> Mapping[TaskId, TaskId]:
    """Return the ids of the cards by those of the tasks; those of the test cards are taken."""
    taken = {BASELINE, CHECK}
    return {task.task_id: TaskId(f"do-{task.task_id}") if task.task_id in taken else task.task_id for task in tasks}


def _agent(task: PlannedTask, names: Mapping[TaskId, TaskId], alias: str) -> JobCard:
    return JobCard(
        task_id=names[task.task_id],
        lane=task.lane,
        title=task.title,
        configuration=f"agent/{alias}",
        deps=tuple(names[dep] for dep in task.deps),
        payload=AgentPayload(goal=task.goal, acceptance=task.acceptance, files_hint=task.files),
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
