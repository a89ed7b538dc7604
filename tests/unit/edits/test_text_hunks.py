"""Unified diffs by context: right, or refused; line numbers and counts are not believed."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.edits.text_diff import parse_diff
from services.edits.text_errors import Refusal, TextEditRefusedError
from services.edits.text_hunks import apply_diff

OLD = "one\ntwo\nthree\nfour\nfive\nsix\n"


def apply(diff, files=None, **options):
    given_files = {"a.py": OLD.encode()} if files is None else files
    return apply_diff(given_files, parse_diff(diff), **options).contents


def refuse(diff, files=None, **options):
    with pytest.raises(TextEditRefusedError) as caught:
        apply(diff, files, **options)
    assert "\n" not in caught.value.line
    return caught.value


def diff_of(*body, head="@@ -1,3 +1,3 @@", path="a.py"):
    return "\n".join([f"--- a/{path}", f"+++ b/{path}", head, *body, ""])


@pytest.mark.parametrize("head", ["@@ -2,3 +2,3 @@", "@@ -99,1 +7,12 @@ def f", "@@", "@@ ... @@", "@@ -2 +2 @@"])
def test_context_decides_whatever_the_header_says(head):
    done = apply(diff_of(" two", "-three", "+THREE", " four", head=head))
    assert done == {"a.py": b"one\ntwo\nTHREE\nfour\nfive\nsix\n"}


def test_plain_names_fences_and_lost_spaces_are_understood():
    text = "```diff\n--- a.py\n+++ a.py\n@@ -1 +1 @@\n one\n\n-two\n+TWO\n```\n"
    assert apply(text, {"a.py": b"one\n\ntwo\n"}) == {"a.py": b"one\n\nTWO\n"}
    crlf = diff_of(" one", "-two", "+TWO").replace("\n", "\r\n")
    assert apply(crlf) == {"a.py": OLD.replace("two", "TWO").encode()}


def test_several_files_are_changed_made_removed_and_renamed_together():
    diff = (
        "diff --git a/a.py b/a.py\nindex 1..2 100644\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n"
        "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+new\n"
        "\\ No newline at end of file\n"
        "diff --git a/gone.py b/gone.py\ndeleted file mode 100644\n--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"
        "diff --git a/from.py b/to.py\nsimilarity index 50%\nrename from from.py\nrename to to.py\n"
        "--- a/from.py\n+++ b/to.py\n@@ -1 +1 @@\n-x\n+y\n"
    )
    files = {"a.py": OLD.encode(), "gone.py": b"gone\n", "from.py": b"x\n"}
    assert apply(diff, files) == {
        "a.py": OLD.replace("one", "ONE").encode(),
        "new.py": b"new",
        "gone.py": None,
        "from.py": None,
        "to.py": b"y\n",
    }
    assert refuse(diff, files | {"from.py": b"z\n"}).reason is Refusal.NOT_FOUND


def test_removed_comment_lines_are_no_file_headers():
    sql = b"a\n-- old\nb\n"
    assert apply("--- q.sql\n+++ q.sql\n@@ -1,3 +1,3 @@\n a\n--- old\n+++ new\n b\n", {"q.sql": sql}) == {
        "q.sql": b"a\n++ new\nb\n"
    }
    text = "--- q.sql\n+++ q.sql\n@@ -1,2 +1,2 @@\n a\n--- old\n+++ new\n@@ -3 +3 @@\n-b\n+c\n"
    assert apply(text, {"q.sql": sql}) == {"q.sql": b"a\n++ new\nc\n"}


def test_line_number_chooses_only_among_exact_places_and_only_when_it_names_one():
    twice = {"a.py": b"x\ny\nz\nx\ny\n"}
    right = diff_of(" x", "-y", "+Y", head="@@ -4,2 +4,2 @@")
    assert apply(right, twice, unchanged={"a.py"}) == {"a.py": b"x\ny\nz\nx\nY\n"}
    assert refuse(right, twice).reason is Refusal.AMBIGUOUS
    for head in ("@@ -3,2 +3,2 @@", "@@"):
        diff = diff_of(" x", "-y", "+Y", head=head)
        assert refuse(diff, twice, unchanged={"a.py"}).reason is Refusal.AMBIGUOUS
    spaced = {"a.py": b"x \ny\nz\nx \ny\n"}
    assert refuse(right, spaced, unchanged={"a.py"}).reason is Refusal.AMBIGUOUS


def test_hunk_without_context_needs_a_line_number_and_an_unchanged_file():
    diff = diff_of("+new", head="@@ -2,0 +3 @@")
    assert apply(diff, unchanged={"a.py"}) == {"a.py": OLD.replace("two\n", "two\nnew\n").encode()}
    assert refuse(diff).reason is Refusal.AMBIGUOUS
    assert refuse(diff_of("+new", head="@@"), unchanged={"a.py"}).reason is Refusal.AMBIGUOUS
    assert refuse(diff_of("+new", head="@@ -2,3 +3,4 @@"), unchanged={"a.py"}).reason is Refusal.AMBIGUOUS
    assert refuse(diff_of("+new", head="@@ -20,0 +21 @@"), unchanged={"a.py"}).reason is Refusal.NOT_FOUND
    assert apply(diff_of("+new", head="@@ -0,0 +1 @@"), {"a.py": b""}) == {"a.py": b"new\n"}


def test_marks_of_a_missing_final_newline_are_followed():
    mark = "\\ No newline at end of file"
    assert apply(diff_of(" five", "-six", "+six", mark)) == {"a.py": OLD.removesuffix("\n").encode()}
    bare = {"a.py": b"a\nb"}
    assert apply(diff_of(" a", "-b", mark, "+b", "+c"), bare) == {"a.py": b"a\nb\nc\n"}
    assert apply(diff_of("-a", "+A", " b", mark), bare) == {"a.py": b"A\nb"}
    assert refuse(diff_of("-two", mark, "+TWO")).reason is Refusal.NOT_FOUND


@pytest.mark.parametrize(
    ("diff", "words"),
    [
        ("", "no file header"),
        ("just words", "no file header"),
        ("*** Begin Patch\n*** Update File: a.py\n", "no unified diff"),
        ("@@ -1 +1 @@\n-a\n+b\n", "before any file header"),
        ("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\none\n+two\n", "begins with neither space"),
        ("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n one\n", "adds and removes nothing"),
        ("--- a/a.py\n+++ b/b.py\n@@ -1 +1 @@\n-one\n+two\n", "rename from"),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "modes cannot be changed"),
        ("diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n", "plain ones"),
        ("diff --git a/x b/x\nGIT binary patch\n", "binary"),
        ("diff --git a/x b/y\ncopy from x\ncopy to y\n", "copies"),
    ],
)
def test_what_is_no_unified_diff_is_refused_with_what_is(diff, words):
    refused = refuse(diff)
    assert refused.reason is Refusal.MALFORMED
    assert words in refused.line


def test_files_that_do_not_fit_the_diff_are_refused():
    assert refuse("--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x\n").reason is Refusal.FILE_EXISTS
    assert refuse("--- a/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n").reason is Refusal.NOT_FOUND
    assert refuse(diff_of("-x", "+y", path="b.py"), known=["a.py"]).reason is Refusal.NO_SUCH_FILE
    assert refuse(diff_of(" one", "-two", "+TWO"), stale={"a.py"}).reason is Refusal.STALE
    applied = {"a.py": OLD.replace("two", "TWO and more").encode()}
    assert refuse(diff_of(" one", "-two", "+TWO and more"), applied).reason is Refusal.ALREADY_APPLIED


def test_insertion_sent_twice_is_not_applied_twice():
    diff = diff_of(" five", " six", "+seven")
    once = apply(diff)["a.py"]
    assert refuse(diff, {"a.py": once}).reason is Refusal.ALREADY_APPLIED


def test_names_that_git_quotes_are_read():
    quoted = '--- "a/f\\303\\251.py"\n+++ "b/f\\303\\251.py"\n@@ -1 +1 @@\n-x\n+y\n'
    assert apply(quoted, {"f\u00e9.py": b"x\n"}) == {"f\u00e9.py": b"y\n"}


_LINES = st.lists(st.sampled_from(["a", "b", "  c", "", "-- d", "\td", "++ e"]), max_size=12)


_SIDE = st.tuples(_LINES, st.booleans())


@given(_SIDE, _SIDE, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_diffs_that_git_makes_give_the_new_file_or_a_refusal(tmp_path_factory, old, new, context):
    folder = tmp_path_factory.mktemp("git")
    before, after = (("\n".join(lines) + ("\n" if ends and lines else "")).encode() for lines, ends in (old, new))
    (folder / "old").write_bytes(before)
    (folder / "new").write_bytes(after)
    command = ["git", "diff", "--no-index", "--no-color", "--no-ext-diff", f"-U{context}", "old", "new"]
    diff = subprocess.run(command, cwd=folder, capture_output=True, check=False).stdout.decode()
    if not diff:
        return
    patches = parse_diff(diff.replace("a/old", "a/x").replace("b/new", "b/x"))
    try:
        result = apply_diff({"x": before}, patches, unchanged={"x"}).contents["x"]
    except TextEditRefusedError:
        return
    assert result == after
