"""What calls, constructions, indexes and awaits of shapes give, and what functions take."""

from services.vector_ops.languages.typescript.notation import Node
from services.vector_ops.languages.typescript.outside import PROMISES, element_of, parameters_of, result_of
from services.vector_ops.languages.typescript.shapes import (
    ALTERNATIVES_CAP,
    LACKING,
    OUTSIDE,
    Compound,
    Context,
    Function,
    Instance,
    Outside,
    Shape,
    Shapes,
    Value,
    is_type,
    limit_shapes,
    without,
)
from services.vector_ops.languages.typescript.types import DEPTH_CAP, Types

_HOPS_CAP = 8
_SIGNATURES_CAP = 4


class Calls(Types):
    """Evaluates what is done with values."""

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
            return limit_shapes(
                [one for two in self._signatures(shape)[:_SIGNATURES_CAP] for one in self._call(two, hops + 1)]
            )
        if not isinstance(shape, Value) or hops > _HOPS_CAP or self._depth > DEPTH_CAP:
            return ()
        if shape.one.symbol.kind == "class":
            return self.construct((shape,))
        self._depth += 1
        held = without(self.unfold(shape), shape)
        made = [one for one in [self._call(two, hops + 1) for two in held] if one]
        self._depth -= 1
        if shape.one.symbol.kind in {"function", "method"}:
            made = made[:1]
        return limit_shapes([one for several in made for one in several])

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
                found.append(shape if shape == LACKING[0] else OUTSIDE[0])
            elif isinstance(shape, Value) and shape.one.symbol.kind in {"class", "function"}:
                found.append(self.make_instance(shape))
            elif is_type(shape):
                continue
            else:
                held = self.unfold(shape) if isinstance(shape, Value) else (shape,)
                again = tuple(one for one in without(held, shape) if isinstance(one, Value) and not is_type(one))
                found.extend(self.construct(again) if again and self._depth < DEPTH_CAP else self.call(held))
        return limit_shapes(found)

    def index(self, shapes: Shapes, at: int | None) -> Shapes:
        found: list[Shape] = []
        for shape in self.settle(shapes):
            if isinstance(shape, (Outside, Compound)):
                if isinstance(shape, Outside) and shape.name in {"", "?"}:
                    found.append(shape)
                for node in element_of(shape, at):
                    found.extend(self.find_type(node, shape.context))
        return limit_shapes(found)

    def wait_for(self, shapes: Shapes) -> Shapes:
        found: list[Shape] = []
        for shape in self.settle(shapes):
            if isinstance(shape, Outside) and shape.name in PROMISES and shape.arguments:
                found.extend(self.find_type(shape.arguments[0], shape.context))
            else:
                found.append(shape)
        return limit_shapes(found)

    def take_parameter(self, shapes: Shapes, at: int) -> Shapes:
        """Return what functions of these shapes take as their parameter `at`."""
        found: list[Shape] = []
        for shape in self._functions(shapes, 0):
            node = shape.node
            taken = node.parts[:-1]
            if node.is_rest and at >= len(taken) - 1:
                last = self.find_type(taken[-1], shape.context)
                found.extend(self.index(last, at - len(taken) + 1))
            elif at < len(taken):
                found.extend(self.find_type(taken[at], shape.context))
            if len(found) >= ALTERNATIVES_CAP:
                break
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
            elif isinstance(shape, Value) and hops < _HOPS_CAP:
                held = self._constructor(shape) if shape.one.symbol.kind == "class" else self.unfold(shape)
                found.extend(self._functions(without(held, shape), hops + 1))
        return found

    def _constructor(self, value: Value) -> Shapes:
        return self.find_inherited(Instance(value.one, value.context), "constructor", 0, value)
