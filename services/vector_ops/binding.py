"""Names to targets: Python's scope rules over what one walk collected."""

import builtins
from dataclasses import replace

from services.vector_ops.core.facts import Definition, Reference
from services.vector_ops.scopes import Binding, RawDefinition, RawReference, Scope, Spine

BUILTINS = frozenset(dir(builtins))
FREE = "?"
"""Stands for a name that no scope of the file binds."""
_MAX_SCOPES = 100
_MAX_HOPS = 12
_MAX_TARGET_LENGTH = 300


def join_steps(target: str, steps: Spine) -> str:
    """Return `target` continued by `steps`."""
    for step in steps:
        if step == "()":
            target += step
        else:
            target += step if target.endswith(":") else f".{step}"
    return target


class Binder:
    """Resolves names of one file; a value that cannot be told for sure is None, never a guess."""

    def __init__(self, module: Scope) -> None:
        self._module = module
        self._known: dict[tuple[int, str], str | None] = {}

    def find_scope(self, scope: Scope, name: str) -> Scope | None:
        """Return the scope that binds `name` as seen from `scope`."""
        current: Scope | None = scope
        for _ in range(_MAX_SCOPES):
            if current is None:
                return None
            if name in current.outer_names:
                return self._module if name in self._module.names else None
            if name in current.names and (current.kind != "class" or current is scope):
                return current
            current = current.parent
        return None

    def resolve_name(self, scope: Scope, name: str, hops: int = 0) -> str | None:
        """Return the target of `name`, FREE when nothing binds it, None when its value is unknown."""
        owner = self.find_scope(scope, name)
        if owner is None:
            return self._resolve_free(name)
        key = (id(owner), name)
        if key in self._known:
            return self._known[key]
        if hops > _MAX_HOPS:
            return None
        self._known[key] = None  # a value that depends on itself is unknown
        self._known[key] = self.resolve_bindings(owner.names[name], owner, hops)
        return self._known[key]

    def _resolve_free(self, name: str) -> str:
        return f":{name}" if self._module.has_star_import and name not in BUILTINS else FREE

    def resolve_bindings(self, bindings: list[Binding], scope: Scope, hops: int = 0) -> str | None:
        """Return the one target on which all bindings agree; a definition or import wins over plain values."""
        fixed = [binding.target for binding in bindings if binding.target]
        if fixed:
            return fixed[-1]
        found = {self.resolve_spine(scope, one.spine, hops + 1) for one in bindings if not one.is_neutral}
        return found.pop() if len(found) == 1 else None

    def resolve_spine(self, scope: Scope, spine: Spine | None, hops: int = 0) -> str | None:
        """Return the target of an expression, or None."""
        if not spine:
            return None
        if spine[:2] == ("super", "()"):
            return self._resolve_super(scope, spine[2:])
        head = self.resolve_name(scope, spine[0], hops)
        if head is None or head == FREE:
            return None
        target = join_steps(head, spine[1:])
        return target if len(target) <= _MAX_TARGET_LENGTH else None

    def _resolve_super(self, scope: Scope, steps: Spine) -> str | None:
        current: Scope | None = scope
        while current is not None and current.kind != "class":
            current = current.parent
        return None if current is None else join_steps(f":{current.qualname}^", steps)

    def is_variable(self, scope: Scope, name: str) -> bool:
        """Return whether `name` is a plain local variable (its uses are no references to anything global)."""
        owner = self.find_scope(scope, name)
        return owner is not None and not any(binding.target for binding in owner.names[name])


def last_name(target: str) -> str:
    """Return the name that a target ends in."""
    module, _, steps = target.partition(":")
    return (steps or module).rsplit(".", 1)[-1].rstrip("()^")


def resolve_references(module: Scope, raw: list[RawReference]) -> tuple[Reference, ...]:
    """Return the references of a file that can mean something outside their own function."""
    binder = Binder(module)
    found = (_resolve_name(binder, one) if one.receiver == "" else _resolve_attribute(binder, one) for one in raw)
    return tuple(reference for reference in found if reference is not None)


def _resolve_name(binder: Binder, raw: RawReference) -> Reference | None:
    target = binder.resolve_name(raw.scope, raw.name)
    if target is None or (target == FREE and raw.name in BUILTINS):
        return None
    if target == FREE:
        return _reference(raw, raw.name, "")
    if target.endswith(("()", "^")) or (raw.kind != "call" and binder.is_variable(raw.scope, raw.name)):
        return None
    return _reference(raw, last_name(target), target)


def _resolve_attribute(binder: Binder, raw: RawReference) -> Reference:
    return _reference(raw, raw.name, binder.resolve_spine(raw.scope, raw.spine) or "")


def _reference(raw: RawReference, name: str, target: str) -> Reference:
    return Reference(name, target, raw.kind, raw.receiver, raw.scope.qualname, raw.line, raw.column)


def resolve_definitions(module: Scope, raw: list[RawDefinition]) -> tuple[Definition, ...]:
    """Return the definitions of a file with the targets of their types and bases."""
    binder = Binder(module)
    done = []
    for one in raw:
        bases = (binder.resolve_spine(one.scope, base) for base in one.bases)
        types = {binder.resolve_spine(scope, value.spine) for scope, value in one.types if not value.is_neutral}
        type_target = (types.pop() if len(types) == 1 else None) or ""
        done.append(replace(one.definition, type_target=type_target, bases=tuple(base for base in bases if base)))
    return tuple(done)
