"""What a notation means: types, functions and packages found by asking the world."""

from collections.abc import Callable
from typing import NamedTuple

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.go.draft import TYPE_KINDS
from services.vector_ops.languages.go.notation import EXTERNAL, unpack_parts
from services.vector_ops.languages.go.packages import Packages
from services.vector_ops.languages.go.variants import Variants
from services.vector_ops.languages.world import SourceFile, SymbolAt, World

_COMPOSITE = frozenset("ahmfAi")
_DEPTH = 90
_LEVELS = 24


class Meaning(NamedTuple):
    """What a notation stands for.

    `form`: named (a value of the type `name` of `unit`), bare (a value of the composite type that the notation `name`
    tells in the file `unit`), type (a type itself; `name` and `unit` as for named or bare, told by `is_bare`),
    function (`found`), package (`unit`: its import path), outside. `given`: the type arguments.
    """

    form: str
    unit: str = ""
    name: str = ""
    given: tuple["Meaning | None", ...] = ()
    found: SymbolAt | None = None
    is_bare: bool = False


OUTSIDE = Meaning("outside")
Given = tuple[Meaning | None, ...]


class Found(NamedTuple):
    """Definitions of a member, and the type arguments under which its type is to be read."""

    symbols: tuple[SymbolAt, ...]
    given: Given = ()
    is_outside: bool = False


NOTHING = Found(())
BEYOND = Found((), (), True)


