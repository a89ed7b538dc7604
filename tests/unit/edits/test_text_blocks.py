"""Search/replace blocks: right, or refused with what is right; never silently wrong."""

import pytest

from services.edits.text_blocks import Block, apply_blocks
from services.edits.text_errors import Refusal, TextEditRefusedError

SHAPES = (
    "class Shape:\n"
    "    def area(self):\n"
    "        width = self.width\n"
    "        return width * self.height\n"
    "\n"
    "    def scale(self, factor):\n"
    "        self.width *= factor\n"
    "        return self\n"
)


def edit(before, search, replace, path="a.py", **options):
    files = {path: before if isinstance(before, bytes) else before.encode()}
    return apply_blocks(files, [Block(path, search, replace)], **options).contents[path].decode()


def refuse(before, search, replace, path="a.py", **options):
    with pytest.raises(TextEditRefusedError) as caught:
        edit(before, search, replace, path, **options)
    assert "\n" not in caught.value.line
    return caught.value


def test_exact_whole_lines_are_replaced():
    assert edit("a\nb\nc\n", "b\n", "B\n") == "a\nB\nc\n"
    assert edit("a\nb\nc", "c", "C\nd") == "a\nb\nC\nd"
    assert edit("a\nb\nc\n", "b", "") == "a\nc\n"
    assert edit("a\n\fb\u2028c\nd\n", "d", "D") == "a\n\fb\u2028c\nD\n"


@pytest.mark.parametrize(
    ("before", "search", "replace", "after"),
    [
        ("a\r\nb\r\nc\r\n", "b", "B\nx", "a\r\nB\r\nx\r\nc\r\n"),
        ("a\r\nb\nc\r\n", "a\nb", "a\nB", "a\r\nB\r\nc\r\n"),
        ("\ufeffa\nb\n", "a", "A", "\ufeffA\nb\n"),
        ("a\nb", "b\n", "B\n", "a\nB"),
        ("a\nb\n", "a\r\nb\r\n", "A\r\nb\r\n", "A\nb\n"),
    ],
)
def test_line_ends_byte_order_mark_and_final_newline_stay_the_files_own(before, search, replace, after):
    assert edit(before, search, replace) == after


def test_bytes_that_are_no_utf8_survive_an_edit_elsewhere():
    files = {"a.txt": b"caf\xe9\nx\n"}
    assert apply_blocks(files, [Block("a.txt", "x", "y")]).contents["a.txt"] == b"caf\xe9\ny\n"


def test_trailing_spaces_are_looked_past_and_the_files_kept():
    assert edit("a  \nb\nc\n", "a\nb   ", "a\nB") == "a  \nB\nc\n"


def test_one_indentation_of_the_whole_block_is_followed():
    search = "def area(self):\n    width = self.width\n    return width * self.height"
    replace = "def area(self):\n    if self.flat:\n        return 0\n    return self.width * self.height"
    after = edit(SHAPES, search, replace)
    assert "    def area(self):\n        if self.flat:\n            return 0\n        return self.width" in after


def test_block_indented_too_deep_is_outdented():
    assert edit("if x:\n    a()\n    b()\n", "        a()\n        b()", "        a()\n        c()") == (
        "if x:\n    a()\n    c()\n"
    )


def test_only_the_first_line_may_lack_its_indentation():
    search, replace = "def area(self):\n        width = self.width", "def size(self):\n        width = self.w"
    assert "    def size(self):\n        width = self.w\n" in edit(SHAPES, search, replace)


def test_tabs_become_the_files_spaces_and_the_other_way_round():
    search, replace = "\tdef area(self):\n\t\twidth = self.width", "\tdef area(self):\n\t\tif 1:\n\t\t\twidth = 2"
    assert "    def area(self):\n        if 1:\n            width = 2\n" in edit(SHAPES, search, replace)
    tabbed = "if x:\n\ta()\n\tif y:\n\t\tb()\n"
    assert edit(tabbed, "    a()\n    if y:\n        b()", "    a()\n    if z:\n        b()\n        c()") == (
        "if x:\n\ta()\n\tif z:\n\t\tb()\n\t\tc()\n"
    )


