"""The module path of a go.mod file, and how facts that the world knows of no word for are asked after.

A question for all facts of a file is answered anew whenever the file changes at all, and a go.mod changes with every
new version of a dependency. So what resolution needs is kept as bindings, which seldom change: `MODULE` of a go.mod,
and `CONSTRAINT` of a source (its `//go:build` expression).
"""

import re

from services.vector_ops.languages.facts import FILE, FileFacts, Import

MODULE = "go.mod"
CONSTRAINT = "//go:build"
_MODULE_LINE = re.compile(rb'^[ \t]*module[ \t]+"?([^\s"]+)', re.MULTILINE)


def read_gomod(content: bytes) -> FileFacts:
    """Return facts whose note is the module path, if it has one."""
    found = _MODULE_LINE.search(content)
    if found is None:
        return FileFacts(language="go")
    path: str = found[1].decode("utf-8", "replace")
    line = content.count(b"\n", 0, found.start(1)) + 1
    return FileFacts(language="go", imports=(Import(MODULE, path, "", FILE, line, 1),), notes=(path,))
