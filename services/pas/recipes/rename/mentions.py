"""`rename-symbol`, part `mentions`: docstrings, comments, Markdown and reStructuredText.

It runs on the tree that part `code` left, so it looks up the symbol by its new name. A mention is renamed only where
nothing else can be meant: code formatting, `name(`, or a dotted path that leads to the symbol. Prose stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import libcst as cst

from services.pas.recipes.models import (
    LeftAlone,
    OccurrenceKind,
    RecipeOutcome,
    RenameParams,
    applied,
    identifier_problem,
    refuse,
)
from services.pas.recipes.rename.anchors import Edits, changed_anchors, link_edits
from services.pas.recipes.rename.code import first_broken
from services.pas.recipes.rename.family import Families
from services.pas.recipes.rename.inference import Inference
from services.pas.recipes.rename.leftovers import DOCUMENTS
from services.pas.recipes.rename.modules import SUFFIXES, Module, Project
from services.pas.recipes.rename.prose import Mention, mentions
from services.pas.recipes.rename.scopes import Scope
from services.pas.recipes.rename.target import TargetFinder
from services.pas.recipes.rename.values import Slot
from services.pas.recipes.source import SourceTree, Text

_QUOTES = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
_BINDS = r"^\s*{0}\s*(?::[^=\n]+)?=(?!=)|\bfor {0}\b|\bas {0}\b"
_ALIAS = r"\bimport ([\w.]+) as {0}\b"
_FROM_ALIAS = r"\bfrom ([\w.]+) import (?:[\w, ]+, )?(\w+) as {0}\b"


def apply(files: SourceTree, params: RenameParams) -> RecipeOutcome:
    """Rename the unambiguous mentions of a symbol that part `code` has renamed."""
    old, new = params.old.rpartition(".")[2], params.new
    problem = identifier_problem(new) or ("the new name is the old name" if old == new else None)
    if problem is not None:
        return refuse(problem)
    judge = _Judge(files, params)
    verdicts = [judge.file(path) for path in files.paths() if _may_mention(path) and old in files.read(path)]
    _follow_headings(verdicts)
    changed = {each.text.path: each.text.replace(each.edits) for each in verdicts if each.edits}
    broken = first_broken({path: text for path, text in changed.items() if path.endswith(SUFFIXES)})
    if broken is not None:
        return refuse(f"{broken} would no longer parse; nothing was changed")
    left = tuple(each for verdict in verdicts for each in verdict.left.values())
    return applied(changed, sum(len(each.edits) for each in verdicts), left)


def _may_mention(path: str) -> bool:
    return path.endswith((*DOCUMENTS, *SUFFIXES))


def _follow_headings(verdicts: list[_Verdicts]) -> None:
    """Point the links between documents to the headings that change."""
    documents = [each for each in verdicts if each.text.path.endswith(DOCUMENTS)]
    anchors = {each.text.path: changed_anchors(each.text, each.edits) for each in documents}
    for each in documents:
        for offset, edit in link_edits(each.text, anchors).items():
            each.edits[offset] = edit
            for inside in range(offset, offset + edit[0]):
                each.left.pop(inside, None)


@dataclass(frozen=True)
class _Region:
    """Text for people inside a file, at a byte offset."""

    offset: int
    text: str
    kind: OccurrenceKind


@dataclass
class _Verdicts:
    """The edits of one file and the mentions that stay, by byte offset."""

    text: Text
    edits: Edits = field(default_factory=dict)
    left: dict[int, LeftAlone] = field(default_factory=dict)


class _Judge:
    """Decides mentions with the tree at hand."""

    def __init__(self, files: SourceTree, params: RenameParams) -> None:
        self._owner, _, self._old = params.old.rpartition(".")
        self._new = params.new
        self._project = Project(files)
        self._inference = Inference(self._project)
        self._finder = self._finder_of(self._new)
        self._slots = self._reached(self._owner)
        self._is_member = any(slot.scope.kind == "class" for slot in self._slots)
        self._rest = self._finder_of(self._old).definitions(self._old)

    def _finder_of(self, name: str) -> TargetFinder:
        return TargetFinder(self._project, self._inference, Families(self._project, self._inference, name))

    def _reached(self, prefix: str) -> frozenset[Slot]:
        path = f"{prefix}.{self._new}" if prefix else self._new
        return self._finder.find(RenameParams(old=path, new=self._new)).slots

    def file(self, path: str) -> _Verdicts:
        """Return the edits of one file and the mentions that stay."""
        verdicts = _Verdicts(Text(path, self._project.text(path)))
        module = None if path.endswith(DOCUMENTS) else self._project.load(path)
        if module is None and not path.endswith(DOCUMENTS):
            for offset in verdicts.text.words(self._old):
                self._leave(verdicts, offset, "unparsable", self._project.broken[path])
        for region in _regions(module) if module is not None else _document(verdicts.text):
            for mention in mentions(region.text, self._old):
                offset = region.offset + len(region.text[: mention.start].encode())
                reason = self._objection(mention, module, offset)
                if reason is None:
                    verdicts.edits[offset] = (len(self._old.encode()), self._new)
                else:
                    self._leave(verdicts, offset, region.kind, reason)
        return verdicts

    def _leave(self, verdicts: _Verdicts, offset: int, kind: OccurrenceKind, reason: str) -> None:
        occurrence = verdicts.text.occurrence(offset, kind)
        verdicts.left[offset] = LeftAlone(occurrence=occurrence, reason=reason)

    def _objection(self, mention: Mention, module: Module | None, offset: int) -> str | None:
        """Return why a mention stays, or None when it is renamed."""
        if mention.prefix:
            return self._dotted(mention, module, offset)
        is_call = mention.after.startswith("(") and not mention.after.startswith("(s)")
        if mention.style != "code" and not is_call:
            return "a word in prose" if mention.style == "prose" else "code of another language"
        return self._bare(module, offset) or (self._in_code(mention) if mention.style == "code" else None)

    def _dotted(self, mention: Mention, module: Module | None, offset: int) -> str | None:
        prefix = _unalias(mention.prefix, mention.around)
        if prefix in ("self", "cls") and module is not None and self._is_member:
            around = _scopes_around(module, offset)
            if any(Slot(scope, self._new) in self._slots for scope in around):
                return None
        if f".{self._owner}".endswith(f".{prefix}") or (self._slots and self._reached(prefix) & self._slots):
            return None
        return f"qualified by {mention.prefix!r}, which does not lead to the renamed symbol"

    def _bare(self, module: Module | None, offset: int) -> str | None:
        if module is not None:
            for scope in (module.scope, *_scopes_around(module, offset)):
                if scope.holds(self._old) or Slot(scope, self._old) in self._rest:
                    return f"another {self._old!r} is defined around it"
        rivals = self._rest if self._is_member else [each for each in self._rest if each.scope.kind == "module"]
        if rivals:
            rival = self._finder.candidate(rivals[0])
            return f"ambiguous: {rival.qualified_name} ({rival.path}:{rival.line}) has the same name"
        return None

    def _in_code(self, mention: Mention) -> str | None:
        line_before = mention.before.rpartition("\n")[2]
        line = line_before + self._old + mention.after.partition("\n")[0]
        if any(start <= len(line_before) < end for start, end in (each.span() for each in _QUOTES.finditer(line))):
            return "inside a string of an example"
        if re.match(r"=(?!=)", mention.after) and not re.match(r"\s", mention.after[1:2] or " "):
            return "a keyword argument of an example"
        if re.search(_BINDS.format(re.escape(self._old)), mention.around, re.MULTILINE):
            return "the example binds a name of its own"
        return None


def _unalias(prefix: str, around: str) -> str:
    """Replace a module alias of an example by what the example says it imports."""
    head, dot, rest = prefix.partition(".")
    direct = re.search(_ALIAS.format(re.escape(head)), around)
    if direct is not None:
        return direct.group(1) + dot + rest
    named = re.search(_FROM_ALIAS.format(re.escape(head)), around)
    return f"{named.group(1)}.{named.group(2)}{dot}{rest}" if named is not None else prefix


def _document(text: Text) -> list[_Region]:
    return [_Region(0, text.content, "document")] if text.path.endswith(DOCUMENTS) else []


def _regions(module: Module) -> list[_Region]:
    """Return the docstrings and comments of a module."""
    found: list[_Region] = []
    kinds: list[tuple[cst.CSTNode, OccurrenceKind]] = [(node, "docstring") for node in module.facts.docstrings]
    kinds += [(node, "comment") for node in module.spans if isinstance(node, cst.Comment)]
    for node, kind in kinds:
        start, length = module.spans[node]
        found.append(_Region(start, module.text.data[start : start + length].decode(), kind))
    return sorted(found, key=lambda each: each.offset)


def _scopes_around(module: Module, offset: int) -> list[Scope]:
    """Return the classes and functions whose text holds an offset."""
    found: list[Scope] = []
    scopes = {binding.inner for each in module.facts.bound.values() for binding in each if binding.inner is not None}
    for scope in scopes:
        start, length = module.spans[scope.node] if scope.node is not None else (0, 0)
        if start <= offset < start + length:
            found.append(scope)
    return found
