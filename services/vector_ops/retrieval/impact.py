"""What a change of some definitions reaches: callers, subclasses and overriders, importers, tests, and past companions.

Every item says why it is there. Scores are chances in 0 to 1 that add up like independent ones; they order the list and
promise no more.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.graph.port import Bounds, GraphStore, Link, Trail, Walk
from services.vector_ops.history.past import Past
from services.vector_ops.languages.world import EdgeKind, Tier

MAX_DEPTH: Final = 3
PAST: Final = 99
"""The step of what only past commits connect with the change."""
MAX_SEEDS: Final = 200
_MAX_REASONS = 5
MAX_EDGES = 2_000
_MAX_FRONTIER = 300
_MAX_PARTNERS = 30
_TRUST = {Tier.EXACT: 1.0, Tier.TYPED: 0.95, Tier.UNIQUE_NAME: 0.8, Tier.AMBIGUOUS: 0.25}
_KIND_SCORES = {EdgeKind.CALL: 0.8, EdgeKind.INHERIT: 0.7, EdgeKind.USE: 0.5, EdgeKind.IMPORT: 0.4}
_KIND_VERBS = {
    EdgeKind.CALL: "calls",
    EdgeKind.INHERIT: "inherits from",
    EdgeKind.USE: "uses",
    EdgeKind.IMPORT: "imports",
}
KINDS = tuple(_KIND_SCORES)
_DEPTH_DECAY = 0.45
_USERS = (KINDS, *((EdgeKind.CALL, EdgeKind.INHERIT),) * (MAX_DEPTH - 1))
_HEIRS = ((EdgeKind.INHERIT,),) * MAX_DEPTH
_BOUNDS = Bounds(MAX_EDGES, _MAX_FRONTIER)
_OVERRIDE_SCORE = 0.6
_IMPORTER_SCORE = 0.2
_PARTNER_SCORE = 0.6
_TYPE_KINDS = frozenset({"class", "interface", "trait", "struct", "enum", "type"})


class ImpactItem(NamedTuple):
    """A place that a change reaches; `line` is where it leans on what changes, else where it is defined.

    `symbol` stands for the whole file when its kind is `file`, and is None for a file that the index does not hold any
    symbol of. `tier` is that of the surest edge, None when only the past connects the two.
    """

    path: str
    line: int
    symbol: SymbolRow | None
    score: float
    tier: Tier | None
    reasons: tuple[str, ...]
    step: int


class _Found:
    """What is found so far, by symbol id or, for files, by path."""

    def __init__(self) -> None:
        self._missed: dict[int | str, float] = defaultdict(lambda: 1.0)
        self._reasons: dict[int | str, dict[str, None]] = defaultdict(dict)
        self._places: dict[int | str, tuple[str, int, SymbolRow | None]] = {}
        self._tiers: dict[int | str, Tier] = {}
        self._steps: dict[int | str, int] = {}

    def add(
        self,
        symbol: SymbolRow | None,
        place: tuple[str, int],
        score: float,
        reason: str,
        *,
        tier: Tier | None,
        step: int,
    ) -> None:
        key = symbol.id if symbol is not None else place[0]
        if reason in self._reasons[key]:
            return
        self._missed[key] *= 1 - min(score, 1.0)
        self._reasons[key][reason] = None
        self._places.setdefault(key, (*place, symbol))
        self._steps[key] = min(step, self._steps.get(key, step))
        if tier is not None:
            self._tiers[key] = min(tier, self._tiers.get(key, tier))

    def list_items(self) -> Iterator[ImpactItem]:
        for key, (path, line, symbol) in self._places.items():
            reasons = tuple(self._reasons[key])[:_MAX_REASONS]
            score = round(1 - self._missed[key], 4)
            yield ImpactItem(path, line, symbol, score, self._tiers.get(key), reasons, self._steps[key])


def impact_set(
    view: IndexView,
    graph: GraphStore,
    past: Past | None,
    rows: Sequence[SymbolRow],
    built: Sequence[int] = (),
    *,
    limit: int = 50,
) -> list[ImpactItem]:
    """Return at most `limit` places that a change of `rows` reaches, without the rows, the likeliest first.

    Before them stand the calls of the classes `built`, whose constructors are among the rows: they lead to the class.
    The graph is asked once.
    """
    seeds = {row.id: row for row in rows[:MAX_SEEDS]}
    found = _Found()
    widened = _widen(view, seeds)
    members = _find_owners(view, seeds.values())
    files = {row.id: row for path in sorted({seed.path for seed in seeds.values()}) if (row := view.file_symbol(path))}
    walks = [
        Walk(sorted(widened), _USERS, _KIND_SCORES, _TRUST),
        Walk(sorted({owner.id for _seed, owner in members}), _HEIRS, follows_ambiguous=True),
        Walk(sorted(files), ((EdgeKind.IMPORT,),)),
        Walk(sorted(built), ((EdgeKind.CALL,),)),
    ]
    users, heirs, (importers,), (constructions,) = graph.walk(walks, _BOUNDS)
    _add_users(users, widened, found)
    _add_overriders(view, members, heirs, found)
    _add_importers(importers, files, found)
    if past is not None:
        _add_partners(view, past, sorted({row.path for row in seeds.values()}), found)
    items = [item for item in found.list_items() if item.symbol is None or item.symbol.id not in widened]
    likeliest = sorted(items, key=lambda item: (-item.score, item.path, item.line))[:limit]
    return [*map(_make_construction, constructions[:limit]), *likeliest]


def _make_construction(link: Link) -> ImpactItem:
    edge, symbol = link
    score = _KIND_SCORES[EdgeKind.CALL] * _TRUST[edge.tier]
    return ImpactItem(edge.path, edge.line, symbol, score, edge.tier, ("constructs it",), 1)


def _widen(view: IndexView, seeds: dict[int, SymbolRow]) -> dict[int, SymbolRow]:
    """Return the seeds and the members of those that are types: who uses a member leans on the type."""
    widened = dict(seeds)
    for seed in seeds.values():
        if seed.kind in _TYPE_KINDS:
            prefix = f"{seed.qualname}."
            widened |= {one.id: one for one in view.list_symbols(seed.path) if one.qualname.startswith(prefix)}
        elif seed.kind == "file":
            widened |= {one.id: one for one in view.list_symbols(seed.path)}
    return dict(list(widened.items())[: 2 * MAX_SEEDS])


def _find_owners(view: IndexView, seeds: Iterable[SymbolRow]) -> list[tuple[SymbolRow, SymbolRow]]:
    """Return the seeds that are members of types, each with its type."""
    members = []
    for seed in seeds:
        owner_name = seed.qualname.rpartition(".")[0]
        around = view.list_symbols(seed.path) if owner_name else []
        members += [(seed, one) for one in around if one.qualname == owner_name and one.kind in _TYPE_KINDS]
    return members


def _add_users(users: Trail, seeds: dict[int, SymbolRow], found: _Found) -> None:
    """Add who calls, inherits, uses or imports the seeds, then who calls those, with less and less weight."""
    begun = dict.fromkeys(seeds, 1.0)
    known = dict(seeds)
    for depth, links in enumerate(users, 1):
        known |= {link.symbol.id: link.symbol for link in links}
        reached: dict[int, float] = defaultdict(float)
        for edge, source in links:
            if source.id not in seeds:
                score = begun[edge.target_id] * _KIND_SCORES[edge.kind] * _TRUST[edge.tier]
                reason = _explain(edge, source, known[edge.target_id], depth)
                found.add(source, (edge.path, edge.line), score, reason, tier=edge.tier, step=depth)
                reached[source.id] = max(reached[source.id], score)
        begun = {one: score * _DEPTH_DECAY for one, score in reached.items()}


def _explain(edge: EdgeRow, source: SymbolRow, target: SymbolRow, depth: int) -> str:
    verb = "tests" if source.is_test and edge.kind is EdgeKind.CALL else _KIND_VERBS[edge.kind]
    doubt = " (perhaps)" if edge.tier is Tier.AMBIGUOUS else ""
    return (
        f"{verb} {target.qualname}{doubt}"
        if depth == 1
        else f"{verb} {target.qualname}, which is reached at step {depth - 1}"
    )


def _add_overriders(
    view: IndexView, members: Sequence[tuple[SymbolRow, SymbolRow]], heirs: Trail, found: _Found
) -> None:
    """Add the methods of the same name in subclasses, as far down as MAX_DEPTH, for members and their types."""
    for seed, owner in members:
        begun, name = {owner.id}, seed.qualname.rpartition(".")[2]
        for links in heirs:
            below = {link.symbol.id: link.symbol for link in links if link.edge.target_id in begun}
            for heir in below.values():
                for one in view.list_symbols(heir.path):
                    if one.qualname == f"{heir.qualname}.{name}":
                        place, reason = (one.path, one.line), f"overrides {seed.qualname}"
                        found.add(one, place, _OVERRIDE_SCORE, reason, tier=Tier.TYPED, step=1)
            begun = set(below)


def _add_importers(links: Sequence[Link], files: dict[int, SymbolRow], found: _Found) -> None:
    """Add the files that import the files of the seeds."""
    for edge, source in links:
        if source.path != files[edge.target_id].path:
            score, reason = _IMPORTER_SCORE * _TRUST[edge.tier], f"imports {files[edge.target_id].path}"
            found.add(source, (edge.path, edge.line), score, reason, tier=edge.tier, step=2)


def _add_partners(view: IndexView, past: Past, paths: Sequence[str], found: _Found) -> None:
    """Add the files that past commits changed together with those of the seeds."""
    for partner in past.list_partners(paths, _MAX_PARTNERS):
        if partner.together > 1 or partner.changes == 1:
            row = view.file_symbol(partner.path)
            if row is not None:
                reason = f"changed together in {partner.together} of {partner.changes} commits"
                found.add(row, (partner.path, 1), _PARTNER_SCORE * partner.score, reason, tier=None, step=PAST)
