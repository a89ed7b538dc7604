import pytest
from recipe_trees import rename_files

CASES = {
    "a parameter of the same name shadows the function": (
        "total",
        """
        def total(x):
            return x
        def other(total):
            return total
        y = total(1)
        """,
        """
        def grand(x):
            return x
        def other(total):
            return total
        y = grand(1)
        """,
    ),
    "a local variable shadows the function in the whole function body": (
        "total",
        """
        def total(): return 1
        def f():
            total = 2
            def g():
                return total
            return g() + total
        """,
        """
        def grand(): return 1
        def f():
            total = 2
            def g():
                return total
            return g() + total
        """,
    ),
    "a nested function reads the module's name": (
        "total",
        """
        def total(): return 1
        def f():
            def g():
                return total()
            return lambda total=total: total + g()
        """,
        """
        def grand(): return 1
        def f():
            def g():
                return grand()
            return lambda total=grand: total + g()
        """,
    ),
    "global statements and assignments through them follow": (
        "count",
        """
        count = 0
        def bump():
            global count
            count += 1
            return count
        """,
        """
        grand = 0
        def bump():
            global grand
            grand += 1
            return grand
        """,
    ),
    "nonlocal names of a function are no business of the module": (
        "count",
        """
        count = 0
        def outer():
            count = 1
            def inner():
                nonlocal count
                count += 1
                return count
            return inner() + count
        print(count)
        """,
        """
        grand = 0
        def outer():
            count = 1
            def inner():
                nonlocal count
                count += 1
                return count
            return inner() + count
        print(grand)
        """,
    ),
    "comprehension targets are their own": (
        "item",
        """
        item = [1]
        a = [item for item in item]
        b = {item: 1 for item in [2]}
        c = sum(x for x in item)
        d = [x for x in item if x in item]
        """,
        """
        grand = [1]
        a = [item for item in grand]
        b = {item: 1 for item in [2]}
        c = sum(x for x in grand)
        d = [x for x in grand if x in grand]
        """,
    ),
    "a walrus in a comprehension binds the module's name": (
        "last",
        """
        values = [last := x for x in range(3)]
        print(last)
        """,
        """
        values = [grand := x for x in range(3)]
        print(grand)
        """,
    ),
    "a class body reads the module's name until it binds its own": (
        "total",
        """
        def total(): return 1
        class A:
            before = total()
            total = total
            after = total
            def m(self, x=total):
                return total()
        """,
        """
        def grand(): return 1
        class A:
            before = grand()
            total = grand
            after = total
            def m(self, x=total):
                return grand()
        """,
    ),
    "decorators, defaults and annotations belong to the outside": (
        "mark",
        """
        def mark(f): return f
        @mark
        def f(mark: mark = mark) -> mark:
            return mark
        @mark
        class C(mark and object):
            pass
        """,
        """
        def grand(f): return f
        @grand
        def f(mark: grand = grand) -> grand:
            return mark
        @grand
        class C(grand and object):
            pass
        """,
    ),
    "annotations in strings are code": (
        "Node",
        """
        from typing import Optional, cast, Literal
        class Node:
            def add(self, other: "Node") -> "Optional[Node]":
                return cast("Node", other)
        x: 'list[Node]' = []
        kind: Literal["Node"] = "Node"
        Alias = Optional["Node"]
        """,
        """
        from typing import Optional, cast, Literal
        class Tree:
            def add(self, other: "Tree") -> "Optional[Tree]":
                return cast("Tree", other)
        x: 'list[Tree]' = []
        kind: Literal["Node"] = "Node"
        Alias = Optional["Tree"]
        """,
    ),
    "keyword arguments name parameters": (
        "size",
        """
        def size(): return 3
        def f(size=0, **more): return size
        f(size=size())
        dict(size=1)
        """,
        """
        def width(): return 3
        def f(size=0, **more): return size
        f(size=width())
        dict(size=1)
        """,
    ),
    "f-strings hold code": (
        "total",
        """
        def total(): return 1
        print(f"total {total()} {total():>{total()}} {{total}}")
        """,
        """
        def grand(): return 1
        print(f"total {grand()} {grand():>{grand()}} {{total}}")
        """,
    ),
    "except, with, for, del and match targets are bindings": (
        "x",
        """
        import contextlib
        x = 1
        try: pass
        except ValueError as x: print(x)
        with contextlib.suppress() as x: print(x)
        for x in []: print(x)
        match [1]:
            case [x]: print(x)
            case {"k": x}: print(x)
            case x: print(x)
        del x
        """,
        """
        import contextlib
        y = 1
        try: pass
        except ValueError as y: print(y)
        with contextlib.suppress() as y: print(y)
        for y in []: print(y)
        match [1]:
            case [y]: print(y)
            case {"k": y}: print(y)
            case y: print(y)
        del y
        """,
    ),
    "match targets inside a function are local": (
        "x",
        """
        x = 1
        def f(v):
            match v:
                case [x, *rest]: return x
                case {"k": 1, **x}: return x
                case str() as x: return x
        print(x)
        """,
        """
        y = 1
        def f(v):
            match v:
                case [x, *rest]: return x
                case {"k": 1, **x}: return x
                case str() as x: return x
        print(y)
        """,
    ),
    "conditional definitions of one name are one symbol": (
        "load",
        """
        import sys
        if sys.version_info > (3, 0):
            def load(): return 1
        else:
            def load(): return 2
        try:
            print(load())
        except NameError:
            load = None
        """,
        """
        import sys
        if sys.version_info > (3, 0):
            def fetch(): return 1
        else:
            def fetch(): return 2
        try:
            print(fetch())
        except NameError:
            fetch = None
        """,
    ),
    "overloads keep together": (
        "f",
        """
        from typing import overload
        @overload
        def f(x: int) -> int: ...
        @overload
        def f(x: str) -> str: ...
        def f(x): return x
        """,
        """
        from typing import overload
        @overload
        def g(x: int) -> int: ...
        @overload
        def g(x: str) -> str: ...
        def g(x): return x
        """,
    ),
    "recursion and nested classes": (
        "walk",
        """
        def walk(n):
            class Local:
                walk = 1
                def walker(self):
                    return walk(n - 1)
            return walk(0) if n else Local.walk
        """,
        """
        def step(n):
            class Local:
                walk = 1
                def walker(self):
                    return step(n - 1)
            return step(0) if n else Local.walk
        """,
    ),
    "type annotations of variables without a value": (
        "flag",
        """
        flag: bool
        def f():
            flag: int
            return 1
        flag = True
        """,
        """
        mark: bool
        def f():
            flag: int
            return 1
        mark = True
        """,
    ),
    "formatting and comments stay": (
        "total",
        """
        def  total ( x ) :   # total
            return(  x  )


        y=total( 1 ) ; z = \\
           total(2)
        """,
        """
        def  grand ( x ) :   # total
            return(  x  )


        y=grand( 1 ) ; z = \\
           grand(2)
        """,
    ),
    "names beside non-ASCII text": (
        "total",
        """
        größe = "äöü"; total = 1
        print("→", total)
        """,
        """
        größe = "äöü"; grand = 1
        print("→", grand)
        """,
    ),
    "a new name need not be ASCII": (
        "size",
        """
        size = 1
        print(size)
        """,
        """
        größe = 1
        print(größe)
        """,
    ),
}
NEW = {"Node": "Tree", "size": "width", "x": "y", "load": "fetch", "f": "g", "walk": "step", "flag": "mark"}


