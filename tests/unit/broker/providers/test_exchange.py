"""What the guard of a connection remembers, and how texts of providers are made fit to be shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.broker.providers.exchange import (
    MAX_ERROR_BYTES,
    MAX_EVENT_BYTES,
    MAX_REPLY_BYTES,
    MAX_STREAM_BYTES,
    MEBIBYTE,
    TAIL_BYTES,
    Exchange,
    scrub,
)

KEY = "sk-proj-abcdefghij0123456789"
STREAM = {"content-type": "text/event-stream; charset=utf-8"}


def pour(exchange, part, times):
    return [exchange.note_part(part) for _ in range(times)]


def test_whole_reply_is_bounded():
    allowed = pour(Exchange(status=200), b"x" * MEBIBYTE, MAX_REPLY_BYTES // MEBIBYTE + 1)
    assert allowed == [True] * (MAX_REPLY_BYTES // MEBIBYTE) + [False]


def test_stream_may_be_longer_but_is_bounded_too():
    event = b"x" * (MEBIBYTE - 1) + b"\n"
    allowed = pour(Exchange(status=200, headers=STREAM), event, MAX_STREAM_BYTES // MEBIBYTE + 1)
    assert allowed == [True] * (MAX_STREAM_BYTES // MEBIBYTE) + [False]


def test_one_event_is_bounded():
    allowed = pour(Exchange(status=200, headers=STREAM), b"x" * MEBIBYTE, MAX_EVENT_BYTES // MEBIBYTE + 1)
    assert allowed == [True] * (MAX_EVENT_BYTES // MEBIBYTE) + [False]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=6))
def test_tail_is_the_end_of_all_parts(parts):
    exchange = Exchange(status=200)
    for part in parts:
        exchange.note_part(part)
    whole = b"".join(parts)
    assert exchange.tail == whole[-TAIL_BYTES:]
    assert exchange.size_bytes == len(whole)
    assert exchange.error_body == b""


def test_body_of_an_error_is_kept_up_to_its_bound():
    exchange = Exchange(status=500)
    pour(exchange, b"x" * 50_000, 3)
    assert len(exchange.error_body) == MAX_ERROR_BYTES


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "No."}}', "No."),
        (b'[{"error": {"message": "No."}}]', "No."),
        (b'{"error": "No."}', "No."),
        (b'{"message": "No."}', "No."),
        (b'{"detail": "No."}', "No."),
        (b'{"detail": [1]}', '{"detail": [1]}'),
        (b'"No."', "No."),
        (b"<html>No.</html>", "<html>No.</html>"),
        (b"", ""),
        (b"\xff", "\ufffd"),
        (b"[" * 60_000, "[" * 60_000),
    ],
    ids=lambda value: str(value)[:30],
)
def test_message_is_found_in_any_shape_of_error(body, said):
    exchange = Exchange(status=400)
    exchange.note_part(body)
    assert exchange.error_text == said


@pytest.mark.parametrize(
    "echo", [KEY, f"{KEY[:7]}****{KEY[-4:]}", f"sk-p*******{KEY[-4:]}", f"'{KEY}'", f"{KEY[:5]}\n{KEY}"]
)
def test_key_is_taken_out_in_every_form_that_providers_echo(echo):
    assert KEY[-4:] not in scrub(f"Incorrect API key provided: {echo}. See the docs.", KEY)


def test_text_becomes_one_short_line():
    assert scrub("a\n\tb\u2028c\x00d  ", KEY) == "a b c d"
    assert len(scrub("x" * 1000, KEY)) == 300
    assert scrub("x" * 1000, KEY).endswith("…")


def test_short_secret_does_not_tear_words_apart():
    assert scrub("a call without a key", "") == "a call without a key"
    assert scrub("a call", "a") == "a call"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=50), st.text(max_size=50), st.text(min_size=6, max_size=30).filter(str.isprintable))
def test_no_line_ever_holds_the_key(before, after, key):
    line = scrub(before + key + after, key)
    assert key not in line
    assert "\n" not in line
