"""What Python calls reach through values, alternatives, tuples and types: small files, edge by edge."""

from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.python.language import LANGUAGE
from services.vector_ops.languages.world import EdgeKind, SourceFile


def calls(source, line, *, others=None, kind=EdgeKind.CALL):
    """Return `path:qualname` of what is called on a line of `app.py`, in order of column."""
    files = {**(others or {}), "app.py": source}
    facts = {path: LANGUAGE.extract(".py", text.encode()) for path, text in sorted(files.items())}
    world = make_world(facts, LANGUAGE)
    found = LANGUAGE.resolve(SourceFile("app.py", "app.py", facts["app.py"]), world)
    named = [(one, facts[one.target_path].symbols[one.target_at]) for one in found if one.target_at >= 0]
    return [
        f"{edge.target_path}:{symbol.qualname}" for edge, symbol in named if edge.line == line and edge.kind == kind
    ]


def test_a_call_of_a_module_s_value_is_of_its_name_and_what_it_holds_is_used():
    others = {"lib.py": "class Base:\n    pass\n\n\nmake = Base\nnow = unknown()\n"}
    source = "from lib import make, now\n\n\ndef run():\n    make()\n    now()\n"
    assert calls(source, 5, others=others) == ["lib.py:make"]
    assert calls(source, 5, others=others, kind=EdgeKind.USE) == ["lib.py:Base"]
    assert calls(source, 6, others=others) == ["lib.py:now"]


def test_a_value_of_the_same_module_is_named_by_functions_and_flows_through_its_body():
    source = (
        "def base():\n    pass\n\n\nalias = base\nalias()\n\n\ndef run():\n    alias()\n    plain()\n\n\nplain = str\n"
    )
    assert calls(source, 6) == ["app.py:base"]
    assert calls(source, 10) == ["app.py:alias", "app.py:base"]
    assert calls(source, 11) == ["app.py:plain"]


def test_a_called_property_is_called_and_what_it_gives_is_used():
    source = (
        "class Model:\n    pass\n\n\nclass Base:\n    @property\n    def model(self) -> type[Model]:\n"
        "        return Model\n\n    def make(self):\n        return self.model()\n"
    )
    assert calls(source, 11) == ["app.py:Base.model"]
    assert calls(source, 11, kind=EdgeKind.USE) == ["app.py:Model"]


def test_a_call_of_what_a_call_gave_stands_where_its_arguments_open():
    source = "class Task:\n    def __call__(self):\n        pass\n\n\ndef run():\n    Task()()\n"
    facts = LANGUAGE.extract(".py", source.encode())
    assert [(one.name, one.column) for one in facts.references if one.line == 7] == [("Task", 5), ("", 11)]


def test_of_definitions_in_the_branches_of_a_condition_the_first_counts():
    others = {
        "lib.py": (
            "import sys\n\nif sys.argv:\n    def send(): pass\nelse:\n    def send(): return 1\n\n\n"
            "class Client:\n    if sys.argv:\n        def get(self): pass\n    else:\n        def get(self): return 1\n"
        )
    }
    source = "import lib\n\nlib.send()\nlib.Client().get()\n"
    files = {**others, "app.py": source}
    facts = {path: LANGUAGE.extract(".py", text.encode()) for path, text in files.items()}
    world = make_world(facts, LANGUAGE)
    edges = LANGUAGE.resolve(SourceFile("app.py", "app.py", facts["app.py"]), world)
    lines = {one.line: facts["lib.py"].symbols[one.target_at].line for one in edges if one.kind == EdgeKind.CALL}
    assert (lines[3], lines[4]) == (4, 11)


def test_a_function_that_is_wrapped_by_assignment_still_stands_for_itself():
    others = {"lib.py": "import functools\n\n\ndef send():\n    pass\n\n\nsend = functools.cache(send)\n"}
    files = {**others, "app.py": "import lib\n\nlib.send()\n"}
    facts = {path: LANGUAGE.extract(".py", text.encode()) for path, text in files.items()}
    edges = LANGUAGE.resolve(SourceFile("app.py", "app.py", facts["app.py"]), make_world(facts, LANGUAGE))
    called = [facts["lib.py"].symbols[one.target_at].kind for one in edges if one.kind == EdgeKind.CALL]
    assert called == ["function"]


