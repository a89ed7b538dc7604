"""The recipes there are: deterministic work that needs no model."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from services.pas.recipes.models import PathsParams, RenameParams, TestParams


@dataclass(frozen=True)
class Stage:
    """One card of a recipe: the part it does and the lane it runs in."""

    part: str
    lane: str


@dataclass(frozen=True)
class Recipe:
    """A recipe by name, with its parameter model and its stages in order."""

    name: str
    description: str
    params: type[BaseModel]
    stages: tuple[Stage, ...]


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "rename-symbol",
            "Rename a function, class, method, variable or attribute everywhere it is meant.",
            RenameParams,
            (Stage("code", "Code-Impl"), Stage("mentions", "Narrative")),
        ),
        Recipe("format", "Format Python files with ruff.", PathsParams, (Stage("format", "Code-Impl"),)),
        Recipe("lint-fix", "Apply the safe fixes of ruff.", PathsParams, (Stage("fix", "Code-Impl"),)),
        Recipe("run-tests", "Run the tests with pytest.", TestParams, (Stage("test", "Code-Impl"),)),
    )
}
