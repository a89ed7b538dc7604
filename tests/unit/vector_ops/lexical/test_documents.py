import numpy as np
import pytest

from services.vector_ops.languages.facts import FILE, FileFacts, Symbol
from services.vector_ops.lexical.documents import (
    OWN_NAME,
    OWNER_NAME,
    Document,
    DocumentError,
    decode_document,
    encode_document,
)
from services.vector_ops.lexical.terms import hash_term

SOURCE = """import os
LIMIT = 3

class HttpServer:
    port = 80

    @cached
    def sendAll(self, data):
        def inner():
            return data
        return inner

    host = "localhost"

def start_server():
    return HttpServer()
"""


def symbol(name, qualname, kind, line, *lines):
    start, end, owner = (*lines, FILE)[:3]
    return Symbol(name, qualname, kind, line, 1, start, end, owner)


FACTS = FileFacts(
    "python",
    (
        symbol("LIMIT", "LIMIT", "variable", 2, 2, 2),
        symbol("HttpServer", "HttpServer", "class", 4, 4, 13),
        symbol("port", "HttpServer.port", "attribute", 5, 5, 5, 1),
        symbol("sendAll", "HttpServer.sendAll", "method", 8, 7, 11, 1),
        symbol("inner", "HttpServer.sendAll.inner", "function", 9, 9, 10, 3),
        symbol("start_server", "start_server", "function", 15, 15, 16),
    ),
)


def places(document: Document) -> list[tuple[int, int, int]]:
    return list(zip(document.at.tolist(), document.start_line.tolist(), document.end_line.tolist(), strict=True))


def bag(document: Document, chunk: int) -> dict[int, int]:
    start = document.ends[chunk - 1] if chunk else 0
    return {
        int(document.vocabulary[document.term[j]]): int(document.counts[j]) for j in range(start, document.ends[chunk])
    }


def names(document: Document, chunk: int) -> dict[int, int]:
    start = document.name_ends[chunk - 1] if chunk else 0
    return {
        int(document.vocabulary[document.name_term[j]]): int(document.name_flags[j])
        for j in range(start, document.name_ends[chunk])
    }


def read(facts: FileFacts, text: str) -> Document:
    return decode_document(encode_document(facts, text))


def test_functions_carry_their_decorators_and_what_is_nested_in_them():
    assert places(read(FACTS, SOURCE)) == [(-1, 1, 3), (1, 4, 6), (3, 7, 11), (1, 12, 14), (5, 15, 17)]


def test_terms_are_whole_identifiers_and_their_parts_with_counts():
    found = bag(read(FACTS, SOURCE), 2)
    assert found[hash_term("sendall")] == 1
    assert found[hash_term("send")] == 1
    assert found[hash_term("inner")] == 2
    assert found[hash_term("data")] == 2
    assert hash_term("self") not in found


def test_names_say_whether_they_are_defined_there_or_around_it():
    found = names(read(FACTS, SOURCE), 2)
    assert found[hash_term("sendall")] & OWN_NAME
    assert found[hash_term("httpserver")] == OWNER_NAME


def test_the_same_content_gives_the_same_bytes():
    assert encode_document(FACTS, SOURCE) == encode_document(FACTS, SOURCE)


def test_a_moved_function_keeps_its_text_hash():
    moved = FACTS._replace(
        symbols=tuple(
            s._replace(line=s.line + 2, start_line=s.start_line + 2, end_line=s.end_line + 2) for s in FACTS.symbols
        )
    )
    before, after = read(FACTS, SOURCE), read(moved, "# one\n# two\n" + SOURCE)
    assert before.text_hash[2] == after.text_hash[2]
    assert before.text_hash[0] != after.text_hash[0]


def test_a_long_function_is_cut_and_keeps_its_symbol():
    facts = FileFacts("python", (symbol("long", "long", "function", 1, 1, 250),))
    found = places(read(facts, "\n".join(f"line{i} = {i}" for i in range(250))))
    assert [at for at, _start, _end in found] == [0, 0, 0]
    assert found[0][1] == 1
    assert found[-1][2] == 250


@pytest.mark.parametrize(
    "text", ["", "\n", "x", "\n\n\n", "\r\n", "# Title\n" * 500, "a" * 200_000, "日本語 テスト", "\ud800"]
)
def test_chunks_of_text_cover_every_line_once(text):
    document = read(FileFacts(""), text)
    covered = [n for _at, start, end in places(document) for n in range(start, end + 1)]
    assert covered == list(range(1, text.count("\n") + 2))


def test_symbols_whose_lines_overlap_or_lie_outside_do_not_break_the_cover():
    facts = FileFacts(
        "javascript",
        (
            symbol("a", "a", "function", 1, 1, 2),
            symbol("b", "b", "function", 2, 2, 3),
            symbol("C", "C", "class", 2, 2, 9),
            symbol("d", "d", "function", 40, 40, 50),
        ),
    )
    covered = [n for _at, start, end in places(read(facts, "x y\nz\nw\nv")) for n in range(start, end + 1)]
    assert covered == [1, 2, 3, 4]


def test_counts_are_clipped_where_a_byte_ends():
    assert bag(read(FileFacts(""), "word " * 1_000), 0) == {hash_term("word"): 255}


@pytest.mark.parametrize("data", [b"", b"short", b"\0" * 64, encode_document(FACTS, SOURCE)[:-1]])
def test_bytes_that_are_no_document_are_refused(data):
    with pytest.raises(DocumentError, match="index the file again"):
        decode_document(data)


def test_many_different_terms_take_wider_indexes():
    text = "\n".join(f"term{i}x" for i in range(70_000))
    document = read(FileFacts(""), text)
    assert len(document.vocabulary) > 65_536
    assert np.all(np.diff(document.vocabulary.astype(np.int64)) > 0)
    assert bag(document, 0)[hash_term("term7x")] == 1
