"""What may break when a symbol changes: one hit a file, with the reason."""

from collections import Counter
from dataclasses import dataclass, field

from services.vector_ops.core.calls import CALL_KINDS, Use, UseFinder
from services.vector_ops.core.facts import ImportAt, dotted_of, is_test
from services.vector_ops.core.ports import Reader
from services.vector_ops.core.resolving import Place, Resolver
from services.vector_ops.core.symbols import Symbol
from services.vector_ops.models import Tier


@dataclass(slots=True)
class Impact:
    """Why one file is in the set, and where to look first."""

    path: str
    line: int
    column: int
    scope: str
    score: float
    tier: Tier | None = None
    reasons: list[str] = field(default_factory=list)


def find_impact(reader: Reader, resolver: Resolver, symbol: Symbol) -> tuple[list[Impact], bool]:
    """Return the impacts, most certain first, and whether a cap left some out."""
    impacts: dict[str, Impact] = {}
    for one in symbol.definitions:
        definition = one.definition
        impact = impacts.setdefault(
            one.path, Impact(one.path, definition.line, definition.column, definition.qualname, 2.0)
        )
        impact.reasons.append(f"defines {definition.qualname}")
    is_cut = False
    if symbol.definitions:
        found = UseFinder(reader, resolver, symbol).find()
        is_cut = found.is_truncated
        _add_uses(impacts, found.uses)
    _add_importers(impacts, reader, resolver, symbol)
    ordered = sorted(impacts.values(), key=lambda one: (-one.score, is_test(one.path), one.path))
    return ordered, is_cut


def _add_uses(impacts: dict[str, Impact], uses: tuple[Use, ...]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for use in uses:
        kind = use.at.reference.kind
        counts[use.at.path, "calls" if kind in CALL_KINDS else "subclasses" if kind == "base" else "refers to"] += 1
        reference = use.at.reference
        impact = impacts.setdefault(
            use.at.path,
            Impact(use.at.path, reference.line, reference.column, reference.scope or "<module>", use.score, use.tier),
        )
        if impact.score < 2.0 and use.score > impact.score:  # noqa: PLR2004 - the defining file stays first
            impact.score, impact.tier = use.score, use.tier
    for (path, verb), count in counts.items():
        places = "place" if count == 1 else "places"
        impacts[path].reasons.append(f"{'test that ' if is_test(path) else ''}{verb} it in {count} {places}")


def _add_importers(impacts: dict[str, Impact], reader: Reader, resolver: Resolver, symbol: Symbol) -> None:
    homes = {one.path for one in symbol.definitions} | set(symbol.modules)
    for one in reader.find_imports_of(symbol.name):
        if one.entry.name == symbol.name and _is_import_of(resolver, one, symbol):
            _add_importer(impacts, one, f"imports {symbol.name}", 0.8)
    for home in sorted(homes):
        for one in reader.find_imports_of(dotted_of(home).rsplit(".", 1)[-1]):
            if one.path not in homes and _module_of(resolver, one) == home:
                _add_importer(impacts, one, f"imports the module {home}", 0.4)


def _is_import_of(resolver: Resolver, one: ImportAt, symbol: Symbol) -> bool:
    found = resolver.resolve(one.path, f"{one.entry.module}:{one.entry.name}")
    if not isinstance(found, Place):
        return False
    if found.definition is None:
        return found.path in symbol.modules
    key = (found.path, found.definition.qualname)
    return any(key == (target.path, target.definition.qualname) for target in symbol.definitions)


def _module_of(resolver: Resolver, one: ImportAt) -> str | None:
    """Return the path of the module that an import brings or draws from."""
    if one.entry.name and one.entry.name != "*":
        found = resolver.resolve(one.path, f"{one.entry.module}:{one.entry.name}")
        if isinstance(found, Place) and found.definition is None:
            return found.path
    return resolver.find_module(one.entry.module, one.path)


def _add_importer(impacts: dict[str, Impact], one: ImportAt, reason: str, score: float) -> None:
    entry = one.entry
    if one.path not in impacts:
        impacts[one.path] = Impact(one.path, entry.line, entry.column, entry.scope or "<module>", score)
    text = f"{'test that ' if is_test(one.path) else ''}{reason}"
    if text not in impacts[one.path].reasons:
        impacts[one.path].reasons.append(text)
