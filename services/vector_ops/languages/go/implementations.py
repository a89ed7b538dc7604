"""Which interfaces of the repository a type implements: Go does not write it down, so method sets are compared.

An interface is found by the name of one of its methods, and holds when the type has all of them, promoted ones
included, with like results. Parameters are not compared, and what an interface embeds from outside is taken as given.
"""

import re

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.go.evaluation import Evaluation, Meaning
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, SymbolAt, Tier, World

_INTERFACES = 12
_METHODS = 60
_LEVELS = 8
_QUALIFIED = re.compile(r"\.(\w+):n\w+")


def find_implemented(file: SourceFile, evaluation: Evaluation, world: World) -> list[Edge]:
    """Return an edge from each type that the file declares to each interface that it implements."""
    edges = []
    for at, symbol in enumerate(file.facts.symbols):
        if symbol.owner != FILE or symbol.kind not in {"struct", "type"} or symbol.type.startswith("="):
            continue
        methods = [one for one in world.members(file.unit, symbol.qualname) if one.symbol.kind == "method"][:_METHODS]
        found = _find_candidates(methods, file.unit, world) if methods else {}
        own = Meaning("named", file.unit, symbol.qualname)
        held = [one for key, one in sorted(found.items()) if _implements(own, key, evaluation)][:_INTERFACES]
        place = (symbol.line, symbol.column)
        edges += [Edge(at, one.path, one.symbol.owner, EdgeKind.INHERIT, Tier.TYPED, *place) for one in held]
    return edges


def _find_candidates(methods: list[SymbolAt], unit: str, world: World) -> dict[tuple[str, str], SymbolAt]:
    """Return (unit, name) of the interfaces that share a method with a type, and that method."""
    found = {}
    for method in methods:
        for one in world.named(method.symbol.name) or ():
            name = one.symbol.qualname.rpartition(".")[0]
            if _is_declared(one) and one.symbol.owner != FILE:
                home = world.unit(one.path)
                if home == unit or method.symbol.name[:1].isupper():
                    found[home, name] = one
    return found


def _is_declared(one: SymbolAt) -> bool:
    """Say whether a symbol is the method of an interface."""
    return one.symbol.kind == "method" and not one.symbol.signature.startswith("func ")


def _implements(own: Meaning, key: tuple[str, str], evaluation: Evaluation) -> bool:
    asked, todo = set(), [Meaning("named", *key)]
    for _ in range(_LEVELS):
        following: list[Meaning] = []
        for interface in todo:
            for wanted in evaluation.list_methods(interface):
                had = evaluation.select(own, wanted.symbol.name).symbols
                if not had or had[0].symbol.kind != "method" or _simplify(had[0]) != _simplify(wanted):
                    return False
            asked.add((interface.unit, interface.name))
            following += [one for one in evaluation.list_bases(interface) if (one.unit, one.name) not in asked]
        todo = following
    return not todo


def _simplify(method: SymbolAt) -> str:
    """Return the results of a method without the packages of their types."""
    return re.sub(r"\d+:", "", _QUALIFIED.sub(r"n\1", method.symbol.type))
