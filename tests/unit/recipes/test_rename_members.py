ENGINE = """
== motor.py
class Engine:
    def run(self): return 1
    def twice(self):
        return self.run() + Engine.run(self)
class Other:
    def run(self): return 2
"""
ENGINE_AFTER = ENGINE.replace("class Engine:\n    def run", "class Engine:\n    def start").replace(
    "self.run() + Engine.run", "self.start() + Engine.start"
)


def _with(tree, text):
    return tree.rstrip() + "\n" + text.lstrip("\n")


def _check_uses(check, before, after, **more):
    return check(_with(ENGINE, before), "Engine.run", "start", _with(ENGINE_AFTER, after), **more)


def test_a_method_and_its_uses_on_self_follow(check):
    result = check(ENGINE, "Engine.run", "start", ENGINE_AFTER)
    assert result.outcome.symbols[0].kind == "method"
    assert result.outcome.occurrences_changed == 3


def test_locals_made_by_the_constructor_are_known(check):
    _check_uses(
        check,
        """
== a.py
from motor import Engine, Other
import motor as m
def f():
    e = Engine()
    o = Other()
    x = m.Engine()
    return e.run() + o.run() + x.run() + Engine().run()
""",
        """
== a.py
from motor import Engine, Other
import motor as m
def f():
    e = Engine()
    o = Other()
    x = m.Engine()
    return e.start() + o.run() + x.start() + Engine().start()
""",
    )


def test_annotated_names_are_known(check):
    _check_uses(
        check,
        """
== a.py
from __future__ import annotations
from typing import Optional, Annotated, Union
import motor
def f(e: motor.Engine, o: Optional[motor.Engine], s: "motor.Engine", u: motor.Engine | None,
      n: Union[None, motor.Engine]):
    k: Annotated[motor.Engine, "x"] = e
    return e.run() + o.run() + s.run() + u.run() + n.run() + k.run()
def g(other: motor.Other, any, e: motor.Engine | motor.Other):
    return other.run() + any.run() + e.run()
""",
        """
== a.py
from __future__ import annotations
from typing import Optional, Annotated, Union
import motor
def f(e: motor.Engine, o: Optional[motor.Engine], s: "motor.Engine", u: motor.Engine | None,
      n: Union[None, motor.Engine]):
    k: Annotated[motor.Engine, "x"] = e
    return e.start() + o.start() + s.start() + u.start() + n.start() + k.start()
def g(other: motor.Other, any, e: motor.Engine | motor.Other):
    return other.run() + any.run() + e.run()
""",
    )


def test_attributes_of_instances_and_classes_are_known(check):
    _check_uses(
        check,
        """
== a.py
from motor import Engine
class Car:
    spare = Engine()
    def __init__(self, given: Engine, anything):
        self.engine = Engine()
        self.given = given
        self.late: Engine | None = None
        self.anything = anything
    def drive(self):
        return self.engine.run() + self.given.run() + self.late.run() + self.spare.run() + self.anything.run()
    @property
    def main(self) -> Engine:
        return self.engine
    @classmethod
    def build(cls) -> "Car":
        return cls(Engine(), None)
def f(car: Car):
    return car.engine.run() + car.main.run() + Car.build().engine.run() + Car.spare.run()
""",
        """
== a.py
from motor import Engine
class Car:
    spare = Engine()
    def __init__(self, given: Engine, anything):
        self.engine = Engine()
        self.given = given
        self.late: Engine | None = None
        self.anything = anything
    def drive(self):
        return self.engine.start() + self.given.start() + self.late.start() + self.spare.start() + self.anything.run()
    @property
    def main(self) -> Engine:
        return self.engine
    @classmethod
    def build(cls) -> "Car":
        return cls(Engine(), None)
def f(car: Car):
    return car.engine.start() + car.main.start() + Car.build().engine.start() + Car.spare.start()
""",
    )


