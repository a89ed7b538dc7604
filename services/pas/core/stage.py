"""Working folders: one below `<home>/stage/<run>` per attempt, made anew each time, removed at its end."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.kernel.ids import GitOid, RunId
from services.pas.core.isolation import Isolation
from services.pas.core.ports import Trees


class Stage:
    """Lays trees out for the sandbox and takes the folders back."""

    def __init__(self, root: Path, trees: Trees, isolation: Isolation) -> None:
        self._root = root
        self._trees = trees
        self._isolation = isolation

    @asynccontextmanager
    async def lay_out(self, run_id: RunId, name: str, repo: str, tree: GitOid | None) -> AsyncIterator[Path]:
        """Yield a folder that holds exactly `tree` (None: nothing), whatever an interrupted attempt left there."""
        folder = self._root / run_id / name
        await asyncio.to_thread(self._remove, folder)
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        try:
            if tree is not None:
                await self._trees.export(repo, tree, folder)
            yield folder
        finally:
            await asyncio.to_thread(self._remove, folder)

    async def reclaim(self, folder: Path) -> None:
        """Give a folder that a lane has written back to the server, so that it can be read."""
        await asyncio.to_thread(self._isolation.reclaim, folder)

    async def clear_run(self, run_id: RunId) -> None:
        """Remove all that a killed server left of a run that has ended."""
        await asyncio.to_thread(self._remove, self._root / run_id)

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            self._isolation.reclaim(folder)
            shutil.rmtree(folder)
