"""Reading many contents: here, or in a few worker processes when it is worth it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

from services.vector_ops.source.repository import BlobMissingError
from services.vector_ops.truth.contents import MISSING, Content, Form, Forms, read_content
from services.vector_ops.truth.ports import Source
from services.vector_ops.truth.skipping import MAX_FILE_BYTES, OVERSIZED
from services.vector_ops.truth.worker import Worker

_WORTH_FILES = 400
_AHEAD = 64
"""Contents that are read ahead of the one that is stored."""


class Job(NamedTuple):
    """One content to read."""

    sha: str
    form: Form


ReadContents = Callable[[Sequence[Job]], Iterator[Content]]
"""Yields what is to be stored of each job, in order."""


class ContentReader:
    """Reads contents of one repository."""

    def __init__(self, source: Source, forms: Forms, workers: int) -> None:
        self._source = source
        self._forms = forms
        self._workers = workers

    def read_one(self, sha: str, form: Form) -> Content:
        """Return what is to be stored of a blob; one that is too large is not read."""
        content, rule = self._read_blob(sha)
        return read_content(self._forms.language_of(form), form, content, rule)

    def _read_blob(self, sha: str) -> tuple[bytes, str]:
        """Return a content, or nothing and the rule by which it is left out."""
        try:
            size_bytes = self._source.size_blob(sha)
            return (b"", OVERSIZED) if size_bytes > MAX_FILE_BYTES else (self._source.read_blob(sha), "")
        except BlobMissingError:
            return b"", MISSING  # a partial clone lacks what was never checked out; the other files are indexed

    def has_blob(self, sha: str) -> bool:
        """Return whether the repository has a content."""
        try:
            return self._source.size_blob(sha) >= 0
        except BlobMissingError:
            return False

    def read_all(self, jobs: Sequence[Job]) -> Iterator[Content]:
        """Yield what is to be stored of each job, in order."""
        if self._workers < 2 or len(jobs) <= _WORTH_FILES:  # noqa: PLR2004 - one worker would only wait for this process
            yield from (self.read_one(*job) for job in jobs)
            return
        with _hire(self._workers, self._forms) as submit:
            waiting: deque[Future[Content]] = deque()
            for job in jobs:
                # The repository is read by this thread alone.
                waiting.append(submit(job.form, *self._read_blob(job.sha)))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            yield from (one.result() for one in waiting)


Submit = Callable[[Form, bytes, str], "Future[Content]"]


@contextmanager
def _hire(count: int, forms: Forms) -> Iterator[Submit]:
    """Start workers, one thread for each; a job whose worker is gone is done here."""
    idle: SimpleQueue[Worker | None] = SimpleQueue()
    hired = [Worker(forms.load_language) for _ in range(count)]
    for worker in hired:
        idle.put(worker)

    def read(form: Form, content: bytes, rule: str) -> Content:
        if not rule:
            worker = idle.get()
            try:
                if worker is not None:
                    return worker.read(form, content)
            except (OSError, ValueError):  # the process is gone, or speaks no more sense: work on without it
                worker = None
            finally:
                idle.put(worker)
        return read_content(forms.language_of(form), form, content, rule)

    with ThreadPoolExecutor(count) as threads:
        try:
            yield lambda form, content, rule: threads.submit(read, form, content, rule)
        finally:
            threads.shutdown(cancel_futures=True)
            for worker in hired:
                worker.close()