class Evaluation:
    """The meanings of the notations that one file needs; its caches live as long as the file is resolved."""

    def __init__(self, file: SourceFile, world: World) -> None:
        self._world = world
        self._path = file.path
        self._packages = Packages(file.path, world)
        self._imports = {one.local: one for one in file.facts.imports}
        self._bare_imports = [one for one in file.facts.imports if one.local not in {"_", "*"}]
        self._values: dict[tuple[str, str, Given], Meaning | None] = {}
        self._names: dict[tuple[str, str], tuple[SymbolAt, ...]] = {}
        self._symbols: dict[tuple[str, str], tuple[SymbolAt, ...]] = {}
        self._members: dict[tuple[str, str, str, Given], Found] = {}
        self._units: dict[str, str] = {file.path: file.unit}
        self.variants = Variants(file, world, self._units)
        self._dotted = {file.path: [one.module for one in file.facts.imports if one.local == "*"]}
        self._depth = 0
        self._readers: dict[str, Callable[[str, str, Given], Meaning | None]] = {
            "n": self._read_name,
            "~": self._read_local_type,
            "v": self._read_value,
            ".": self._read_selection,
            "c": self._read_call,
            "e": self._read_element,
            "k": self._read_key,
            "g": self._read_generic,
            "P": self._read_parameter,
            "=": self.value,
            "x": lambda _rest, _path, _given: OUTSIDE,
        }

    def symbols(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        """Return the symbols of a unit with a qualified name, asked once."""
        key = (unit, qualname)
        found = self._symbols.get(key)
        if found is None:
            found = self._world.symbols(unit, qualname)
            for one in found:
                self._units[one.path] = unit
            found = self._symbols[key] = self.variants.choose(found) if len(found) > 1 else found
        return found

    def find_name(self, name: str, path: str) -> tuple[SymbolAt, ...]:
        """Return what a bare name means in a file: of its package, or of a dot import."""
        found = self._names.get((path, name))
        if found is None:
            found = self.symbols(self.unit(path), name) or self._find_dotted(name, path)
            self._names[path, name] = found
        return found

    def find_exported(self, module: str, name: str) -> tuple[SymbolAt, ...]:
        """Return what a name means in the package of an import path."""
        guess = self._packages.guess_unit(module)
        found = self.symbols(guess, name) if guess else ()
        if found:
            self._packages.confirm(module, guess)
            return found
        unit = self._packages.find_unit(module) if guess else ""
        return self.symbols(unit, name) if unit and unit != guess else ()

    def find_unit(self, module: str) -> str:
        """Return the unit of an import path; nothing when it lies outside."""
        return self._packages.find_unit(module)

    def value(self, notation: str, path: str, given: Given = ()) -> Meaning | None:
        """Return the meaning of a notation of a file under type arguments; None when it is unknown."""
        key = (notation, path, given)
        if key in self._values:
            return self._values[key]
        if self._depth > _DEPTH:
            return None
        self._values[key] = None
        self._depth += 1
        meaning = self._values[key] = self._read(notation, path, given)
        self._depth -= 1
        return meaning

    def _read(self, notation: str, path: str, given: Given) -> Meaning | None:
        form, rest = notation[:1], notation[1:]
        if form in _COMPOSITE:
            return Meaning("type", path, notation, given, is_bare=True)
        reader = self._readers.get(form)
        return reader(rest, path, given) if reader is not None else None

    def _read_name(self, name: str, path: str, _given: Given) -> Meaning | None:
        found = self.find_name(name, path)
        if found:
            return self._mean(found, ())
        entry = self._find_import(name, path)
        is_inside = entry is not None and self._packages.is_inside(entry.module)
        return Meaning("package", entry.module) if entry is not None and is_inside else OUTSIDE

    def _read_local_type(self, qualname: str, path: str, _given: Given) -> Meaning | None:
        return Meaning("type", self.unit(path), qualname)

    def _read_value(self, kind: str, path: str, given: Given) -> Meaning | None:
        meaning = self.value(kind, path, given)
        return as_value(meaning)

    def _read_selection(self, rest: str, path: str, given: Given) -> Meaning | None:
        name, _, base = rest.partition(":")
        meaning = self.value(base, path, given)
        if meaning is None or meaning.form == "outside":
            return meaning
        if meaning.form == "bare":
            return self._select_standard(meaning, name)
        found = self.select(meaning, name)
        if found.symbols:
            return self._mean(found.symbols, found.given)
        return OUTSIDE if found.is_outside or meaning.form == "package" else None

    def _select_standard(self, meaning: Meaning, name: str) -> Meaning | None:
        """Return what a method of `atomic.Pointer` gives, as a function type."""
        if not meaning.name.startswith("A") or name not in {"Load", "Swap"}:
            return None
        inner = meaning.name[1:]
        return Meaning("bare", meaning.unit, f"f{len(inner)}:{inner}", meaning.given)

    def _read_call(self, rest: str, path: str, given: Given) -> Meaning | None:
        at, _, function = rest.partition(":")
        meaning = self.value(function, path, given)
        if meaning is None or meaning.form == "outside":
            return meaning
        if meaning.form == "type":
            return as_value(meaning)
        bare = self.underlying(meaning)
        if bare is None or not bare.name.startswith("f"):
            return OUTSIDE if bare is OUTSIDE else None
        results = unpack_parts(bare.name[1:])
        index = int(at) if at.isdigit() else 0
        return as_value(self.value(results[index], bare.unit, bare.given)) if index < len(results) else OUTSIDE

    def _read_element(self, rest: str, path: str, given: Given) -> Meaning | None:
        return self._read_part(rest, path, given, 1)

    def _read_key(self, rest: str, path: str, given: Given) -> Meaning | None:
        return self._read_part(rest, path, given, 0)

    def _read_part(self, rest: str, path: str, given: Given, at: int) -> Meaning | None:
        meaning = self.value(rest, path, given)
        if meaning is None or meaning.form in {"outside", "function", "type"}:
            return meaning
        bare = self.underlying(meaning)
        if bare is None or bare is OUTSIDE:
            return bare
        if bare.name[0] in "ah":
            is_inner = at == 1 or bare.name[0] == "h"
            return as_value(self.value(bare.name[1:], bare.unit, bare.given)) if is_inner else OUTSIDE
        parts = unpack_parts(bare.name[1:]) if bare.name.startswith("m") else []
        return as_value(self.value(parts[at], bare.unit, bare.given)) if at < len(parts) else None

    def _read_generic(self, rest: str, path: str, given: Given) -> Meaning | None:
        base, *arguments = unpack_parts(rest) or [EXTERNAL]
        meaning = self.value(base, path, given)
        if meaning is None or meaning.form not in {"type", "function", "named"}:
            return meaning
        return meaning._replace(given=tuple(self.value(one, path, given) for one in arguments))

    def _read_parameter(self, rest: str, path: str, given: Given) -> Meaning | None:
        at, _, constraint = rest.partition(":")
        if at.isdigit() and int(at) < len(given):
            return given[int(at)]
        meaning = self.value(constraint, path)
        return None if meaning is OUTSIDE else meaning

    def _mean(self, found: tuple[SymbolAt, ...], given: Given) -> Meaning | None:
        """Return the meaning of a name by its definitions; they say the same, or the first decides."""
        one = found[0]
        kind, notation = one.symbol.kind, one.symbol.type
        if kind in TYPE_KINDS:
            return self._mean_type(one, given)
        if kind in {"function", "method"}:
            return Meaning("function", given=given, found=one)
        meaning = self.value(notation, one.path, given) if notation else None
        return as_value(meaning) if kind == "field" else meaning

    def _mean_type(self, one: SymbolAt, given: Given) -> Meaning | None:
        if one.symbol.type.startswith("="):
            return self.value(one.symbol.type, one.path, given)
        return Meaning("type", self.unit(one.path), one.symbol.qualname, given)

    def underlying(self, meaning: Meaning) -> Meaning | None:
        """Return the composite type behind a value or function; `OUTSIDE` when it is known to have none of ours."""
        for _ in range(_LEVELS):
            if meaning.form == "bare":
                return meaning
            if meaning.form == "function" and meaning.found is not None:
                return Meaning("bare", meaning.found.path, meaning.found.symbol.type, meaning.given)
            if meaning.form != "named":
                return OUTSIDE if meaning is OUTSIDE else None
            found = self.symbols(meaning.unit, meaning.name)
            if not found or not found[0].symbol.type:
                return None
            following = as_value(self.value(found[0].symbol.type, found[0].path, meaning.given))
            if following is None:
                return None
            meaning = following
        return None

    def select(self, meaning: Meaning, name: str) -> Found:
        """Return the definitions of `meaning.name`: of a package, a value or a type, promoted ones included."""
        if meaning.form == "package":
            return Found(self.find_exported(meaning.unit, name))
        if meaning.form == "outside" or (meaning.form == "bare" and meaning.name.startswith("A")):
            return BEYOND
        if meaning.form not in {"named", "type"} or meaning.is_bare:
            return NOTHING
        key = (meaning.unit, meaning.name, name, meaning.given)
        found = self._members.get(key)
        if found is None:
            found = self._members[key] = self._find_member(meaning, name)
        return found

    def list_methods(self, meaning: Meaning) -> list[SymbolAt]:
        """Return the methods that a type itself declares."""
        return [one for one in self._world.members(meaning.unit, meaning.name) if one.symbol.kind == "method"]

    def list_bases(self, meaning: Meaning) -> list[Meaning]:
        """Return the types of the repository that a type embeds or is defined by."""
        return self._find_bases(meaning)[0]

    def _find_member(self, meaning: Meaning, name: str) -> Found:
        level, seen, is_outside = [meaning], {(meaning.unit, meaning.name)}, False
        for _ in range(_LEVELS):
            following: list[Meaning] = []
            for one in level:
                found = self.symbols(one.unit, f"{one.name}.{name}")
                if found:
                    return Found(found, one.given)
                bases, beyond = self._find_bases(one)
                is_outside = is_outside or beyond
                fresh = [base for base in bases if (base.unit, base.name) not in seen]
                seen.update((base.unit, base.name) for base in fresh)
                following += fresh
            if not following:
                break
            level = following
        return BEYOND if is_outside else NOTHING

    def _find_bases(self, meaning: Meaning) -> tuple[list[Meaning], bool]:
        """Return what a type embeds or is defined by, and whether some of that lies outside or is unknown."""
        bases, is_outside = [], False
        for one in self.symbols(meaning.unit, meaning.name):
            symbol = one.symbol
            notations = (*symbol.bases, symbol.type) if symbol.kind in TYPE_KINDS and symbol.type else symbol.bases
            for notation in notations:
                base = self.value(notation, one.path, meaning.given)
                if base is None or base.form == "outside":
                    is_outside = True
                elif base.form in {"type", "named"} and not base.is_bare:
                    bases.append(base)
        return bases, is_outside

    def _find_import(self, name: str, path: str) -> Import | None:
        if path != self._path:
            found = [entry for at, entry in self._world.bindings(self.unit(path), name) if at == path]
            return found[0] if found else None
        if name in self._imports:
            return self._imports[name]
        for entry in self._bare_imports:
            if self._packages.find_unit(entry.module).endswith(f"#{name}"):
                return entry
        return None

    def _find_dotted(self, name: str, path: str) -> tuple[SymbolAt, ...]:
        dotted = self._dotted.get(path)
        if dotted is None:
            dotted = self._dotted[path] = self._list_dotted(path)
        for module in dotted:
            found = self.find_exported(module, name)
            if found:
                return found
        return ()

    def _list_dotted(self, path: str) -> list[str]:
        """Return the paths that a file imports with a dot."""
        return [entry.module for at, entry in self._world.bindings(self.unit(path), "*") if at == path]

    def unit(self, path: str) -> str:
        """Return the unit of a file."""
        unit = self._units.get(path)
        if unit is None:
            unit = self._units[path] = self._world.unit(path)
        return unit


def as_value(meaning: Meaning | None) -> Meaning | None:
    """Return a value of a type; anything else as it is."""
    if meaning is None or meaning.form != "type":
        return meaning
    return meaning._replace(form="bare" if meaning.is_bare else "named", is_bare=False)
