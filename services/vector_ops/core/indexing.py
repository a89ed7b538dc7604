"""Bringing an index level with HEAD: compare trees by blob sha, parse what is new, one transaction."""

from collections.abc import Callable
from dataclasses import dataclass

from services.kernel.clock import Clock
from services.kernel.errors import UnavailableError
from services.vector_ops.core.facts import MAX_FILE_BYTES, FileFacts, find_skip_rule, is_python
from services.vector_ops.core.ports import Extract, Head, IndexState, Source, Store, Writer
from services.vector_ops.models import RefreshReport


class IndexingStoppedError(UnavailableError):
    """The server is going down; the transaction was rolled back and nothing is lost."""

    code = "vector_ops.indexing_stopped"


@dataclass(frozen=True, slots=True)
class Indexer:
    """Refreshes one index; `is_stopping` is asked between two files."""

    extract: Extract
    clock: Clock
    is_stopping: Callable[[], bool]
    wait_s: float

    def refresh(self, source: Source, store: Store) -> RefreshReport:
        """Bring `store` level with HEAD of `source`; raises UnindexableError, IndexBusyError, IndexingStoppedError."""
        started_s = self.clock.monotonic_s()
        with store.write(wait_s=self.wait_s) as writer:
            # HEAD is read under the lock: two refreshes in a row can then never move the index backwards.
            head = source.read_head()
            state = writer.read_state()
            parsed = 0
            if state is None or state.commit_sha != head.commit_sha:
                parsed = self._apply(source, writer, head)
                outcome = "refreshed"
            else:
                outcome = "fresh"
            files, symbols = writer.count()
        notes = store.notes[:]
        store.notes.clear()
        return RefreshReport(
            outcome=outcome,
            commit_sha=head.commit_sha,
            commit_time=head.commit_time.isoformat(),
            files_parsed=parsed,
            files_total=files,
            symbols_total=symbols,
            duration_s=self.clock.monotonic_s() - started_s,
            note="; ".join(notes),
        )

    def _apply(self, source: Source, writer: Writer, head: Head) -> int:
        wanted, present = source.list_blobs(head.commit_sha), writer.list_files()
        changed = sorted(path for path, sha in wanted.items() if present.get(path) != sha)
        writer.remove_files(path for path, sha in present.items() if wanted.get(path) != sha)
        parsed = 0
        for path in changed:
            if self.is_stopping():
                raise IndexingStoppedError("the index refresh was stopped because the server is going down")
            parsed += self._index_file(source, writer, path, wanted[path])
        writer.set_state(IndexState(head.commit_sha, head.commit_time, self.clock.now()))
        return parsed

    def _index_file(self, source: Source, writer: Writer, path: str, sha: str) -> int:
        python = is_python(path)
        is_known = writer.has_blob(sha, python=python)
        if source.size_blob(sha) > MAX_FILE_BYTES:
            content, rule = b"", "oversized"
        else:
            content = source.read_blob(sha)
            rule = find_skip_rule(content)
        if not is_known:
            facts = FileFacts(skipped=rule) if rule else self.extract(path, content)
            writer.add_blob(sha, python=python, facts=facts)
        writer.put_file(path, sha, "" if rule else content.decode("utf-8"))
        return int(not is_known)
