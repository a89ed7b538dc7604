import pytest

TREE = """
== shop/__init__.py
from shop.pricing import grand
== shop/pricing.py
def grand(): return 1
class Box:
    def total(self): return 2
class Crate:
    def only(self): return 3
"""


def _mention(rename, path, text, *, old="shop.pricing.total", new="grand", tree=TREE):
    result = rename(f"{tree.rstrip()}\n== {path}\n{text}", old, new, part="mentions")
    assert result.outcome.status in ("applied", "nothing_to_do"), result.outcome.reason
    return result


RENAMED = {
    "inline code": ("Use `total` here.", "Use `grand` here."),
    "inline code with a call": ("Use `total(lines, tax=3)` here.", "Use `grand(lines, tax=3)` here."),
    "double backticks": ("Use ``total`` here.", "Use ``grand`` here."),
    "a call in prose": ("Then total() is called.", "Then grand() is called."),
    "the full path": ("See shop.pricing.total for more.", "See shop.pricing.grand for more."),
    "the path of a re-export": ("See `shop.total`.", "See `shop.grand`."),
    "the end of the path": ("See `pricing.total`.", "See `pricing.grand`."),
    "a link text": ("[`total`](api.md) and [`x`](y)", "[`grand`](api.md) and [`x`](y)"),
    "a fenced block": ("```python\nx = total(1)\n```\n", "```python\nx = grand(1)\n```\n"),
    "a fence without a language": ("~~~\ntotal\n~~~\n", "~~~\ngrand\n~~~\n"),
    "an import in a block": (
        "```py\nfrom shop import total\nimport shop as s\ns.total()\n```\n",
        "```py\nfrom shop import grand\nimport shop as s\ns.grand()\n```\n",
    ),
    "a doctest": (">>> total()\n1\n", ">>> grand()\n1\n"),
    "code over two lines": ("`total(1,\n2)` and", "`grand(1,\n2)` and"),
    "beside other letters": ("größer: `total`", "größer: `grand`"),
}


@pytest.mark.parametrize("name", RENAMED)
def test_an_unambiguous_mention_is_renamed(rename, name):
    before, after = RENAMED[name]
    assert _mention(rename, "docs/a.md", before).files["docs/a.md"] == after


