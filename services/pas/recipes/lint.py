"""Which findings of a linter are new."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from services.pas.recipes.commands import Finding

# Path -> the lines of the file, as they are on the side the findings were made on.
Sources = Mapping[str, Sequence[str]]
_Key = tuple[str, str, str]


def new_findings(
    base: Sequence[Finding],
    result: Sequence[Finding],
    base_sources: Sources,
    result_sources: Sources,
    renamed: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Return the findings of `result` that `base` does not have, in order.

    Findings are a multiset by path, code and source line with its white space squeezed, so a line that moved is not new
    and a second one of the same kind is. `renamed` (old identifier -> new) is applied to the base lines first: a line
    that only changed by a rename keeps its findings.
    """
    known = Counter(_key(each, base_sources, renamed or {}) for each in base)
    new: list[Finding] = []
    for finding in result:
        key = _key(finding, result_sources, {})
        if known[key] > 0:
            known[key] -= 1
        else:
            new.append(finding)
    return tuple(new)


def _key(finding: Finding, sources: Sources, renamed: Mapping[str, str]) -> _Key:
    lines = sources.get(finding.path, ())
    line = lines[finding.line - 1] if 0 < finding.line <= len(lines) else ""
    for old, new in renamed.items():
        line = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, line)
    return finding.path, finding.code, " ".join(line.split())
