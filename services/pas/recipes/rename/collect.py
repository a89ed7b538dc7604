"""One walk over a module that finds its scopes, bindings, uses and strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import libcst as cst

from services.pas.recipes.rename.binder import Binder
from services.pas.recipes.rename.scopes import Embedded, Facts, KeywordUse, Origin, Scope, Step
from services.pas.recipes.rename.walk import children, dotted, tail

# Subscripted, these hold types; their string arguments are annotations wherever they stand.
_GENERIC = frozenset(
    [
        "Annotated",
        "Optional",
        "Union",
        "List",
        "Dict",
        "Set",
        "Tuple",
        "Type",
        "Sequence",
        "Iterable",
        "Iterator",
        "Mapping",
        "MutableMapping",
        "Callable",
        "Awaitable",
        "Coroutine",
        "AsyncIterator",
        "AsyncIterable",
        "Generator",
        "AsyncGenerator",
        "ClassVar",
        "Final",
        "list",
        "dict",
        "set",
        "tuple",
        "type",
        "frozenset",
        "deque",
        "defaultdict",
    ]
)


def collect(module: cst.Module, path: str) -> Facts:
    """Return the facts of a parsed module."""
    scope = Scope("module", "", None, path, module)
    collector = _Collector(Facts(scope), _HANDLERS)
    collector.docstring(module.body)
    for statement in module.body:
        collector.visit(statement)
    return collector.facts


class _Collector(Binder):
    """Walks statements in the order in which Python binds, which matters in class bodies."""

    # -- definitions

    def docstring(self, body: Iterable[cst.CSTNode]) -> None:
        first = next(iter(body), None)
        if isinstance(first, cst.SimpleStatementLine) and first.body and isinstance(first.body[0], cst.Expr):
            value = first.body[0].value
            if isinstance(value, cst.SimpleString):
                self.facts.docstrings.add(value)
            elif isinstance(value, cst.ConcatenatedString):
                self.facts.docstrings.update(child for child in children(value))

    def function(self, node: cst.FunctionDef) -> None:
        self.visit_all(each.decorator for each in node.decorators)
        outer = self.scope
        scope = self.type_parameters(node.type_parameters)
        with self.inside(scope):
            self.defaults(node.params)
            if node.returns is not None:
                self.visit(node.returns)
            inner = self.child("function", node.name.value, node)
            self._set_receiver(node, inner, outer)
            with self.inside(inner):
                self.parameters(node.params)
        self.bind(node.name, "function", statement=node, inner=inner)
        with self.inside(inner):
            self._body(node.body)

    def _set_receiver(self, node: cst.FunctionDef, inner: Scope, owner: Scope) -> None:
        marks = {tail(each.decorator) for each in node.decorators}
        first = next(iter([*node.params.posonly_params, *node.params.params]), None)
        if owner.kind == "class" and first is not None and "staticmethod" not in marks:
            inner.receiver = first.name.value
            implicit = node.name.value in ("__new__", "__init_subclass__", "__class_getitem__")
            inner.receiver_is_class = implicit or "classmethod" in marks

    def _body(self, body: cst.BaseSuite) -> None:
        if isinstance(body, cst.IndentedBlock):
            self.docstring(body.body)
        self.visit(body)

    def defaults(self, params: cst.Parameters) -> None:
        for param in _all_params(params):
            if param.annotation is not None:
                self.visit(param.annotation)
            if param.default is not None:
                self.visit(param.default)

    def parameters(self, params: cst.Parameters) -> None:
        for param in _all_params(params):
            annotation = param.annotation.annotation if param.annotation else None
            steps: tuple[Step, ...] = () if param.star in ("", None) or not isinstance(param.star, str) else ("opaque",)
            self.bind(param.name, "parameter", annotation=annotation, value=param.default, steps=steps, statement=param)

    def lambda_(self, node: cst.Lambda) -> None:
        self.defaults(node.params)
        with self.inside(self.child("function", "<lambda>", node)):
            self.parameters(node.params)
            self.visit(node.body)

    def class_(self, node: cst.ClassDef) -> None:
        self.visit_all(each.decorator for each in node.decorators)
        scope = self.type_parameters(node.type_parameters)
        with self.inside(scope):
            for arg in [*node.bases, *node.keywords]:
                self.visit(arg.value)
                if arg.keyword is not None:  # read by a metaclass or by `__init_subclass__`: no class to look it up on
                    use = KeywordUse(arg.keyword, cst.Ellipsis(), self.scope)
                    self.facts.keywords.setdefault(arg.keyword.value, []).append(use)
            inner = self.child("class", node.name.value, node)
            self.facts.classes.append(inner)
            with self.inside(inner):
                self._body(node.body)
        self.bind(node.name, "class", statement=node, inner=inner)

    def type_parameters(self, node: cst.TypeParameters | None) -> Scope:
        if node is None:
            return self.scope
        scope = self.child("type_parameters", "", node)
        with self.inside(scope):
            for each in node.params:
                bound = each.param.bound if isinstance(each.param, cst.TypeVar) else None
                self.bind(each.param.name, "type_parameter", annotation=bound)
                self.visit_all([bound, each.default])
        return scope

    def type_alias(self, node: cst.TypeAlias) -> None:
        scope = self.type_parameters(node.type_parameters)
        with self.inside(scope), self.annotating(is_on=True):
            self.visit(node.value)
        self.bind(node.name, "variable", value=node.value)

    def assign(self, node: cst.Assign) -> None:
        names = [each.target.value for each in node.targets if isinstance(each.target, cst.Name)]
        self.listed(names, node.value)
        self.visit(node.value)
        for each in node.targets:
            self.target(each.target, value=node.value, statement=node)

    def annotated_assign(self, node: cst.AnnAssign) -> None:
        if isinstance(node.target, cst.Name) and node.value is not None:
            self.listed([node.target.value], node.value)
        self.visit(node.annotation)
        self.visit_all([node.value])
        annotation = node.annotation.annotation
        self.target(node.target, value=node.value, annotation=annotation, statement=node)

    def augmented_assign(self, node: cst.AugAssign) -> None:
        if isinstance(node.target, cst.Name):
            self.listed([node.target.value], node.value)
        self.visit(node.value)
        self.target(node.target, value=node.value, steps=("opaque",), statement=node)

    def walrus(self, node: cst.NamedExpr) -> None:
        self.visit(node.value)
        self.target(node.target, leaks=True, value=node.value, statement=node)

    def for_(self, node: cst.For) -> None:
        self.visit(node.iter)
        step: Step = "await_item" if node.asynchronous else "item"
        self.target(node.target, value=node.iter, steps=(step,))
        self.visit_all([node.body, node.orelse])

    def with_(self, node: cst.With) -> None:
        step: Step = "await_enter" if node.asynchronous else "enter"
        for item in node.items:
            self.visit(item.item)
            if item.asname is not None:
                self.target(item.asname.name, value=item.item, steps=(step,))
        self.visit(node.body)

    def except_(self, node: cst.ExceptHandler | cst.ExceptStarHandler) -> None:
        self.visit_all([node.type])
        if node.name is not None:
            self.target(node.name.name, value=node.type, steps=("opaque",))
        self.visit(node.body)

    def delete(self, node: cst.Del) -> None:
        self.target(node.target, steps=("opaque",))

    def comprehension(self, node: cst.GeneratorExp | cst.ListComp | cst.SetComp | cst.DictComp) -> None:
        self.visit(node.for_in.iter)
        with self.inside(self.child("comprehension", "", node)):
            self._generator(node.for_in, is_first=True)
            if isinstance(node, cst.DictComp):
                self.visit_all([node.key, node.value])
            else:
                self.visit(node.elt)

    def _generator(self, node: cst.CompFor, *, is_first: bool) -> None:
        if not is_first:
            self.visit(node.iter)
        step: Step = "await_item" if node.asynchronous else "item"
        self.target(node.target, value=node.iter, steps=(step,))
        self.visit_all(each.test for each in node.ifs)
        if node.inner_for_in is not None:
            self._generator(node.inner_for_in, is_first=False)

    def global_(self, node: cst.Global | cst.Nonlocal) -> None:
        names = self.scope.global_names if isinstance(node, cst.Global) else self.scope.nonlocal_names
        for item in node.names:
            names.add(item.name.value)
            self.name(item.name)

    # -- patterns

    def match_as(self, node: cst.MatchAs) -> None:
        self.visit_all([node.pattern])
        if node.name is not None:
            self.bind(node.name, "variable", steps=("opaque",))

    def match_rest(self, node: cst.MatchStar | cst.MatchMapping) -> None:
        name = node.name if isinstance(node, cst.MatchStar) else node.rest
        if isinstance(node, cst.MatchMapping):
            self.visit_all(node.elements)
        if name is not None:
            self.bind(name, "variable", steps=("opaque",))

    def match_class(self, node: cst.MatchClass) -> None:
        self.visit(node.cls)
        self.visit_all(node.patterns)
        for each in node.kwds:
            self.facts.keywords.setdefault(each.key.value, []).append(KeywordUse(each.key, node.cls, self.scope))
            self.visit(each.pattern)

    def import_(self, node: cst.Import) -> None:
        for alias in node.names:
            module = dotted(alias.name)
            self.facts.module_paths.append(alias.name)
            bound = alias.asname.name if alias.asname is not None else _first(alias.name)
            if isinstance(bound, cst.Name):
                named = module if alias.asname is not None else bound.value
                self.bind(bound, "import", statement=alias, origin=Origin(0, named, None))

    def from_import(self, node: cst.ImportFrom) -> None:
        level, module = len(node.relative), dotted(node.module)
        self.facts.from_imports.append(node)
        if node.module is not None:
            self.facts.module_paths.append(node.module)
        if isinstance(node.names, cst.ImportStar):
            self.facts.stars.append(Origin(level, module, None))
            return
        for alias in node.names:
            imported = alias.name
            bound = alias.asname.name if alias.asname is not None else imported
            if isinstance(bound, cst.Name) and isinstance(imported, cst.Name):
                origin = Origin(level, module, imported.value)
                binding = self.bind(bound, "from_import", statement=alias, origin=origin)
                self.facts.imported.setdefault(imported.value, []).append(binding)

    # -- expressions

    def call(self, node: cst.Call) -> None:
        self.visit(node.func)
        name = tail(node.func)
        if isinstance(node.func, cst.Attribute) and dotted(node.func.value) == "__all__":
            self.listed(["__all__"], node.args[0].value if node.args else node.func)
        for index, arg in enumerate(node.args):
            if arg.keyword is not None:
                use = KeywordUse(arg.keyword, node.func, self.scope)
                self.facts.keywords.setdefault(arg.keyword.value, []).append(use)
            is_type = (name == "cast" and index == 0) or (name == "TypeVar" and index > 0)
            with self.annotating(is_on=is_type):
                self.visit(arg.value)

    def subscript(self, node: cst.Subscript) -> None:
        self.visit(node.value)
        name = tail(node.value)
        is_type = (self.is_annotation or name in _GENERIC) and name != "Literal"
        for index, element in enumerate(node.slice):
            with self.annotating(is_on=is_type and not (name == "Annotated" and index > 0)):
                self.visit(element)

    def annotation(self, node: cst.Annotation) -> None:
        with self.annotating(is_on=True):
            self.visit(node.annotation)

    def string(self, node: cst.SimpleString) -> None:
        if self.is_annotation and not node.prefix and "\\" not in node.raw_value:
            try:
                parsed = cst.parse_module(node.raw_value)
            except cst.ParserSyntaxError:
                parsed = None
            if parsed is not None and len(parsed.body) == 1:
                self.facts.embedded.append(Embedded(node, parsed))
                self.visit(parsed.body[0])
                return
        self.facts.strings.append(node)

    def template(self, node: cst.FormattedStringText) -> None:
        self.facts.strings.append(node)


def _all_params(params: cst.Parameters) -> list[cst.Param]:
    stars = [each for each in (params.star_arg, params.star_kwarg) if isinstance(each, cst.Param)]
    return [*params.posonly_params, *params.params, *params.kwonly_params, *stars]


def _first(node: cst.BaseExpression) -> cst.BaseExpression:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node


_HANDLERS: dict[type[cst.CSTNode], Callable[[_Collector, Any], None]] = {
    cst.Name: _Collector.name,
    cst.Attribute: _Collector.attribute,
    cst.FunctionDef: _Collector.function,
    cst.Lambda: _Collector.lambda_,
    cst.ClassDef: _Collector.class_,
    cst.TypeAlias: _Collector.type_alias,
    cst.Assign: _Collector.assign,
    cst.AnnAssign: _Collector.annotated_assign,
    cst.AugAssign: _Collector.augmented_assign,
    cst.NamedExpr: _Collector.walrus,
    cst.For: _Collector.for_,
    cst.With: _Collector.with_,
    cst.ExceptHandler: _Collector.except_,
    cst.ExceptStarHandler: _Collector.except_,
    cst.Del: _Collector.delete,
    cst.GeneratorExp: _Collector.comprehension,
    cst.ListComp: _Collector.comprehension,
    cst.SetComp: _Collector.comprehension,
    cst.DictComp: _Collector.comprehension,
    cst.Global: _Collector.global_,
    cst.Nonlocal: _Collector.global_,
    cst.MatchAs: _Collector.match_as,
    cst.MatchStar: _Collector.match_rest,
    cst.MatchMapping: _Collector.match_rest,
    cst.MatchClass: _Collector.match_class,
    cst.Import: _Collector.import_,
    cst.ImportFrom: _Collector.from_import,
    cst.Call: _Collector.call,
    cst.Subscript: _Collector.subscript,
    cst.Annotation: _Collector.annotation,
    cst.SimpleString: _Collector.string,
    cst.FormattedStringText: _Collector.template,
}
