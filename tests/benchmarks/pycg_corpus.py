"""Score the Python call graph on the PyCG micro-benchmark (Salis et al., ICSE 2021): pycg_corpus.py SNIPPETS [--show]

SNIPPETS is the folder `micro-benchmark/snippets` of that benchmark. A case is a folder with a callgraph.json: caller
-> callees by dotted names. A call of a class is mapped to the `__init__` that runs (none when no class has one); names
from outside keep their own; builtins are left out on both sides. Prints edges, precision, recall and F1; `--show` the
misses.
"""

import json
import sys
from pathlib import Path

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.memory import MemoryWorld
from services.vector_ops.languages.python.language import LANGUAGE
from services.vector_ops.languages.python.modules import dotted_of
from services.vector_ops.languages.python.resolution import Resolution
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier

Pair = tuple[str, str]
_VALUES = frozenset({"constant", "attribute"})


class Case:
    """One case: its files, facts and edges."""

    def __init__(self, folder: Path) -> None:
        self.world = MemoryWorld()
        self.facts = {}
        for file in sorted(folder.rglob("*.py")):
            path = file.relative_to(folder).as_posix()
            self.facts[path] = LANGUAGE.extract(".py", file.read_bytes())
            self.world.add(path, self.facts[path], LANGUAGE)
        self.files = {path: SourceFile(path, path, facts) for path, facts in self.facts.items()}
        self.edges = {path: LANGUAGE.resolve(file, self.world) for path, file in self.files.items()}

    def name_of(self, path: str, at: int) -> str:
        """Return the benchmark's name of a definition."""
        module = dotted_of(path) or path.removesuffix(".py")
        return module if at == FILE else f"{module}.{self.facts[path].symbols[at].qualname}"

    def initializer_of(self, path: str, at: int) -> str:
        """Return the `__init__` that constructing runs, or nothing."""
        queue, seen = [(path, at)], set()
        while queue:
            path, at = queue.pop(0)
            if (path, at) in seen:
                continue
            seen.add((path, at))
            qualname = f"{self.facts[path].symbols[at].qualname}.__init__"
            if self.world.symbols(path, qualname):
                return f"{dotted_of(path)}.{qualname}"
            edges = [one for one in self.edges[path] if one.kind == EdgeKind.INHERIT and one.source == at]
            queue = [(one.target_path, one.target_at) for one in edges] + queue
            for name in self._outer_bases(path, at):
                return f"{name}.__init__"
        return ""

    def _outer_bases(self, path: str, at: int) -> list[str]:
        resolution = Resolution(self.files[path], self.world)
        found = (one for one in self.facts[path].references if one.kind == "inherit" and one.scope == at)
        return [name for one in found for name in resolution.list_outside(one)]

    def list_pairs(self) -> set[Pair]:
        """Return caller and callee of every call."""
        pairs = set()
        for path, edges in self.edges.items():
            for edge in edges:
                if edge.kind == EdgeKind.CALL and edge.tier != Tier.AMBIGUOUS:
                    target = self.facts[edge.target_path].symbols[edge.target_at]
                    if target.kind in _VALUES:
                        continue  # the benchmark knows functions only; what the value holds has an edge of its own
                    name = self.name_of(edge.target_path, edge.target_at)
                    if target.kind == "class":
                        name = self.initializer_of(edge.target_path, edge.target_at)
                    pairs.add((self.name_of(path, edge.source), name))
            resolution = Resolution(self.files[path], self.world)
            for reference in self.facts[path].references:
                if reference.kind in {"call", "decorate"}:
                    caller = self.name_of(path, reference.scope)
                    pairs.update((caller, name) for name in resolution.list_outside(reference))
        return {pair for pair in pairs if pair[1]}


def read_expected(folder: Path) -> set[Pair]:
    """Return the pairs of callgraph.json, builtins left out."""
    graph = json.loads((folder / "callgraph.json").read_text(encoding="utf-8"))
    pairs = {(caller, callee) for caller, callees in graph.items() for callee in callees}
    return {pair for pair in pairs if not any(name.startswith("<") for name in pair)}


def main(folder: Path, *, is_shown: bool) -> None:
    """Run the command line."""
    right = wrong = missed = cases = 0
    for graph in sorted(folder.rglob("callgraph.json")):
        expected, found = read_expected(graph.parent), Case(graph.parent).list_pairs()
        cases, right = cases + 1, right + len(expected & found)
        wrong, missed = wrong + len(found - expected), missed + len(expected - found)
        if is_shown and expected != found:
            name = graph.parent.relative_to(folder)
            print(f"{name}: missed {sorted(expected - found)}, wrong {sorted(found - expected)}")
    precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
    score = 2 * precision * recall / max(1e-9, precision + recall)
    print(f"{cases} cases, {right + missed} edges, precision {precision:.3f}, recall {recall:.3f}, F1 {score:.3f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), is_shown="--show" in sys.argv)
