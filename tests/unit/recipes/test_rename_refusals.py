import pytest

ONE = """
== m.py
def total(): return 1
"""


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("class", "keyword"),
        ("match", "soft keyword"),
        ("2nd", "not a Python identifier"),
        ("a b", "not a Python identifier"),
        ("a.b", "not a Python identifier"),
        ("total", "is the old name"),
        ("len", "builtin"),
        ("__x", "reserved"),
        ("__init__", "reserved"),
    ],
)
def test_a_useless_new_name_is_refused(rename, new, words):
    result = rename(ONE, "total", new)
    assert result.outcome.status == "refused"
    assert words in result.outcome.reason
    assert "\n" not in result.outcome.reason
    assert result.outcome.changed == {}


def test_an_unknown_symbol_is_refused_with_near_ones(rename):
    outcome = rename("== m.py\ndef compute_total(): return 1\nRATE = 3\n", "compute_totl", "x").outcome
    assert outcome.status == "refused"
    assert outcome.reason == "'compute_totl' is not defined in this tree; did you mean m.compute_total (m.py:1)?"
    assert [each.qualified_name for each in outcome.candidates] == ["m.compute_total"]


def test_an_unknown_path_names_what_there_is(rename):
    outcome = rename(ONE, "other.total", "x").outcome
    assert outcome.reason == "'other.total' is not defined; did you mean m.total (m.py:1)?"


@pytest.mark.parametrize("old", ["a-b", "x..y", ".total", "x.", "import x"])
def test_what_is_no_name_at_all_is_refused(rename, old):
    assert "is not a name, a dotted path or Class.member" in rename(ONE, old, "grand").outcome.reason


def test_an_ambiguous_name_lists_the_candidates(rename):
    outcome = rename("== a.py\ndef total(): return 1\n== b.py\n\ntotal = 2\n", "total", "grand").outcome
    assert outcome.status == "refused"
    assert outcome.reason == "'total' is ambiguous, say which: a.total (a.py:1), b.total (b.py:2)"
    assert [(each.path, each.line, each.kind) for each in outcome.candidates] == [
        ("a.py", 1, "function"),
        ("b.py", 2, "variable"),
    ]


def test_methods_of_unrelated_classes_are_ambiguous(rename):
    tree = "== a.py\nclass A:\n    def run(self): pass\nclass B:\n    def run(self): pass\n"
    assert "a.A.run (a.py:2), a.B.run (a.py:4)" in rename(tree, "run", "go").outcome.reason


@pytest.mark.parametrize("hint", [{"path_hint": "b.py"}, {"path_hint": "./pkg/b.py"}, {"line_hint": 2}])
def test_a_hint_chooses(rename, hint):
    result = rename("== a.py\ndef total(): return 1\n== pkg/b.py\n\ndef total(): return 2\n", "total", "grand", **hint)
    assert result.outcome.files == ("pkg/b.py",)


def test_a_line_inside_a_method_chooses_it(rename):
    tree = "== a.py\nclass A:\n    def run(self):\n        return 1\nclass B:\n    def run(self):\n        return 2\n"
    result = rename(tree, "run", "go", line_hint=6)
    assert "class B:\n    def go" in result.files["a.py"]
    assert "class A:\n    def run" in result.files["a.py"]


def test_a_hint_that_fits_nothing_is_refused(rename):
    outcome = rename(ONE, "total", "grand", path_hint="other.py").outcome
    assert outcome.reason == "'total' is not defined with that path or line; did you mean m.total (m.py:1)?"


COLLISIONS = {
    "in the module": (
        "== m.py\ndef total(): return 1\ngrand = 2\n",
        "'grand' is already bound at m.py:2",
    ),
    "in a module that imports the symbol": (
        "== m.py\ndef total(): return 1\n== a.py\nfrom m import total\ndef grand(): return total()\n",
        "'grand' is already bound at a.py:2",
    ),
    "through another import": (
        "== m.py\ndef total(): return 1\n== a.py\nfrom m import total\nfrom os import path as grand\n",
        "'grand' is already bound at a.py:2",
    ),
    "in a function that uses the symbol": (
        "== m.py\ndef total(): return 1\ndef f(grand):\n    return total() + grand\n",
        "'grand' is already bound at m.py:2 and would capture the use at m.py:3",
    ),
    "in a comprehension that uses the symbol": (
        "== m.py\ndef total(x): return 1\nprint([total(grand) for grand in []])\n",
        "'grand' is already bound at m.py:2 and would capture the use at m.py:2",
    ),
    "by a name from nowhere": (
        "== m.py\ndef total(): return 1\ndef f():\n    return grand\n",
        "'grand' already means something else at m.py:3",
    ),
    "with a submodule": (
        "== p/__init__.py\nfrom p.m import total\n== p/m.py\ndef total(): return 1\n== p/grand.py\n",
        "'grand' is already a submodule: p/grand.py",
    ),
    "with a star import": (
        "== o.py\ndef grand(): return 1\n== m.py\nfrom o import *\ndef total(): return grand()\n",
        "'grand' already comes into m.py by a star import of o.py",
    ),
    "where a star import lands": (
        "== m.py\ndef total(): return 1\n== a.py\nfrom m import *\ngrand = 1\n",
        "'grand' is already bound at a.py:2, where a star import would bring it in too",
    ),
}


