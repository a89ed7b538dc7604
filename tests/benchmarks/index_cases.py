"""Issues with the commits that solved them: what was asked, at which commit, and which files and functions changed."""

import gzip
import json
import pickle
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pygit2

from services.vector_ops.core.view import FileRow, SymbolRow
from services.vector_ops.languages.catalogue import LANGUAGES, language_name, load_language
from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.source.repository import BlobMissingError, GitSource
from services.vector_ops.truth.contents import Content, Forms, read_content

FORKS = {
    "django/django": "felixxm/django",
    "scikit-learn/scikit-learn": "glemaitre/scikit-learn",
    "matplotlib/matplotlib": "timhoffm/matplotlib",
}
"""Forks with the same history, for repositories that are too large to fetch."""

_FUNCTIONS = frozenset({"function", "method"})
_HUNK = re.compile(r"@@ -(\d+)")
_KEPT_FACTS = 1_000


class Case(NamedTuple):
    """One issue: `edits` are the lines of the old files that its solution changed."""

    id: str
    repo: str
    commit: str
    text: str
    edits: dict[str, list[int]]


def read_cases(path: Path) -> list[Case]:
    """Return the rows of a SWE-bench file (JSON lines, gzipped)."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Case(row["instance_id"], row["repo"], row["base_commit"], row["problem_statement"], parse_edits(row["patch"]))
        for row in rows
    ]


def parse_edits(patch: str) -> dict[str, list[int]]:
    """Return path -> old lines that a patch deletes or writes after; files that it creates are left out."""
    edits: dict[str, list[int]] = {}
    path, line, is_block = "", 0, False
    for text in patch.split("\n"):
        hunk = _HUNK.match(text)
        if text.startswith("--- "):
            path = "" if text[4:].startswith("/dev/null") else text[6:].split("\t")[0]
        elif hunk and path:
            line, is_block = int(hunk[1]), False
            edits.setdefault(path, [])
        elif path and text.startswith("-"):
            edits[path].append(line)
            line, is_block = line + 1, True
        elif path and text.startswith("+") and not text.startswith("+++"):
            if not is_block:
                edits[path].append(max(line - 1, 1))
            is_block = True
        elif path and not text.startswith(("+++", "diff ", "index ")):
            line, is_block = line + 1, False
    return edits


def find_repository(mirrors: Path, repo: str) -> Path | None:
    """Return the git directory of a repository, its fork's if need be: OWNER+NAME/repo below `mirrors`, in any case."""
    wanted = FORKS.get(repo, repo).replace("/", "+").casefold()
    paths = (folder / "repo" for folder in mirrors.iterdir() if folder.name.casefold() == wanted)
    return next((path for path in paths if path.is_dir()), None)


@lru_cache(maxsize=1)
def spoken_languages() -> frozenset[str]:
    """Return the languages that this build can read; files of others are text."""
    return frozenset(name for name in _language_names() if _can_load(name))


def _language_names() -> Iterable[str]:
    return LANGUAGES


def _can_load(name: str) -> bool:
    try:
        load_language(name)
    except ModuleNotFoundError:
        return False
    return True


def name_language(path: str) -> str:
    """Return the language of a path as far as this build can read it."""
    name = language_name(path)
    return name if name in spoken_languages() else ""


@dataclass
class Contents:
    """The contents of one repository as the index stores them, by blob sha; each read once."""

    source: GitSource
    cache: Path | None = None

    def __post_init__(self) -> None:
        self._forms = Forms(load_language, name_language)
        is_kept = self.cache is not None and self.cache.exists()
        self._documents: dict[tuple[str, str], bytes] = pickle.loads(self.cache.read_bytes()) if is_kept else {}
        self._facts: dict[tuple[str, str], FileFacts] = {}

    def save(self) -> None:
        """Keep the documents for the next run."""
        if self.cache is not None:
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            self.cache.write_bytes(pickle.dumps(self._documents))

    def read(self, path: str, sha: str) -> Content:
        """Return everything that is stored of a content."""
        form = self._forms.form_of(path)
        return read_content(self._forms.language_of(form), form, self.source.read_blob(sha))

    def facts(self, path: str, sha: str) -> FileFacts:
        """Return its facts; the last are kept, as the next commit asks for most of them again."""
        key = sha, self._forms.form_of(path).key
        if key not in self._facts:
            if len(self._facts) >= _KEPT_FACTS:
                self._facts.clear()
            self._facts[key] = self.read(path, sha).facts
        return self._facts[key]

    def document(self, path: str, sha: str) -> bytes:
        """Return its document; empty when it is left out."""
        key = sha, self._forms.form_of(path).key
        if key not in self._documents:
            try:
                self._documents[key] = self.read(path, sha).document
            except BlobMissingError:  # public mirrors leave their largest files out
                self._documents[key] = b""
        return self._documents[key]


class CommitView:
    """As much of an `IndexView` of one commit as search reads, by the rules and readers of the index.

    It comes straight from git, which saves the resolution of references: search does not use them.
    """

    def __init__(self, contents: Contents, commit_sha: str) -> None:
        self._contents = contents
        self.commit_sha = self.epoch = commit_sha
        self.shas = dict(contents.source.list_blobs(commit_sha))

    def list_files(self) -> list[FileRow]:
        read = self._contents.document
        return [
            FileRow(number, path, sha, name_language(path), False, False, "" if read(path, sha) else "skipped")
            for number, (path, sha) in enumerate(sorted(self.shas.items()))
        ]

    def read_documents(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for path in paths:
            yield path, self._contents.document(path, self.shas[path])

    def read_facts(self, path: str) -> FileFacts:
        """Return the facts of one file."""
        return self._contents.facts(path, self.shas[path])

    def list_symbols(self, path: str) -> list[SymbolRow]:
        return [
            SymbolRow(hash((path, at)), path, at, *one[:7], one.signature, one.doc, one.is_test)
            for at, one in enumerate(self.read_facts(path).symbols)
        ]

    def find_symbols(self, names: object, limit: int = 500) -> list[SymbolRow]:
        """Return nothing: an issue is no name."""
        return []

    def find_symbols_like(self, name: str, limit: int = 20) -> list[str]:
        """Return nothing."""
        return []

    def is_function(self, path: str, at: int) -> bool:
        """Say whether a symbol is a function or a method."""
        return at >= 0 and self.read_facts(path).symbols[at].kind in _FUNCTIONS


def find_gold_files(view: CommitView, case: Case, git: pygit2.Repository) -> list[str]:
    """Return the changed files that were there before, indexed or not."""
    tree = git[case.commit].peel(pygit2.Tree)
    return sorted(path for path in case.edits if path in view.shas or path in tree)


def find_gold_functions(view: CommitView, case: Case) -> set[tuple[str, int]]:
    """Return (path, symbol) of the innermost function around each edit; edits outside functions name none."""
    gold: dict[tuple[str, int], None] = {}
    for path, lines in case.edits.items():
        if path not in view.shas:
            continue
        spans = defaultdict(list)
        for at, symbol in enumerate(view.read_facts(path).symbols):
            if symbol.kind in _FUNCTIONS:
                spans[symbol.start_line].append((symbol.end_line, at))
        for line in lines:
            inside = [(start, -end, at) for start, ends in spans.items() for end, at in ends if start <= line <= end]
            if inside:
                gold[path, max(inside)[2]] = None
    return set(gold)
