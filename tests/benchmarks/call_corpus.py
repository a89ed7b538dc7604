"""Resolve the calls of one repository at one commit, without an index, and write them as rows that can be scored.

call_corpus.py REPOSITORY COMMIT LANGUAGE OUT.jsonl

REPOSITORY is a git directory. A row is `{"f", "l", "c", "n", "to": [[file, line], ...], "tier"}`: one call site with
the lines of the names of the definitions it may reach. Prints files, edges by tier, and CPU seconds by stage.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pygit2

from services.vector_ops.languages.catalogue import language_name, load_language, suffix_of
from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.memory import MemoryWorld
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier

_MAX_BYTES = 1_000_000


def read_files(repository: Path, commit: str, name: str) -> dict[str, bytes]:
    """Return path -> content of the files of one language."""
    git = pygit2.Repository(str(repository))
    index = pygit2.Index()
    index.read_tree(git[commit].peel(pygit2.Tree))
    plain = [entry for entry in index if entry.mode in {0o100644, 0o100755} and language_name(entry.path) == name]
    contents = {entry.path: git[entry.id].data for entry in plain}
    return {path: content for path, content in contents.items() if len(content) <= _MAX_BYTES and b"\0" not in content}


def resolve_all(files: dict[str, bytes], name: str):
    """Return path -> facts, path -> edges, and CPU seconds of the two stages."""
    language, world, facts = load_language(name), MemoryWorld(), dict[str, FileFacts]()
    begun = time.process_time()
    for path in sorted(files):
        facts[path] = language.extract(suffix_of(path), files[path])
        world.add(path, facts[path], language)
    extracted = time.process_time()
    edges = {path: language.resolve(SourceFile(path, world.unit(path), one), world) for path, one in facts.items()}
    return facts, edges, (extracted - begun, time.process_time() - extracted)


def make_rows(facts, edges):
    """Yield one row a call site."""
    for path, found in edges.items():
        sites = defaultdict(list)
        for edge in found:
            if edge.kind == EdgeKind.CALL and edge.target_at >= 0:
                symbol = facts[edge.target_path].symbols[edge.target_at]
                sites[edge.line, edge.column].append((edge.target_path, symbol.line, edge.tier))
        names = {(one.line, one.column): one.name for one in facts[path].references}
        for (line, column), to in sorted(sites.items()):
            tier = max(one[2] for one in to)
            places = sorted({(one[0], one[1]) for one in to})
            yield {
                "f": path,
                "l": line,
                "c": column,
                "n": names.get((line, column), ""),
                "to": [list(place) for place in places],
                "tier": Tier(tier).name.lower(),
            }


def main(repository: str, commit: str, name: str, out: str) -> None:
    """Run the command line."""
    facts, edges, seconds = resolve_all(read_files(Path(repository), commit, name), name)
    rows = list(make_rows(facts, edges))
    Path(out).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tiers = Counter(row["tier"] for row in rows)
    print(
        f"{len(facts)} files, call sites {dict(tiers)}, extract {seconds[0]:.2f} s CPU, resolve {seconds[1]:.2f} s CPU"
    )


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
