"""YAML for files that grant rights: one document of mappings, lists and plain scalars, and nothing clever.

What other loaders let pass is refused with its line: duplicate keys (the last one would win in silence), anchors,
aliases and merge keys (a reviewer reads one thing, the loader another), tags (they construct objects).
"""

from typing import TypeAlias

import yaml

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

MAX_CHARACTERS = 65_536
MAX_DEPTH = 12

_SCALARS = ("str", "int", "float", "bool", "null")


class StrictYamlError(ValueError):
    """The text is not plain YAML; the message starts with its line."""


def _fail(node: yaml.Node | yaml.Event, what: str) -> StrictYamlError:
    line = node.start_mark.line + 1 if node.start_mark is not None else 1
    return StrictYamlError(f"line {line}: {what}")


def _check_event(event: yaml.Event) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise _fail(event, "anchors and aliases are not allowed; write the value out")
    if getattr(event, "tag", None) is not None:
        raise _fail(event, f"tags are not allowed ({getattr(event, 'tag', '')})")


def _check_events(text: str) -> None:
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        _check_event(event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > MAX_DEPTH:
            raise _fail(event, f"nested deeper than {MAX_DEPTH} levels")
        if documents > 1:
            raise _fail(event, "more than one document")


def _build_mapping(node: yaml.MappingNode, loader: yaml.SafeLoader) -> dict[str, Value]:
    built: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key = _build(key_node, loader)
        if not isinstance(key, str):
            raise _fail(key_node, f"key {key!r} is not a string; quote it")
        if key in built:
            raise _fail(key_node, f"duplicate key {key!r}")
        built[key] = _build(value_node, loader)
    return built


def _build(node: yaml.Node, loader: yaml.SafeLoader) -> Value:
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, loader)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, loader) for item in node.value]
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind == "merge":
        raise _fail(node, "merge keys are not allowed; write the values out")
    if kind not in _SCALARS:
        raise _fail(node, f"{node.value!r} reads as a {kind}; quote it")
    value: Value = loader.construct_object(node, deep=True)
    return value


def parse_strict_yaml(text: str) -> dict[str, Value]:
    """Return the mapping that `text` holds; raises StrictYamlError with the line and what is wrong there."""
    if len(text) > MAX_CHARACTERS:
        raise StrictYamlError(f"line 1: longer than {MAX_CHARACTERS} characters")
    loader: yaml.SafeLoader | None = None
    try:
        _check_events(text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise StrictYamlError("line 1: the file must hold one mapping")
        return _build_mapping(node, loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise StrictYamlError(f"line {line}: not YAML ({error.problem})") from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, StrictYamlError):
            raise
        raise StrictYamlError(f"line 1: not YAML ({str(error).splitlines()[0]})") from error
    finally:
        if loader is not None:
            loader.dispose()
