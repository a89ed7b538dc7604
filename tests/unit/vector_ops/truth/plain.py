"""A language of one statement a line; small, but it asks every question that resolution may ask.

`def Owner.name`, `use module` (its names by tail, or a path), `call name`, `call Owner.name`, `note name` (calls of it
lead nowhere), and on the first line `pack unit`.
The family `plain` looks names up in the file; `speaks` in the folder, like a package.
"""

from services.vector_ops.languages.facts import FILE, FileFacts, Import, Reference, Symbol
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, Tier


class PlainLanguage:
    suffixes = (".pl",)
    filenames = ()

    def __init__(self, name, *, is_packaged):
        self.name = name
        self.family = name
        self.version = 1
        self.is_packaged = is_packaged

    def check(self):
        pass

    def extract(self, suffix, content):
        symbols, references, imports, notes, places = [], [], [], [], {}
        for line, text in enumerate(content.decode().splitlines(), start=1):
            verb, _, rest = text.partition(" ")
            scope = len(symbols) - 1
            if verb == "def":
                name = rest.rpartition(".")[2]
                owner = places.get(rest.rpartition(".")[0], FILE)
                places.setdefault(rest, len(symbols))
                symbols.append(Symbol(name, rest, "function", line, 5, line, line, owner, signature=rest))
            elif verb == "call":
                references.append(Reference(rest, "call", scope, line, 6))
            elif verb == "use":
                imports.append(Import(rest, rest, "", FILE, line, 5))
            elif verb == "note":
                notes.append(rest)
        return FileFacts(
            self.name, tuple(symbols), tuple(references), tuple(imports), self._pack(content), tuple(notes)
        )

    def _pack(self, content):
        line = content.decode().partition("\n")[0]
        return line.removeprefix("pack ") if line.startswith("pack ") else ""

    def unit_of(self, path, facts):
        return facts.package or path.rpartition("/")[0] if self.is_packaged else path

    def tails_of(self, path, facts):
        stem = path.rpartition(".")[0]
        return (stem.replace("/", "."), stem.rpartition("/")[2])

    def is_test(self, path):
        return "test" in path

    def resolve(self, file: SourceFile, world):
        edges = [edge for entry in file.facts.imports for edge in self._follow_import(entry, world)]
        for one in file.facts.references:
            targets, tier = self._find(file, one.name, world)
            edges += [
                Edge(one.scope, target.path, target.at, EdgeKind.CALL, tier, one.line, one.column) for target in targets
            ]
        return sorted(set(edges), key=lambda edge: (edge.line, edge.column, edge.target_path, edge.target_at))

    def _follow_import(self, entry, world):
        is_path = entry.module.endswith(".pl")
        for path in (entry.module,) if is_path else world.modules(entry.module):
            if not is_path or world.exists(path):
                yield Edge(FILE, path, FILE, EdgeKind.IMPORT, Tier.EXACT, entry.line, entry.column)

    def _find(self, file, name, world):
        if found := world.symbols(file.unit, name):
            return found[-1:], Tier.EXACT
        if self._is_set(file, name, world):
            return (), Tier.EXACT
        if found := self._find_bound(file, name, world) or self._find_imported(file, name, world):
            return found, Tier.TYPED
        found = world.named(name)
        if found is None:
            return (), Tier.AMBIGUOUS
        return found[:3], Tier.UNIQUE_NAME if len(found) == 1 else Tier.AMBIGUOUS

    def _is_set(self, file, name, world):
        settings = [world.facts(path) for path in world.paths_in(file.unit) if path.endswith("settings.sp")]
        return any(name in facts.notes for facts in settings)

    def _find_bound(self, file, name, world):
        for _path, entry in world.bindings(file.unit, name):
            for path in world.modules(entry.module):
                if members := world.members(world.unit(path), name):
                    return members[:2]
        return ()

    def _find_imported(self, file, name, world):
        for entry in file.facts.imports:
            for path in world.modules(entry.module):
                if found := world.symbols(world.unit(path), name):
                    return found
        return ()


PLAIN = PlainLanguage("plain", is_packaged=False)
SPEAKS = PlainLanguage("speaks", is_packaged=True)


def load_language(name):
    return {"plain": PLAIN, "speaks": SPEAKS}[name]


def language_name(path):
    return {"pl": "plain", "sp": "speaks"}.get(path.rpartition(".")[2], "")