@pytest.mark.parametrize(
    ("search", "replace"),
    [
        ("self.width *= factor", "self.width *= factor\nself.height *= factor"),
        ("def area(self):\n    width = self.width", "    def area(self):\n        width = 1"),
        ("self.width *= factor\nreturn self", "    self.width *= 2\n    return self"),
        ("\tself.width *= factor\n\treturn self", "\tif factor:\n\t\tself.width *= factor\n\treturn self"),
    ],
)
def test_unclear_indentation_is_refused_with_the_files_lines(search, replace):
    refused = refuse(SHAPES, search, replace)
    assert refused.reason is Refusal.INDENTATION
    assert "        self.width" in refused.detail or "    def area" in refused.detail


def test_dots_keep_what_stands_between_the_anchors():
    search = "    def area(self):\n        ...\n        return width * self.height"
    replace = "    def surface(self):\n        ...\n        return width * self.depth"
    after = edit(SHAPES, search, replace)
    assert after == SHAPES.replace("area", "surface").replace("self.height", "self.depth")


@pytest.mark.parametrize(
    ("search", "replace", "reason"),
    [
        (
            "    def area(self):\n        ...\n        return width",
            "    def area(self):\n        return 1",
            Refusal.LEFT_OUT,
        ),
        (
            "        return self\n        ...\n    def area(self):",
            "        x\n        ...\n        y",
            Refusal.NOT_FOUND,
        ),
        ("class Shape:\n    ...\n        self", "class Shape:\n    ...\n        x", Refusal.NOT_FOUND),
        ("        return self", "        # ... rest of the code stays", Refusal.LEFT_OUT),
        ("        return self", "        x = 1\n        ...\n        return self", Refusal.LEFT_OUT),
    ],
)
def test_dots_that_leave_something_unclear_are_refused(search, replace, reason):
    assert refuse(SHAPES, search, replace).reason is reason


def test_anchor_beside_dots_that_stands_twice_is_ambiguous():
    text = "start\nx\nend\nstart2\nx\nend\n"
    assert refuse(text, "start\n...\nend", "begin\n...\nend2").reason is Refusal.AMBIGUOUS


def test_ellipsis_that_is_code_is_code():
    assert (
        edit("class A:\n    x: int\n", "    x: int", "    def f(self):\n        ...")
        == "class A:\n    def f(self):\n        ...\n"
    )
    assert edit("def f():\n    ...\n", "def f():\n    ...", "def g():\n    ...") == "def g():\n    ...\n"


def test_block_that_stands_twice_is_refused_with_all_places():
    refused = refuse("a\nb\nc\na\nb\n", "a\nb", "x")
    assert refused.reason is Refusal.AMBIGUOUS
    assert "lines 1, 4" in refused.line


def test_looser_pass_never_chooses_between_places():
    assert refuse("a \nb\nc\na\t\nb\n", "a\nb", "x").reason is Refusal.AMBIGUOUS
    assert refuse("if 1:\n    a()\n    b()\nif 2:\n        a()\n        b()\n", "a()\nb()", "a()\nc()").reason is (
        Refusal.AMBIGUOUS
    )


@pytest.mark.parametrize(
    "search",
    [
        "        width = self.widht\n        return width * self.height",
        "        width = self.width\n        return self",
        "    def scale(self, factor):\n        return self",
        "    def scale(self, factor):\n        self.width += factor\n        return self",
    ],
)
def test_typos_and_dropped_or_stale_lines_are_refused_with_the_nearest(search):
    refused = refuse(SHAPES, search, "x = 1")
    assert refused.reason is Refusal.NOT_FOUND
    assert " | " in refused.detail
    assert "self.width" in refused.detail


def test_unicode_punctuation_is_no_ascii():
    assert refuse("say('don\u2019t')\nx\n", "say('don't')\nx", "say('do')\nx").reason is Refusal.NOT_FOUND


def test_copied_line_numbers_are_recognised():
    assert "leave the line numbers out" in refuse(SHAPES, "3\t        width = self.width", "y").detail


