"""Go as a language of the index."""

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.go.gomod import read_gomod
from services.vector_ops.languages.go.resolution import resolve_file
from services.vector_ops.languages.go.walk import extract_source
from services.vector_ops.languages.grammars import load_grammar
from services.vector_ops.languages.world import Edge, SourceFile, World


class GoLanguage:
    """Go. The unit of a file is its folder and package (`cmd#main`), so an external test package is a unit apart."""

    name = "go"
    family = "go"
    version = 2
    suffixes = (".go",)
    filenames = ("go.mod",)

    def check(self) -> None:
        load_grammar("tree_sitter_go")

    def extract(self, suffix: str, content: bytes) -> FileFacts:
        return read_gomod(content) if suffix == ".mod" else extract_source(content)

    def unit_of(self, path: str, facts: FileFacts) -> str:
        if not facts.package:
            return path
        return f"{path.rpartition('/')[0]}#{facts.package}"

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:
        folder = path.rpartition("/")[0]
        if path.endswith("go.mod"):
            return ("go.mod", *(f"module {note}" for note in facts.notes))
        return () if self.is_test(path) else (f"folder {folder}",)

    def is_test(self, path: str) -> bool:
        return path.endswith("_test.go")

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        return resolve_file(file, world)


LANGUAGE = GoLanguage()
