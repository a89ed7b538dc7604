"""Grammars of tree-sitter, one wheel a language; a missing one is a loud error, never an empty index."""

import importlib
from functools import cache

import tree_sitter

from services.kernel.errors import InternalError


class GrammarMissingError(InternalError):
    """No grammar is an optional part: without it the index would silently be empty."""

    code = "vector_ops.grammar_missing"


@cache
def load_grammar(module: str, function: str = "language") -> tree_sitter.Language:
    """Return the grammar of a wheel (`tree_sitter_go`); raise GrammarMissingError, naming the cure.

    `function` is the function of the wheel that gives it (`language_tsx`).
    """
    try:
        return tree_sitter.Language(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        package = module.replace("_", "-")
        raise GrammarMissingError(
            f"the grammar {module}.{function} of the code index cannot be loaded ({error}); reinstall {package}"
        ) from error
