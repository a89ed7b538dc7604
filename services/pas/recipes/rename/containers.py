"""What comes out of a list, a tuple or a mapping."""

from __future__ import annotations

import libcst as cst

from services.pas.recipes.rename.values import NOTHING, UNKNOWN, Container, MappingMethod, Values


def container_item(value: Container, part: cst.BaseSlice) -> Values:
    """Return what `container[part]` may be."""
    if value.is_mapping:
        return value.items[-1]
    index = part.value if isinstance(part, cst.Index) else None
    if value.is_tuple and isinstance(index, cst.Integer) and index.evaluated_value < len(value.items):
        return value.items[index.evaluated_value]
    return NOTHING.union(*value.items)


def container_call(method: MappingMethod) -> Values:
    """Return what calling a method of a container gives."""
    mapping = method.mapping
    item, last = mapping.items[0] if mapping.items else UNKNOWN, mapping.items[-1] if mapping.items else UNKNOWN
    if method.name == "copy":
        return frozenset({mapping})
    if method.name in ("pop", "popleft", "get", "setdefault"):
        return last
    if method.name == "values":
        return frozenset({Container((last,))})
    if method.name == "keys":
        return frozenset({Container((item,))})
    if method.name == "items":
        return frozenset({Container((frozenset({Container((item, last), is_tuple=True)}),))})
    return UNKNOWN
