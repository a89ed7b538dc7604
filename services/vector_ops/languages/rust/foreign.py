"""What foreign code gives back: steps on values whose methods are not of this repository."""

from services.vector_ops.languages.rust import standard
from services.vector_ops.languages.rust.types import (
    DOUBT,
    FOREIGN,
    OPAQUE,
    OURS,
    PAYLOAD,
    TUPLE,
    UNKNOWN,
    Type,
    holds_ours,
)

_FALLIBLE = frozenset({"Option", "Result"})
_BLANKS = frozenset({"Option", "Result", "Vec", "HashMap", "BTreeMap", "Iter"})


def unwrap(one: Type) -> Type:
    """Return what a wrapper holds or yields; a value that is no wrapper is its own content."""
    if one.kind != FOREIGN:
        return one if one.kind != PAYLOAD else UNKNOWN
    if one.args:
        inner = one.args[0]
        if one.name in standard.TRANSPARENT and inner.kind == FOREIGN and inner.args:
            return inner.args[0]
        return inner
    return OPAQUE if one.name not in _BLANKS else UNKNOWN


def unwrap_error(one: Type) -> Type:
    """Return what Err holds."""
    if len(one.args) > 1:
        return one.args[1]
    return DOUBT if holds_ours(one) or one.name == "Result" else OPAQUE


def call_method(one: Type, name: str) -> Type:
    """Return what a method that is not of this repository gives back."""
    if name in standard.PLAIN:
        return OPAQUE
    if one.kind == OURS:
        return one if name in standard.KEPT or name in standard.INNER else DOUBT
    if one.kind != FOREIGN:
        return one if name == "deref" else DOUBT
    one = _reach_cell(one)
    if one.name in standard.LOCKS and name not in standard.LOCK_METHODS and one.args:
        return call_method(one.args[0], name)
    if one.name in standard.MAPS and one.args:
        return _call_map(one, name)
    return _call_wrapper(one, name)


def _reach_cell(one: Type) -> Type:
    """Return the cell or lock that a pointer leads to; any other value as it is."""
    inner = one.args[0] if one.name in standard.TRANSPARENT and one.args else one
    return inner if inner.kind == FOREIGN and inner.name in standard.CELLS else one


def _call_wrapper(one: Type, name: str) -> Type:
    if name in standard.INNER or name in standard.INNER_OF.get(one.name, ()):
        return unwrap(one)
    if name in {"unwrap_err", "expect_err", "err"}:
        return unwrap_error(one)
    if one.name == "RefCell" and name in {"borrow", "borrow_mut"}:
        return one._replace(name="Ref")
    if name == "enumerate" or name in standard.PARTING:
        return wrap("Iter", one._replace(name="[]") if name != "enumerate" else Type(TUPLE, args=(OPAQUE, unwrap(one))))
    if name in standard.KEPT or name in standard.MAPPING:
        return one if name in standard.KEPT else one._replace(args=(UNKNOWN, *one.args[1:]))
    return DOUBT if name in standard.OPEN or holds_ours(one) else OPAQUE


def _call_map(one: Type, name: str) -> Type:
    if name in standard.VALUES:
        return Type(FOREIGN, name="Option", args=one.args[-1:])
    if name in {"values", "values_mut", "into_values"}:
        return Type(FOREIGN, name="Iter", args=one.args[-1:])
    if name in {"keys", "into_keys"}:
        return Type(FOREIGN, name="Iter", args=one.args[:1])
    if name in {"iter", "iter_mut", "into_iter", "drain"}:
        return wrap("Iter", Type(TUPLE, args=one.args))
    return one if name in standard.KEPT else DOUBT


def call_with_closure(one: Type, name: str, given: Type) -> Type:
    """Return what a method gives back whose closure gives back `given`."""
    if one.kind not in {FOREIGN, OURS}:
        return DOUBT
    if name in standard.INNER:
        kept = unwrap(one)
        return given if kept in {UNKNOWN, DOUBT} or name == "map_or" else kept
    if name == "map_or_else":
        return given
    wrapper = one.name if one.name and one.name not in standard.MAPS and one.name != "bool" else "Iter"
    if name == "then":
        return wrap("Option", given)
    if name in {"map", "map_while"}:
        return Type(FOREIGN, name=wrapper, args=(given, *one.args[1:]))
    return wrap(wrapper, unwrap(given))


def fill_blanks(wanted: Type, inner: Type) -> Type:
    """Return a type with its unknown arguments replaced by `inner`."""
    if not wanted.args:
        return wanted
    if wanted.name in _FALLIBLE and inner.name == wanted.name:
        inner = unwrap(inner)
    if wanted.args[0].kind == UNKNOWN.kind:
        return wanted._replace(args=(inner, *wanted.args[1:]))
    return wanted._replace(args=(fill_blanks(wanted.args[0], inner), *wanted.args[1:]))


def wrap(name: str, inner: Type) -> Type:
    """Return a foreign wrapper of a type."""
    return Type(FOREIGN, name=name, args=(inner,))
