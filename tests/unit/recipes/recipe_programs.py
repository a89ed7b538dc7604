"""Random small programs in which one name means many things; running them shows whether a rename kept the meaning."""

from __future__ import annotations

import contextlib
import io
import sys
import types

from hypothesis import strategies as st
from recipe_trees import rename_files

NAME, NEW = "item", "entry"
_VALUES = st.integers(min_value=0, max_value=9)

_LEAVES = st.sampled_from(
    [
        "log.append(str(item))",
        "log.append(str(lib.item))",
        "log.append(str([item for item in (1, 2)]))",
        "log.append(str([item for _ in (1, 2)]))",
        "log.append(str((lambda item: item)(7)))",
        "log.append(str((lambda other=item: other)()))",
        "log.append(str(dict(item=1)))",
        "log.append(f'item {item!r}')",
        "log.append(str(Holder.item))",
        "log.append(str(Holder().item))",
    ]
)


def _indent(lines):
    return [f"    {line}" for line in lines]


@st.composite
def _blocks(draw, depth=0):
    kinds = ["leaf", "leaf", "function", "shadow", "parameter", "global", "nonlocal", "class", "local_import"]
    kind = draw(st.sampled_from(kinds if depth < 3 else ["leaf"]))
    if kind == "leaf":
        return [draw(_LEAVES)]
    name = f"f{draw(st.integers(0, 10**6))}"
    body = [line for block in draw(st.lists(_blocks(depth + 1), min_size=1, max_size=3)) for line in block]
    value = draw(_VALUES)
    heads = {
        "function": [f"def {name}():"],
        "shadow": [f"def {name}():", f"    item = {value}"],
        "parameter": [f"def {name}(item={value}):"],
        "global": [f"def {name}():", "    global item", f"    item = {value}"],
        "local_import": [f"def {name}():", "    from lib import item"],
    }
    if kind == "class":
        return [
            f"class {name}:",
            f"    item = {value}",
            "    log.append(str(item))",
            "    def m(self):",
            *_indent(_indent(body)),
            f"{name}().m()",
        ]
    if kind == "nonlocal":
        inner = [
            "def inner():",
            "    nonlocal item",
            f"    item = {value}",
            *_indent(body),
            "inner()",
            "log.append(str(item))",
        ]
        return [f"def {name}():", "    item = 0", *_indent(inner), f"{name}()"]
    return [*heads[kind], *_indent(body), f"{name}()"]


@st.composite
def programs(draw):
    """Return a tree of `lib.py` and `main.py`, and the function that judges a rename of `lib.item` in it."""
    style = draw(st.sampled_from(["from lib import item", "from lib import *", "from lib import item as item"]))
    body = [line for block in draw(st.lists(_blocks(), min_size=1, max_size=4)) for line in block]
    main = ["import lib", style, "log = []", "class Holder:", "    item = 'held'", *body, "print(*log)"]
    files = {"lib.py": "item = 'lib'\n", "main.py": "\n".join(main) + "\n"}
    return files, _judge


def _judge(files):
    renamed = rename_files(files, "lib.item", NEW)
    assert renamed.outcome.status == "applied", renamed.outcome.reason
    back = rename_files(renamed.files, f"lib.{NEW}", NAME)
    return _run(files), _run(renamed.files), back.files


def _run(files):
    """Return what the program prints; an exception is part of its behaviour, by type."""
    lib = types.ModuleType("lib")
    exec(compile(files["lib.py"], "lib.py", "exec"), lib.__dict__)
    printed = io.StringIO()
    saved = sys.modules.get("lib")
    sys.modules["lib"] = lib
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(files["main.py"], "main.py", "exec"), {"__name__": "main"})
    except (NameError, AttributeError, UnboundLocalError, TypeError, ImportError) as error:
        return type(error).__name__, printed.getvalue()
    finally:
        if saved is None:
            del sys.modules["lib"]
        else:
            sys.modules["lib"] = saved
    return None, printed.getvalue()
