"""An answer that comes in pieces, printed as it comes: wrapped at words, nothing twice after a new connection."""

import os
import re
import shutil
import sys
import unicodedata

from cli import render

_PIECE = re.compile(r"\n|[^\S\n]+|\S+")
MIN_WIDTH = 20


class Speech:
    """Prints a growing text; `shown` is what of it has been printed or is held until its word is complete."""

    def __init__(self, width: int | None = None) -> None:
        self.shown = ""
        self._held = ""
        self._column = 0
        self._gap = ""
        self._width = width or max(MIN_WIDTH, shutil.get_terminal_size().columns)

    def tell(self, whole: str) -> None:
        """Print what is new of `whole`; a text that does not go on from what was printed begins again, and says so."""
        if self.shown.startswith(whole):
            return  # a new connection that has not caught up
        if not whole.startswith(self.shown):
            self.end()
            render.note("(the stream broke; the model begins again)")
        fresh, self.shown = whole[len(self.shown) :], whole  # first: an interrupt may come while it is printed
        self._print(fresh)

    def end(self) -> None:
        """Print what is held and end the line; the next text is a new one."""
        self._flush()
        if self._column:
            self._newline()
        self.shown = ""

    def _print(self, text: str) -> None:
        pieces = _PIECE.findall(self._held + render.clean(text).replace("\t", "    "))
        self._held = pieces.pop() if pieces and not pieces[-1].isspace() else ""
        for piece in pieces:
            self._put(piece)
        sys.stdout.flush()

    def _flush(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._put(held)
        sys.stdout.flush()

    def _put(self, piece: str) -> None:
        if piece == "\n":
            self._newline()
        elif piece.isspace():
            self._gap += piece
        else:
            if self._column and self._column + len(self._gap) + measure_columns(piece) > self._width:
                self._newline()
            render.write(self._gap + piece)
            self._column += len(self._gap) + measure_columns(piece)
            self._gap = ""

    def _newline(self) -> None:
        render.write(os.linesep)
        self._column, self._gap = 0, ""


def measure_columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text)


def is_streamed() -> bool:
    """Return whether answers are printed as they come: on a terminal; a pipe gets them whole."""
    return sys.stdout.isatty()
