"""Links to headings: a heading that changes takes the links that lead to it along."""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath

from services.pas.recipes.source import Text

Edits = dict[int, tuple[int, str]]

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$")
_LINK = re.compile(r"\]\(<?([^()\s#>]*)#([^()\s>]+)")
_DROPPED = re.compile(r"[^\w\- ]")


def slug(heading: str) -> str:
    """Return the anchor that GitHub and most Markdown tools give a heading."""
    return _DROPPED.sub("", heading.lower()).replace(" ", "-")


def changed_anchors(text: Text, edits: Edits) -> dict[str, str]:
    """Return old anchor -> new anchor for the headings that the edits touch."""
    found: dict[str, str] = {}
    for before, after in zip(text.content.splitlines(), text.replace(edits).splitlines(), strict=True):
        old, new = _HEADING.match(before), _HEADING.match(after)
        if before != after and old is not None and new is not None:
            found[slug(old.group(1))] = slug(new.group(1))
    return found


def link_edits(text: Text, anchors: dict[str, dict[str, str]]) -> Edits:
    """Return the edits of the links in a document; `anchors` maps paths to changed anchors."""
    edits: Edits = {}
    for link in _LINK.finditer(text.content):
        target, anchor = link.groups()
        path = normpath(join(dirname(text.path), target)) if target else text.path
        new = anchors.get(path, {}).get(anchor)
        if new is not None and "://" not in target:
            offset = len(text.content[: link.start(2)].encode())
            edits[offset] = (len(anchor.encode()), new)
    return edits
