"""The size rule and the reading of questions."""

import pytest

from services.direng.core.questions import read_question
from services.direng.core.sizing import Route, Size, decide_route, split_estimate_request
from services.direng.models import Handling
from services.vector_ops.models import QueryKind


@pytest.mark.parametrize(
    ("files", "minutes", "route"),
    [
        (0, None, Route.DIRECT),
        (3, None, Route.DIRECT),
        (3, 4.9, Route.DIRECT),
        (3, 5.0, Route.ASK),
        (4, None, Route.ASK),
        (9, 1.0, Route.ASK),
        (10, None, Route.DELEGATE),
        (1, 30.0, Route.DELEGATE),
        (None, None, Route.ASK),
    ],
)
def test_size_decides_the_route(files, minutes, route):
    decision = decide_route(Size(files, minutes), Handling.AUTO)
    assert decision.route is route
    assert decision.reason


def test_the_users_word_beats_the_size():
    assert decide_route(Size(100, 60), Handling.DIRECT).route is Route.DIRECT
    assert decide_route(Size(1, None), Handling.DELEGATE).route is Route.DELEGATE
    assert decide_route(Size(1, None, asks_for_estimate=True), Handling.AUTO).route is Route.DELEGATE


@pytest.mark.parametrize(
    ("text", "work", "asks"),
    [
        ("estimate: rename foo to bar", "rename foo to bar", True),
        ("rename foo to bar, with an estimate", "rename foo to bar", True),
        ("rename foo to bar within a budget", "rename foo to bar", True),
        ("rename estimate to forecast", "rename estimate to forecast", False),
        ("rename foo to bar", "rename foo to bar", False),
    ],
)
def test_words_that_ask_for_an_estimate_are_split_off(text, work, asks):
    assert split_estimate_request(text) == (work, asks)


@pytest.mark.parametrize(
    ("text", "kind", "symbol"),
    [
        ("where is foo", QueryKind.WHERE_DEFINED, "foo"),
        ("Where is `pkg.mod.Foo` defined?", QueryKind.WHERE_DEFINED, "pkg.mod.Foo"),
        ("where is the function foo() defined", QueryKind.WHERE_DEFINED, "foo"),
        ("where is foo used?", QueryKind.WHO_CALLS, "foo"),
        ("where foo", QueryKind.WHERE_DEFINED, "foo"),
        ("who calls foo?", QueryKind.WHO_CALLS, "foo"),
        ("callers of Foo.bar", QueryKind.WHO_CALLS, "Foo.bar"),
        ("who foo", QueryKind.WHO_CALLS, "foo"),
        ("what breaks if I change foo", QueryKind.IMPACT_SET, "foo"),
        ("what breaks if foo changes?", QueryKind.IMPACT_SET, "foo"),
        ("what depends on foo", QueryKind.IMPACT_SET, "foo"),
        ("impact of foo", QueryKind.IMPACT_SET, "foo"),
        ("search retry with jitter", QueryKind.SEARCH, "retry with jitter"),
        ("find code that parses dates", QueryKind.SEARCH, "parses dates"),
    ],
)
def test_question_is_read(text, kind, symbol):
    question = read_question(text)
    assert (question.kind, question.text) == (kind, symbol)


@pytest.mark.parametrize(
    "text", ["rename foo to bar", "run the tests", "format the code", "where", "why is foo slow", "who are you really"]
)
def test_other_words_are_no_question(text):
    assert read_question(text) is None
