"""From words to a recipe, deterministically: match, ask, or say that nothing fits; never guess (ADR-0010).

A template is compiled to a regular expression that must cover the whole normalised sentence. Every element of a
template
carries its own leading space, so optional parts need no special care.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from services.kernel.errors import InternalError

MAX_SENTENCE_CHARS = 400
"""Longer words are a specification, not a phrase; no template is that long."""

_FILE_NAME = r"[\w@+-][\w.@+-]*\.(?:py|pyi|md|rst|txt|toml|ya?ml|json|cfg|ini|ipynb|js|jsx|ts|tsx|rs|cpp|java|sh)"
_NO_FILE = rf"(?!{_FILE_NAME}(?:\s|$))"
_NOT_A_NAME = (
    r"(?!(?:the|a|an|it|this|that|them|these|those|to|into|as|in|and|all|every|everything|something|symbol|function|"
    r"func|class|method|constant|attribute|identifier|variable|var|file|files|folder|directory|branch|project|repo|"
    r"repository|package|module|table|column|field|database|parameter|argument|my|our|your|be|not|of)(?:\s|$))"
)
_NOT_A_NEW_NAME = _NOT_A_NAME.replace("|class|", "|")  # `rename foo to class` is a rename to a keyword: refused later
_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_PATH = r"(?:\./)?[\w@+-][\w.@+-]*(?:/[\w.@+-]+)*"
SLOTS: Mapping[str, str] = {
    "old": rf"{_NO_FILE}{_NOT_A_NAME}{_NAME}",
    # Wider than an identifier on purpose: `rename foo to 2bar` is a rename whose new name is then refused.
    "new": rf"{_NO_FILE}{_NOT_A_NEW_NAME}[^\s,;]+",
    "path": rf"(?:{_PATH}/[\w.@+-]*|{_FILE_NAME}|\.)",
    "test_path": rf"{_PATH}/?(?:::[\w:\[\]-]+)?",
    "word": r"(?!(?:it|them|this|that|all|everything|c:)(?:\s|$))[\w@+-]+",
    "to_word": r"(?:to|into|as|->)",
}

_POLITE_HEAD = re.compile(
    r"^(?:(?:hey|hi|hello|ok|okay|so|now|direng|please|pls|kindly|just|also|"
    r"(?:can|could|would|will) you(?: please)?|i(?:'d| would) like (?:you )?to|i want (?:you )?to|i need (?:you )?to|"
    r"let's|let us|we (?:should|need to|must)|you should|go ahead and)[ ,]+)+",
    re.IGNORECASE,
)
_POLITE_TAIL = re.compile(r"(?:[ ,]+(?:please|pls|thanks|thank you|for me|now|asap))+$", re.IGNORECASE)
_TOKEN = re.compile(r"->|\{\w+\}|[\[\]()|]|[^\s\[\]()|{}]+")
_SPLIT = re.compile(r"\s*(?:;|,\s*(?:and\s+)?(?:then\s+)?|\band\s+then\b|\bthen\b|\band\b|\.\s)\s*", re.IGNORECASE)


_RENAME_LIKE = re.compile(
    rf"\brenam(?:e|ed|ing)\b.*? (?P<old>{SLOTS['old']}) (?:to|into|as|->) (?P<new>{SLOTS['old']})(?= |$)", re.IGNORECASE
)
_DOUBT = re.compile(
    r"\b(?:not|never|no|don't|dont|doesn't|won't|stop|but|except|unless|only|without|if|when|after|until|who|why|what|"
    r"how|which|should|would|could|explain|undo|revert|renamed it|was|were|is|add|write|implement|create|delete|remove|"
    r"column|database|table|file|folder|directory|branch|repository|repo|project|module|package|variable|parameter|or|"
    r"maybe|perhaps|of)\b|[$&|<`]",
    re.IGNORECASE,
)


class Shape(BaseModel):
    """Frozen; an unknown key in the table is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class QuestionRow(Shape):
    """A near miss. `options` are full intents; `answer` has `{answer}` where a bare reply goes.

    `model_fits`: a recipe would do only part of it, so where there is a model nothing need be asked.
    """

    templates: tuple[str, ...]
    text: str
    options: tuple[str, ...] = ()
    answer: str = ""
    model_fits: bool = False


