"""From an intent to cards: match the words, resolve the symbol in the index, name the files that will change."""

import keyword
from collections.abc import Iterable
from pathlib import PurePosixPath

from pydantic import JsonValue

from services.kernel.vocabulary import Lane
from services.pas.models import LaneModel
from services.pex.calls.pas import PasEdge
from services.pex.calls.vector_ops import VectorOpsEdge
from services.pex.core.cards import AGENT_RECIPE, plan_agent, plan_rename, plan_tests, plan_tidying
from services.pex.core.intents import Asked, IntentMatcher, Matched
from services.pex.core.prediction import MAX_HINTS, Prediction, Predictor, list_paths
from services.pex.models import Plan, Planning, Question
from services.vector_ops.models import Hit, Stamp
from services.vector_ops.protocol import SymbolNotFoundError

MAX_OPTIONS = 3
MAX_FILES_NAMED = 500
MAX_TITLE_CHARS = 120
REFUSAL = (
    "no recipe fits these words, and no model is configured: connect one with `direng model add` (see "
    '"Connect a model" in the README), or use a recipe: rename-symbol (`rename old_name to new_name`), format (`format '
    "the code`), lint-fix (`fix the lint findings`), run-tests (`run the tests`); nothing was changed"
)


class Planner:
    """Turns words into a plan, a question or a refusal; keeps nothing and spends nothing."""

    def __init__(self, matcher: IntentMatcher, index: VectorOpsEdge, pas: PasEdge) -> None:
        self._matcher = matcher
        self._index = index
        self._pas = pas
        self._predictor = Predictor(index)

    async def plan(self, intent: str, repo: str) -> Planning:
        """Return what would be done in `repo`: a recipe, else one agent card where there is a model for it.

        Raises UnindexableError for a path that is no usable repository.
        """
        planning = await self.match(intent, repo)
        if planning is not None:
            return planning
        model = find_model(await self._pas.list_lane_models(), Lane.CODE_IMPL)
        if model.problem:
            return Planning(refusal=refuse(model))
        return Planning(plan=await self.plan_agent(intent, repo, model))

    async def plan_agent(self, intent: str, repo: str, model: LaneModel | None) -> Plan:
        """Return the plan of one agent card; `model` None: none is configured, so it can be estimated, not started."""
        prediction = await self._predictor.predict(intent, repo)
        hints = tuple(dict.fromkeys((*list_paths(intent), *prediction.hints)))[:MAX_HINTS]
        who = f"an agent on {model.model}" if model else "an agent (no model is configured yet)"
        title = " ".join(intent.split())[:MAX_TITLE_CHARS].replace(";", ",")
        return Plan(
            summary=f"{title}; {who}, beginning with {_count(hints)} from the index; the tests before and after",
            recipe=AGENT_RECIPE,
            cards=plan_agent(intent, title, hints, model),
            files_expected=prediction.files,
            warnings=warn_of_stamp(prediction.stamp),
            models=(model,) if model else (),
        )

    async def predict(self, intent: str, repo: str) -> Prediction:
        """Return what the index expects of an intent."""
        return await self._predictor.predict(intent, repo)

    async def match(self, intent: str, repo: str) -> Planning | None:
        """Return what a recipe would do, a question or a refusal about it; None when no recipe fits.

        A question that comes of a recipe doing only part of the work is not asked where a model can do all of it.
        """
        found = self._matcher.match(intent)
        if isinstance(found, Asked) and found.model_fits and await self._has_model():
            return None
        if isinstance(found, Asked):
            return Planning(question=Question(text=found.text, options=found.options, answer=found.answer))
        if not isinstance(found, Matched):
            return None
        slots = found.slots
        problem = find_path_problem(slots.get("path", "")) or find_path_problem(slots.get("test_path", ""))
        if problem:
            return Planning(refusal=problem)
        if found.recipe == "rename-symbol":
            return await self._plan_rename(repo, found)
        return await self._plan_other(repo, found)

    async def _has_model(self) -> bool:
        return not find_model(await self._pas.list_lane_models(), Lane.CODE_IMPL).problem

    async def _plan_other(self, repo: str, found: Matched) -> Planning:
        snapshot = await self._index.snapshot(repo)
        test_paths = _paths(found.slots.get("test_path", ""))
        if found.recipe == "run-tests":
            where = f" in {test_paths[0]}" if test_paths else ""
            return _planned(Plan(summary=f"run the tests{where}", recipe=found.recipe, cards=plan_tests(test_paths)))
        paths = _paths(found.slots.get("path", ""))
        what = "format the code" if found.recipe == "format" else "repair what the linter can repair by itself"
        plan = Plan(
            summary=f"{what}{f' in {paths[0]}' if paths else ''}; the tests before and after",
            recipe=found.recipe,
            cards=plan_tidying(found.recipe, paths, test_paths),
            files_expected=tuple(path for path in paths if path.endswith((".py", ".pyi"))),
            warnings=warn_of_stamp(snapshot.stamp),
        )
        return _planned(plan)

    async def _plan_rename(self, repo: str, found: Matched) -> Planning:
        old, new = found.slots["old"], found.slots["new"]
        new = new.removeprefix(f"{old.rpartition('.')[0]}.") if "." in old else new
        problem = find_name_problem(old.rpartition(".")[2], new)
        if problem:
            return Planning(refusal=problem)
        try:
            answer = await self._index.find_definitions(repo, old)
        except SymbolNotFoundError as error:
            return Planning(refusal=f"{error.detail}; nothing was changed")
        scope = found.slots.get("path", "")
        hits = _distinct(hit for hit in answer.hits if _lies_in(hit.path, scope))
        if not hits:
            return Planning(refusal=f"{old} is not defined in {scope}, but in {_list_places(answer.hits)}")
        if len(hits) > 1:
            return _ask_which(old, new, hits, _say_tests(found))
        return await self._plan_rename_of(repo, hits[0], found, new, answer.stamp)

    async def _plan_rename_of(self, repo: str, hit: Hit, found: Matched, new: str, stamp: Stamp) -> Planning:
        if not hit.path.endswith((".py", ".pyi")):
            return Planning(refusal=f"{hit.symbol} is defined in {hit.path}; rename-symbol knows Python only")
        taken = await self._find_taken(repo, hit, new)
        if taken:
            return Planning(refusal=taken)
        files = await self._find_files(repo, hit)
        old = hit.symbol.rpartition(".")[2]
        params: dict[str, JsonValue] = {"old": hit.symbol, "new": new, "path_hint": hit.path, "line_hint": hit.line}
        plan = Plan(
            summary=f"rename {hit.kind} {hit.symbol} ({hit.path}:{hit.line}) to {new}; {_count(files)} and the "
            f"documentation's mentions of {old}; the tests before and after",
            recipe="rename-symbol",
            cards=plan_rename(params, _paths(found.slots.get("test_path", ""))),
            files_expected=files,
            warnings=warn_of_stamp(stamp),
        )
        return _planned(plan)

    async def _find_taken(self, repo: str, hit: Hit, new: str) -> str:
        """Return why `new` cannot be bound where the symbol is defined; empty when it can."""
        try:
            answer = await self._index.find_definitions(repo, new)
        except SymbolNotFoundError:
            return ""
        scope = hit.symbol.rpartition(".")[0]
        for other in answer.hits:
            if other.path == hit.path and other.symbol.rpartition(".")[0] == scope:
                return f"{new} is already defined in the same scope ({other.path}:{other.line}); choose another name"
        return ""

    async def _find_files(self, repo: str, hit: Hit) -> tuple[str, ...]:
        answer = await self._index.find_impact(repo, hit.symbol)
        # A rename leaves alone what does not lean on the symbol itself.
        used = (place.path for place in answer.hits if place.is_direct)
        return tuple(sorted({hit.path, *used}))[:MAX_FILES_NAMED]


