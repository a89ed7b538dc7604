"""Why an edit of text is refused: one error, with a line for people and a detail that tells a model what is right."""

from enum import StrEnum

from services.kernel.errors import ConflictError


class Refusal(StrEnum):
    """What is wrong with an edit."""

    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    ALREADY_APPLIED = "already_applied"
    STALE = "stale"
    NO_SUCH_FILE = "no_such_file"
    FILE_EXISTS = "file_exists"
    NOT_TEXT = "not_text"
    INDENTATION = "indentation"
    LEFT_OUT = "left_out"
    OVERLAP = "overlap"
    NO_CHANGE = "no_change"


class TextEditRefusedError(ConflictError):
    """Nothing was changed. `line` is short, for people; `detail` has several lines, with the file's real text."""

    code = "edits.text_refused"

    def __init__(
        self, detail: str, *, reason: Refusal = Refusal.MALFORMED, path: str = "", line: str | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.path = path
        self.line = detail if line is None else line


def refuse_edit(reason: Refusal, path: str, line: str, detail: str = "") -> TextEditRefusedError:
    """Return the refusal of an edit of `path`: its line for people, then the detail for the model."""
    return TextEditRefusedError(f"{line}\n{detail}" if detail else line, reason=reason, path=path, line=line)