class ExampleRow(Shape):
    """A phrasing and its outcome: a recipe with slots, a question, or (neither) nothing."""

    say: str
    recipe: str = ""
    question: bool = False
    old: str = ""
    new: str = ""
    path: str = ""
    test_path: str = ""


class PhraseTable(Shape):
    """The content of intents.v1.yaml."""

    version: int
    macros: Mapping[str, str]
    templates: Mapping[str, tuple[str, ...]]
    questions: tuple[QuestionRow, ...]
    rows: tuple[ExampleRow, ...]


@dataclass(frozen=True)
class Matched:
    """One recipe fits; `slots` holds the words the user gave (old, new, path, test_path)."""

    recipe: str
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """Unsure. `answer` is empty, or an intent with `{answer}` for a bare reply; `model_fits` as in the table."""

    text: str
    options: tuple[str, ...]
    answer: str = ""
    model_fits: bool = False


@dataclass(frozen=True)
class Nothing:
    """No recipe fits."""


Intent = Matched | Asked | Nothing


def normalise(text: str) -> str:
    """Return `text` as one plain sentence: no quotes, arrows written `->`, no politeness, no final punctuation."""
    text = re.sub(r"^#+ .*$", " ", text, flags=re.MULTILINE) if _has_body(text) else re.sub(r"^#+ ", "", text)
    text = re.sub(r"^\s*(?:[-*]|\d+[.)])\s+", "; ", text, flags=re.MULTILINE).lstrip(" ;")
    text = text.replace("\u2019", "'").replace("→", "->").replace("=>", "->")
    text = re.sub(r"[`\"“”]|(?<!\w)'|'(?!\w)", "", text)
    text = re.sub(r"(?<=\w)\(\)", "", text)
    text = " ".join(text.split()).lstrip(" ;").rstrip(" .!?;")
    text = _POLITE_HEAD.sub("", text)
    return _POLITE_TAIL.sub("", text).rstrip(" .!?,;")


def _has_body(text: str) -> bool:
    return any(line.strip() and not line.startswith("#") for line in text.splitlines())


class IntentMatcher:
    """The compiled phrasing table."""

    def __init__(self, table: PhraseTable) -> None:
        self._recipes = [
            (recipe, compile_template(template, table.macros))
            for recipe, templates in table.templates.items()
            for template in templates
        ]
        self._questions = [
            (row, compile_template(template, table.macros)) for row in table.questions for template in row.templates
        ]

    def match(self, text: str) -> Intent:
        """Return what `text` asks for."""
        sentence = normalise(text)
        if not sentence or len(sentence) > MAX_SENTENCE_CHARS:
            return Nothing()
        found = self._match_recipe(sentence)
        if found is not None:
            return found
        return self._ask_about_parts(sentence) or self._ask(sentence) or _ask_about_names(sentence) or Nothing()

    def _match_recipe(self, sentence: str) -> Matched | Asked | None:
        flat = _flatten(sentence)
        found: list[Matched] = []
        for recipe, pattern in self._recipes:
            match = pattern.fullmatch(flat)
            if match is not None:
                outcome = Matched(recipe, {name: value for name, value in match.groupdict().items() if value})
                if outcome not in found:
                    found.append(outcome)
        if len(found) > 1:
            return Asked("That can be read in more than one way. Which one?", tuple(say(each) for each in found[:3]))
        return found[0] if found else None

    def _ask_about_parts(self, sentence: str) -> Matched | Asked | None:
        """Several wishes in one sentence: name those that a recipe fits; never do one and drop the other."""
        parts = [_POLITE_HEAD.sub("", part) for part in _SPLIT.split(sentence) if part.strip()]
        if len(parts) < 2:  # noqa: PLR2004 - one part is the sentence itself
            return None
        doable = [self._match_recipe(_complete(part, parts[0])) for part in parts]
        combined = _combine(doable)
        if combined is not None:
            return combined
        options = tuple(dict.fromkeys(say(each) for each in doable if isinstance(each, Matched)))
        if not options or not isinstance(doable[0], Matched):
            return None
        if len(options) == len(parts):
            return Asked("That is more than one piece of work. Which one first?", options[:3])
        return Asked("Only this part of it fits a recipe; shall it be done alone?", options[:3], model_fits=True)

    def _ask(self, sentence: str) -> Asked | None:
        flat = _flatten(sentence)
        for row, pattern in self._questions:
            match = pattern.fullmatch(flat)
            if match is None:
                continue
            slots = {name: value for name, value in match.groupdict().items() if value}
            return Asked(
                row.text.format(**slots),
                tuple(option.format(**slots) for option in row.options),
                row.answer.format(**slots),
                row.model_fits,
            )
        return None


