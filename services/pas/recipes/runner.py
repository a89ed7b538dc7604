"""Runs a text transformation on a directory: `python -I -m services.pas.recipes.runner --recipe NAME --params FILE`.

The tree is at `--root` (default: the current directory). One line of JSON, a `RecipeOutcome`, goes to standard output;
exit 0 means that the recipe ran, whatever its status. Exit 2 is a wrong call, exit 1 a failure to read or write.
"""

from __future__ import annotations

import argparse
import errno
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from services.pas.recipes.disk import DiskTree
from services.pas.recipes.models import RecipeOutcome
from services.pas.recipes.transformation import apply_transformation

MAX_RESULT_BYTES = 4_000_000
MAX_PARAMS_BYTES = 100_000
_FRAMES_PER_MB = 80
_STACK_MB = (256, 64, 16)  # address space; only what is used becomes memory


def main(argv: list[str] | None = None) -> int:
    """Run the recipe named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="recipe", description="Run a deterministic recipe on a source tree.")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--params", required=True, type=Path, help="a JSON file with the recipe's parameters")
    parser.add_argument("--root", type=Path, default=Path())
    args = parser.parse_args(argv)
    try:
        outcome = _transform(args.recipe, _params(args.params), DiskTree(args.root))
    except ValidationError as error:
        return _fail(2, f"invalid parameters: {_first_error(error)}")
    except LookupError as error:
        return _fail(2, str(error.args[0]) if error.args else "unknown recipe")
    except OSError as error:
        return _fail(1, f"{error.filename or args.root}: {error.strerror}")
    sys.stdout.write(encode(outcome) + "\n")
    return 0


def _transform(recipe: str, params: bytes, tree: DiskTree) -> RecipeOutcome:
    """Run the recipe in a thread of its own: long expressions and `elif` chains need a deep stack."""
    limit, size = sys.getrecursionlimit(), threading.stack_size()
    try:
        for stack_mb in _STACK_MB:
            threading.stack_size(stack_mb * 1024 * 1024)
            sys.setrecursionlimit(stack_mb * _FRAMES_PER_MB)
            with ThreadPoolExecutor(max_workers=1) as pool:
                try:
                    started = pool.submit(apply_transformation, recipe, params, tree)
                except RuntimeError:  # the limits of this process do not allow such a stack
                    continue
                outcome = started.result()
                tree.write(outcome.changed)
                return outcome
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    raise OSError(errno.ENOMEM, "no memory for the stack of a thread")


def encode(outcome: RecipeOutcome) -> str:
    """Return the outcome as one line of JSON below the size limit; the list of what was left alone gives way first."""
    while True:
        line = outcome.model_dump_json()
        if len(line.encode()) < MAX_RESULT_BYTES or not outcome.left_alone:
            return line
        outcome = outcome.model_copy(update={"left_alone": outcome.left_alone[: len(outcome.left_alone) // 2]})


def _params(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PARAMS_BYTES)


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'params'}: {first['msg']}"


def _fail(code: int, line: str) -> int:
    sys.stderr.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