SHAPES = {
    "shapes.py": (
        "from typing import Self\n\n\nclass Side:\n    def cut(self): pass\n\n\nclass Shape:\n"
        "    def copy(self) -> Self | None: pass\n    def area(self, other: Self): return other.area(self)\n\n\n"
        "def split() -> tuple[Shape, Side]: pass\ndef pairs() -> list[tuple[int, Side]]: pass\n"
        "def named() -> dict[str, Side]: pass\n"
    )
}


def test_self_among_other_types_is_the_receiver():
    source = "from shapes import Shape\n\nmade = Shape().copy()\nmade.area(made)\n"
    assert calls(source, 4, others=SHAPES) == ["shapes.py:Shape.area"]
    assert calls(SHAPES["shapes.py"], 10, others={}) == ["app.py:Shape.area"]


def test_each_part_of_a_tuple_has_its_type():
    source = (
        "from shapes import named, pairs, split\n\nshape, side = split()\nshape.area(1)\nside.cut()\nsplit()[1].cut()\n"
        "for number, one in pairs():\n    one.cut()\nfor key, value in named().items():\n    value.cut()\n"
    )
    assert [calls(source, line, others=SHAPES) for line in (4, 5, 6, 8, 10)] == [
        ["shapes.py:Shape.area"],
        ["shapes.py:Side.cut"],
        ["shapes.py:split", "shapes.py:Side.cut"],
        ["shapes.py:Side.cut"],
        ["shapes.py:Side.cut"],
    ]


MAKERS = {
    "makers.py": (
        "from typing import Any, Callable, TypeVar, overload\n\n\nclass Command:\n    def main(self): pass\n\n\n"
        "class Group(Command):\n    def command(self, name=None): pass\n\n\n"
        "@overload\ndef group(name: Callable[..., Any]) -> Group: ...\n"
        "@overload\ndef group(name: str | None = None) -> Callable[[Any], Group]: ...\ndef group(name=None): pass\n\n\n"
        "T = TypeVar('T')\nC = TypeVar('C', bound=Command)\n\n\n"
        "def build(kind: type[T], *rest) -> T: pass\ndef same(one: T) -> T: pass\n"
        "def run(one: C) -> C:\n    one.main()\n    return one\n"
    )
}


def test_a_decorated_function_is_what_its_decorators_make_of_it():
    source = (
        "import makers\n\n\n@makers.group()\ndef cli(): pass\n\n\n@makers.group\ndef other(): pass\n\n\n"
        "@cli.command()\ndef sub(): pass\n\n\nother.main()\n"
    )
    assert calls(source, 12, others=MAKERS) == ["makers.py:Group.command"]
    assert calls(source, 16, others=MAKERS) == ["makers.py:Command.main"]


def test_what_a_generic_function_gives_hangs_on_the_class_that_it_is_given():
    source = "from makers import Group, build, same\n\nbuild(Group).command()\nsame(Group)().command()\n"
    assert calls(source, 3, others=MAKERS) == ["makers.py:build", "makers.py:Group.command"]
    assert calls(source, 4, others=MAKERS) == ["makers.py:same", "makers.py:Group", "makers.py:Group.command"]


def test_a_type_variable_is_at_least_what_bounds_it():
    assert calls(MAKERS["makers.py"], 26) == ["app.py:Command.main"]


def test_operators_and_new_give_what_their_methods_say():
    source = (
        "class Range:\n    def __and__(self, other) -> 'Range': pass\n    def __invert__(self) -> 'Range': pass\n"
        "    def cut(self): pass\n    def load(self): pass\n\n\ndef run(one: Range, two: Range):\n"
        "    both = one & two\n    both.cut()\n    (~both).cut()\n    raw = Range.__new__(Range)\n    raw.load()\n"
    )
    assert [calls(source, line) for line in (10, 11, 13)] == [
        ["app.py:Range.cut"],
        ["app.py:Range.cut"],
        ["app.py:Range.load"],
    ]


def test_enumerate_and_zip_pair_what_they_are_given():
    source = (
        "class Side:\n    def cut(self): pass\n\n\ndef run(sides: list[Side]):\n"
        "    for number, one in enumerate(sides):\n        one.cut()\n"
        "    for left, right in zip(range(3), sides):\n        right.cut()\n"
    )
    assert calls(source, 7) == calls(source, 9) == ["app.py:Side.cut"]