def test_return_types_are_followed(check):
    _check_uses(
        check,
        """
== a.py
from contextlib import contextmanager
from typing import Iterator
from motor import Engine
def make() -> Engine: return Engine()
def plain(): return Engine()
async def later() -> Engine: return Engine()
@contextmanager
def lent() -> Iterator[Engine]:
    yield Engine()
async def f():
    e = await later()
    with lent() as l:
        return make().run() + plain().run() + e.run() + (await later()).run() + l.run()
""",
        """
== a.py
from contextlib import contextmanager
from typing import Iterator
from motor import Engine
def make() -> Engine: return Engine()
def plain(): return Engine()
async def later() -> Engine: return Engine()
@contextmanager
def lent() -> Iterator[Engine]:
    yield Engine()
async def f():
    e = await later()
    with lent() as l:
        return make().start() + plain().start() + e.start() + (await later()).start() + l.start()
""",
    )


def test_items_of_containers_are_known(check):
    _check_uses(
        check,
        """
== a.py
from motor import Engine
def f(engines: list[Engine], named: dict[str, Engine], pair: tuple[int, Engine], many: tuple[Engine, ...],
      *rest: Engine):
    for e in engines: e.run()
    for name, e2 in named.items(): e2.run()
    for e3 in named.values(): e3.run()
    n, e4 = pair
    e4.run()
    for i, e5 in enumerate(many): e5.run()
    for e6 in rest: e6.run()
    engines[0].run(); named["a"].run(); named.get("b").run(); pair[1].run()
    [e7.run() for e7 in sorted(engines)]
    first, second = Engine(), 3
    first.run()
    next(iter(engines)).run()
    (x for x in [Engine()] if x.run())
""",
        """
== a.py
from motor import Engine
def f(engines: list[Engine], named: dict[str, Engine], pair: tuple[int, Engine], many: tuple[Engine, ...],
      *rest: Engine):
    for e in engines: e.start()
    for name, e2 in named.items(): e2.start()
    for e3 in named.values(): e3.start()
    n, e4 = pair
    e4.start()
    for i, e5 in enumerate(many): e5.start()
    for e6 in rest: e6.start()
    engines[0].start(); named["a"].start(); named.get("b").start(); pair[1].start()
    [e7.start() for e7 in sorted(engines)]
    first, second = Engine(), 3
    first.start()
    next(iter(engines)).start()
    (x for x in [Engine()] if x.start())
""",
    )


def test_overriding_methods_change_together(check):
    result = check(
        """
== base.py
class Base:
    def run(self): return 0
== middle.py
from base import Base
class Middle(Base):
    pass
== leaf.py
from middle import Middle
class Leaf(Middle):
    def run(self): return super().run() + Middle.run(self)
class Stranger:
    def run(self): return 3
== a.py
from leaf import Leaf, Stranger
print(Leaf().run(), Stranger().run())
""",
        "Leaf.run",
        "start",
        """
== base.py
class Base:
    def start(self): return 0
== leaf.py
from middle import Middle
class Leaf(Middle):
    def start(self): return super().start() + Middle.start(self)
class Stranger:
    def run(self): return 3
== a.py
from leaf import Leaf, Stranger
print(Leaf().start(), Stranger().run())
""",
    )
    assert [each.qualified_name for each in result.outcome.symbols] == ["leaf.Leaf.run", "base.Base.run"]


def test_classes_joined_by_a_common_child_change_together(check):
    check(
        """
== a.py
class Left:
    def run(self): return 1
class Right:
    def run(self): return 2
== b.py
from a import Left, Right
class Both(Left, Right): pass
""",
        "Right.run",
        "start",
        """
== a.py
class Left:
    def start(self): return 1
class Right:
    def start(self): return 2
""",
    )


def test_a_protocol_and_what_satisfies_it_change_together(check):
    check(
        """
== ports.py
from typing import Protocol
class Store(Protocol):
    def read(self, key: str) -> str: ...
    def write(self, key: str, value: str) -> None: ...
== disk.py
class Disk:
    def read(self, key): return ""
    def write(self, key, value): pass
class File:
    def read(self): return ""
== a.py
from ports import Store
def use(store: Store): return store.read("x")
""",
        "Store.read",
        "fetch",
        """
== ports.py
from typing import Protocol
class Store(Protocol):
    def fetch(self, key: str) -> str: ...
    def write(self, key: str, value: str) -> None: ...
== disk.py
class Disk:
    def fetch(self, key): return ""
    def write(self, key, value): pass
class File:
    def read(self): return ""
== a.py
from ports import Store
def use(store: Store): return store.fetch("x")
""",
    )


