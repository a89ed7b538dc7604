"""The module path of a go.mod file."""

import re

from services.vector_ops.languages.facts import FileFacts

_MODULE = re.compile(rb'^[ \t]*module[ \t]+"?([^\s"]+)', re.MULTILINE)


def read_gomod(content: bytes) -> FileFacts:
    """Return facts whose note is the module path, if it has one."""
    found = _MODULE.search(content)
    return FileFacts(language="go", notes=(found[1].decode(),) if found else ())