def test_edit_sent_twice_is_not_applied_twice():
    after = edit("import a\nx\n", "import a", "import a\nimport b")
    assert refuse(after, "import a", "import a\nimport b").reason is Refusal.ALREADY_APPLIED
    once = edit(SHAPES, "        width = self.width", "        width = self.breadth or 1")
    assert refuse(once, "        width = self.width", "        width = self.breadth or 1").reason is (
        Refusal.ALREADY_APPLIED
    )


def test_stale_file_is_refused_whatever_matches():
    assert refuse("a\n", "a", "b", stale={"a.py"}).reason is Refusal.STALE


def test_blank_lines_around_the_block_do_not_matter():
    assert edit("a\nb\nc\n", "\nb\nc", "\nB\nc") == "a\nB\nc\n"
    assert edit("a\nb\nc\n", "c\n\n", "C\n\n") == "a\nb\nC\n"


def test_part_of_one_line_at_the_edges_of_words():
    assert edit("x = foo(a, b)\n", "foo(a, b)", "bar(a)") == "x = bar(a)\n"
    for search, replace in (("foo(a, b", "bar(a, b)"), ("oo(a, b)", "oo(a)"), ("x = fo", "y = fo"), ("a, b)", "c)\nd")):
        assert refuse("x = foo(a, b)\n", search, replace).reason is Refusal.NOT_FOUND
    assert refuse("if x and y:\n    z()\n", "if x and y", "while x:").reason is Refusal.NOT_FOUND
    assert refuse("a = f(1)\nb = f(1)\n", "f(1)", "f(2)").reason is Refusal.NOT_FOUND


def test_files_are_made_and_removed_on_request_only():
    made = apply_blocks({}, [Block("new/a.py", "", "x = 1")])
    assert made.contents == {"new/a.py": b"x = 1\n"}
    assert edit("", "", "x\n") == "x\n"
    assert refuse("a\n", "", "x").reason is Refusal.FILE_EXISTS
    assert apply_blocks({"a": b"x\n"}, [Block("a", "", "", is_deletion=True)]).contents == {"a": None}
    with pytest.raises(TextEditRefusedError, match="did you mean shop/price"):
        apply_blocks({}, [Block("shop/prise.py", "x", "y")], known=["shop/price.py", "a.py"])


def test_all_blocks_or_none_and_all_against_the_file_as_it_was():
    files = {"a.py": b"a\nb\nc\n", "b.py": b"x\n"}
    done = apply_blocks(files, [Block("a.py", "a", "A"), Block("b.py", "x", "y"), Block("a.py", "c", "C")])
    assert done.contents == {"a.py": b"A\nb\nC\n", "b.py": b"y\n"}
    for blocks, reason in (
        ([Block("a.py", "a", "A"), Block("b.py", "z", "y")], Refusal.NOT_FOUND),
        ([Block("a.py", "a\nb", "A"), Block("a.py", "b\nc", "C")], Refusal.OVERLAP),
        ([Block("a.py", "a", "NEW"), Block("a.py", "NEW", "C")], Refusal.NOT_FOUND),
    ):
        with pytest.raises(TextEditRefusedError) as caught:
            apply_blocks(files, blocks)
        assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("before", "search", "replace", "reason"),
    [
        (b"\x00\x01", "a", "b", Refusal.NOT_TEXT),
        (b"a\n", "a", "a", Refusal.NO_CHANGE),
        (b"a\n", " \n ", "x", Refusal.MALFORMED),
        (b"a\n", "a", "\0", Refusal.MALFORMED),
        (b"a\n", "a", "\udce9", Refusal.MALFORMED),
        (b"a" * 9_000_000, "a", "b", Refusal.NOT_TEXT),
    ],
)
def test_what_is_no_edit_of_text_is_refused(before, search, replace, reason):
    assert refuse(before, search, replace).reason is reason


def test_nearest_lines_of_a_large_file_are_found():
    lines = [f"def function_{index}(value):\n    return value + {index}\n" for index in range(2500)]
    refused = refuse("".join(lines), "def function_1234(value):\n    return value - 1234", "x")
    assert "2469 | def function_1234(value):" in refused.detail
    assert ">2470 |     return value + 1234" in refused.detail
