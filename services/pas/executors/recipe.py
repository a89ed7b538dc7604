"""Recipe cards: a text transformation through the recipe runner, or a ruff command; both inside the sandbox."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from services.kernel.errors import InvalidRequestError
from services.kernel.ids import TaskId
from services.kernel.vocabulary import Lane
from services.pas.core.argument import INPUTS_TARGET
from services.pas.core.isolation import WORKSPACE_TARGET, ExecResult, Mount
from services.pas.core.ports import ArtifactBox, CardResult, CardWork
from services.pas.executors.ruff import renames_of
from services.pas.executors.tidy import Tidier
from services.pas.executors.workbench import Order, Workbench, explain_stop
from services.pas.models import ArtifactRef, CardOutcome, RecipePayload
from services.pas.recipes.catalog import RECIPES
from services.pas.recipes.commands import fix_argv, format_argv
from services.pas.recipes.models import PathsParams, RecipeOutcome

RUNNER_MODULE = "services.pas.recipes.runner"
PARAMS_FILE = "params.json"
RUFF_RECIPES = {"format": format_argv, "lint-fix": fix_argv}


class RecipeParamsError(InvalidRequestError):
    """The card's parameters do not fit its recipe."""

    code = "pas.recipe_params"


class RecipeExecutor:
    """Runs `recipe` payloads. `packages` shows the platform's own code to the runner, read-only."""

    def __init__(self, bench: Workbench, artifacts: ArtifactBox, packages: tuple[Mount, ...]) -> None:
        self._bench = bench
        self._artifacts = artifacts
        self._packages = packages
        self._tidier = Tidier(bench)

    async def execute(self, work: CardWork) -> CardResult:
        payload = work.card.payload
        if not isinstance(payload, RecipePayload):
            raise RecipeParamsError(f"the card {work.card.task_id} is no recipe card")
        params = check_params(payload)
        if payload.recipe in RUFF_RECIPES:
            return await self._run_ruff(work, payload.recipe, PathsParams.model_validate_json(params))
        return await self._run_transformation(work, payload.recipe, params)

    async def _run_ruff(self, work: CardWork, recipe: str, params: PathsParams) -> CardResult:
        argv = tuple(RUFF_RECIPES[recipe](params))
        result = await self._bench.run(Order(work.card.lane, argv, work.folder), work.cancel)
        stopped = explain_stop(result)
        if stopped is not None or result.exit_code != 0:
            return fail(result, stopped or first_line(result.stderr) or f"ruff ended with code {result.exit_code}")
        return CardResult(
            is_success=True,
            outcome=CardOutcome(summary=f"{recipe} ran"),
            tier=result.tier,
            exit_code=result.exit_code,
        )

    async def _run_transformation(self, work: CardWork, recipe: str, params: bytes) -> CardResult:
        before = await self._tidier.look(work) if work.card.lane is Lane.CODE_IMPL else None
        argv = ("python", "-I", "-m", RUNNER_MODULE, "--recipe", recipe, "--params", f"{INPUTS_TARGET}/{PARAMS_FILE}")
        order = Order(
            lane=work.card.lane,
            argv=(*argv, "--root", WORKSPACE_TARGET),
            folder=work.folder,
            inputs={PARAMS_FILE: params},
            mounts=self._packages,
        )
        result = await self._bench.run(order, work.cancel)
        stopped = explain_stop(result)
        if stopped is not None or result.exit_code != 0:
            return fail(
                result, stopped or first_line(result.stderr) or f"the recipe ended with code {result.exit_code}"
            )
        try:
            outcome = RecipeOutcome.model_validate_json(result.stdout)
        except ValidationError:
            return fail(result, "the recipe's answer cannot be read")
        if before is not None and outcome.status == "applied":
            await self._tidier.mend(work, before, renames_of([work.card.payload]))
        return await self._report(work, recipe, outcome, result)

    async def _report(self, work: CardWork, recipe: str, outcome: RecipeOutcome, result: ExecResult) -> CardResult:
        content = outcome.model_dump_json(indent=1).encode()
        ref = await keep(self._artifacts, work.card.task_id, work.attempt, "recipe.json", content)
        is_success = outcome.status != "refused"
        summary = _summarise(recipe, outcome)
        return CardResult(
            is_success=is_success,
            outcome=CardOutcome(
                summary=summary,
                files_changed=outcome.files_changed,
                occurrences_changed=outcome.occurrences_changed,
                left_alone=outcome.left_alone_total,
                detail=ref,
            ),
            tier=result.tier,
            reason="" if is_success else summary,
            exit_code=result.exit_code,
            changes_tree=outcome.status == "applied",
            artifacts=(ref,),
        )


def check_params(payload: RecipePayload) -> bytes:
    """Return the parameters as JSON; raise RecipeParamsError for an unknown recipe or wrong parameters."""
    recipe = RECIPES.get(payload.recipe)
    if recipe is None or payload.recipe == "run-tests":
        known = ", ".join(name for name in RECIPES if name != "run-tests")
        raise RecipeParamsError(f"there is no recipe {payload.recipe}; there are: {known}")
    try:
        return recipe.params.model_validate(_plain(payload.params)).model_dump_json().encode()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "params"
        raise RecipeParamsError(f"recipe {payload.recipe}: {where}: {first['msg']}") from error


def _plain(params: Mapping[str, object]) -> dict[str, object]:
    return dict(params)


def _summarise(recipe: str, outcome: RecipeOutcome) -> str:
    if outcome.status == "refused":
        line = outcome.reason or f"{recipe} refused"
        if outcome.candidates:
            places = ", ".join(f"{each.qualified_name} ({each.path}:{each.line})" for each in outcome.candidates[:5])
            line += f"; candidates: {places}"
        return line
    if outcome.status == "nothing_to_do":
        return outcome.reason or "nothing had to change"
    left = f", {outcome.left_alone_total} left alone" if outcome.left_alone_total else ""
    return f"{outcome.occurrences_changed} occurrences in {outcome.files_changed} files{left}"


def fail(result: ExecResult, reason: str) -> CardResult:
    """Return the failure of a command that ran."""
    return CardResult(
        is_success=False,
        outcome=CardOutcome(summary=reason),
        tier=result.tier,
        reason=reason,
        exit_code=result.exit_code,
        is_cancelled=result.is_cancelled,
    )


def first_line(output: bytes) -> str:
    """Return the first line that says something, at most 300 characters."""
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0][:300] if lines else ""


async def keep(box: ArtifactBox, task_id: TaskId, attempt: int, name: str, content: bytes) -> ArtifactRef:
    """Store what an attempt produced; return its reference in the run jacket."""
    return await keep_at(box, f"{task_id}.{attempt}", name, content)


async def keep_at(box: ArtifactBox, place: str, name: str, content: bytes) -> ArtifactRef:
    """Store what was produced; `place` is the folder below the jacket's artifacts."""
    return ArtifactRef(path=f"artifacts/{place}/{name}", sha256=await box.put(content), size_bytes=len(content))


def source_root() -> Path:
    """Return the folder that the platform's packages are imported from."""
    return Path(__file__).resolve().parents[3]
