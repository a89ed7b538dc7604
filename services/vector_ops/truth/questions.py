"""The questions that resolution asks: recorded by a hash, and compared when a file changes.

A question is a letter for the primitive of `World` and its arguments. Two questions with the same hash only make a file
be resolved again without need.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from zlib import crc32

from services.vector_ops.languages.facts import FileFacts, Import
from services.vector_ops.languages.world import Methods, SymbolAt, World
from services.vector_ops.truth.outline import Mark, Outline


def hash_questions(family: str, questions: Iterable[str]) -> set[int]:
    """Return 32-bit hashes of questions that were asked in the world of a family."""
    seed = crc32(family.encode())
    return {crc32(question.encode("utf-8", "surrogatepass"), seed) for question in questions}


class RecordingWorld:
    """Passes questions on and keeps them, for one file.

    What a file asks about itself is left out when no other file shares its unit: it is resolved again anyway when it
    changes, and it is told by the question `p` when another file comes to share the unit.
    """

    def __init__(self, world: World, own_unit: str) -> None:
        self.questions = {f"p\0{own_unit}"}
        self._world = world
        self._owners: frozenset[str] = frozenset()
        self._alone = own_unit if len(world.paths_in(own_unit)) == 1 else None

    def exists(self, path: str) -> bool:
        self.questions.add(f"e\0{path}")
        return self._world.exists(path)

    def facts(self, path: str) -> FileFacts | None:
        self.questions.add(f"f\0{path}")
        return self._world.facts(path)

    def unit(self, path: str) -> str:
        self.questions.add(f"u\0{path}")
        return self._world.unit(path)

    def paths_in(self, unit: str) -> tuple[str, ...]:
        self.questions.add(f"p\0{unit}")
        return self._world.paths_in(unit)

    def modules(self, tail: str) -> tuple[str, ...]:
        self.questions.add(f"t\0{tail}")
        return self._world.modules(tail)

    def symbols(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        if unit != self._alone:
            self.questions.add(f"s\0{unit}\0{qualname}")
        return self._world.symbols(unit, qualname)

    def members(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        if unit != self._alone:
            self.questions.add(f"m\0{unit}\0{qualname}")
        return self._world.members(unit, qualname)

    def bindings(self, unit: str, local: str) -> tuple[tuple[str, Import], ...]:
        if unit != self._alone:
            self.questions.add(f"b\0{unit}\0{local}")
        return self._world.bindings(unit, local)

    def named(self, name: str) -> tuple[SymbolAt, ...] | None:
        self.questions.add(ask_named(name))
        return self._world.named(name)

    def methods(self, name: str, owners: frozenset[str], *, with_tests: bool) -> Methods:
        self.questions.add(ask_methods(name, with_tests=with_tests))
        answer = self._world.methods(name, owners, with_tests=with_tests)
        if not answer.is_all and not owners <= self._owners:
            self._owners |= owners
            self.questions.update(map(ask_owner, owners))
        return answer


def ask_named(name: str) -> str:
    """Return the question for the symbols of a name."""
    return f"n\0{name}"


def ask_methods(name: str, *, with_tests: bool) -> str:
    """Return the question for the methods of a name."""
    return f"{'k' if with_tests else 'c'}\0{name}"


def ask_owner(owner: str) -> str:
    """Return the half of a question that says: of the names with many methods, those of this class matter."""
    return f"w\0{owner}"


class Answers(NamedTuple):
    """What one file contributes to the answers: `own` by question, and what the symbols of its outline say."""

    own: dict[str, object]
    unit: str
    outline: Outline


NO_ANSWERS = Answers({}, "", Outline(FileFacts("")))


def list_answers(path: str, content: str, unit: str, tails: Iterable[str], outline: Outline) -> Answers:
    """Return what a file answers; `content` identifies all its facts."""
    own: dict[str, object] = {f"e\0{path}": True, f"f\0{path}": content, f"u\0{path}": unit, f"p\0{unit}": path}
    for tail in tails:
        own[f"t\0{tail}"] = path
    for local, imports in outline.by_local.items():
        own[f"b\0{unit}\0{local}"] = [entry._replace(line=0, column=0) for entry in imports]
    return Answers(own, unit, outline)


def has_same_symbols(old: Answers, new: Answers) -> bool:
    """Return whether nothing that others can see of the symbols differs, as after most edits."""
    return old.unit == new.unit and old.outline.marks == new.outline.marks


def list_names(answers: Answers) -> dict[str, list[Mark]]:
    """Return the symbols of a file by name; apart from other answers, for past a cap names have none."""
    marks = answers.outline.marks
    return {name: [marks[at] for at in places] for name, places in answers.outline.by_name.items()}


def compare_answers(old: Answers, new: Answers) -> set[str]:
    """Return the questions, but those for names, whose answers differ."""
    questions = compare(old.own, new.own)
    return questions if has_same_symbols(old, new) else questions | compare(_list_symbols(old), _list_symbols(new))


def _list_symbols(answers: Answers) -> dict[str, list[Mark]]:
    unit, outline, marks = answers.unit, answers.outline, answers.outline.marks
    found = {f"s\0{unit}\0{name}": [marks[at] for at in places] for name, places in outline.by_qualname.items()}
    for owner, places in outline.by_owner.items():
        found[f"m\0{unit}\0{owner}"] = [marks[at] for at in places]
    return found


def compare(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    """Return the questions whose answers differ."""
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
