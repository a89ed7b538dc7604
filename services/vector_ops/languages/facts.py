"""What one file says, found by looking at its content alone; stored by git blob sha, so it must not depend on the path.

Named tuples, not dataclasses: a large repository has half a million of them and a tuple is made three times as fast.
Lines and columns count from 1, columns in characters. `FILE` (-1) as an index of a symbol means the file itself.
"""

from typing import NamedTuple

FILE = -1


class Symbol(NamedTuple):
    """A definition; `line` and `column` are those of its name, `start_line` includes decorators and doc comments.

    `qualname` is the path of names inside the file (`Class.method`, `outer.inner`; Rust and Go methods `Type.method`).
    `kind`: function, method, class, interface, trait, struct, enum, variant, type, module, constant, variable,
    attribute, field, macro. `type` and `bases` are in the private notation of the language (what it returns or holds;
    what it inherits or implements). `owner` is the index of the enclosing symbol. `is_test`: a test runner calls it.
    """

    name: str
    qualname: str
    kind: str
    line: int
    column: int
    start_line: int
    end_line: int
    owner: int = FILE
    signature: str = ""
    doc: str = ""
    type: str = ""
    bases: tuple[str, ...] = ()
    is_test: bool = False


class Reference(NamedTuple):
    """A use of a name inside the symbol `scope`.

    `target` says, in the private notation of the language, what is known of the receiver. `kind`: call, new, decorate,
    inherit, annotate, use.
    """

    name: str
    kind: str
    scope: int
    line: int
    column: int
    target: str = ""


class Import(NamedTuple):
    """`local` is bound to `name` of `module`; no name: the module itself; `*`: all its names.

    `is_export`: other files may import it from here.
    """

    local: str
    module: str
    name: str
    scope: int
    line: int
    column: int
    is_export: bool = False


class FileFacts(NamedTuple):
    """The facts of one content. `skipped` is the rule by which the content was left out, or empty.

    `package` is a name that the content itself declares (Go's package clause, Java's package). `notes` is private to
    the language, as strings (a go.mod's module path, a tsconfig's paths, `__all__`, ...).
    """

    language: str
    symbols: tuple[Symbol, ...] = ()
    references: tuple[Reference, ...] = ()
    imports: tuple[Import, ...] = ()
    package: str = ""
    notes: tuple[str, ...] = ()
    skipped: str = ""


def split_owner(qualname: str) -> str:
    """Return the last part of the owner's name: `b` of `a.b.c`; nothing for a name of the top level."""
    return qualname.rpartition(".")[0].rpartition(".")[2]
