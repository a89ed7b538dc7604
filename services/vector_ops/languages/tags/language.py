"""A dialect as a language of the index."""

from tree_sitter import Query

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.grammars import load_grammar
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.tags.draft import TYPELIKE
from services.vector_ops.languages.tags.extraction import extract_source
from services.vector_ops.languages.tags.includes import list_path_tails
from services.vector_ops.languages.tags.lookup import TYPE_TAIL
from services.vector_ops.languages.tags.resolution import resolve_file
from services.vector_ops.languages.world import Edge, SourceFile, World


class TagLanguage:
    """A language by definitions and references. The unit of a file is its path."""

    def __init__(self, dialect: Dialect) -> None:
        self.name = dialect.name
        self.family = dialect.family
        self.version = dialect.version
        self.suffixes = dialect.suffixes
        self.filenames = dialect.filenames
        self._dialect = dialect

    def check(self) -> None:
        Query(load_grammar(*self._dialect.grammar), self._dialect.query)

    def extract(self, suffix: str, content: bytes) -> FileFacts:  # noqa: ARG002 - one grammar for all suffixes
        return extract_source(self._dialect, content)

    def unit_of(self, path: str, facts: FileFacts) -> str:  # noqa: ARG002 - names are found by tails, not by units
        return path

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:
        """Return `type full.Name` of the types opened here, and the ends of the path where files are included."""
        package = f"{facts.package}." if self._dialect.uses_package else ""
        types: dict[str, None] = {}
        for symbol in facts.symbols:
            if symbol.kind in TYPELIKE and symbol.kind != "module":
                types[f"{TYPE_TAIL}{package}{symbol.qualname}"] = None
            elif symbol.kind in ("method", "field", "attribute", "constant"):
                owner = symbol.qualname.rpartition(".")[0]
                if owner:
                    types[f"{TYPE_TAIL}{package}{owner}"] = None
        tails = tuple(types)
        if self._dialect.include_suffix or self._dialect.has_includes:
            tails += list_path_tails(path)
        return tails

    def is_test(self, path: str) -> bool:
        pattern = self._dialect.test_path
        return pattern is not None and pattern.search(path) is not None

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        return resolve_file(file, world, self._dialect)
