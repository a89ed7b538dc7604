"""From the events of a file to its facts: definitions nest by their ranges of bytes."""

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, FileFacts, Import, Reference
from services.vector_ops.languages.tags.comments import Comments
from services.vector_ops.languages.tags.definitions import count_arguments, read_definition
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.tags.draft import CLASSLIKE, PACKAGE, Draft, Scope
from services.vector_ops.languages.tags.events import Event, list_events
from services.vector_ops.languages.tags.notation import UNKNOWN, clean_type, split_type
from services.vector_ops.languages.tags.receivers import read_receiver


def extract_source(dialect: Dialect, content: bytes) -> FileFacts:
    """Return the facts of a source."""
    root, events = list_events(dialect, content)
    draft = Draft(dialect, content)
    draft.comments = Comments(content, (e.node for e in events if e.kind == "comment"))
    draft.wraps = {e.end: e.node for e in events if e.kind == "wrap"}
    draft.bound_at = {
        node.start_byte for e in events if e.kind in ("bind", "def") for node in e.captures.get("name", ())
    }
    draft.end_byte = root.end_byte
    for event in events:
        draft.close_before(event.at)
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(draft, event)
    return _finish(draft)


def _add_package(draft: Draft, event: Event) -> None:
    name = clean_type(draft.text(event.captures["name"][0]))
    draft.package = draft.package or name
    if name:
        line, column = draft.place(event.node)
        draft.imports.append(Import(PACKAGE, name, "", FILE, line, column))


def _add_imports(draft: Draft, event: Event) -> None:
    draft.imports.extend(draft.dialect.read_imports(event.captures, draft.source))


def _add_definition(draft: Draft, event: Event) -> None:
    detail = event.detail
    if detail in _VARIABLES and draft.is_in_function():
        _bind(draft, event)
        return
    if "to_end" in event.captures:
        draft.close_all()
    symbol = read_definition(draft, event)
    if symbol is None:
        return
    at = len(draft.symbols)
    draft.symbols.append(symbol)
    draft.bases.append([split_type(symbol.type)[1]] if symbol.kind == "type" and symbol.type else [])
    if detail == "promoted":
        _bind(draft, event)
    elif detail not in _LEAVES and symbol.kind != "declaration":
        end = draft.end_byte if "to_end" in event.captures else event.end
        draft.scopes.append(Scope(at, end, symbol.qualname, symbol.kind, {}))


_VARIABLES = frozenset({"variable", "constant", "field"})
_LEAVES = _VARIABLES | {"variant", "macro", "declaration", "promoted", "alias", "type"}


def _bind(draft: Draft, event: Event) -> None:
    declared = draft.declared(event)
    if declared is None or declared.is_function:
        return
    value = UNKNOWN
    types = event.captures.get("type")
    type_name = clean_type(draft.text(types[0])) if types else ""
    values = event.captures.get("value")
    if type_name:
        value = f":{type_name}"
    elif values:
        value = read_receiver(draft.dialect, draft.source, values[0], draft.find_bound)
    name = draft.text(declared.name)
    if name:
        draft.bind(name, value)


def _add_base(draft: Draft, event: Event) -> None:
    """Note a base of the class around; `include X` in Ruby only counts directly in a class."""
    scope = draft.scopes[-1] if draft.scopes else None
    if scope is None or scope.kind not in CLASSLIKE:
        return
    for node in event.captures["name"]:
        name = clean_type(draft.text(node))
        if name:
            draft.bases[scope.at].append(name)
            draft.refer(Reference(name.rpartition(".")[2], "inherit", scope.at, *draft.place(node), f"^{name}"), node)


def _add_reference(draft: Draft, event: Event) -> None:
    node = event.captures["name"][0]
    detail = event.detail
    written = draft.text(node)
    if detail in _TYPE_DETAILS:
        if detail != "mention" or written[:1].isupper():
            _refer_to_type(draft, event, node, written)
        return
    if detail in _BARE_DETAILS:
        _refer_bare(draft, detail, node, written)
        return
    if detail == "super":
        _refer_above(draft, node)
        return
    name = written.partition("<")[0].rpartition("::")[2].rpartition("\\")[2].strip()
    if not name or len(name) > _MAX_NAME or "\n" in name or name in draft.dialect.keywords:
        return
    receiver = _read_target(draft, event, written)
    if name == draft.dialect.constructor and receiver and receiver[0] != UNKNOWN:
        _refer_to_constructed(draft, event, receiver)
        return
    target = receiver + _count_arguments(draft, event)
    draft.refer(Reference(name, "call", draft.scope_at(), *_place_last(draft, node, written, name), target), node)


