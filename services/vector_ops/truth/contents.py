"""From a content to what is stored of it: rules that leave it out, facts, and the document for full-text search."""

import logging
from typing import NamedTuple

from services.vector_ops.languages.catalogue import suffix_of
from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.language import Language
from services.vector_ops.lexical.documents import DOCUMENT_VERSION, encode_document
from services.vector_ops.truth.codec import encode_outline, encode_references
from services.vector_ops.truth.ports import LanguageName, LoadLanguage
from services.vector_ops.truth.skipping import READER_FAULTS, find_skip_rule

LOG = logging.getLogger("direng.vector_ops")
MISSING = "missing"
"""The repository does not have the content (a partial clone, a damaged one); it is read when it has it."""

MISSING_MARK = "!missing"


class Form(NamedTuple):
    """How a path's content is read: its key tells language, suffix and versions apart."""

    key: str
    language: str
    suffix: str


class Content(NamedTuple):
    """What is stored of a content."""

    facts: FileFacts
    outline: bytes
    references: bytes
    document: bytes


class Forms:
    """Knows the form of every path; loads a language when its first file is met."""

    def __init__(self, load_language: LoadLanguage, language_name: LanguageName) -> None:
        self.load_language = load_language
        self._language_name = language_name
        self._forms: dict[tuple[str, str], Form] = {}

    def form_of(self, path: str) -> Form:
        """Return the form of a path; raise GrammarMissingError."""
        name = self._language_name(path)
        suffix = suffix_of(path) if name else ""
        form = self._forms.get((name, suffix))
        if form is None:
            version = f"{self.load_language(name).version}." if name else ""
            form = self._forms[name, suffix] = Form(f"{name}{suffix}:{version}{DOCUMENT_VERSION}", name, suffix)
        return form

    def language_of(self, form: Form) -> Language | None:
        """Return the language of a form; None for text."""
        return self.load_language(form.language) if form.language else None


def stored_key(form: Form, content: Content) -> str:
    """Return the key under which a content is stored: one that is missing has its own, so that it is read later."""
    return f"{form.key}{MISSING_MARK}" if content.facts.skipped == MISSING else form.key


def is_missing_key(key: str) -> bool:
    """Return whether a content was missing when it was to be read."""
    return key.endswith(MISSING_MARK)


def read_content(language: Language | None, form: Form, content: bytes, rule: str = "") -> Content:
    """Return what is stored of a content; `rule` says that it was left out before it was read."""
    rule = rule or find_skip_rule(content)
    if rule:
        facts = FileFacts(form.language, skipped=rule)
        return Content(facts, encode_outline(facts), b"", b"")
    facts = _extract(language, form, content) if language is not None else FileFacts("")
    document = encode_document(facts, content.decode("utf-8"))
    return Content(facts, encode_outline(facts), encode_references(facts), document)


def _extract(language: Language, form: Form, content: bytes) -> FileFacts:
    try:
        return language.extract(form.suffix, content)
    except READER_FAULTS:
        # A fault of ours in one file must not cost a repository its index: the file stays findable by its words.
        LOG.exception("a file of %s could not be read for symbols; it is searched as text", form.language)
        return FileFacts(form.language)