@pytest.mark.parametrize("name", COLLISIONS)
def test_a_collision_is_refused(rename, name):
    tree, reason = COLLISIONS[name]
    outcome = rename(tree, "m.total", "grand").outcome
    assert outcome.status == "refused"
    assert outcome.reason == reason


def test_the_same_name_in_an_unrelated_scope_is_no_collision(rename):
    tree = "== m.py\ndef total(): return 1\ndef f():\n    grand = 2\n    return grand\n== b.py\ngrand = 3\n"
    assert rename(tree, "total", "grand").outcome.status == "applied"


def test_a_private_name_cannot_be_star_imported(rename):
    tree = "== m.py\ndef total(): return 1\n== a.py\nfrom m import *\nprint(total())\n"
    assert "does not copy names that begin with '_'" in rename(tree, "total", "_total").outcome.reason


def test_a_name_that_a_star_import_brings_too_is_refused(rename):
    tree = "== m.py\ndef total(): return 1\n== a.py\nfrom m import *\ndef total(): return 2\n"
    assert "by a star import of m.py" in rename(tree, "a.total", "grand").outcome.reason
    assert rename(tree, "m.total", "grand").outcome.files == ("a.py", "m.py")


MEMBERS = {
    "its own class": "class A:\n    def run(self): pass\n    def go(self): pass\n",
    "an attribute set in a method": "class A:\n    def run(self): self.go = 1\n",
    "its base class": "class B:\n    go = 1\nclass A(B):\n    def run(self): pass\n",
    "a class that derives": "class A:\n    def run(self): pass\nclass B(A):\n    def go(self): pass\n",
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_may_not_collide_in_the_family(rename, name):
    outcome = rename("== a.py\n" + MEMBERS[name], "A.run", "go").outcome
    assert outcome.status == "refused"
    assert "'go' is already bound at a.py:" in outcome.reason


def test_a_method_of_a_standard_base_class_is_not_ours_to_rename(rename):
    tree = "== a.py\nfrom threading import Thread\nclass A(Thread):\n    def run(self): pass\n"
    assert rename(tree, "A.run", "go").outcome.reason.startswith("A.run overrides threading.Thread.run")


def test_a_method_may_not_take_the_name_of_a_standard_one(rename):
    tree = "== a.py\nclass A(dict):\n    def fetch(self): pass\n"
    assert "'get' is already a member of builtins.dict" in rename(tree, "A.fetch", "get").outcome.reason


def test_a_special_method_is_called_by_python(rename):
    tree = "== a.py\nclass A:\n    def __len__(self): return 1\n"
    assert "special method" in rename(tree, "A.__len__", "size").outcome.reason


def test_a_method_may_be_called_like_a_builtin(rename):
    tree = "== a.py\nclass A:\n    def fetch(self): return 1\nprint(A().fetch(), list())\n"
    assert rename(tree, "A.fetch", "list").files["a.py"].endswith("print(A().list(), list())\n")


def test_a_builtin_used_in_the_class_body_is_not_captured(rename):
    tree = "== a.py\nclass A:\n    def fetch(self): return 1\n    items: list = list()\n"
    assert "'list' already means something else at a.py:3" in rename(tree, "A.fetch", "list").outcome.reason


def test_a_symbol_only_in_a_file_that_does_not_parse_is_refused(rename):
    outcome = rename("== m.py\ndef total(:\n", "total", "grand").outcome
    assert outcome.status == "refused"
    assert "does not parse (line 1)" in outcome.reason


def test_a_local_variable_is_not_a_symbol(rename):
    reason = rename("== m.py\ndef f():\n    only = 1\n", "only", "x").outcome.reason
    assert reason.endswith("as a symbol of a module or class, only as a local name (m.py:2)")


def test_a_long_choice_is_one_readable_line(rename):
    tree = "".join(f"== m{index}.py\ndef total(): pass\n" for index in range(30))
    outcome = rename(tree, "total", "grand").outcome
    assert len(outcome.candidates) == 20
    assert outcome.reason.endswith("m12.total (m12.py:1) and 25 more")


def test_a_package_import_of_the_same_name_is_refused(rename):
    tree = "== m.py\nimport total.sub\ndef total(): return 1\n"
    assert "is also bound by `import total" in rename(tree, "m.total", "grand").outcome.reason
