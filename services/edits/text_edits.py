"""The result of editing text: new contents, and where each edit landed."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.edits.text_document import Splice
from services.edits.text_errors import Refusal, TextEditRefusedError, refuse_edit


@dataclass(frozen=True)
class Landing:
    """Where one edit landed: the lines it replaced, from 1 in the file as it was; `how` says what was looked past.

    `is_whole`: the file as a whole was made, removed or renamed, as `how` says.
    """

    path: str
    first_line: int
    last_line: int
    how: str
    is_whole: bool = False

    @classmethod
    def of_splice(cls, path: str, splice: Splice, how: str) -> "Landing":
        """Return the landing of a change of lines; an insertion names the line it stands before."""
        return cls(path, splice.start + 1, max(splice.stop, splice.start + 1), how)

    @classmethod
    def of_file(cls, path: str, how: str) -> "Landing":
        """Return the landing of a change of the whole file."""
        return cls(path, 1, 1, how, is_whole=True)


@dataclass(frozen=True)
class TextEdits:
    """All files that change, with their new bytes (None: the file goes), and where each edit landed."""

    contents: Mapping[str, bytes | None]
    landings: tuple[Landing, ...]


def refuse_stale(path: str) -> TextEditRefusedError:
    """Return the refusal of an edit of a file that changed since it was shown."""
    line = f"{path} changed since you read it; read it again, then edit"
    return refuse_edit(Refusal.STALE, path, line, "Nothing was changed.")


def require_change(path: str, before: bytes | str, after: bytes) -> bytes:
    """Return `after`; raise TextEditRefusedError when it is what the file holds already."""
    if after == (before.encode("utf-8", "surrogateescape") if isinstance(before, str) else before):
        raise refuse_edit(Refusal.NO_CHANGE, path, f"{path}: the edit changes nothing; the file has it already")
    return after
