"""Reads definitions: each becomes a symbol, and opens a scope where it has a body."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Import, Reference
from services.vector_ops.languages.rust.conditions import is_switched_off
from services.vector_ops.languages.rust.definitions import Definitions, Draft, read_generics
from services.vector_ops.languages.rust.grammar import Source
from services.vector_ops.languages.rust.imports import list_imports
from services.vector_ops.languages.rust.notation import FOR, OFF, UNKNOWN, render_type
from services.vector_ops.languages.rust.patterns import list_bindings
from services.vector_ops.languages.rust.scopes import Scope
from services.vector_ops.languages.rust.values import Describer

_ATTRIBUTE = re.compile(r"#!?\[\s*(?:unsafe\s*\()?\s*([\w:]+)")
_PATH = re.compile(r'path\s*=\s*"([^"]+)"')
_HEAD = re.compile(r"([A-Za-z_]\w*)(?:<.*)?$", re.DOTALL)
_POINTER = re.compile(r"^(?:(?:\w+::)*(?:Arc|Rc|Box|Pin)<)+(?=\w+(?:<.*)?>)")
_MAX_MACRO_BYTES = 2_000
_RUNNERS = frozenset({"test", "rstest", "test_case", "bench", "quickcheck", "proptest", "wasm_bindgen_test", "gtest"})


@dataclass(slots=True)
class ItemReader:
    """Handlers of definitions; what they found lies in the lists."""

    describer: Describer
    definitions: Definitions
    references: list[Reference] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    implemented: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    inherits: list[tuple[str, Reference]] = field(default_factory=list)
    named_at: set[int] = field(default_factory=set)
    """Where names of definitions stand: they are no references."""

    _attributes: list[str] = field(default_factory=list)
    _first_row: int = -1

    @property
    def _source(self) -> Source:
        return self.describer.source

    def read_attribute(self, node: Node) -> str:
        """Keep an attribute for the definition that follows; return its name."""
        text = self._source.read(node)
        found = _ATTRIBUTE.match(text)
        if not self._attributes:
            self._first_row = self._source.base_row + node.start_point[0]
        self._attributes.append(text)
        return found.group(1) if found else ""

    def drop_attributes(self) -> None:
        """Forget the attributes of something that defines nothing."""
        self._attributes.clear()

    def _take_attributes(self, node: Node) -> tuple[list[str], int]:
        taken, row = self._attributes, self._first_row
        self._attributes, self._first_row = [], -1
        return taken, row if taken else self._source.base_row + node.start_point[0]

    def _define(self, node: Node, kind: str, taken: tuple[list[str], int] | None = None) -> Draft | None:
        name, top = self.describer.child(node, "name"), self.describer.scopes.top
        attributes, row = taken or self._take_attributes(node)
        if name is None:
            return None
        self.named_at.add(self._source.base_byte + name.start_byte)
        draft = self.definitions.add(self._source, node, name, kind=kind, scope=top, first_row=row)
        if top.is_off or is_switched_off(attributes):
            draft.bases.append(OFF)
        return draft

    def _open(self, node: Node, draft: Draft, names: dict[str, str], *, is_type: bool = False) -> Scope:
        scope = Scope(
            end=self._source.base_byte + node.end_byte,
            symbol=len(self.definitions.drafts) - 1,
            prefix=f"{draft.qualname}.",
            names=names,
            is_type=is_type,
            is_function=not is_type,
            is_off=OFF in draft.bases,
        )
        self.describer.scopes.push(scope)
        return scope

    def _type_of(self, node: Node, name: str = "type") -> str:
        child = self.describer.child(node, name)
        return render_type(self._source.read(child), self.describer.scopes.top.names) if child is not None else ""

    def read_function(self, node: Node) -> None:
        """Read a function, a method, or the signature of one."""
        top = self.describer.scopes.top
        attributes, row = self._take_attributes(node)
        draft = self._define(node, "method" if top.is_type else "function", (attributes, row))
        if draft is None:
            return
        heads = (_ATTRIBUTE.match(one) for one in attributes)
        draft.is_test = any(head is not None and head.group(1).rpartition("::")[2] in _RUNNERS for head in heads)
        if top.trait and top.is_impl:
            draft.bases.append(top.trait)
        if top.home:
            draft.bases.append(f"{FOR}{top.home}")
        generics = read_generics(self.describer.grammar, self._source, node, top.names, numbered=False)
        scope = self._open(node, draft, {**top.names, **generics} if generics else top.names)
        draft.type = self._type_of_return(node)
        parameters = self.describer.child(node, "parameters")
        for one in parameters.named_children if parameters is not None else ():
            pattern = self.describer.child(one, "pattern") if one.type == "parameter" else None
            if pattern is not None:
                scope.locals.update(list_bindings(self.describer, pattern, f":{self._type_of(one)}"))

    def _type_of_return(self, node: Node) -> str:
        return self._type_of(node, "return_type")

    def read_struct(self, node: Node) -> None:
        """Read a struct or a union; its parts are fields, or the parts of its type when they have no names."""
        draft = self._define(node, "struct")
        if draft is not None:
            self._open_type(node, draft)
            draft.type = self._read_parts(node)

    def read_enum(self, node: Node) -> None:
        """Read an enum."""
        draft = self._define(node, "enum")
        if draft is not None:
            self._open_type(node, draft)

    def read_variant(self, node: Node) -> None:
        """Read a variant of an enum."""
        draft = self._define(node, "variant")
        if draft is not None:
            names = self.describer.scopes.top.names
            draft.type = self._read_parts(node)
            self._open(node, draft, names, is_type=True)

    def _open_type(self, node: Node, draft: Draft) -> None:
        generics = read_generics(self.describer.grammar, self._source, node, {}, numbered=True)
        arguments = ",".join(generics.values())
        names = {"Self": f"{draft.name}<{arguments}>" if arguments else draft.name, **generics}
        self._open(node, draft, names, is_type=True)

    def _read_parts(self, node: Node) -> str:
        body = self.describer.child(node, "body")
        if body is None or body.type != "ordered_field_declaration_list":
            return ""
        names = self.describer.scopes.top.names
        types = [one for one in body.named_children if one.type not in {"visibility_modifier", "attribute_item"}]
        return f"({''.join(render_type(self._source.read(one), names) + ',' for one in types[:12])})"

    def read_field(self, node: Node) -> None:
        """Read a field."""
        draft = self._define(node, "field")
        if draft is not None:
            draft.type = self._type_of(node)

    def read_type_alias(self, node: Node) -> None:
        """Read a type alias or an associated type."""
        generics = read_generics(
            self.describer.grammar, self._source, node, self.describer.scopes.top.names, numbered=True
        )
        draft = self._define(node, "type")
        child = self.describer.child(node, "type")
        if draft is not None and child is not None:
            draft.type = render_type(self._source.read(child), {**self.describer.scopes.top.names, **generics})

    def read_constant(self, node: Node) -> None:
        """Read a const or a static."""
        draft = self._define(node, "constant" if node.type == "const_item" else "variable")
        if draft is not None:
            draft.type = self._type_of(node)

    def read_trait(self, node: Node) -> None:
        """Read a trait; what it extends is inherited."""
        draft = self._define(node, "trait")
        if draft is None:
            return
        prefix = self.describer.scopes.top.prefix
        generics = read_generics(self.describer.grammar, self._source, node, {}, numbered=False)
        self._open(node, draft, {**generics, "Self": f"{{+{draft.name}}}"}, is_type=True)
        bounds = self.describer.child(node, "bounds")
        for one in bounds.named_children if bounds is not None else ():
            if one.type != "lifetime":
                self._inherit(one, f"{prefix}{draft.name}")

    def read_impl(self, node: Node) -> None:
        """Read an impl block: its members belong to the type that it is for."""
        attributes, _row = self._take_attributes(node)
        grammar, top = self.describer.grammar, self.describer.scopes.top
        target, trait = self.describer.child(node, "type"), self.describer.child(node, "trait")
        if target is None:
            return
        raw = render_type(self._source.read(target), {})
        generics = read_generics(grammar, self._source, node, top.names, numbered=False)
        arguments = raw[raw.find("<") + 1 : -1].split(",") if raw.endswith(">") else []
        for name, text in generics.items():
            if name in arguments:
                generics[name] = f"{{{arguments.index(name)}{text[1:]}"
        found = _HEAD.search(_POINTER.sub("", raw.rpartition("+")[2] if raw.startswith("~") else raw).rstrip(">"))
        name = found.group(1) if found else "_"
        scope = Scope(
            end=self._source.base_byte + node.end_byte,
            symbol=top.symbol,
            prefix=f"{top.prefix}{name}.",
            names={**generics, "Self": _render_self(self._source.read(target), generics)},
            is_type=True,
            is_impl=True,
            is_off=top.is_off or is_switched_off(attributes),
        )
        path = raw.partition("<")[0]
        scope.home = path if "::" in path and path[0].isalpha() else ""
        if trait is not None:
            scope.trait = render_type(self._source.read(trait), scope.names)
            self._inherit(trait, f"{top.prefix}{name}")
        self.describer.scopes.push(scope)

    def _inherit(self, trait: Node, qualname: str) -> None:
        text = render_type(self._source.read(trait), {}).partition("<")[0]
        module, _, name = text.rpartition("::")
        at = trait
        for _ in range(3):
            inner = self.describer.child(at, "type") if at.type == "generic_type" else self.describer.child(at, "name")
            at = inner if inner is not None and at.type in {"generic_type", "scoped_type_identifier"} else at
        self.implemented[qualname].append(text)
        self.named_at.add(self._source.base_byte + at.start_byte)
        line, column = self._source.place(at)
        one = Reference(name, "inherit", FILE, line, column, f"{module}::" if module else "")
        self.inherits.append((qualname, one))

    def read_module(self, node: Node) -> None:
        """Read a module: one with a body is a scope, one without is another file."""
        attributes, row = self._take_attributes(node)
        draft = self._define(node, "module", (attributes, row))
        if draft is None:
            return
        body = self.describer.child(node, "body")
        if body is None:
            paths = [found.group(1) for found in map(_PATH.search, attributes) if found]
            draft.type = f"file:{paths[0] if paths else ''}"
            return
        self._open(node, draft, {}).is_function = True

    def read_macro_rules(self, node: Node) -> None:
        """Read the definition of a macro: of its rules, the value that the first gives when it is an expression."""
        draft = self._define(node, "macro")
        rule = next((one for one in node.named_children if one.type == "macro_rule"), None)
        body = self.describer.child(rule, "right") if rule is not None else None
        if draft is None or body is None or body.end_byte - body.start_byte > _MAX_MACRO_BYTES:
            return
        outer = self._source
        text = b"{" + outer.text[body.start_byte + 1 : body.end_byte - 1].replace(b"$", b"") + b"}"
        root = self.describer.grammar.parse(text)
        if not root.has_error and root.named_child_count:
            self.describer.source = Source(text, outer.is_ascii)
            draft.type = self.describer.describe_body(root.named_child(0))
            self.describer.source = outer

    def read_use(self, node: Node) -> None:
        """Read the names that a `use` binds."""
        self._take_attributes(node)
        top = self.describer.scopes.top
        inside = top.symbol if self._is_inside_function() else FILE
        self.imports += list_imports(self.describer.grammar, self._source, node, top.prefix, inside)

    def _is_inside_function(self) -> bool:
        at = self.describer.scopes.top.symbol
        return at != FILE and self.definitions.drafts[at].kind in {"function", "method"}


def _render_self(text: str, generics: dict[str, str]) -> str:
    """Return the notation of the type that an impl block is for; bounds that make it too long are left out."""
    found = render_type(text, generics)
    if found != UNKNOWN:
        return found
    return render_type(text, {name: f"{one.partition('+')[0].rstrip('}')}}}" for name, one in generics.items()})
