"""`rename-symbol`, part `code`: definitions, imports and uses."""

from __future__ import annotations

import libcst as cst

from services.pas.recipes.models import (
    LeftAlone,
    RecipeOutcome,
    RenameParams,
    applied,
    identifier_problem,
    refuse,
)
from services.pas.recipes.rename import leftovers
from services.pas.recipes.rename.family import Families
from services.pas.recipes.rename.guard import Guard
from services.pas.recipes.rename.inference import Inference
from services.pas.recipes.rename.modules import Project
from services.pas.recipes.rename.order import with_order
from services.pas.recipes.rename.plan import ModulePlan, Planner
from services.pas.recipes.rename.target import TargetFinder
from services.pas.recipes.rename.values import Slot
from services.pas.recipes.source import SourceTree


def apply(files: SourceTree, params: RenameParams) -> RecipeOutcome:
    """Rename one symbol in the code of a tree; a refusal changes nothing and says why in one line."""
    old, new = params.old.rpartition(".")[2], params.new
    problem = identifier_problem(new) or ("the new name is the old name" if old == new else None)
    if problem is not None:
        return refuse(problem)
    project = Project(files)
    inference = Inference(project)
    families = Families(project, inference, old)
    target = TargetFinder(project, inference, families).find(params)
    if target.problem is not None:
        return refuse(target.problem, target.candidates)
    planner = Planner(inference, target.slots, old, new)
    plans = [planner.plan(module) for module in families.modules()]
    problem = Guard(project, inference, target.slots, old, new).problem(plans, families)
    if problem is not None:
        return refuse(problem)
    changed = {
        plan.module.path: plan.module.text.replace(with_order(plan.module, plan.edits)) for plan in plans if plan.edits
    }
    broken = first_broken(changed)
    if broken is not None:
        return refuse(f"{broken} would no longer parse; nothing was changed")
    left = _left_alone(project, inference, plans, target.slots, old)
    if params.prose == "deferred":
        left = tuple(each for each in left if each.occurrence.kind not in leftovers.PROSE_KINDS)
    return applied(changed, sum(plan.count for plan in plans), left, target.symbols)


def first_broken(changed: dict[str, str]) -> str | None:
    """Return the first path whose new text does not parse, or None."""
    for path, text in sorted(changed.items()):
        try:
            cst.parse_module(text)
        except cst.ParserSyntaxError:
            return path
    return None


def _left_alone(
    project: Project, inference: Inference, plans: list[ModulePlan], slots: frozenset[Slot], old: str
) -> tuple[LeftAlone, ...]:
    found = [each for plan in plans for each in leftovers.in_module(plan, old)]
    found += leftovers.elsewhere(project, old)
    found += project.tree.unreadable(old)
    found += _outer_bases(project, inference, slots, old)
    return tuple(sorted(found, key=lambda each: (each.occurrence.path, each.occurrence.line, each.occurrence.column)))


def _outer_bases(project: Project, inference: Inference, slots: frozenset[Slot], old: str) -> list[LeftAlone]:
    notes: list[LeftAlone] = []
    for scope in {slot.scope for slot in slots if slot.scope.kind == "class"}:
        for base in inference.lookup.outer_bases(scope):
            module = project.load(base.scope.path)
            if module is not None and not _is_standard(base.name):
                notes.append(leftovers.outer_base(module.text, module.offset(base.node), scope.name, old))
    return notes


def _is_standard(name: str | None) -> bool:
    top = (name or "").partition(".")[0]
    return top in {"builtins", "typing", "abc", "enum", "collections", "dataclasses"}
