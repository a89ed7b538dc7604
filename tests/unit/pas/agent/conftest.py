import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.broker.models import ToolCall
from services.kernel.ids import GitOid, RunId
from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import Allowlist, load_lane_allowlists
from services.pas.core.ports import CardWork
from services.pas.executors.agent.toolbox import ToolResult, ToolScene
from services.pas.executors.agent.tools.finishing import FinishTool
from services.pas.executors.agent.tools.index import IndexTool
from services.pas.executors.agent.tools.listing import ListTool
from services.pas.executors.agent.tools.patching import PatchTool
from services.pas.executors.agent.tools.reading import ReadTool
from services.pas.executors.agent.tools.searching import SearchTool
from services.pas.executors.agent.tools.toolset import Toolset
from services.pas.models import AgentPayload, JobCard
from services.vector_ops.models import Hit, IndexAnswer, QueryKind, Stamp, Tier
from services.vector_ops.protocol import SymbolNotFoundError

FILES = {
    "shop/__init__.py": "",
    "shop/price.py": "def total(prices):\n    result = sum(prices) + 1\n    return result\n",
    "shop/tax.py": "RATE = 19\n\n\ndef tax(amount):\n    return amount * RATE / 100\n",
    "tests/test_price.py": "from shop.price import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
    "settings.json": '{"debug": true}\n',
    "README.md": "# Shop\n\nSums prices.\n",
    ".env": "TOKEN=hunter2\n",
    "secrets/key.txt": "hunter2\n",
    ".git/config": "[core]\n",
}
OID = GitOid("0" * 40)


class SmallIndex:
    """An index of one symbol."""

    async def __call__(self, repo: str, kind: QueryKind, text: str, limit: int) -> IndexAnswer:
        if text != "total":
            raise SymbolNotFoundError(f"no definition is named {text}; near names: total")
        stamp = Stamp(
            indexed_commit="a" * 40, head_commit="b" * 40, dirty_paths=("shop/tax.py",), lag_s=12.0, is_fresh=False
        )
        hit = Hit(
            path="shop/price.py",
            line=1,
            column=5,
            symbol="shop.price.total",
            kind="function",
            snippet="def total(prices):",
            tier=Tier.EXACT,
        )
        return IndexAnswer(hits=(hit,), stamp=stamp)


@dataclass
class Bench:
    """A card's folder and the tools on it; remembers what was shown and writes changes as the loop does."""

    folder: Path
    tools: Toolset
    allowlist: Allowlist
    shown: dict = field(default_factory=dict)
    calls: int = 0

    async def use(self, name: str, **arguments) -> ToolResult:
        return await self.send(name, json.dumps(arguments))

    async def send(self, name: str, text: str) -> ToolResult:
        self.calls += 1
        work = CardWork(RunId("run-1"), str(self.folder), _card(), 1, self.folder, OID, OID, asyncio.Event())
        scene = ToolScene(work, self.folder, self.allowlist, dict(self.shown), f"fix.1.s{self.calls}")
        result = await self.tools.run(ToolCall(call_id="c", name=name, arguments=text), scene)
        for path, content in result.changes.items():
            self.write(path, content)
        self.shown.update(result.shown)
        return result

    def write(self, path: str, content: bytes | None) -> None:
        if content is None:
            (self.folder / path).unlink()
            return
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(content)

    def read(self, path: str) -> str:
        return (self.folder / path).read_bytes().decode()


def _card() -> JobCard:
    payload = AgentPayload(goal="Mend the total")
    return JobCard(task_id="fix", lane=Lane.CODE_IMPL, title="Fix", configuration="agent/first", payload=payload)


@pytest.fixture
def bench(tmp_path) -> Bench:
    folder = tmp_path / "work"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    tools = Toolset((ReadTool(), ListTool(), SearchTool(), PatchTool(), IndexTool(SmallIndex()), FinishTool()))
    return Bench(folder, tools, load_lane_allowlists()[Lane.CODE_IMPL])
