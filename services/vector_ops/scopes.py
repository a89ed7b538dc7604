"""What a walk over a syntax tree collects before names are resolved: scopes, bindings, raw references."""

from dataclasses import dataclass, field

from services.vector_ops.core.facts import Definition

Spine = tuple[str, ...]
"""A name followed by attributes and calls: `a.b().c` is `("a", "b", "()", "c")`."""


@dataclass(slots=True)
class Binding:
    """One way in which a scope binds a name.

    `target` is set where it is known at once (definitions, imports, self); `spine` where it is the value of a variable;
    neither means that nothing is known of the value. `is_neutral` marks None, which never contradicts another value.
    """

    target: str = ""
    spine: Spine | None = None
    is_neutral: bool = False


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function (lambdas included) or comprehension."""

    kind: str
    qualname: str
    parent: "Scope | None" = None
    names: dict[str, list[Binding]] = field(default_factory=dict)
    outer_names: set[str] = field(default_factory=set)
    has_star_import: bool = False

    def bind(self, name: str, binding: Binding) -> None:
        """Add one binding of `name`."""
        self.names.setdefault(name, []).append(binding)

    def qualify(self, name: str) -> str:
        """Return the qualified name of a definition in this scope."""
        return f"{self.qualname}.{name}" if self.qualname else name


@dataclass(slots=True)
class RawReference:
    """A use of a name whose meaning is looked up once all bindings of the file are known."""

    name: str
    spine: Spine | None
    kind: str
    receiver: str
    scope: Scope
    line: int
    column: int


@dataclass(slots=True)
class RawDefinition:
    """A definition whose values are looked up, each in its own scope, once all bindings are known."""

    definition: Definition
    scope: Scope
    types: list[tuple[Scope, Binding]] = field(default_factory=list)
    bases: list[Spine | None] = field(default_factory=list)