def _combine(doable: list[Matched | Asked | None]) -> Matched | None:
    """Return a piece of work followed by a test run as one piece of work: every plan runs the tests at its end."""
    if len(doable) != 2:  # noqa: PLR2004
        return None
    work, tests = doable
    if not isinstance(work, Matched) or not isinstance(tests, Matched):
        return None
    if tests.recipe != "run-tests" or work.recipe == "run-tests" or "test_path" in work.slots:
        return None
    return Matched(work.recipe, {**work.slots, **tests.slots})


def _ask_about_names(sentence: str) -> Asked | None:
    """Ask about a wish to rename that no template covers, unless a word says that it is none, or not all of it."""
    match = _RENAME_LIKE.search(_flatten(sentence))
    if match is None or _DOUBT.search(sentence):
        return None
    option = f"rename symbol {match['old']} to {match['new']}"
    return Asked("Is exactly this what you want?", (option, f"{option} and run the tests"))


def _complete(part: str, first: str) -> str:
    """Return `part` with the verb it shares with the first (`rename a to b and c to d`)."""
    if first.lower().startswith("rename ") and re.fullmatch(rf"{_NAME} (?:to|into|->) \S+", part):
        return f"rename {part}"
    return part


def _flatten(sentence: str) -> str:
    """Return the sentence as a run of space-led words."""
    sentence = re.sub(r"\s*->\s*", " -> ", sentence)
    return " " + " ".join(re.sub(r"[,;:](?=\s|$)|\.(?=\s)", " ", sentence).split())


def say(matched: Matched) -> str:
    """Return a full, canonical intent for a match."""
    slots = matched.slots
    where = f" in {slots['path']}" if "path" in slots else ""
    tests = f" in {slots['test_path']}" if "test_path" in slots else ""
    if matched.recipe == "run-tests":
        return f"run the tests{tests}"
    then = f" and run the tests{tests}" if tests else ""
    if matched.recipe == "rename-symbol":
        return f"rename symbol {slots['old']} to {slots['new']}{where}{then}"
    return f"{'format the code' if matched.recipe == 'format' else 'fix the lint findings'}{where}{then}"


def compile_template(template: str, macros: Mapping[str, str]) -> re.Pattern[str]:
    """Return the regular expression of a template; raises InternalError for a template that is no template."""
    expanded = template
    while match := re.search(r"<(\w+)>", expanded):
        if match[1] not in macros:
            raise InternalError(f"the phrasing table has no macro <{match[1]}>, used in {template!r}")
        expanded = expanded[: match.start()] + macros[match[1]] + expanded[match.end() :]
    tokens = iter(_TOKEN.findall(expanded))
    seen: set[str] = set()
    return re.compile("".join(_element(token, seen) for token in tokens), re.IGNORECASE)


def _element(token: str, seen: set[str]) -> str:
    fixed = {"[": "(?:", "(": "(?:", "|": "|", "]": ")?", ")": ")"}
    if token in fixed:
        return fixed[token]
    if token.startswith("{"):
        name = token.strip("{}")
        if name not in SLOTS:
            raise InternalError(f"the phrasing table has no slot {{{name}}}")
        if name in seen:
            return rf"\ (?:{SLOTS[name]})"
        seen.add(name)
        return rf"\ (?P<{name}>{SLOTS[name]})"
    return rf"\ {re.escape(token)}"
