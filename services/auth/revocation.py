"""Revocations: one JSON object a line in one file, appended and synced, read again whenever it changes.

A file, not a table: every request of every service asks it, hardly anybody writes it, and a verifier on another machine
needs nothing but a read-only copy of it (ADR-0007).
"""

import fcntl
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.auth.models import MAX_SERVICE_TTL_S, Claims
from services.kernel.errors import InternalError, UnavailableError


class RevocationRecord(BaseModel):
    """Exactly one of `jti` and `subject`; times are seconds since 1970, after `until` the record has no more effect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jti: str | None = None
    subject: str | None = None
    issued_up_to: int = 0
    until: int


class RevocationFile:
    """Satisfies core.ports.RevocationLog over one file; a missing file is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: set[str] = set()
        self._subjects: dict[str, int] = {}

    def is_revoked(self, claims: Claims) -> bool:
        """Return whether the token was revoked; raises InternalError for a damaged file: then nothing is trusted."""
        self._refresh()
        return claims.jti in self._tokens or claims.iat <= self._subjects.get(claims.sub, -1)

    def revoke_jti(self, jti: str, until: int) -> None:
        """Record one token as bad; durable when this returns."""
        self._append(RevocationRecord(jti=jti, until=until))

    def revoke_subject(self, subject: str, issued_up_to: int) -> None:
        """Record all tokens of `subject` issued at or before `issued_up_to` as bad; durable when this returns."""
        until = issued_up_to + MAX_SERVICE_TTL_S
        self._append(RevocationRecord(subject=subject, issued_up_to=issued_up_to, until=until))

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - a microsecond on the path of every request
        except FileNotFoundError:
            self._stamp, self._tokens, self._subjects = None, set(), {}
            return
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp != self._stamp:
            self._load(self._path.read_bytes())
            self._stamp = stamp

    def _load(self, content: bytes) -> None:
        # What follows the last line feed is a record whose writer was killed: it was never acknowledged.
        complete = content[: content.rfind(b"\n") + 1]
        tokens: set[str] = set()
        subjects: dict[str, int] = {}
        try:
            for line in complete.splitlines():
                record = RevocationRecord.model_validate_json(line)
                if record.jti is not None:
                    tokens.add(record.jti)
                if record.subject is not None:
                    subjects[record.subject] = max(record.issued_up_to, subjects.get(record.subject, -1))
        except ValidationError as error:
            raise InternalError(
                f"{self._path} is damaged; restore it, or remove it to forget every revocation"
            ) from error
        self._tokens, self._subjects = tokens, subjects

    def _append(self, record: RevocationRecord) -> None:
        line = record.model_dump_json(exclude_none=True).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _cut_torn_line(descriptor)
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UnavailableError(f"the revocation was not recorded in {self._path}: {error.strerror}") from error


def _cut_torn_line(descriptor: int) -> None:
    """Place the descriptor behind the last complete line, dropping what a killed writer left there."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.ftruncate(descriptor, end)
    os.lseek(descriptor, end, os.SEEK_SET)
