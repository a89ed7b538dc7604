"""What is wrong with a task tree that a model made: its schema first, then its sense; pure."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import cast

from pydantic import JsonValue, ValidationError

from services.kernel.ids import TaskId
from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import Allowlist
from services.pas.models import PlannedTask, TaskTree

Schema = dict[str, JsonValue]


def plan_schema(max_tasks: int) -> Schema:
    """Return the JSON Schema of a task tree, without references: small servers do not resolve them."""
    schema = TaskTree.model_json_schema()
    definitions = schema.pop("$defs")
    inlined = cast("Schema", _inline(schema, definitions))
    tasks = cast("Schema", cast("Schema", inlined["properties"])["tasks"])
    tasks["maxItems"] = max_tasks
    return inlined


def _inline(value: JsonValue, definitions: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, list):
        return [_inline(each, definitions) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        return _inline(definitions[reference.rpartition("/")[2]], definitions)
    # Titles and defaults say nothing that the names do not; a request should be small.
    return {key: _inline(each, definitions) for key, each in value.items() if not _is_idle(key, each)}


def _is_idle(key: str, value: JsonValue) -> bool:
    return (key == "title" and isinstance(value, str)) or key == "default"


def find_faults(value: JsonValue, max_tasks: int, allowlists: Mapping[Lane, Allowlist]) -> tuple[str, ...]:
    """Return every fault with its place, in the words of the one who must mend it; empty when the tree is good."""
    faults = _find_schema_faults(value, max_tasks)
    if faults:
        return faults
    try:
        tree = TaskTree.model_validate(value)
    except ValidationError as error:
        return tuple(f"{_place(each['loc'])}: {each['msg']}" for each in error.errors())
    if tree.question.strip():
        return ()
    if not tree.tasks:
        return ("there is neither a task nor a question; give one of the two",)
    return (*_find_graph_faults(tree.tasks), *_find_path_faults(tree.tasks, allowlists), *_find_clashes(tree.tasks))


def _find_schema_faults(value: JsonValue, max_tasks: int) -> tuple[str, ...]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - loaded when the first plan comes, not at start

    found = sorted(Draft202012Validator(plan_schema(max_tasks)).iter_errors(value), key=lambda error: list(error.path))
    return tuple(f"{_place(tuple(error.absolute_path))}: {error.message[:300]}" for error in found)


def _place(path: Sequence[int | str]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the plan"


def _find_graph_faults(tasks: Sequence[PlannedTask]) -> list[str]:
    ids = [task.task_id for task in tasks]
    faults = [f"tasks: the id {each} is used twice" for each in dict.fromkeys(ids) if ids.count(each) > 1]
    for position, task in enumerate(tasks):
        faults += [f"tasks[{position}].deps: {dep} is no task of this plan" for dep in task.deps if dep not in ids]
        if not task.goal.strip() or not task.title.strip():
            faults.append(f"tasks[{position}]: title and goal must say something")
    circle = _find_circle(tasks)
    if not faults and circle:
        faults.append(f"tasks: {', '.join(circle)} depend on each other in a circle")
    return faults


def _find_circle(tasks: Sequence[PlannedTask]) -> list[TaskId]:
    waiting = {task.task_id: set(task.deps) for task in tasks}
    while ready := [task_id for task_id, deps in waiting.items() if not deps & waiting.keys()]:
        for task_id in ready:
            del waiting[task_id]
    return sorted(waiting)


def _find_path_faults(tasks: Sequence[PlannedTask], allowlists: Mapping[Lane, Allowlist]) -> list[str]:
    faults = []
    for position, task in enumerate(tasks):
        for path in task.files:
            why = explain_path(path) or _explain_lane(path, task.lane, allowlists)
            if why:
                faults.append(f"tasks[{position}].files: {path!r} {why}")
    return faults


def explain_path(path: str) -> str:
    """Return why a path cannot be one inside the repository; empty when it can."""
    parts = PurePosixPath(path).parts
    if not path.strip() or "\0" in path or "\\" in path or "\n" in path:
        return "is no path"
    if PurePosixPath(path).is_absolute() or ".." in parts or ":" in parts[0] or parts[0] == "~":
        return "leaves the repository; give it relative to the root"
    return "belongs to git" if ".git" in parts else ""


def _explain_lane(path: str, lane: Lane, allowlists: Mapping[Lane, Allowlist]) -> str:
    allowlist = allowlists.get(lane)
    if allowlist is None:
        return ""
    decision = allowlist.check_path(path)
    return "" if decision.is_allowed else f"may not be changed on lane {lane.value}: {decision.reason}"


def _find_clashes(tasks: Sequence[PlannedTask]) -> list[str]:
    """Return a fault for tasks that may run side by side and change the same file."""
    before = _list_ancestors(tasks)
    faults = []
    for one, other in combinations(tasks, 2):
        shared = sorted(set(one.files) & set(other.files))
        if shared and one.task_id not in before[other.task_id] and other.task_id not in before[one.task_id]:
            faults.append(
                f"tasks: {one.task_id} and {other.task_id} both change {shared[0]} side by side; let one depend on the "
                "other, or make them one task"
            )
    return faults


def _list_ancestors(tasks: Sequence[PlannedTask]) -> Mapping[TaskId, set[TaskId]]:
    deps = {task.task_id: set(task.deps) for task in tasks}
    found = {task_id: set(own) for task_id, own in deps.items()}
    for _ in tasks:  # a chain is no longer than there are tasks
        for own in found.values():
            own |= {each for dep in tuple(own) for each in deps.get(dep, ())}
    return found
