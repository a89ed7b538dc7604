"""Performs the steps of an attempt, each at most once: recorded ones are replayed, new ones recorded as they end.

One transaction per step holds the step itself, its receipts, artifacts and events. The card's folder always holds what
the last recorded step says: a restarted attempt starts from there (invariant 11), whatever was in flight.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from services.kernel.clock import Clock, to_iso
from services.kernel.errors import ConflictError
from services.kernel.ids import GitOid, Sha256
from services.pas.core.control import Gatekeeper
from services.pas.core.events import Bell
from services.pas.core.limits import stop_over_time
from services.pas.core.ports import ArtifactBox, CardWork, FaultPoints, Store, Trees
from services.pas.core.records import Controls, EventDraft, Step, StepChange, StepKind
from services.pas.core.steps import StepJournal
from services.pas.models import ArtifactRef, Receipt

MAX_RESULT_CHARS = 32_000
"""A longer result is kept as an artifact; its step names the digest."""
_STORED = "artifact:"


class DivergedError(ConflictError):
    """A restarted attempt asks for something else than what was recorded; it must not go on as if it had not."""

    code = "pas.step_diverged"


class CardStoppedError(ConflictError):
    """Somebody terminated the run or cancelled the card."""

    code = "pas.card_stopped"


@dataclass(frozen=True)
class RecorderParts:
    """What recording needs."""

    journal: StepJournal
    store: Store
    trees: Trees
    artifacts: ArtifactBox
    gatekeeper: Gatekeeper
    bell: Bell
    clock: Clock
    faults: FaultPoints


@dataclass(frozen=True)
class Asked:
    """A step before it is done: its place in the conversation and a digest of all that it depends on."""

    kind: StepKind
    key: str
    request_sha256: Sha256


@dataclass(frozen=True)
class Done:
    """A step that was performed and waits to be recorded. `fault` names the place right before the recording."""

    result: str
    fault: str
    tree: GitOid | None = None
    receipts: tuple[Receipt, ...] = ()
    events: tuple[EventDraft, ...] = ()


@dataclass
class Recorder:
    """The journal of one attempt; `tree` is what the folder holds, `position` the number of the next step."""

    parts: RecorderParts
    work: CardWork
    tree: GitOid
    position: int = 0
    since_s: float = 0.0
    idle_s: float = 0.0
    pauses: int = 0
    """How often the attempt has waited for its run to be resumed; what it knew of the outside may be old then."""
    _steps: Mapping[int, Step] = field(default_factory=dict)
    _controls: Controls | None = None

    @classmethod
    async def open(cls, parts: RecorderParts, work: CardWork) -> "Recorder":
        """Read what is recorded, and bring the folder, which holds the card's input, to the last recorded tree."""
        steps = await parts.journal.read_steps(work.run_id, work.card.task_id, work.attempt)
        if steps:
            await parts.trees.restore(work.repo, work.folder, work.tree_in, steps[-1].tree)
        known = {step.position: step for step in steps}
        return cls(parts, work, work.tree_in, since_s=parts.clock.monotonic_s(), _steps=known)

    @property
    def is_replaying(self) -> bool:
        """Return whether the next step is one that was recorded before."""
        return self.position in self._steps

    @property
    def folder_tree(self) -> GitOid:
        """Return what the folder holds: the last recorded tree, which a replay that broke off has not come to."""
        return self._steps[max(self._steps)].tree if self.is_replaying else self.tree

    @property
    def next_key(self) -> str:
        """Return the key of the next recorded step; empty when there is none."""
        return self._steps[self.position].key if self.position in self._steps else ""

    async def perform(self, asked: Asked, act: Callable[[], Awaitable[Done]]) -> str:
        """Return the step's result: the recorded one, or that of `act`, which is recorded first.

        Raises DivergedError, CardStoppedError, and what `act` raises (nothing is recorded then).
        """
        recorded = self._steps.get(self.position)
        if recorded is not None:
            return await self._replay(recorded, asked)
        await self.await_gate()
        done = await act()
        await self.parts.faults.hit(done.fault)
        await self._record(asked, done)
        await self.parts.faults.hit("agent_step_recorded")
        return done.result

    async def _replay(self, step: Step, asked: Asked) -> str:
        if (step.kind, step.key, step.request_sha256) != (asked.kind, asked.key, asked.request_sha256):
            raise DivergedError(
                f"diverged at step {step.position} ({step.key}): the attempt now asks for {asked.key} or with other "
                "content than what was recorded before the restart; start the run again"
            )
        self.position += 1
        self.tree = step.tree
        if step.result.startswith(_STORED):
            return (await self.parts.artifacts.get(Sha256(step.result.removeprefix(_STORED)))).decode()
        return step.result

    async def _record(self, asked: Asked, done: Done) -> None:
        old, new = self.tree, done.tree or self.tree
        result, artifacts = await self._store_result(done.result)
        step = Step(
            task_id=self.work.card.task_id,
            attempt=self.work.attempt,
            position=self.position,
            kind=asked.kind,
            key=asked.key,
            request_sha256=asked.request_sha256,
            result=result,
            tree=new,
            at=to_iso(self.parts.clock.now()),
        )
        change = StepChange(self.work.run_id, step, done.receipts, artifacts, done.events)
        self._controls = await self.parts.journal.add_step(change)
        self.parts.bell.ring()
        self.position += 1
        self.tree = new
        if new != old:
            await self.parts.trees.restore(self.work.repo, self.work.folder, old, new)

    async def _store_result(self, result: str) -> tuple[str, tuple[ArtifactRef, ...]]:
        if len(result) <= MAX_RESULT_CHARS:
            return result, ()
        content = result.encode()
        sha256 = await self.parts.artifacts.put(content)
        path = f"artifacts/{self.work.card.task_id}.{self.work.attempt}/step-{self.position}.json"
        return f"{_STORED}{sha256}", (ArtifactRef(path=path, sha256=sha256, size_bytes=len(content)),)

    async def await_gate(self, *, is_fresh: bool = False) -> None:
        """Return when the attempt may go on; wait while the run is paused, without holding the lane's slot.

        What people asked for came back with the last step's recording; `is_fresh` asks again. Raises CardStoppedError.
        """
        controls = self._controls
        if controls is None or is_fresh:
            controls = await self.parts.store.read_controls(self.work.run_id)
        while controls.is_paused and not self._is_stopped(controls):
            since_s = self.parts.clock.monotonic_s()
            controls = await self.parts.gatekeeper.stand_aside(self.work.run_id, self.work.card.task_id)
            self.idle_s += self.parts.clock.monotonic_s() - since_s
            self.pauses += 1
        self._controls = controls
        if self._is_stopped(controls):
            raise CardStoppedError("stopped on request")

    async def watch_time(self) -> None:
        """Wait at the gate, or stop, when the run has used up its time."""
        controls = self._controls or await self.parts.store.read_controls(self.work.run_id)
        working_s = self.parts.clock.monotonic_s() - self.since_s - self.idle_s
        parts = self.parts
        if await stop_over_time(parts.store, parts.clock, self.work.run_id, controls, working_s=working_s):
            parts.bell.ring()
            await self.await_gate(is_fresh=True)

    def _is_stopped(self, controls: Controls) -> bool:
        return controls.is_terminated or self.work.card.task_id in controls.cancelled or self.work.cancel.is_set()


def digest(*parts: str) -> Sha256:
    """Return one digest of several texts, in order."""
    found = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(raw))
        found.update(raw)
    return Sha256(found.hexdigest())