def test_a_value_set_for_windows_gives_way_to_the_other():
    source = "import sys\n\nif sys.platform == 'win32':\n    clock = one()\nelse:\n    clock = two()\n"
    assert [one.line for one in LANGUAGE.extract(".py", source.encode()).symbols if one.name == "clock"] == [6]


def test_a_property_with_a_setter_gives_what_its_getter_says():
    source = (
        "class Headers:\n    def get(self): pass\n\n\nclass Request:\n"
        "    @property\n    def headers(self) -> Headers: pass\n    @headers.setter\n"
        "    def headers(self, value): pass\n\n\nRequest().headers.get()\n"
    )
    assert calls(source, 12) == ["app.py:Request", "app.py:Headers.get"]


HOLDERS = {
    "holders.py": (
        "from typing import Generic, TypeVar\n\nT = TypeVar('T')\n\n\nclass Side:\n    def cut(self): pass\n\n\n"
        "class Late(Generic[T]):\n    def __get__(self, one, owner) -> T: pass\n\n\n"
        "class Box(Generic[T]):\n    async def __aenter__(self) -> T: pass\n    def open(self) -> T: pass\n\n\n"
        "class SideBox(Box[Side]): pass\n\n\nMadeBox = Box[Side]\n\n\n"
        "class Shop:\n    side: Late[Side] = Late()\n"
        "    def box(self) -> Box[Side]: pass\n    def made(self) -> MadeBox: pass\n"
    )
}


def test_the_argument_of_a_generic_class_is_what_its_methods_give():
    source = (
        "from holders import SideBox, Shop\n\nasync def run(shop: Shop):\n    shop.box().open().cut()\n"
        "    SideBox().open().cut()\n    async with shop.made() as side:\n        side.cut()\n"
    )
    assert [calls(source, line, others=HOLDERS)[-1] for line in (4, 5, 7)] == ["holders.py:Side.cut"] * 3


def test_an_attribute_that_holds_a_descriptor_gives_what_it_gets():
    assert calls("from holders import Shop\n\nShop().side.cut()\n", 3, others=HOLDERS)[-1] == "holders.py:Side.cut"


def test_a_test_of_its_class_tells_what_a_name_holds():
    source = (
        "class Side:\n    def cut(self): pass\n\n\nclass Shape:\n    def cut(self): pass\n\n\n"
        "def run(one, other: Shape, many):\n"
        "    if isinstance(one, Side) and one.cut():\n        one.cut()\n    one.cut()\n"
        "    if not isinstance(other, (Side, Shape)):\n        return\n    other.cut()\n"
        "    assert isinstance(one, Side)\n    one.cut()\n    one = Shape()\n    one.cut()\n"
        "    [each.cut() for each in many if isinstance(each, Side)]\n"
        "    one.cut() if not isinstance(one, Side) else one.cut()\n"
    )
    side, shape = "app.py:Side.cut", "app.py:Shape.cut"
    assert [calls(source, line) for line in (10, 11, 15, 17, 19, 20)] == [
        [side],
        [side],
        [side, shape],
        [side],
        [shape],
        [side],
    ]
    assert calls(source, 21) == [shape, side]


def test_a_copy_is_of_the_type_of_its_original():
    source = "import copy\n\n\nclass Side:\n    def cut(self):\n        copy.copy(self).cut()\n"
    assert calls(source, 6) == ["app.py:Side.cut"]


def test_a_member_of_an_enumeration_is_an_instance_of_it():
    source = "import enum\n\n\nclass Level(enum.Enum):\n    LOW = 1\n\n    def up(self): pass\n\n\nLevel.LOW.up()\n"
    assert calls(source, 10) == ["app.py:Level.up"]


def test_a_bare_name_that_leads_nowhere_is_not_guessed_to_be_a_method():
    others = {"lib.py": "class Shell:\n    def get_shell(self): pass\n", "pack/__init__.py": ""}
    assert calls("from pack import get_shell\n\nget_shell()\n", 3, others=others) == []


def test_an_annotation_that_names_a_collection_is_no_type():
    assert (
        calls(
            "KINDS = [int]\n\n\ndef run(one: KINDS, two):\n    isinstance(two, KINDS) and two.go()\n    one.go()\n", 6
        )
        == []
    )
