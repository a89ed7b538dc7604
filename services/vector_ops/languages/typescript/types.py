"""What types turn out to be, and members over the hierarchy of classes.

Everything is bounded: hops, alternatives, depth, work; a cycle gives nothing.
"""

from abc import ABC, abstractmethod

from services.vector_ops.languages.typescript.globals import is_declarable
from services.vector_ops.languages.typescript.names import Names, rank
from services.vector_ops.languages.typescript.notation import Generic, Node, read_declared, read_type
from services.vector_ops.languages.typescript.outside import PASSING, member_of
from services.vector_ops.languages.typescript.shapes import (
    ALTERNATIVES_CAP,
    LACKING,
    OUTSIDE,
    Compound,
    Context,
    Function,
    Instance,
    Module,
    Outside,
    Shape,
    Shapes,
    Value,
    limit_shapes,
    without,
)
from services.vector_ops.languages.world import SourceFile, SymbolAt, World

DEPTH_CAP = 60
_HOPS_CAP = 24
_WHOLE_CAP = 40
_STATIC = "static "
_VARIABLES = frozenset({"constant", "variable", "attribute"})
_TYPE_KINDS = frozenset({"class", "interface", "type", "enum"})


class Types(ABC):
    """Evaluates types for the resolution of one file."""

    def __init__(self, file: SourceFile, world: World) -> None:
        self.file = file
        self.names = Names(world)
        self.world = world
        self._depth = 0
        self._fuel = 0
        self._open: set[tuple[str, int]] = set()
        self._declaring: set[tuple[str, int]] = set()
        self._declared: dict[str, tuple[tuple[Generic, ...], Node | None]] = {}
        self._types: dict[str, Node] = {}
        self._known: dict[tuple[int, str, int, int], tuple[Shapes, Node, Context]] = {}
        self._made: dict[tuple[str, int], Instance] = {}

    @abstractmethod
    def find_chain(self, chain: str, context: Context) -> Shapes:
        """Return what a chain gives, read in a context."""

    @abstractmethod
    def find_numbered(self, sort: str, number: str) -> Shapes:
        """Return what a numbered binding of the file itself (`#5`, `$3`) is."""

    @abstractmethod
    def call(self, shapes: Shapes) -> Shapes:
        """Return what calls of these give."""

    @abstractmethod
    def construct(self, shapes: Shapes) -> Shapes:
        """Return what `new` of these gives."""

    def read_notation(self, text: str) -> Node:
        found = self._types.get(text)
        if found is None:
            found = self._types[text] = read_type(text)
        return found

    def read_declared(self, one: SymbolAt) -> tuple[tuple[Generic, ...], Node | None]:
        """Return the type parameters and the type of a symbol."""
        text = one.symbol.type
        found = self._declared.get(text)
        if found is None:
            found = self._declared[text] = read_declared(text)
        return found

    def find_type(self, node: Node, context: Context) -> Shapes:
        """Return what a value of this type is."""
        key = (id(node), context.path, id(context.generics), id(context.this))
        known = self._known.get(key)
        if known is not None:
            return known[0]
        self._fuel -= 1
        if self._depth > DEPTH_CAP or self._fuel < 0:
            return ()
        self._depth += 1
        found = self._find_type(node, context)
        self._depth -= 1
        if not self._open and self._fuel >= 0 and self._depth < _WHOLE_CAP:
            self._known[key] = (found, node, context)
        return found

    def _find_type(self, node: Node, context: Context) -> Shapes:
        sort = node.sort
        if sort == "name":
            return self._find_named(node, context)
        if sort == "union":
            return limit_shapes([shape for part in node.parts for shape in self.find_type(part, context)])
        if sort == "function":
            return (Function(node, context),)
        if sort == "chain":
            return self.settle(self.find_chain(node.name, context))
        if sort == "member":
            return self.settle(self.find_members(self.find_type(node.parts[0], context), node.name))
        return (Compound(node, context),)

    def _find_named(self, node: Node, context: Context) -> Shapes:
        name = node.name
        sort = name[0]
        if sort == "%":
            return self._find_outside(node, context)
        if sort == "^":
            bound = (context.generics or {}).get(name[1:])
            return self.find_type(*bound) if bound is not None else ()
        if name == "?":
            return ()
        if name in {"this", "{}"}:
            return (context.this,) if context.this is not None else ()
        head, *rest = name.split(".")
        shapes = self.find_numbered("#", head[1:]) if sort == "#" else self.names.find_name(context.path, head)
        if sort == "#" and context.path != self.file.path:
            return ()
        for part in rest:
            shapes = self.find_members(shapes, part)
        return self._instantiate(shapes, node.parts, context)

    def _find_outside(self, node: Node, context: Context) -> Shapes:
        name = node.name[1:]
        if is_declarable(node.name):
            return self._find_global_type(name, node.parts, context)
        if not node.parts:
            return OUTSIDE
        if name in PASSING:
            return self.find_type(node.parts[0], context)
        if name == "ReturnType":
            return self.call(self.find_type(node.parts[0], context))
        if name == "InstanceType":
            return self.construct(self.find_type(node.parts[0], context))
        return (Outside(name, node.parts, context),)

    def _find_global_type(self, name: str, arguments: tuple[Node, ...], context: Context) -> Shapes:
        """Return the values of a type that is declared for all files; of all its declarations, they are merged."""
        head, *rest = name.split(".")
        shapes = self.names.find_global(head)
        for part in rest:
            shapes = self.find_members(shapes, part)
        types = [one for one in shapes if isinstance(one, Value) and one.one.symbol.kind in _TYPE_KINDS]
        if not types:
            return self._instantiate(shapes, arguments, context)
        found = [held for one in types[:ALTERNATIVES_CAP] for held in self._instantiate((one,), arguments, context)]
        return limit_shapes(found)

    def _instantiate(self, shapes: Shapes, arguments: tuple[Node, ...], context: Context) -> Shapes:
        """Return the values of the types that these shapes name."""
        types = [one for one in shapes if isinstance(one, Value) and one.one.symbol.kind in _TYPE_KINDS]
        if not types:
            if any(isinstance(one, Outside) for one in shapes):
                return OUTSIDE
            # `new Base<T>()` is spelt as a type, whatever `Base` is: a variable, too.
            return self.construct(shapes) if self._depth < DEPTH_CAP else ()
        first = types[0]
        generics = self.bind_generics(first, arguments, context)
        if first.one.symbol.kind != "type":
            return (Instance(first.one, Context(first.one.path, generics)),)
        inner = Context(first.one.path, generics)
        node, key = self.read_declared(first.one)[1], (first.one.path, first.one.at)
        if node is None or key in self._open:
            return ()
        self._open.add(key)
        found = self.find_type(node, inner._replace(this=Instance(first.one, inner)))
        self._open.discard(key)
        return found

    def bind_generics(
        self, value: Value, arguments: tuple[Node, ...] = (), context: Context | None = None
    ) -> dict[str, tuple[Node, Context]] | None:
        """Return what the type parameters of a symbol are: as given, else their default, else their constraint."""
        generics = self.read_declared(value.one)[0]
        if not generics:
            return dict(value.context.generics) if value.context.generics else None
        bound = dict(value.context.generics or {})
        inner = Context(value.one.path, bound)
        for at, one in enumerate(generics):
            if at < len(arguments) and context is not None:
                bound[one.name] = (arguments[at], context)
            elif one.default is not None or one.constraint is not None:
                bound[one.name] = (one.default or one.constraint or Node("name", "?"), inner)
            else:
                bound.pop(one.name, None)
        return bound

    def make_instance(self, value: Value) -> Instance:
        """Return a new object of a class, its type parameters by their defaults."""
        key = (value.one.path, value.one.at)
        if value.context.generics is not None:
            return Instance(value.one, Context(value.one.path, self.bind_generics(value)))
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = Instance(value.one, Context(value.one.path, self.bind_generics(value)))
        return made

    def settle(self, shapes: Shapes) -> Shapes:
        """Return what variables among these shapes hold; classes and functions stay: they may have members."""
        found: list[Shape] = []
        for shape in shapes:
            is_held = isinstance(shape, Value) and shape.one.symbol.kind in _VARIABLES
            held: Shapes = self.unfold(shape) if is_held and isinstance(shape, Value) else (shape,)
            found.extend(held)
        return limit_shapes(found)

    def unfold(self, value: Value) -> Shapes:
        """Return what a variable holds by its type, a function as its type; a class, an enumeration as itself."""
        kind = value.one.symbol.kind
        if kind in {"class", "enum", "module", "interface", "type"}:
            return (value,)
        node = self.read_declared(value.one)[1]
        if node is None or self._has_members(value):
            return (value,)
        if kind in {"function", "method"}:
            context = Context(value.one.path, self.bind_generics(value), value.context.this)
            return self.find_type(node, context)
        context = Context(value.one.path, value.context.generics, value.context.this)
        return self.find_type(node, context)

    def follow_alias(self, value: Value) -> Value:
        """Return the function or class that a property only names (`{ run }`, `{ run: start }`); else the value."""
        symbol = value.one.symbol
        node = self.read_declared(value.one)[1] if symbol.kind == "attribute" else None
        if node is None or node.sort != "chain" or ": typeof " in symbol.signature:
            return value
        held = self.find_chain(node.name, Context(value.one.path))
        called = [
            one for one in held if isinstance(one, Value) and one.one.symbol.kind in {"function", "class", "method"}
        ]
        return called[0] if called else value

    def _has_members(self, value: Value) -> bool:
        symbol = value.one.symbol
        is_plain = symbol.kind in {"constant", "variable", "attribute"} and not symbol.type
        return is_plain and bool(self.world.members(value.one.path, symbol.qualname))

    def find_members(self, shapes: Shapes, name: str) -> Shapes:
        """Return the members of this name."""
        found: list[Shape] = []
        for shape in shapes[:ALTERNATIVES_CAP]:
            found.extend(self._find_member(shape, name, 0))
        inside: list[Shape] = [one for one in found if not isinstance(one, Outside)]
        return limit_shapes(inside or found[:1])

    def find_keyed(self, shapes: Shapes, key: str) -> Shapes:
        """Return the members under a key that is itself a name (`[iterate]() {}`, mostly a symbol)."""
        known = tuple(one for one in self.settle(shapes) if isinstance(one, (Instance, Value)))
        return tuple(one for one in self.find_members(known, f"[{key}]") if not isinstance(one, Outside))

    def _find_member(self, shape: Shape, name: str, hops: int) -> Shapes:
        if isinstance(shape, Instance):
            return self.find_inherited(shape, name, hops, shape)
        if isinstance(shape, Value):
            return self._find_held(shape, name, hops)
        if isinstance(shape, Module):
            return self.names.find_export(shape.path, name)
        return self._find_outer_member(shape, name)

    def _find_outer_member(self, shape: Function | Compound | Outside, name: str) -> Shapes:
        if isinstance(shape, Compound) and name in shape.node.keys:
            return self.find_type(shape.node.parts[shape.node.keys.index(name)], shape.context)
        if isinstance(shape, Outside) and shape.name == "Record" and shape.arguments:
            return self.find_type(shape.arguments[-1], shape.context)
        if isinstance(shape, Compound) and shape.node.sort != "tuple":
            return ()
        return (member_of(shape, name),) if isinstance(shape, Outside) else LACKING

    def find_inherited(self, shape: Instance, name: str, hops: int, receiver: Shape) -> Shapes:
        """Return the member of a class or interface, of its other declarations, or of what it inherits from."""
        one = shape.one
        qualname = f"{one.symbol.qualname}.{name}"
        own = self._choose(self.world.symbols(one.path, qualname), one, is_static=False)
        if own:
            return (Value(own[0], Context(one.path, shape.context.generics, receiver)),)
        if name[0] == "[" and qualname.startswith("global."):
            others = self.world.named(f"{one.symbol.name}.{name}") or ()
            own = tuple([two for two in others if two.symbol.qualname == qualname])
            if own:
                return (Value(own[0], Context(own[0].path, shape.context.generics, receiver)),)
        if hops > _HOPS_CAP or one.symbol.kind == "enum":
            return OUTSIDE
        is_unknown, missed = False, LACKING
        for base in self._bases_of(shape):
            found = (
                self.find_inherited(base, name, hops + 1, receiver)
                if isinstance(base, Instance)
                else (self._find_member(base, name, hops + 1) if base is not None else ())
            )
            if found and not isinstance(found[0], Outside):
                return found
            is_unknown = is_unknown or not found
            missed = missed if not found or found == LACKING else OUTSIDE
        return () if is_unknown else missed

    def _choose(self, found: tuple[SymbolAt, ...], owner: SymbolAt, *, is_static: bool) -> tuple[SymbolAt, ...]:
        """Return the members that fit best, of several with one name: of this very owner; static, or not."""
        if len(found) <= 1:
            return found
        found = tuple([one for one in found if one.symbol.owner == owner.at]) or found
        return tuple(one for one in found if is_static == (_STATIC in one.symbol.signature.partition("(")[0])) or found

    def _bases_of(self, shape: Instance) -> list[Shape | None]:
        """Return what a class or an interface inherits from; None for what cannot be known."""
        one = shape.one
        found: list[Shape | None] = []
        declarations = [one]
        if one.symbol.kind in {"interface", "class"}:
            declarations += [
                two
                for two in self.world.symbols(one.path, one.symbol.qualname)
                if two.at != one.at and two.symbol.bases
            ]
        for two in declarations[:4]:
            for base in two.symbol.bases:
                shapes = self._find_base(base, Context(one.path, shape.context.generics))
                found.extend(shapes or (None,))
        return found

    def _find_base(self, base: str, context: Context) -> Shapes:
        node = self.read_notation(base)
        if node.sort != "chain":
            return self.find_type(node, context) or self._find_base_value(node, context)
        return self.construct(self.find_chain(node.name, context))

    def _find_base_value(self, node: Node, context: Context) -> Shapes:
        """Return an instance of a base that is a variable (`const Base = mixin(A)`)."""
        return self.construct(self._find_named_base(node, context.path)) if node.sort == "name" else ()

    def list_bases(self, shapes: Shapes) -> Shapes:
        found: list[Shape] = []
        for shape in shapes:
            if isinstance(shape, Instance):
                found.extend(base for base in self._bases_of(shape) if base is not None)
            elif isinstance(shape, Value) and shape.one.symbol.kind == "class":
                bases = self._bases_of(Instance(shape.one, shape.context))
                found.extend(Value(base.one, base.context) for base in bases if isinstance(base, Instance))
        return limit_shapes(found)

    def _find_held(self, value: Value, name: str, hops: int) -> Shapes:
        """Return a static member, a member of a namespace or an object literal, or of what a variable holds."""
        one = value.one
        kind = one.symbol.kind
        own = self._choose(self.world.symbols(one.path, f"{one.symbol.qualname}.{name}"), one, is_static=True)
        if kind == "module":
            return tuple([Value(two, Context(one.path)) for two in sorted(own, key=rank)])
        if own:
            declared = self._find_declared(value, name) if kind in _VARIABLES and one.symbol.type else ()
            return declared or (Value(own[0], Context(one.path, value.context.generics, value)),)
        if hops > _HOPS_CAP or kind in {"enum", "function", "method", "interface", "type"}:
            return LACKING
        if kind == "class":
            return self._find_static(value, name, hops)
        held = self.unfold(value)
        return self.find_members(without(held, value), name) if self._depth < DEPTH_CAP else ()

    def _find_static(self, value: Value, name: str, hops: int) -> Shapes:
        """Return the static member that a class inherits; of a base in a variable, the member of what that holds."""
        for base in value.one.symbol.bases:
            node = self.read_notation(base)
            named = self._find_named_base(node, value.one.path) if node.sort == "name" else ()
            held = tuple(one for one in named if isinstance(one, Value) and one.one.symbol.kind in _VARIABLES)
            found = self.find_members(held, name) if self._depth < DEPTH_CAP else ()
            if any(isinstance(one, Value) for one in found):
                return found
        for inherited in self.list_bases((value,)):
            found = self._find_member(inherited, name, hops + 1)
            if found:
                return found
        return OUTSIDE if value.one.symbol.bases else LACKING

    def _find_named_base(self, node: Node, path: str) -> Shapes:
        name = node.name
        if name[:1] == "%" and is_declarable(name):
            return self.names.find_global(name[1:])
        return () if name[:1] in "%^?{#" or "." in name else self.names.find_name(path, name)

    def _find_declared(self, value: Value, name: str) -> Shapes:
        """Return the member that the declared type of a variable has, whatever the object in it has."""
        key = (value.one.path, value.one.at)
        if self._depth >= DEPTH_CAP or key in self._declaring:
            return ()
        self._declaring.add(key)
        found = self.find_members(without(self.unfold(value), value), name)
        self._declaring.discard(key)
        return found if any(isinstance(one, Value) for one in found) else ()
