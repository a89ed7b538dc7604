from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_programs import programs

from services.pas.recipes.models import MAX_LEFT_ALONE

TREE = """
== m.py
'''total in a docstring'''
def total(): return 1
class Box:
    def total(self): return 2
def f(total, x):
    # total in a comment
    x.total
    getattr(x, "total")
    print(f"total {total}", dict(total=1))
    return Box().total() + total
== broken.py
def total(:
== pyproject.toml
[project.scripts]
run = "m:total"
== README.md
Use total here.
== other.py
import json as total
print(total.total, totals, total_x)
"""


def test_everything_that_stays_is_listed_with_a_reason(rename):
    result = rename(TREE, "m.total", "grand")
    assert result.outcome.files == ("m.py",)
    assert result.reasons() == {
        "README.md:1:5": "a document: prose is left to the mentions part",
        "broken.py:1:5": "the file does not parse (line 1)",
        "m.py:1:4": "a docstring: prose is left to the mentions part",
        "m.py:4:9": "another symbol of the same name (of class Box)",
        "m.py:5:7": "a parameter of the same name",
        "m.py:6:7": "a comment: prose is left to the mentions part",
        "m.py:7:7": "an attribute of a value whose type is not known for certain",
        "m.py:8:17": "inside a string, which may or may not name this symbol",
        "m.py:9:13": "inside a string, which may or may not name this symbol",
        "m.py:9:20": "a local name that only happens to be the same",
        "m.py:9:34": "a keyword argument: it names a parameter",
        "m.py:10:18": "another symbol of the same name",
        "m.py:10:28": "a local name that only happens to be the same",
        "other.py:1:16": "another symbol of the same name",
        "other.py:2:7": "another symbol of the same name",
        "other.py:2:13": "an attribute of a value whose type is not known for certain",
        "pyproject.toml:2:10": "not a Python file: change it by hand if it means this symbol",
    }


def test_occurrences_show_their_line(rename):
    result = rename(TREE, "m.total", "grand")
    first = next(each.occurrence for each in result.outcome.left_alone if each.occurrence.path == "pyproject.toml")
    assert (first.kind, first.text) == ("data_file", 'run = "m:total"')


def test_a_base_class_from_outside_is_pointed_out(rename):
    tree = "== a.py\nfrom framework import View\nclass Page(View):\n    def render(self): return 1\n"
    result = rename(tree, "Page.render", "draw")
    assert result.outcome.status == "applied"
    assert "should it define 'render' too" in result.reasons()["a.py:2:12"]


def test_a_long_list_is_cut_and_counted(rename):
    words = "# total\n" * (MAX_LEFT_ALONE + 5)
    outcome = rename(f"== m.py\ndef total(): return 1\n{words}", "total", "grand").outcome
    assert len(outcome.left_alone) == MAX_LEFT_ALONE
    assert outcome.left_alone_total == MAX_LEFT_ALONE + 5


def test_an_attribute_that_may_be_either_is_left_and_says_so(rename):
    tree = """
    == m.py
    class A:
        def run(self): return 1
    class B:
        def run(self): return 2
    def f(x: A | B): return x.run()
    """
    result = rename(tree, "A.run", "go")
    assert result.reasons()["m.py:5:27"].endswith("it may be the renamed symbol")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_renamed_program_does_what_it_did(data):
    """Scopes that shadow one another print the same after a rename, and rename back to the same text."""
    files, expected = data.draw(programs())
    before, after, back = expected(files)
    assert after == before
    assert back == files
