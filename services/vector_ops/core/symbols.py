"""From what a user typed to the definitions that may be meant."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from services.kernel.errors import InvalidRequestError
from services.vector_ops.core.facts import DefinitionAt, dotted_of, is_test
from services.vector_ops.core.ports import Reader
from services.vector_ops.core.resolving import Place, Resolver
from services.vector_ops.protocol import SymbolNotFoundError

_SYMBOL = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_MODULE_PATH = re.compile(r"[\w./-]+\.pyi?")
_NEAR = 5
_MAX_NEAR = 3_000


@dataclass(frozen=True, slots=True)
class Symbol:
    """The definitions that one name may mean, or the modules."""

    name: str
    definitions: tuple[DefinitionAt, ...]
    modules: tuple[str, ...] = ()

    def without_namesakes(self) -> "Symbol":
        """Return the functions, classes and constants when there are any: an attribute of the same name is left out."""
        main = tuple(one for one in self.definitions if one.definition.kind != "attribute")
        return Symbol(self.name, main or self.definitions, self.modules)


def read_symbol(text: str) -> str:
    """Return the symbol in `text`; raise InvalidRequestError when it is none."""
    name = text.strip().strip("`").removesuffix("()")
    if len(name) > 500 or not (_SYMBOL.fullmatch(name) or _MODULE_PATH.fullmatch(name)):  # noqa: PLR2004 - a sane name
        raise InvalidRequestError(
            f"{name[:60]!r} is no symbol; give a name such as `run`, `Class.method` or `package.module.name`"
        )
    return name


def find_symbol(reader: Reader, resolver: Resolver, text: str) -> Symbol:
    """Return what `text` means; raise SymbolNotFoundError with near names."""
    name = read_symbol(text)
    if name.endswith((".py", ".pyi")) and reader.has_path(name):
        return Symbol(name, (), (name,))
    last = name.rsplit(".", 1)[-1]
    found = [one for one in reader.find_definitions([last]) if _is_meant(one, name)]
    if not found:
        found = _find_exported(reader, resolver, name)
    modules = tuple(path for path in reader.find_modules(last) if _ends_with(dotted_of(path), name))
    if not found and not modules:
        raise SymbolNotFoundError(_explain(reader, name, last))
    found.sort(key=_rank)
    return Symbol(last, tuple(found), () if found else modules)


def _is_meant(one: DefinitionAt, name: str) -> bool:
    return _ends_with(f"{dotted_of(one.path)}.{one.definition.qualname}", name)


def _ends_with(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _find_exported(reader: Reader, resolver: Resolver, name: str) -> list[DefinitionAt]:
    """`package.name` where the package only re-exports the name."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module, rest = ".".join(parts[:split]), ".".join(parts[split:])
        for path in reader.find_modules(parts[split - 1]):
            if _ends_with(dotted_of(path), module):
                place = resolver.resolve(path, f":{rest}")
                if isinstance(place, Place) and place.definition is not None:
                    return [DefinitionAt(place.path, place.definition)]
    return []


def _rank(one: DefinitionAt) -> tuple[bool, int, bool, str, int]:
    kind = one.definition.kind
    return is_test(one.path), one.definition.qualname.count("."), kind == "attribute", one.path, one.definition.line


def _explain(reader: Reader, name: str, last: str) -> str:
    names = reader.near_names(last, _MAX_NEAR)
    near = get_close_matches(last, names, n=_NEAR, cutoff=0.6)
    near += [one for one in names if last.lower() in one.lower() and one not in near][: _NEAR - len(near)]
    hint = f"; near names: {', '.join(near)}" if near else "; nothing in the index is near it"
    return f"no definition of {name}{hint}"
