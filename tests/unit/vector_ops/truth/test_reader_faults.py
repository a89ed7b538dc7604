"""A mistake in one language's reader costs one file its symbols, never the repository its index."""

import pytest

from services.vector_ops.languages.grammars import GrammarMissingError
from services.vector_ops.languages.python.language import LANGUAGE
from services.vector_ops.truth.contents import Form, read_content

FORM = Form("form", "python", ".py")


class Failing:
    """A reader with a mistake: everything else is the real language's."""

    def __getattr__(self, name):
        return getattr(LANGUAGE, name)

    def extract(self, suffix, content):
        return [][len(content)]


def test_a_file_whose_reading_fails_is_still_found_by_its_words(caplog):
    content = read_content(Failing(), FORM, b"def total(): ...\n")
    assert (content.facts.symbols, content.facts.skipped) == ((), "")
    assert content.document
    assert "could not be read for symbols" in caplog.text


def test_a_missing_grammar_is_no_such_mistake():
    class Missing(Failing):
        def extract(self, suffix, content):
            raise GrammarMissingError("reinstall it")

    with pytest.raises(GrammarMissingError):
        read_content(Missing(), FORM, b"def total(): ...\n")
