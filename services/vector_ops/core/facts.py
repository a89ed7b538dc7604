"""What is known of one file's content, independent of its path: the facts are keyed by the content's git blob sha.

A *target* is a symbolic path that extraction can write down by looking at one file only, and that is followed at query
time, when all files are known: `<module>:<steps>`, e.g. `.models:Client().get`. The module is empty for the file
itself and starts with dots for a relative import; `()` after a step means "what calling it returns" (an instance, for
a class); `^` after a class means "looked up from its bases" (`super()`).
"""

from dataclasses import dataclass

EXTRACTOR_VERSION = 1
"""Raised whenever extraction changes its output: stored facts of another version are rebuilt."""

MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Definition:
    """A name that a file defines. `line`, `column`, `end_line` count from 1.

    `type_target` is the target of the value (constants, attributes) or of the return annotation (functions).
    """

    name: str
    qualname: str
    kind: str
    line: int
    column: int
    end_line: int
    signature: str = ""
    doc: str = ""
    type_target: str = ""
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A use of a name in the definition `scope`; `target` is empty when the receiver is unknown."""

    name: str
    target: str
    kind: str
    receiver: str
    scope: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Import:
    """`local` is bound to `name` of `module` (relative ones start with dots); no name: the module, `*`: all names."""

    local: str
    module: str
    name: str
    scope: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The facts of one content; `skipped` is the rule by which the content was left out, or empty."""

    definitions: tuple[Definition, ...] = ()
    references: tuple[Reference, ...] = ()
    imports: tuple[Import, ...] = ()
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class DefinitionAt:
    """A definition and the path of the file that holds it."""

    path: str
    definition: Definition


@dataclass(frozen=True, slots=True)
class ReferenceAt:
    """A reference and its path."""

    path: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class ImportAt:
    """An import and its path."""

    path: str
    entry: Import


def find_skip_rule(content: bytes) -> str:
    """Return why `content` is not indexed: `oversized`, `binary`, `not utf-8`; empty when it is."""
    if len(content) > MAX_FILE_BYTES:
        return "oversized"
    if b"\0" in content:
        return "binary"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "not utf-8"
    return ""


def is_secret(path: str) -> bool:
    """Return whether the path is one that no lane may read (`.env*`, `secrets/**`, `*.pem`, `*.key`): never indexed."""
    *folders, name = path.lower().split("/")
    return name.startswith(".env") or name.endswith((".pem", ".key")) or "secrets" in folders


def is_python(path: str) -> bool:
    """Return whether the path is parsed for symbols."""
    return path.endswith((".py", ".pyi"))


def is_test(path: str) -> bool:
    """Return whether the path looks like test code."""
    parts = path.lower().split("/")
    name = parts[-1]
    if any(part in {"tests", "test", "testing"} for part in parts[:-1]):
        return True
    return name.startswith("test_") or name.split(".")[0].endswith("_test") or name == "conftest.py"


def dotted_of(path: str) -> str:
    """Return the dotted module name of a Python path, from the root of the repository."""
    stem = path.rsplit(".", 1)[0]
    return stem.removesuffix("/__init__").replace("/", ".")
