"""Python."""

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.python.extraction import extract_facts
from services.vector_ops.languages.python.modules import is_test_path, tails_of
from services.vector_ops.languages.python.resolution import resolve_file
from services.vector_ops.languages.python.syntax import load_python
from services.vector_ops.languages.world import Edge, SourceFile, World


class Python:
    """Python, stubs included."""

    name = "python"
    family = "python"
    version = 7
    suffixes = (".py", ".pyi")
    filenames: tuple[str, ...] = ()

    def check(self) -> None:
        """Load the grammar."""
        load_python()

    def extract(self, suffix: str, content: bytes) -> FileFacts:  # noqa: ARG002 - stubs are Python too
        """Return the facts of a source."""
        return extract_facts(content)

    def unit_of(self, path: str, facts: FileFacts) -> str:  # noqa: ARG002 - each module is its own unit
        """Return the path: names are looked up module by module."""
        return path

    def tails_of(self, path: str, facts: FileFacts) -> tuple[str, ...]:  # noqa: ARG002 - the path says it all
        """Return the dotted names by which the module may be imported."""
        return tails_of(path)

    def is_test(self, path: str) -> bool:
        """Return whether the path is test code."""
        return is_test_path(path)

    def resolve(self, file: SourceFile, world: World) -> list[Edge]:
        """Return the edges of one file."""
        return resolve_file(file, world)


LANGUAGE = Python()