def test_a_property_and_its_setter_follow(check):
    check(
        """
== a.py
class A:
    @property
    def size(self): return self._size
    @size.setter
    def size(self, size): self._size = size
    @size.deleter
    def size(self): del self._size
a = A()
a.size = 3
del a.size
print(a.size)
""",
        "A.size",
        "width",
        """
== a.py
class A:
    @property
    def width(self): return self._size
    @width.setter
    def width(self, size): self._size = size
    @width.deleter
    def width(self): del self._size
a = A()
a.width = 3
del a.width
print(a.width)
""",
    )


def test_attributes_set_in_methods_follow_with_their_slots(check):
    check(
        """
== a.py
class A:
    __slots__ = ("size", "other")
    def __init__(self, size):
        self.size = size
        self.other = self
    def grow(this, by):
        this.size += by
        def inner():
            return this.size
        return inner() + this.other.size
""",
        "A.size",
        "width",
        """
== a.py
class A:
    __slots__ = ("width", "other")
    def __init__(self, size):
        self.width = size
        self.other = self
    def grow(this, by):
        this.width += by
        def inner():
            return this.width
        return inner() + this.other.width
""",
    )


def test_fields_of_dataclasses_follow_into_constructors_and_patterns(check):
    check(
        """
== a.py
from dataclasses import dataclass, field
from typing import NamedTuple
@dataclass
class Point:
    size: int = field(default=0)
    other: int = 0
@dataclass
class Child(Point):
    more: int = 0
class Pair(NamedTuple):
    size: int
p = Point(size=1)
q = Child(size=2, more=3)
r = Pair(size=1)
match p:
    case Point(size=x): print(x)
print(p.size, q.size, r.size, dict(size=1))
""",
        "Point.size",
        "width",
        """
== a.py
from dataclasses import dataclass, field
from typing import NamedTuple
@dataclass
class Point:
    width: int = field(default=0)
    other: int = 0
@dataclass
class Child(Point):
    more: int = 0
class Pair(NamedTuple):
    size: int
p = Point(width=1)
q = Child(width=2, more=3)
r = Pair(size=1)
match p:
    case Point(width=x): print(x)
print(p.width, q.width, r.size, dict(size=1))
""",
    )


def test_members_of_enums_follow(check):
    check(
        """
== a.py
from enum import Enum
class Color(Enum):
    RED = 1
    BLUE = 2
    @classmethod
    def default(cls): return cls.RED
print(Color.RED.name, Color["RED"], [c for c in Color if c is not Color.RED])
""",
        "Color.RED",
        "CRIMSON",
        """
== a.py
from enum import Enum
class Color(Enum):
    CRIMSON = 1
    BLUE = 2
    @classmethod
    def default(cls): return cls.CRIMSON
print(Color.CRIMSON.name, Color["RED"], [c for c in Color if c is not Color.CRIMSON])
""",
    )


def test_generic_classes_and_self_types_are_known(check):
    check(
        """
== a.py
from typing import Generic, Self, TypeVar
T = TypeVar("T", bound="Node")
class Node:
    def link(self) -> Self: return self
    def clone(self: T) -> T: return self
class Leaf(Node): pass
class Box(Generic[T]):
    def __init__(self, node: Node): self.node = node
def f(x: T, b: Box[Leaf], kind: type[Node]):
    x.link(); Leaf().link().link(); b.node.link(); kind.link; kind().link(); Box[Leaf](Node()).node.link()
""",
        "Node.link",
        "join",
        """
== a.py
from typing import Generic, Self, TypeVar
T = TypeVar("T", bound="Node")
class Node:
    def join(self) -> Self: return self
    def clone(self: T) -> T: return self
class Leaf(Node): pass
class Box(Generic[T]):
    def __init__(self, node: Node): self.node = node
def f(x: T, b: Box[Leaf], kind: type[Node]):
    x.join(); Leaf().join().join(); b.node.join(); kind.join; kind().join(); Box[Leaf](Node()).node.join()
""",
    )


