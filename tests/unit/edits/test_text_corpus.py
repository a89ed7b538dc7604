"""Zero silent mis-applications: edits with the defects that models make, on real and on made-up sources."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.edits.text_blocks import Block, apply_blocks
from services.edits.text_diff import parse_diff
from services.edits.text_document import open_document
from services.edits.text_errors import TextEditRefusedError
from services.edits.text_hunks import apply_diff
from services.edits.text_match import How, find_places
from tests.benchmarks.edit_corpus import DEFECTS, find_sources, make_cases, read_lines

CASES = 25
ALWAYS_RIGHT = {
    "none",
    "trailing spaces",
    "trailing spaces in the file",
    "uniform outdent",
    "first line unindented",
    "tabs for spaces",
    "CRLF file",
    "leading blank line",
    "diff, wrong numbers",
    "diff, trailing spaces in context",
}


@pytest.fixture(scope="module")
def sources():
    return [lines for path in find_sources(is_wide=False) if (lines := read_lines(path))]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_no_edit_of_a_real_file_is_silently_wrong(sources, defect):
    cases = make_cases(defect, CASES, sources, seed=7)
    outcomes = [case.judge() for case in cases]
    assert len(cases) == CASES
    assert "wrong" not in outcomes
    if cases[0].kind in ALWAYS_RIGHT:
        assert set(outcomes) == {"right"}
    if cases[0].right is None:
        assert set(outcomes) == {"refused"}


_WORDS = st.sampled_from(["a", "b", "c = 1", "}", "", "def f():"])
_LINE = st.builds(lambda depth, word: "    " * depth + word if word else "", st.integers(0, 2), _WORDS)


@st.composite
def _edits(draw):
    """Draw a file of few and repeated lines, a block of it, what it becomes, and the block as a model would copy it."""
    lines = draw(st.lists(_LINE, min_size=2, max_size=14))
    start = draw(st.integers(0, len(lines) - 2))
    stop = draw(st.integers(start + 1, len(lines)))
    old = lines[start:stop]
    assume(any(line.strip() for line in old))
    new = list(old)
    new[draw(st.integers(0, len(new) - 1))] = draw(st.sampled_from(["new = 1", "    new = 2", "        new = 3"]))
    assume(new != old)
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    before = newline.join(lines) + newline
    after = newline.join([*lines[:start], *new, *lines[stop:]]) + newline
    return before, after, old, new


def _spoil(kind, lines):
    depth = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return {
        "none": lines,
        "trailing": [f"{line} " for line in lines],
        "outdent": [line[depth:] for line in lines],
        "indent": [f"    {line}" if line else line for line in lines],
        "tabs": [line.replace("    ", "\t") for line in lines],
    }[kind]


@given(_edits(), st.sampled_from(["none", "trailing", "outdent", "indent", "tabs"]))
@settings(max_examples=400, deadline=None)
def test_no_edit_of_a_file_of_repeated_lines_is_silently_wrong(edit, kind):
    before, after, old, new = edit
    depth = min(len(line) - len(line.lstrip()) for line in old if line.strip())
    assume(kind != "outdent" or all(not line.strip() or line[:depth].isspace() or not depth for line in new))
    assume(kind != "tabs" or "\n  " in f"\n{before}")  # a file that is not indented shows nothing
    search = _spoil(kind, old)
    replace = [line[depth:] for line in new] if kind == "outdent" else _spoil(kind, new)
    stricter = find_places(open_document("x", before), tuple(search))
    assume(not (kind in {"outdent", "indent"} and stricter and stricter[0].how in {How.EXACT, How.TRAILING}))
    try:
        done = apply_blocks({"x": before.encode()}, [Block("x", _join(search), _join(replace))])
    except TextEditRefusedError:
        return
    result = done.contents["x"].decode()
    assert _plain(result) == _plain(after)
    assert result.count("\r\n") in {0, result.count("\n")}


@given(_edits(), st.integers(0, 20), st.integers(0, 9))
@settings(max_examples=300, deadline=None)
def test_no_diff_with_wrong_numbers_is_silently_wrong(edit, stated, count):
    before, after, old, new = edit
    index = next(at for at in range(len(old)) if old[at] != new[at])
    body = [*(f" {line}" for line in old[:index]), f"-{old[index]}", f"+{new[index]}"]
    body += [f" {line}" for line in old[index + 1 :]]
    head = f"@@ -{stated},{count} +{count},{stated} @@"
    try:
        done = apply_diff({"x": before.encode()}, parse_diff(_join(["--- a/x", "+++ b/x", head, *body])))
    except TextEditRefusedError:
        return
    assert done.contents["x"] == after.encode()


@st.composite
def _elisions(draw):
    """Draw a file, its right result, and SEARCH and REPLACE whose middle is left out."""
    top, middle, bottom = (draw(st.lists(_LINE, min_size=1, max_size=4)) for _ in range(3))
    above, below = (draw(st.lists(_LINE, max_size=5)) for _ in range(2))
    new = [*top[:-1], draw(st.sampled_from(["new = 1", "    new = 2"]))]
    before, after = (_join([*above, *part, *middle, *bottom, *below]) for part in (top, new))
    return before, after, _join([*top, "...", *bottom]), _join([*new, "...", *bottom])


@given(_elisions())
@settings(max_examples=400, deadline=None)
def test_no_elided_edit_of_repeated_lines_is_silently_wrong(edit):
    before, after, search, replace = edit
    try:
        done = apply_blocks({"x.py": before.encode()}, [Block("x.py", search, replace)])
    except TextEditRefusedError:
        return
    assert _plain(done.contents["x.py"].decode()) == _plain(after)


def _join(lines):
    return "".join(f"{line}\n" for line in lines)


def _plain(text):
    return [line.rstrip() for line in text.split("\n")]


@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_edited_or_refused_and_never_raises_otherwise(before, search, replace):
    try:
        done = apply_blocks({"x": before.encode("utf-8", "surrogatepass")}, [Block("x", search, replace)])
    except TextEditRefusedError as refused:
        assert "\n" not in refused.line or "\n" in search + replace  # noqa: PT017 - both ends are good ends
        return
    assert done.contents["x"] != before.encode("utf-8", "surrogatepass")