KEPT = {
    "a word": ("The total is high.", "a word in prose"),
    "a heading": ("# total\n", "a word in prose"),
    "a plural": ("the total(s) of it", "a word in prose"),
    "a member of another class": ("Use `Box.total()`.", "qualified by 'Box'"),
    "a member of an unknown object": ("Use `cart.total()`.", "qualified by 'cart'"),
    "a member of a call": ("Use `make().total()`.", "qualified by '?'"),
    "a keyword argument": ("Use `f(total=3)`.", "a keyword argument of an example"),
    "a string in an example": ('Use `x["total"]`.', "inside a string of an example"),
    "a name the example binds": ("```python\ntotal = 3\nprint(total)\n```\n", "the example binds a name of its own"),
    "a loop variable": ("```python\nfor total in x:\n    print(total)\n```\n", "the example binds a name of its own"),
    "a shell command": ("```bash\ntotal --all\n```\n", "code of another language"),
    "a path of files": ("see docs/total.md", "a word in prose"),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_doubtful_mention_stays_and_is_listed(rename, name):
    text, reason = KEPT[name]
    result = _mention(rename, "a.md", text)
    assert result.files["a.md"] == text
    reasons = list(result.reasons().values())
    assert reasons
    assert all(each.startswith(reason) for each in reasons)


def test_restructured_text_is_understood(rename):
    before = (
        "Title total\n===========\n\n:func:`~shop.pricing.total` or :func:`total`, see `the total page <x>`_::\n\n"
        "    total(1)\n\nBack to total.\n\n.. code-block:: python\n\n   total(2)\n\n.. autofunction:: total\n"
        ".. code-block:: bash\n\n   total 3\n"
    )
    after = _mention(rename, "a.rst", before).files["a.rst"]
    assert after == (
        "Title total\n===========\n\n:func:`~shop.pricing.grand` or :func:`grand`, see `the total page <x>`_::\n\n"
        "    grand(1)\n\nBack to total.\n\n.. code-block:: python\n\n   grand(2)\n\n.. autofunction:: grand\n"
        ".. code-block:: bash\n\n   total 3\n"
    )


def test_docstrings_and_comments_are_renamed_and_code_is_not(rename):
    result = _mention(
        rename,
        "use.py",
        '''"""Uses `total` and the total."""
from shop import grand
# total() is fast; the total is not
def f(x):
    r"""See :func:`shop.total`.

    >>> total()
    1
    """
    "not a docstring: `total`"
    return x["total"], f"total() {grand()}"
''',
    )
    assert result.files["use.py"] == (
        '''"""Uses `grand` and the total."""
from shop import grand
# grand() is fast; the total is not
def f(x):
    r"""See :func:`shop.grand`.

    >>> grand()
    1
    """
    "not a docstring: `total`"
    return x["total"], f"total() {grand()}"
'''
    )


def test_a_class_with_a_member_of_that_name_keeps_its_own_docstring(rename):
    text = 'class Till:\n    """Call `total`, or `shop.total`."""\n    def total(self):\n        """Like `total`."""\n'
    result = _mention(rename, "till.py", text)
    assert result.files["till.py"] == text.replace("shop.total", "shop.grand")
    assert result.reasons()["till.py:2:14"] == "another 'total' is defined around it"


def test_a_rival_function_makes_bare_mentions_ambiguous(rename):
    tree = TREE + "== rival.py\ndef total(): return 9\n"
    result = _mention(rename, "a.md", "`total` and `shop.total`", tree=tree)
    assert result.files["a.md"] == "`total` and `shop.grand`"
    assert result.reasons()["a.md:1:2"] == "ambiguous: rival.total (rival.py:1) has the same name"


def test_a_member_is_renamed_where_its_class_is_named(rename):
    tree = "== m.py\nclass Till:\n    '''Has `self.total`.'''\n    def grand(self): return 1\nclass Child(Till): pass\n"
    result = _mention(
        rename, "a.md", "`Till.total`, `m.Child.total()`, `x.total()`, `total`", old="Till.total", tree=tree
    )
    assert result.files["a.md"] == "`Till.grand`, `m.Child.grand()`, `x.total()`, `grand`"
    assert "`self.grand`" in result.files["m.py"]


def test_a_member_is_not_meant_where_another_has_the_name(rename):
    tree = "== m.py\nclass Till:\n    def grand(self): return 1\nclass Other:\n    def total(self): return 1\n"
    result = _mention(rename, "a.md", "`total()`", old="Till.total", tree=tree)
    assert result.files["a.md"] == "`total()`"
    assert "m.Other.total (m.py:4) has the same name" in result.reasons()["a.md:1:2"]


def test_links_to_a_renamed_heading_follow(rename):
    text = "# `total(lines)`\n\nSee [above](#totallines) and [there](b.md#total).\n"
    result = rename(
        f"{TREE.rstrip()}\n== docs/a.md\n{text}== docs/b.md\n## `total`\n[back](a.md#totallines) [site](http://x/a.md#totallines)\n",
        "shop.pricing.total",
        "grand",
        part="mentions",
    )
    assert result.files["docs/a.md"] == "# `grand(lines)`\n\nSee [above](#grandlines) and [there](b.md#grand).\n"
    assert result.files["docs/b.md"] == "## `grand`\n[back](a.md#grandlines) [site](http://x/a.md#totallines)\n"


def test_newlines_stay_as_they_are(rename):
    tree = {"m.py": "def grand(): pass\n", "a.md": "x\r\n`total`\r\n```\r\ntotal()\r\n```\r\n"}
    result = rename(tree, "m.total", "grand", part="mentions")
    assert result.files["a.md"] == "x\r\n`grand`\r\n```\r\ngrand()\r\n```\r\n"


def test_a_tree_without_mentions_has_nothing_to_do(rename):
    outcome = rename(TREE, "shop.pricing.total", "grand", part="mentions").outcome
    assert outcome.status == "nothing_to_do"


@pytest.mark.parametrize("new", ["class", "total"])
def test_a_useless_new_name_is_refused(rename, new):
    assert rename(TREE, "shop.pricing.total", new, part="mentions").outcome.status == "refused"


def test_mentions_in_a_file_that_does_not_parse_stay(rename):
    result = _mention(rename, "broken.py", "# total()\ndef f(:\n")
    assert result.outcome.status == "nothing_to_do"
    assert result.reasons() == {"broken.py:1:3": "the file does not parse (line 2)"}