def find_model(models: Iterable[LaneModel], lane: Lane) -> LaneModel:
    """Return the model of a lane; one with a `problem` when it has none."""
    missing = LaneModel(lane=lane, problem="no model is configured")
    return next((model for model in models if model.lane is lane), missing)


def refuse(model: LaneModel) -> str:
    """Return the refusal of words that no recipe fits, with what is wrong with the model when one is configured."""
    return REFUSAL if model.problem.startswith("no model") or not model.problem else f"{REFUSAL} ({model.problem})"


def find_name_problem(old: str, new: str) -> str:
    """Return why `new` cannot replace the identifier `old`; empty when it can."""
    if not new.isidentifier():
        return f"{new!r} is not a Python identifier; choose letters, digits and underscores, no digit first"
    if keyword.iskeyword(new) or keyword.issoftkeyword(new):
        return f"{new!r} is a Python keyword; choose another name"
    if old == new:
        return f"{old!r} has that name already; nothing to do"
    return ""


def find_path_problem(path: str) -> str:
    """Return why a path from the user's words is not usable inside a repository; empty when it is."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return f"{path!r} leaves the repository; give a path relative to its root"
    return ""


def _planned(plan: Plan) -> Planning:
    return Planning(plan=plan)


def _paths(path: str) -> tuple[str, ...]:
    clean = path.removeprefix("./").rstrip("/")
    return () if clean in {"", "."} else (clean,)


def _lies_in(path: str, scope: str) -> bool:
    wanted = _paths(scope)
    return not wanted or path == wanted[0] or path.startswith(f"{wanted[0]}/")


def _distinct(hits: Iterable[Hit]) -> list[Hit]:
    """One hit per definition: overloads and re-definitions of one name in one file are one."""
    found: dict[tuple[str, str], Hit] = {}
    for hit in hits:
        found.setdefault((hit.path, hit.symbol), hit)
    return list(found.values())


def qualify(hit: Hit) -> str:
    """Return the dotted path of a definition from the root of the repository, e.g. `shop.prices.total`."""
    module = hit.path.rpartition(".")[0].removesuffix("/__init__").replace("/", ".")
    return hit.symbol if hit.symbol.startswith(f"{module}.") else f"{module}.{hit.symbol}"


def _ask_which(old: str, new: str, hits: list[Hit], then: str) -> Planning:
    options = [f"rename {_say_where(hit, new)}{then}" for hit in hits[:MAX_OPTIONS]]
    places = _list_places(hits)
    return Planning(
        question=Question(text=f"{old} has {len(hits)} definitions: {places}. Which?", options=tuple(options))
    )


def _say_tests(found: Matched) -> str:
    tests = found.slots.get("test_path", "")
    return f" and run the tests in {tests}" if tests else ""


def _say_where(hit: Hit, new: str) -> str:
    name = qualify(hit)
    if all(part.isidentifier() for part in name.split(".")):
        return f"{name} to {new}"
    return f"{hit.symbol} to {new} in {hit.path}"  # a path that is no module name, such as my-scripts/tool.py


def _list_places(hits: Iterable[Hit], limit: int = 8) -> str:
    places = [f"{hit.symbol} ({hit.path}:{hit.line})" for hit in hits]
    rest = len(places) - limit
    return ", ".join(places[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _count(files: tuple[str, ...]) -> str:
    return f"{len(files)} file{'' if len(files) == 1 else 's'}"


def warn_of_stamp(stamp: Stamp) -> tuple[str, ...]:
    """Return a warning when the index is behind HEAD."""
    if stamp.is_fresh:
        return ()
    return (f"the index is at {stamp.indexed_commit[:7]} while HEAD is {stamp.head_commit[:7]}",)
