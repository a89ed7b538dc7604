"""What `rag_query` tells an agent when the answer is a text: a map, or a packed context, of a real index."""

import asyncio
import re
from random import Random

import pytest

from services.kernel.clock import SystemClock
from services.kernel.ids import GitOid, RunId
from services.kernel.vocabulary import Lane
from services.pas.calls.vector_ops import VectorOpsEdge
from services.pas.core.allowlist import load_lane_allowlists
from services.pas.core.ports import CardWork
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, ToolScene
from services.pas.executors.agent.tools.index import IndexTool
from services.pas.models import AgentPayload, JobCard
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.identity import ENGINEER
from tests.fakes.sources import SourceTree

STEPS = "".join(f"    parcel.step({number}, 'towards the shelf')\n" for number in range(30))
SHELVES = {
    f"depot/shelf_{room}.py": "\n\n".join(
        f"def store_parcel_on_shelf_{number}_of_room_{room}(parcel, carrier, is_heavy):\n{STEPS}" for number in range(4)
    )
    for room in range(30)
}
FILES = {
    "depot/parcel.py": """\
class Parcel:
    \"\"\"A parcel with a place.\"\"\"

    def move(self, place):
        \"\"\"Carry the parcel to another place.\"\"\"
        self.place = place
        return weigh(self)


def weigh(parcel):
    \"\"\"Put a parcel on the scales and note its weight.\"\"\"
    return parcel.grams / 1000
""",
    **SHELVES,
    "tests/test_parcel.py": "from depot.parcel import Parcel\n\n\ndef test_move():\n    assert Parcel().move(1)\n",
}
CARD = JobCard(
    task_id="fix",
    lane=Lane.CODE_IMPL,
    title="Fix",
    configuration="agent/first",
    payload=AgentPayload(goal="Weigh parcels"),
)
OID = GitOid("0" * 40)
LONGEST_TEXT = 8_000
"""What the index renders for a query that names no budget: 2,000 tokens of four characters."""


class PasCallers:
    """PAS's own identity."""

    async def caller_for(self, _audience):
        return ENGINEER


class Depot:
    """Uses the tool on a repository with an index, as the agent does."""

    def __init__(self, tree, service):
        self.tree = tree
        edge = VectorOpsEdge(service, PasCallers(), Random(1))
        self._tool = IndexTool(edge.query)

    async def use(self, kind, text, repo=None):
        """Return the result of one call, in the depot's repository unless another is named."""
        work = CardWork(RunId("run-1"), str(repo or self.tree.root), CARD, 1, self.tree.root, OID, OID, asyncio.Event())
        scene = ToolScene(work, self.tree.root, load_lane_allowlists()[Lane.CODE_IMPL], {}, "fix.1.s1")
        return await self._tool.run({"kind": kind, "text": text}, scene)


@pytest.fixture(scope="module")
def depot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("depot")
    tree = SourceTree(folder / "repo")
    tree.commit(FILES)
    parts = open_vector_ops(folder / "index", SystemClock())
    parts.service.refresh_now(str(tree.root))
    parts.service.tend_now(str(tree.root))
    yield Depot(tree, parts.service)
    parts.close()


async def test_a_map_lists_the_signatures_of_the_task_and_ends_with_its_stamp(depot):
    result = await depot.use("repo_map", "weigh a parcel")
    head, *lines, cut, stamp = result.text.splitlines()
    assert re.fullmatch(r"repo_map 'weigh a parcel': \d+ places", head)
    assert result.line == head
    at = lines.index("depot/parcel.py:")
    assert "  1: class Parcel:" in lines[at:]
    assert "  10: def weigh(parcel):" in lines[at:]
    assert not any("test_move" in line for line in lines)
    assert cut == "[there is more; ask more narrowly]"
    assert stamp == f"[index of commit {str(depot.tree.git.head.target)[:12]}, fresh; your own edits are not in it]"


async def test_a_packed_context_shows_code_that_is_there_under_citations_that_are_listed(depot):
    result = await depot.use("context_pack", "how is the weight of a parcel noted")
    assert not result.is_error
    _places, rest = result.text.split("\n", 1)
    pieces = re.findall(r"^\[(c\d+)\] (\S+):(\d+)-(\d+)\n", rest, re.MULTILINE)
    assert "depot/parcel.py" in {path for _id, path, _first, _last in pieces}
    for _id, path, first, last in pieces:
        shown = (depot.tree.root / path).read_text().splitlines()[int(first) - 1 : int(last)]
        assert "\n".join(shown) in rest
    cited = rest.partition("## Citations\n")[2].splitlines()
    assert {line.split()[0] for line in cited if line[:1] == "c"} == {one for one, *_place in pieces}
    assert cited[-1].startswith("[index of commit ")


@pytest.mark.parametrize("kind", ["repo_map", "context_pack"])
async def test_what_does_not_fit_is_said_and_the_text_leaves_room_for_the_conversation(depot, kind):
    result = await depot.use(kind, "store a parcel on a shelf")
    assert "[there is more; ask more narrowly]" in result.text.splitlines()[-2]
    assert LONGEST_TEXT / 2 < len(result.text) < LONGEST_TEXT + 400 < MAX_RESULT_CHARS


async def test_uncommitted_files_are_in_a_map_and_named_by_its_stamp(depot):
    depot.tree.write({"depot/lift.py": "def lift_heavy_parcel(parcel, crane):\n    return crane.lift(parcel)\n"})
    try:
        lines = (await depot.use("repo_map", "lift a heavy parcel")).text.splitlines()
    finally:
        depot.tree.remove("depot/lift.py")
    assert "  1: def lift_heavy_parcel(parcel, crane):" in lines
    assert "; uncommitted, read as on disk: depot/lift.py; " in lines[-1]


async def test_what_cannot_be_answered_is_one_line_that_says_why(depot, tmp_path):
    blank = await depot.use("context_pack", "   ")
    elsewhere = await depot.use("repo_map", "parcels", tmp_path)
    assert (blank.is_error, elsewhere.is_error) == (True, True)
    assert blank.text == "the query is empty; give a symbol, or words to search for"
    assert elsewhere.text == f"{tmp_path} is no git repository; run `git init` there or name another folder"