def test_a_class_follows_everywhere(check):
    check(
        """
== a.py
class Engine:
    made: "list[Engine]" = []
    def copy(self) -> "Engine": return Engine()
class Turbo(Engine): pass
def f(e: Engine | None = None, *, kind: type["Engine"] = Engine) -> Engine:
    try: pass
    except (Engine, ValueError): pass
    return isinstance(e, Engine)
== b.py
import a
x: a.Engine = a.Turbo()
print(a.Engine.made, a.Engine().copy())
""",
        "a.Engine",
        "Motor",
        """
== a.py
class Motor:
    made: "list[Motor]" = []
    def copy(self) -> "Motor": return Motor()
class Turbo(Motor): pass
def f(e: Motor | None = None, *, kind: type["Motor"] = Motor) -> Motor:
    try: pass
    except (Motor, ValueError): pass
    return isinstance(e, Motor)
== b.py
import a
x: a.Motor = a.Turbo()
print(a.Motor.made, a.Motor().copy())
""",
    )


def test_nested_classes_are_reached_by_their_path(check):
    check(
        """
== a.py
class Outer:
    class Inner:
        def run(self): return 1
    def run(self): return self.Inner().run() + Outer.Inner().run()
""",
        "Outer.Inner.run",
        "start",
        """
== a.py
class Outer:
    class Inner:
        def start(self): return 1
    def run(self): return self.Inner().start() + Outer.Inner().start()
""",
    )


def test_an_inherited_member_is_named_by_the_child_too(check):
    check(
        """
== a.py
class Base:
    def run(self): return 1
class Child(Base): pass
class Alone:
    def run(self): return 2
print(Child().run())
""",
        "Child.run",
        "start",
        """
== a.py
class Base:
    def start(self): return 1
class Child(Base): pass
class Alone:
    def run(self): return 2
print(Child().start())
""",
    )


def test_a_name_that_is_annotated_with_itself_is_no_riddle(check):
    check(
        """
== a.py
class stamp:
    def text(self): return ""
class Holder:
    stamp: stamp = None
    def show(self): return self.stamp.text()
def show(stamp: stamp): return stamp.text()
""",
        "stamp.text",
        "words",
        """
== a.py
class stamp:
    def words(self): return ""
class Holder:
    stamp: stamp = None
    def show(self): return self.stamp.words()
def show(stamp: stamp): return stamp.words()
""",
    )


def test_a_bare_name_of_one_method_is_enough(check):
    check(
        """
== a.py
class A:
    def unique(self): return 1
print(A().unique())
""",
        "unique",
        "single",
        """
== a.py
class A:
    def single(self): return 1
print(A().single())
""",
    )


def test_fixtures_of_pytest_fill_parameters_of_tests(check):
    _check_uses(
        check,
        """
== tests/conftest.py
import pytest
from motor import Engine
@pytest.fixture
def engine():
    engine = Engine()
    yield engine
@pytest.fixture(scope="module")
def typed() -> Engine:
    return Engine()
== tests/unit/test_a.py
import pytest
from motor import Other
@pytest.fixture
def other(engine):
    engine.run()
    return Other()
def test_a(engine, typed, other, missing):
    engine.run(); typed.run(); other.run(); missing.run()
@pytest.mark.parametrize(("n", "engine"), [(1, Other())])
def test_b(n, engine): engine.run()
class TestC:
    @pytest.fixture
    def typed(self): return Other()
    def test_c(self, typed, engine):
        typed.run(); engine.run()
def helper(engine): engine.run()
""",
        """
== tests/conftest.py
import pytest
from motor import Engine
@pytest.fixture
def engine():
    engine = Engine()
    yield engine
@pytest.fixture(scope="module")
def typed() -> Engine:
    return Engine()
== tests/unit/test_a.py
import pytest
from motor import Other
@pytest.fixture
def other(engine):
    engine.start()
    return Other()
def test_a(engine, typed, other, missing):
    engine.start(); typed.start(); other.run(); missing.run()
@pytest.mark.parametrize(("n", "engine"), [(1, Other())])
def test_b(n, engine): engine.run()
class TestC:
    @pytest.fixture
    def typed(self): return Other()
    def test_c(self, typed, engine):
        typed.run(); engine.start()
def helper(engine): engine.run()
""",
    )
