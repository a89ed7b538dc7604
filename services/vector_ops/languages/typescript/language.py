"""TypeScript and JavaScript, read by one grammar of three; see `resolving` for what is made of the facts."""

import re

import tree_sitter

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.grammars import load_grammar
from services.vector_ops.languages.typescript.configuration import read_configuration
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.finishing import finish_facts
from services.vector_ops.languages.typescript.resolving import resolve_file
from services.vector_ops.languages.typescript.walking import walk_file
from services.vector_ops.languages.world import Edge, SourceFile, World

_TYPED = frozenset({".ts", ".mts", ".cts"})
_TEST_PATH = re.compile(
    r"(^|/)(__tests__|__mocks__|tests?|specs?|e2e|cypress)/|[._-](test|spec|e2e|cy)(-d)?\.[cm]?[jt]sx?$|(^|/)tests?\.[cm]?[jt]sx?$"
)
_OTHERS = bytes(set(range(256)) - set(b"(){}[]"))
_PASSES = 64
_DEPTH_CAP = 3_000


class TypeScript:
    """TypeScript and JavaScript."""

    name = "typescript"
    family = "ecmascript"
    version = 1
    suffixes = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
    filenames = ("tsconfig.json", "jsconfig.json", "package.json", "deno.json")

    def check(self) -> None:
        """Load the grammars; raise GrammarMissingError, naming the cure, when one cannot be loaded."""
        for suffix in (".ts", ".tsx", ".js"):
            _load(suffix)

    def extract(self, suffix: str, content: bytes) -> FileFacts:
        """Return the facts of a content; of JSON, those of a configuration."""
        if suffix == ".json":
            return FileFacts(self.name, notes=read_configuration(content))
        if is_too_deep(content):
            return FileFacts(self.name, skipped="nested too deep")
        draft = Draft(content)
        walk_file(draft, tree_sitter.Parser(_load(suffix)).parse(content).root_node)
        return finish_facts(draft, self.name)

    def unit_of(self, path: str, facts: FileFacts) -> str:
        """Return the path: every file is a module of its own."""
        del facts
        return path

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:
        """Return the name of the package that a package.json declares."""
        if not path.endswith((".json",)):
            return ()
        return tuple(note.removeprefix("name=") for note in facts.notes if note.startswith("name="))

    def is_test(self, path: str) -> bool:
        """Return whether a test runner takes this file for tests, by its name or folder."""
        return _TEST_PATH.search(path) is not None

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        """Return the edges of one file, in order of line and column, without repetitions."""
        return resolve_file(file, world)


def is_too_deep(content: bytes) -> bool:
    """Return whether brackets nest so deep that the parsers, which recurse in C, may crash the process.

    Cost: a hundredth of parsing; what is left when pairs were taken out a few times bounds the depth from above.
    """
    left = content.translate(None, _OTHERS)
    for _step in range(_PASSES):
        fewer = left.replace(b"()", b"").replace(b"{}", b"").replace(b"[]", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    return len(left) > _DEPTH_CAP


def _load(suffix: str) -> tree_sitter.Language:
    if suffix in _TYPED:
        return load_grammar("tree_sitter_typescript", "language_typescript")
    if suffix == ".tsx":
        return load_grammar("tree_sitter_typescript", "language_tsx")
    return load_grammar("tree_sitter_javascript")


LANGUAGE = TypeScript()
