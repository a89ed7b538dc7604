"""What chains and types turn out to be: receivers, results of calls, members over the hierarchy of classes.

Everything is bounded: hops, alternatives, depth; a cycle gives nothing.
"""

from services.vector_ops.languages.typescript.names import Names
from services.vector_ops.languages.typescript.notation import Generic, Node, read_declared, read_type, split_chain
from services.vector_ops.languages.typescript.outside import (
    PASSING,
    PROMISES,
    element_of,
    member_of,
    parameters_of,
    result_of,
)
from services.vector_ops.languages.typescript.shapes import (
    ALTERNATIVES_CAP,
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
    key_of,
    limit_shapes,
)
from services.vector_ops.languages.world import SourceFile, SymbolAt, World

_DEPTH_CAP = 60
_HOPS_CAP = 24
_FUEL = 400
_TYPE_KINDS = frozenset({"class", "interface", "type", "enum"})


class Evaluator:
    """Evaluates chains and types for the resolution of one file."""

    def __init__(self, file: SourceFile, world: World) -> None:
        self.file = file
        self.names = Names(world)
        self.world = world
        self._depth = 0
        self._fuel = 0
        self._open: set[tuple[str, int]] = set()
        self._chains: dict[tuple[str, str], Shapes] = {}
        self._results: dict[int, Shapes] = {}
        self._callees: dict[int, Shapes] = {}
        self._declared: dict[str, tuple[tuple[Generic, ...], Node | None]] = {}
        self._types: dict[str, Node] = {}
        self._own = Context(file.path)

    # ----------------------------------------------------------------- chains

    def resolve(self, at: int) -> Shapes:
        """Return what reference `at` calls or names, with a fresh allowance of work."""
        self._fuel = _FUEL
        return self.find_callee(at)

    def find_callee(self, at: int) -> Shapes:
        """Return what reference `at` of the file calls or names."""
        found = self._callees.get(at)
        if found is None:
            self._callees[at] = ()
            reference = self.file.facts.references[at]
            target = reference.target
            chain = target + reference.name if target[-1:] == "." else target
            found = self._callees[at] = self.find_chain(chain, self._own)
        return found

    def _find_result(self, at: int) -> Shapes:
        found = self._results.get(at)
        if found is None:
            self._results[at] = ()
            callee = self.find_callee(at)
            is_new = self.file.facts.references[at].kind == "new"
            found = self._results[at] = self.construct(callee) if is_new else self.call(callee)
        return found

    def find_chain(self, chain: str, context: Context) -> Shapes:
        """Return what a chain gives, read in a context."""
        if context.generics is None and context.this is None:
            key = (context.path, chain)
            found = self._chains.get(key)
            if found is None:
                self._chains[key] = ()
                found = self._chains[key] = self._walk_chain(chain, context)
            return found
        return self._walk_chain(chain, context)

    def _walk_chain(self, chain: str, context: Context) -> Shapes:
        if self._depth > _DEPTH_CAP:
            return ()
        self._depth += 1
        head, steps = split_chain(chain)
        shapes = self._find_head(head, context)
        for step in steps:
            if not shapes:
                break
            shapes = self._take_step(shapes, step)
        self._depth -= 1
        return shapes

    def _find_head(self, head: str, context: Context) -> Shapes:
        sort = head[0]
        if sort == "«":
            return self.find_type(self._read(head[1:-1]), context)
        if sort == "%":
            return OUTSIDE
        if sort == "'":
            target = self.names.modules.locate(context.path, head[1:-1])
            return (Module(target),) if target else OUTSIDE
        if sort in "#$@&*":
            return self._find_numbered(sort, head[1:]) if context.path == self.file.path else ()
        if head == "?":
            return ()
        return self.names.find_name(context.path, head)

    def _find_numbered(self, sort: str, number: str) -> Shapes:
        if not number.isdigit():
            return ()
        at, facts = int(number), self.file.facts
        if sort == "$":
            return self.find_chain(facts.notes[at], self._own) if at < len(facts.notes) else ()
        if sort in "@*":
            if at >= len(facts.references):
                return ()
            return self._find_result(at) if sort == "@" else self.find_callee(at)
        if at >= len(facts.symbols):
            return ()
        one = SymbolAt(self.file.path, at, facts.symbols[at])
        return (Value(one, self._own),) if sort == "#" else (Instance(one, self._own),)

    def _take_step(self, shapes: Shapes, step: str) -> Shapes:
        sort = step[0]
        if sort == ".":
            return self.find_members(shapes, step[1:])
        if sort == "(":
            return self.call(shapes)
        if sort == "!":
            return self.construct(shapes)
        if sort == "[":
            return self._index(shapes, int(step[1:-1]) if len(step) > 2 else None)
        if sort == "~":
            return self._await(shapes)
        if sort == "^":
            return self._list_bases(shapes)
        return self._take_parameter(shapes, int(step[1:]))

    # ------------------------------------------------------------------ types

    def _read(self, text: str) -> Node:
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
        self._fuel -= 1
        if self._depth > _DEPTH_CAP or self._fuel < 0:
            return ()
        self._depth += 1
        found = self._find_type(node, context)
        self._depth -= 1
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
            return self._settle(self.find_chain(node.name, context))
        if sort == "member":
            return self._settle(self.find_members(self.find_type(node.parts[0], context), node.name))
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
        if name == "this" or name == "{}":
            return (context.this,) if context.this is not None else ()
        head, *rest = name.split(".")
        shapes = self._find_numbered("#", head[1:]) if sort == "#" else self.names.find_name(context.path, head)
        if sort == "#" and context.path != self.file.path:
            return ()
        for part in rest:
            shapes = self.find_members(shapes, part)
        return self._instantiate(shapes, node.parts, context)

    def _find_outside(self, node: Node, context: Context) -> Shapes:
        name = node.name[1:]
        if not node.parts:
            return OUTSIDE
        if name in PASSING:
            return self.find_type(node.parts[0], context)
        if name == "ReturnType":
            return self.call(self.find_type(node.parts[0], context))
        if name == "InstanceType":
            return self.construct(self.find_type(node.parts[0], context))
        return (Outside(name, node.parts, context),)

    def _instantiate(self, shapes: Shapes, arguments: tuple[Node, ...], context: Context) -> Shapes:
        """Return the values of the types that these shapes name."""
        types = [one for one in shapes if isinstance(one, Value) and one.one.symbol.kind in _TYPE_KINDS]
        if not types:
            return OUTSIDE if any(isinstance(one, Outside) for one in shapes) else ()
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

    def _settle(self, shapes: Shapes) -> Shapes:
        """Return what variables among these shapes hold; classes and functions stay as they are."""
        found: list[Shape] = []
        for shape in shapes:
            held: Shapes = self.unfold(shape) if isinstance(shape, Value) else (shape,)
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

    def _has_members(self, value: Value) -> bool:
        symbol = value.one.symbol
        is_plain = symbol.kind in {"constant", "variable", "attribute"} and not symbol.type
        return is_plain and bool(self.world.members(value.one.path, symbol.qualname))

    # ---------------------------------------------------------------- members

    def find_members(self, shapes: Shapes, name: str) -> Shapes:
        """Return the members of this name."""
        found: list[Shape] = []
        for shape in shapes[:ALTERNATIVES_CAP]:
            found.extend(self._find_member(shape, name, 0))
        inside: list[Shape] = [one for one in found if not isinstance(one, Outside)]
        return limit_shapes(inside or found[:1])

    def _find_member(self, shape: Shape, name: str, hops: int) -> Shapes:
        if isinstance(shape, Instance):
            return self._find_inherited(shape, name, hops, shape)
        if isinstance(shape, Value):
            return self._find_held(shape, name, hops)
        if isinstance(shape, Module):
            return self.names.find_export(shape.path, name)
        if isinstance(shape, Compound):
            if name in shape.node.keys:
                part = shape.node.parts[shape.node.keys.index(name)]
                return self.find_type(part, shape.context)
            return OUTSIDE if shape.node.sort == "tuple" else ()
        return (member_of(shape, name),) if isinstance(shape, Outside) else OUTSIDE

    def _find_inherited(self, shape: Instance, name: str, hops: int, receiver: Shape) -> Shapes:
        """Return the member of a class or interface, of its other declarations, or of what it inherits from."""
        one = shape.one
        qualname = f"{one.symbol.qualname}.{name}"
        own = self.world.symbols(one.path, qualname)
        if one.path == self.file.path and len(own) > 1:
            own = tuple(two for two in own if two.symbol.owner == one.at) or own
        if own:
            return (Value(own[0], Context(one.path, shape.context.generics, receiver)),)
        if hops > _HOPS_CAP or one.symbol.kind == "enum":
            return OUTSIDE
        is_unknown = False
        for base in self._bases_of(shape):
            found = (
                self._find_inherited(base, name, hops + 1, receiver)
                if isinstance(base, Instance)
                else (self._find_member(base, name, hops + 1) if base is not None else ())
            )
            if found and not isinstance(found[0], Outside):
                return found
            is_unknown = is_unknown or not found
        return () if is_unknown else OUTSIDE

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
        node = self._read(base)
        if node.sort != "chain":
            return self.find_type(node, context) or self._find_base_value(node, context)
        return self.construct(self.find_chain(node.name, context))

    def _find_base_value(self, node: Node, context: Context) -> Shapes:
        """Return an instance of a base that is a variable (`const Base = mixin(A)`)."""
        name = node.name
        if node.sort != "name" or name[:1] in "%^?{#" or "." in name:
            return ()
        return self.construct(self.names.find_name(context.path, name))

    def _list_bases(self, shapes: Shapes) -> Shapes:
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
        own = self.world.symbols(one.path, f"{one.symbol.qualname}.{name}")
        if one.path == self.file.path and len(own) > 1:
            own = tuple(two for two in own if two.symbol.owner == one.at) or own
        if own:
            return (Value(own[0], Context(one.path, value.context.generics, value)),)
        kind = one.symbol.kind
        if hops > _HOPS_CAP or kind in {"enum", "function", "method", "interface", "type"}:
            return OUTSIDE
        if kind == "module":
            return ()
        if kind == "class":
            for base in self._list_bases((value,)):
                found = self._find_member(base, name, hops + 1)
                if found:
                    return found
            return OUTSIDE
        held = self.unfold(value)
        return self.find_members(_without(held, value), name) if self._depth < _DEPTH_CAP else ()

    # ------------------------------------------------------------------ calls

    def call(self, shapes: Shapes) -> Shapes:
        """Return what calls of these give."""
        found: list[Shape] = []
        for shape in shapes[:ALTERNATIVES_CAP]:
            found.extend(self._call(shape, 0))
        return limit_shapes(found)

    def _call(self, shape: Shape, hops: int) -> Shapes:
        if isinstance(shape, Function):
            return self.find_type(shape.node.parts[-1], shape.context)
        if isinstance(shape, Outside):
            result = result_of(shape)
            return self.find_type(result, shape.context) if isinstance(result, Node) else result
        if isinstance(shape, Instance):
            return limit_shapes([one for two in self._signatures(shape)[:4] for one in self._call(two, hops + 1)])
        if not isinstance(shape, Value) or hops > 8 or self._depth > _DEPTH_CAP:
            return ()
        if shape.one.symbol.kind == "class":
            return OUTSIDE
        self._depth += 1
        held = _without(self.unfold(shape), shape)
        found = [one for two in held for one in self._call(two, hops + 1)]
        self._depth -= 1
        return limit_shapes(found)

    def _signatures(self, shape: Instance) -> list[Function]:
        node = self.read_declared(shape.one)[1] if shape.one.symbol.kind == "interface" else None
        if node is None:
            return []
        parts = node.parts if node.sort == "union" else (node,)
        context = Context(shape.one.path, shape.context.generics, shape)
        return [Function(part, context) for part in parts if part.sort == "function"]

    def construct(self, shapes: Shapes) -> Shapes:
        """Return what `new` of these gives."""
        found: list[Shape] = []
        for shape in shapes[:ALTERNATIVES_CAP]:
            if isinstance(shape, Outside):
                found.append(OUTSIDE[0])
            elif isinstance(shape, Value) and shape.one.symbol.kind in {"class", "function"}:
                found.append(Instance(shape.one, Context(shape.one.path, self.bind_generics(shape))))
            elif isinstance(shape, Value) and shape.one.symbol.kind in {"interface", "type"}:
                continue
            else:
                held = self.unfold(shape) if isinstance(shape, Value) else (shape,)
                again = tuple(one for one in _without(held, shape) if isinstance(one, Value))
                found.extend(self.construct(again) if again and self._depth < _DEPTH_CAP else self.call(held))
        return limit_shapes(found)

    def _index(self, shapes: Shapes, at: int | None) -> Shapes:
        found: list[Shape] = []
        for shape in self._settle(shapes):
            if isinstance(shape, (Outside, Compound)):
                if isinstance(shape, Outside) and not shape.name:
                    found.append(shape)
                for node in element_of(shape, at):
                    found.extend(self.find_type(node, shape.context))
        return limit_shapes(found)

    def _await(self, shapes: Shapes) -> Shapes:
        found: list[Shape] = []
        for shape in self._settle(shapes):
            if isinstance(shape, Outside) and shape.name in PROMISES and shape.arguments:
                found.extend(self.find_type(shape.arguments[0], shape.context))
            else:
                found.append(shape)
        return limit_shapes(found)

    def _take_parameter(self, shapes: Shapes, at: int) -> Shapes:
        """Return what functions of these shapes take as their parameter `at`."""
        found: list[Shape] = []
        for shape in self._functions(shapes, 0):
            node = shape.node
            taken = node.parts[:-1]
            if node.is_rest and at >= len(taken) - 1:
                last = self.find_type(taken[-1], shape.context)
                found.extend(self._index(last, at - len(taken) + 1))
            elif at < len(taken):
                found.extend(self.find_type(taken[at], shape.context))
        return limit_shapes(found)

    def _functions(self, shapes: Shapes, hops: int) -> list[Function]:
        found: list[Function] = []
        for shape in shapes[:ALTERNATIVES_CAP]:
            if isinstance(shape, Function):
                found.append(shape)
            elif isinstance(shape, Instance):
                found.extend(self._signatures(shape))
            elif isinstance(shape, Outside):
                found.extend(one for one in parameters_of(shape) if isinstance(one, Function))
            elif isinstance(shape, Value) and hops < 8:
                held = self._constructor(shape) if shape.one.symbol.kind == "class" else self.unfold(shape)
                found.extend(self._functions(_without(held, shape), hops + 1))
        return found

    def _constructor(self, value: Value) -> Shapes:
        return self._find_inherited(Instance(value.one, value.context), "constructor", 0, value)


def _without(shapes: Shapes, one: Shape) -> Shapes:
    key = key_of(one)
    return tuple(two for two in shapes if key_of(two) != key)
