"""What a language must offer."""

from typing import Protocol

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.world import Edge, SourceFile, World


class Language(Protocol):
    """One language; an object without state. Families share a world (TypeScript and JavaScript are one)."""

    name: str
    family: str
    version: int
    """Raised whenever `extract` changes its output: stored facts of another version are made anew."""

    suffixes: tuple[str, ...]
    filenames: tuple[str, ...]
    """Whole names that belong to it besides the suffixes (`go.mod`)."""

    def check(self) -> None:
        """Load the grammars; raise GrammarMissingError, naming the cure, when one cannot be loaded."""
        ...

    def extract(self, suffix: str, content: bytes) -> FileFacts:
        """Return the facts of a content. Valid UTF-8 without NUL, at most MAX_FILE_BYTES; never raises for bad code."""
        ...

    def unit_of(self, path: str, facts: FileFacts) -> str:
        """Return the unit in which names of this file are looked up: the path itself, or a Go package's folder."""
        ...

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:
        """Return the names under which `World.modules` finds this file, e.g. `requests.models` and `models`."""
        ...

    def is_test(self, path: str) -> bool:
        """Return whether the path is test code by this language's customs."""
        ...

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        """Return the edges of one file, in order of line and column, without repetitions."""
        ...
