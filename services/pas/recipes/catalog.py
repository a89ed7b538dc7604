"""The recipes there are: deterministic work that needs no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from services.pas.recipes.models import PathsParams, RecipeOutcome, RenameParams, TestParams
from services.pas.recipes.rename import code, mentions
from services.pas.recipes.source import SourceTree


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

_RENAME_PARTS: dict[str, Callable[[SourceTree, RenameParams], RecipeOutcome]] = {
    "code": code.apply,
    "mentions": mentions.apply,
}


def apply_transformation(name: str, params_json: str | bytes, files: SourceTree) -> RecipeOutcome:
    """Run a recipe that transforms texts.

    Raises LookupError for any other name and pydantic.ValidationError for bad parameters.
    """
    if name != "rename-symbol":
        raise LookupError(f"{name!r} is not a text transformation; there is: rename-symbol")
    params = RenameParams.model_validate_json(params_json)
    return _RENAME_PARTS[params.part](files, params)
