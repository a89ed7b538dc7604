"""The run jacket: one folder per run with a hashed manifest; each section has one owner."""

import asyncio
import hashlib
import json
from pathlib import Path

from pydantic import JsonValue

from services.kernel.ids import RunId
from services.pas.core.ports import ArtifactBox, Store

SECTIONS = {
    "inputs": "pas",
    "evidence": "pas.validators",
    "plan": "pex",
    "state": "pas",
    "artifacts": "pas.executors",
    "review": "user",
}


class Jacket:
    """Writes `<root>/<run_id>/`; writing again replaces each file as a whole."""

    def __init__(self, root: Path, store: Store, artifacts: ArtifactBox) -> None:
        self._root = root
        self._store = store
        self._artifacts = artifacts

    async def write(self, run_id: RunId) -> None:
        """Write what is known of the run now; raise OSError when the disk is full."""
        files = await self._collect(run_id)
        await asyncio.to_thread(_write_files, self._root / run_id, files)

    async def _collect(self, run_id: RunId) -> dict[str, bytes]:
        run = await self._store.read_run(run_id)
        if run is None:
            return {}
        journal = await self._store.read_journal(run_id)
        cards = await self._store.read_cards(run_id)
        findings = await self._store.read_findings(run_id)
        files = {
            "inputs/start.json": run.start.model_dump_json(indent=1).encode(),
            "inputs/snapshot.json": run.snapshot.model_dump_json(indent=1).encode(),
            "plan/cards.json": _encode([card.card.model_dump(mode="json") for card in cards]),
            "evidence/findings.json": _encode([finding.model_dump(mode="json") for finding in findings]),
            "state/receipts.json": _encode([receipt.model_dump(mode="json") for receipt in journal.receipts]),
            "state/steps.json": _encode([step.model_dump(mode="json") for step in journal.steps]),
            "state/events.json": _encode([event.model_dump(mode="json") for event in journal.events]),
        }
        passport = await self._store.read_passport(run_id)
        if passport is not None:
            files["state/passport.json"] = passport.model_dump_json(indent=1).encode()
        for artifact in journal.artifacts:
            files[artifact.path] = await self._artifacts.get(artifact.sha256)
        return files


def _encode(value: JsonValue) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    for section in SECTIONS:
        (folder / section).mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest: list[JsonValue] = []
    for path, content in sorted(files.items()):
        _replace(folder / path, content)
        manifest.append(
            {
                "path": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "size_bytes": len(content),
                "owner": SECTIONS[path.partition("/")[0]],
            }
        )
    _replace(folder / "manifest.json", _encode({"owners": dict(SECTIONS), "files": manifest}))


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.tmp")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)  # a full disk leaves no half-written file behind
