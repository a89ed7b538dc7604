"""A process that reads contents for another one: requests on standard input, answers on standard output.

Started as a command of its own rather than by `multiprocessing`, which would run the caller's main module again.
A message is a line of JSON, then as many bytes as it announces.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from services.vector_ops.truth.codec import decode_outline, decode_references
from services.vector_ops.truth.contents import Content, Form, read_content
from services.vector_ops.truth.ports import LoadLanguage

_ROOT = Path(__file__).resolve().parents[3]
_MODULE = "services.vector_ops.truth.worker"


class WorkerGoneError(OSError):
    """The process ended before it answered."""


class Worker:
    """The caller's end of one process; used by one thread."""

    def __init__(self, load_language: LoadLanguage) -> None:
        place = f"{load_language.__module__}:{getattr(load_language, '__name__', '')}"
        path = os.pathsep.join([str(_ROOT), *filter(None, sys.path)])
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", _MODULE, place],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def read(self, form: Form, content: bytes) -> Content:
        """Return what is stored of a content; raise WorkerGoneError, BrokenPipeError."""
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise WorkerGoneError("the worker has no pipes")
        _send(to, {"form": form, "sizes": [len(content)]}, content)
        message, parts = _receive(back)
        if message is None:
            raise WorkerGoneError("the worker ended")
        outline, references, document = parts
        facts = decode_outline(outline)._replace(references=decode_references(references))
        return Content(facts, outline, references, document)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close_quietly(pipe)


def _close_quietly(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:  # what was buffered for a process that is gone
        return


def _send(to: IO[bytes], message: dict[str, Any], *parts: bytes) -> None:
    to.write(json.dumps(message).encode() + b"\n")
    to.writelines(parts)
    to.flush()


def _receive(source: IO[bytes]) -> tuple[dict[str, Any] | None, list[bytes]]:
    line = source.readline()
    if not line:
        return None, []
    message: dict[str, Any] = json.loads(line)
    parts = [source.read(size) for size in message["sizes"]]
    if [len(part) for part in parts] != message["sizes"]:
        return None, []
    return message, parts


def serve(load_language: LoadLanguage, source: IO[bytes], to: IO[bytes]) -> None:
    """Answer requests until the input ends."""
    while True:
        message, parts = _receive(source)
        if message is None:
            return
        form = Form(*message["form"])
        language = load_language(form.language) if form.language else None
        content = read_content(language, form, parts[0])
        pieces = (content.outline, content.references, content.document)
        _send(to, {"sizes": [len(piece) for piece in pieces]}, *pieces)


def main(place: str) -> None:
    """Run a worker; `place` is module:function of what loads a language."""
    module, _, name = place.partition(":")
    serve(getattr(import_module(module), name), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main(sys.argv[1])
