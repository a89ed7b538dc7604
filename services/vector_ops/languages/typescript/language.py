"""TypeScript and JavaScript, read by one grammar of three; see `resolving` for what is made of the facts."""

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.typescript.configuration import read_configuration
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.finishing import finish_facts
from services.vector_ops.languages.typescript.globals import list_globals
from services.vector_ops.languages.typescript.modules import is_test_path
from services.vector_ops.languages.typescript.parsing import is_too_deep, load_parser, parse_content
from services.vector_ops.languages.typescript.resolving import resolve_file
from services.vector_ops.languages.typescript.walking import walk_file
from services.vector_ops.languages.world import Edge, SourceFile, World


class TypeScript:
    """TypeScript and JavaScript."""

    name = "typescript"
    family = "ecmascript"
    version = 4
    suffixes = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
    filenames = ("tsconfig.json", "jsconfig.json", "package.json", "deno.json")

    def check(self) -> None:
        """Load the grammars; raise GrammarMissingError, naming the cure, when one cannot be loaded."""
        for suffix in (".ts", ".tsx", ".js"):
            load_parser(suffix)

    def extract(self, suffix: str, content: bytes) -> FileFacts:
        """Return the facts of a content; of JSON, those of a configuration."""
        if suffix == ".json":
            return FileFacts(self.name, notes=read_configuration(content))
        if is_too_deep(content):
            return FileFacts(self.name, skipped="nested too deep")
        draft = Draft(content)
        walk_file(draft, parse_content(suffix, content))
        return finish_facts(draft, self.name)

    def unit_of(self, path: str, facts: FileFacts) -> str:
        """Return the path: every file is a module of its own."""
        del facts
        return path

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:
        """Return the name of the package that a package.json declares; `global:X` for what a file declares globally."""
        if not path.endswith(".json"):
            return list_globals(path, facts)
        return tuple(note.removeprefix("name=") for note in facts.notes if note.startswith("name="))

    def is_test(self, path: str) -> bool:
        """Return whether a test runner takes this file for tests, by its name or folder."""
        return is_test_path(path)

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        """Return the edges of one file, in order of line and column, without repetitions."""
        return resolve_file(file, world)


LANGUAGE = TypeScript()