def _refer_bare(draft: Draft, detail: str, node: Node, written: str) -> None:
    """Read a name that stands alone: a call without arguments in Ruby, or a function as a value."""
    if written in _VISIBILITY and draft.scopes:
        draft.set_visibility(written)
    elif node.start_byte not in draft.bound_at and draft.find_bound(written) is None:
        kind = "bare" if detail == "bare" else "use"
        draft.refer(Reference(written, kind, draft.scope_at(), *draft.place(node)), node)


def _refer_above(draft: Draft, node: Node) -> None:
    """Read Ruby's `super`: the method of the same name above."""
    method = next((one for one in reversed(draft.scopes) if one.kind == "method"), None)
    if method is not None:
        name = method.qualname.rpartition(".")[2]
        draft.refer(Reference(name, "call", draft.scope_at(), *draft.place(node), "super"), node)


_MAX_NAME = 120
_VISIBILITY = frozenset({"private", "protected", "public"})
_BARE_DETAILS = frozenset({"bare", "value"})
_TYPE_DETAILS = frozenset({"annotate", "mention", "new"})


def _place_last(draft: Draft, node: Node, written: str, name: str) -> tuple[int, int]:
    """Return line and column of the last part of a path (`ns::f<T>`)."""
    line, column = draft.place(node)
    if written == name:
        return line, column
    before = written[: max(written.partition("<")[0].rfind(name), 0)]
    broken = before.count("\n")
    return (line + broken, len(before) - before.rfind("\n")) if broken else (line, column + len(before))


def _read_target(draft: Draft, event: Event, written: str) -> str:
    receivers = event.captures.get("recv")
    if receivers:
        if event.detail == "static":
            name = clean_type(draft.text(receivers[0]))
            word = draft.dialect.words.get(draft.text(receivers[0]), "")
            return word or (f"^{name}" if name else UNKNOWN)
        return read_receiver(draft.dialect, draft.source, receivers[0], draft.find_bound)
    path = clean_type(written).rpartition(".")[0]
    if draft.dialect.has_includes and not path and draft.find_bound(written) is not None:
        return UNKNOWN
    return f"^{path}" if path else ""


def _refer_to_type(draft: Draft, event: Event, node: Node, written: str) -> None:
    name = clean_type(written)
    if not name or node.start_byte in draft.bound_at:
        return
    kind = "new" if event.detail == "new" else "annotate"
    target = f"^{name}" + (_count_arguments(draft, event) if kind == "new" else "")
    short = name.rpartition(".")[2]
    draft.refer(Reference(short, kind, draft.scope_at(), *_place_last(draft, node, written, short), target), node)


def _refer_to_constructed(draft: Draft, event: Event, receiver: str) -> None:
    """Read `Foo.new` as constructing Foo."""
    node = event.captures["recv"][0]
    name = receiver.lstrip("^")
    short = name.rpartition(".")[2].rpartition("/")[2]
    target = receiver if receiver[0] in "^~" or "/" in receiver else f"^{receiver}"
    place = _place_last(draft, node, draft.text(node), short)
    draft.refer(Reference(short, "new", draft.scope_at(), *place, target + _count_arguments(draft, event)), node)


def _count_arguments(draft: Draft, event: Event) -> str:
    found = event.captures.get("args")
    if not found:
        return "#0" if event.detail == "counted" else ""
    count = count_arguments(draft.source, found[0])
    return f"#{count}"


def _finish(draft: Draft) -> FileFacts:
    symbols = tuple(
        symbol._replace(bases=tuple(dict.fromkeys(bases))) if bases else symbol
        for symbol, bases in zip(draft.symbols, draft.bases, strict=True)
    )
    references = draft.references
    return FileFacts(
        draft.dialect.name,
        symbols,
        tuple(references[at] for at in sorted(references)),
        tuple(draft.imports),
        draft.package,
    )


_HANDLERS = {
    "package": _add_package,
    "import": _add_imports,
    "def": _add_definition,
    "bind": _bind,
    "base": _add_base,
    "ref": _add_reference,
}
