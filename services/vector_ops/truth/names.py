"""Names whose symbols differ, and the questions about them whose answers do."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from services.vector_ops.languages.facts import split_owner
from services.vector_ops.truth.layers import Layers, Size
from services.vector_ops.truth.outline import Mark
from services.vector_ops.truth.questions import (
    Answers,
    ask_methods,
    ask_named,
    ask_owner,
    compare,
    has_same_symbols,
    hash_questions,
    list_names,
)

_MAX_COUNTED_NAMES = 2_000
"""With more changed names than this, all count as changed: to look each up would cost more than it saves."""


class Dirty(NamedTuple):
    """Hashes of questions whose answers differ; `pairs`: of the first, only for who asked one of the others too."""

    questions: set[int]
    pairs: dict[int, set[int]]


class ChangedNames:
    """The names of one family whose symbols differ; to be measured before the change is written, and after."""

    def __init__(self, layers: Layers, family: str) -> None:
        self._layers = layers
        self._family = family
        self._names: set[str] = set()
        self._owners: dict[tuple[str, bool], set[str]] = defaultdict(set)
        self._before: dict[str, Size] = {}

    def add(self, old: Answers, new: Answers, *, is_test: bool) -> None:
        """Add what differs in one file."""
        if has_same_symbols(old, new):
            return
        before, after = list_names(old), list_names(new)
        for name in compare(before, after):
            self._names.add(name)
            owners = _find_owners(before.get(name, []), after.get(name, []))
            for with_tests in (True,) if is_test else (False, True):
                self._owners[name, with_tests] |= owners

    def measure(self) -> None:
        """Count the symbols of the names as they are before the change."""
        self._before = self._measure()

    def _measure(self) -> dict[str, Size]:
        if len(self._names) > _MAX_COUNTED_NAMES:
            return {}
        return {name: self._layers.measure_name(self._family, name) for name in self._names}

    def find_dirty(self) -> Dirty:
        """Return the questions that are answered otherwise now that the change is written."""
        after = self._measure()
        asked: set[str] = set()
        asked_with: dict[str, set[str]] = {}
        for name in self._names:
            old, new = self._before.get(name), after.get(name)
            if old is None or new is None:
                asked |= {ask_named(name), ask_methods(name, with_tests=False), ask_methods(name, with_tests=True)}
            elif not (old.is_common and new.is_common):
                asked.add(ask_named(name))
                for with_tests in (False, True):
                    self._compare_methods(name, (old, new), asked, asked_with, with_tests=with_tests)
        pairs = {self._hash([one]).pop(): self._hash(map(ask_owner, owners)) for one, owners in asked_with.items()}
        return Dirty(self._hash(asked), pairs)

    def _compare_methods(
        self, name: str, sizes: tuple[Size, Size], asked: set[str], asked_with: dict[str, set[str]], *, with_tests: bool
    ) -> None:
        owners = self._owners.get((name, with_tests), set())
        many = [size.has_many(with_tests=with_tests) for size in sizes]
        question = ask_methods(name, with_tests=with_tests)
        if all(many):
            asked_with[question] = owners
        elif owners or any(many) or sizes[0].is_common != sizes[1].is_common:
            asked.add(question)

    def _hash(self, questions: Iterable[str]) -> set[int]:
        return hash_questions(self._family, questions)


def _find_owners(old: list[Mark], new: list[Mark]) -> set[str]:
    """Return the names in lower case of the classes whose methods of one name differ."""
    before, after = _group_methods(old), _group_methods(new)
    return {owner for owner in before.keys() | after.keys() if before.get(owner) != after.get(owner)}


def _group_methods(marks: list[Mark]) -> dict[str, list[Mark]]:
    found: dict[str, list[Mark]] = defaultdict(list)
    for one in marks:
        if one.kind == "method":
            found[split_owner(one.qualname).lower()].append(one)
    return found
