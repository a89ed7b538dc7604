"""Which code stands behind a text transformation. Only the runner, inside the sandbox, loads it: LibCST is large."""

from __future__ import annotations

from collections.abc import Callable

from services.pas.recipes.models import RecipeOutcome, RenameParams
from services.pas.recipes.rename import code, mentions
from services.pas.recipes.source import SourceTree

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