@pytest.mark.parametrize("name", CASES)
def test_renaming_respects_scopes(check, name):
    old, before, after = CASES[name]
    new = "größe" if name.startswith("a new name") else NEW.get(old, "grand")
    check("== m.py\n" + _dedent(before), old, new, "== m.py\n" + _dedent(after))


def _dedent(text):
    lines = text.strip("\n").split("\n")
    width = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[width:] for line in lines).rstrip() + "\n"


def test_newer_syntax_than_this_interpreter_s_is_understood():
    before = """class Box[T: Item](Base, Item=1):
    def put[U: Item](self, x: U) -> Item: return x
type Alias[Item] = list[Item]
type Other = dict[str, Item]
def first[Item](x: Item) -> Item: return x
class Item: pass
print(f"{Item("a")} {", ".join([f"{Item}"])}")
try: pass
except* Item as error: pass
async def go():
    async with Item() as x, Item() as y:
        async for z in Item(): return [Item async for Item in z if (Item)]
    return lambda *a, Item=Item, **k: Item
"""
    after = """class Box[T: Thing](Base, Item=1):
    def put[U: Thing](self, x: U) -> Thing: return x
type Alias[Item] = list[Item]
type Other = dict[str, Thing]
def first[Item](x: Item) -> Item: return x
class Thing: pass
print(f"{Thing("a")} {", ".join([f"{Thing}"])}")
try: pass
except* Thing as error: pass
async def go():
    async with Thing() as x, Thing() as y:
        async for z in Thing(): return [Item async for Item in z if (Item)]
    return lambda *a, Item=Thing, **k: Item
"""
    result = rename_files({"m.py": before}, "m.Item", "Thing")
    assert result.outcome.status == "applied", result.outcome.reason
    assert result.files["m.py"] == after
    assert result.reasons()["m.py:1:26"] == "a keyword argument: it names a parameter"
