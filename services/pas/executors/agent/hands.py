"""Carrying out what the model calls for, and the platform's own test runs: each one a recorded step."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from services.broker.models import ToolCall, ToolSpec
from services.edits.errors import UnsafePathError
from services.kernel.ids import GitOid, Sha256
from services.pas.core.allowlist import Allowlist
from services.pas.core.records import EventDraft, StepKind
from services.pas.executors.agent.results import dump_result, load_result
from services.pas.executors.agent.toolbox import ToolResult, ToolScene
from services.pas.executors.recorder import Asked, Done, Recorder, digest
from services.pas.models import EventKind
from services.security.redaction import count_redactions, redact

TEST_TOOL = "run_test"
MAX_LINE_CHARS = 200
MAX_KEY_CHARS = 40


Find = Callable[[], Awaitable[ToolResult | None]]
"""Looks for a result that was recorded elsewhere."""


class Toolset(Protocol):
    """The tools on offer; stateless."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Names, descriptions and schemas."""
        ...

    async def run(self, call: ToolCall, scene: ToolScene) -> ToolResult:
        """Carry out one call; an unknown tool or wrong arguments are a result with `is_error`."""
        ...


@dataclass
class Hands:
    """Acts on one card's folder; `shown` is what the model has seen of which file."""

    tools: Toolset
    recorder: Recorder
    allowlist: Allowlist
    shown: dict[str, Sha256] = field(default_factory=dict)

    async def use(self, turn: int, index: int, call: ToolCall) -> ToolResult:
        """Carry out a call of the model."""
        key = f"tool:{turn}.{index}:{call.name[:MAX_KEY_CHARS]}"
        asked = Asked(StepKind.TOOL, key, digest(call.name, call.arguments))
        return await self._perform(asked, call, "agent_tool_ran")

    async def run_tests(self, name: str, paths: Sequence[str], find: Find | None = None) -> ToolResult:
        """Run tests on the tree as it is now; `name` is what the check is for; not run when `find` has their result."""
        call = ToolCall(call_id="platform", name=TEST_TOOL, arguments=json.dumps({"paths": list(paths)}))
        asked = Asked(StepKind.CHECK, f"check:{name}", digest(*paths, self.recorder.tree))
        return await self._perform(asked, call, "agent_checked", name, find)

    async def _perform(
        self, asked: Asked, call: ToolCall, fault: str, name: str = "", find: Find | None = None
    ) -> ToolResult:
        async def act() -> Done:
            result = None if find is None else await find()
            if result is None:
                result = await self.tools.run(call, self._scene())
            result, tree = await self._settle(result)
            task_id = self.recorder.work.card.task_id
            events = [EventDraft(EventKind.DENIED, line[:MAX_LINE_CHARS], task_id=task_id) for line in result.denied]
            line = (f"{name}: {_count(result)}" if name else _clean(result.line))[:MAX_LINE_CHARS]
            events.append(EventDraft(EventKind.AGENT, line, task_id=task_id))
            return Done(dump_result(result), fault, tree, events=tuple(events))

        result = load_result(await self.recorder.perform(asked, act))
        self.shown.update(result.shown)
        return result

    def _scene(self) -> ToolScene:
        work = self.recorder.work
        name = f"{work.card.task_id}.{work.attempt}.s{self.recorder.position}"
        return ToolScene(work, work.folder, self.allowlist, dict(self.shown), name)

    async def _settle(self, result: ToolResult) -> tuple[ToolResult, GitOid | None]:
        """Return the result with clean text, and the tree that its changes make; refused changes are an error."""
        result = _hide_secrets(result)
        if not result.changes:
            return result, None
        decisions = [self.allowlist.check_path(path) for path in result.changes]
        denied = tuple(f"{each.reason} ({each.rule})" for each in decisions if not each.is_allowed)
        if denied:
            return _refuse(f"refused: {denied[0]}; nothing was changed", denied), None
        try:
            tree = await self.recorder.parts.trees.patch(self.recorder.work.repo, self.recorder.tree, result.changes)
        except UnsafePathError as error:
            return _refuse(f"refused: {error.detail}; nothing was changed", ()), None
        changed = {path: _digest(content) for path, content in result.changes.items() if content is not None}
        return replace(result, shown={**changed, **result.shown}), tree


def _refuse(text: str, denied: tuple[str, ...]) -> ToolResult:
    return ToolResult(text=text, line=text, is_error=True, denied=denied)


def _hide_secrets(result: ToolResult) -> ToolResult:
    """Return the result without what looks like a key: neither prompt nor table gets to see it; an event says so."""
    text = redact(_clean(result.text))
    if not count_redactions(text):
        return replace(result, text=text)
    line = "what looks like a secret was kept out of the prompt"
    return replace(result, text=text, line=redact(result.line), denied=(*result.denied, line))


def _count(result: ToolResult) -> str:
    """Return a test run in few words."""
    if result.tests is None or result.tests.is_unknown:
        return _clean(result.line)
    counts = result.tests.counts
    return f"{counts.passed} passed, {counts.failed + counts.errors} failed"


def _digest(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


def _clean(text: str) -> str:
    """Return text that can be written as UTF-8: names that are no UTF-8 carry surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
