"""Loose git objects, written by us: exact ownership, no freshening of the user's files, fsync where it matters."""

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Literal

import pygit2

from services.edits.errors import MissingObjectError
from services.edits.owner import acting_as_server
from services.kernel.ids import GitOid

ObjectKind = Literal["blob", "tree", "commit"]
_COMPRESSION = 1  # run intermediates are short-lived; git repacks what it keeps


def hash_object(kind: ObjectKind, data: bytes) -> GitOid:
    """Return the id git gives this object."""
    return GitOid(hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).hexdigest())


def write_object(objects_dir: Path, kind: ObjectKind, data: bytes, *, is_durable: bool = False) -> GitOid:
    """Put an object into a loose object directory unless it is there; return its id.

    The write is atomic and create-only. The caller sets the identity the files get (owner.acting_as).
    """
    oid = hash_object(kind, data)
    folder = objects_dir / oid[:2]
    target = folder / oid[2:]
    if target.exists():
        return oid
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = mkstemp(prefix="tmp_obj_", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(zlib.compress(b"%s %d\0" % (kind.encode(), len(data)) + data, _COMPRESSION))
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(0o444)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return oid


@dataclass(frozen=True)
class ObjectStore:
    """The server's own object store: writes go here, reads also see the user's objects through alternates.

    Each instance holds one pygit2 repository; make one per call, never share one between threads.
    """

    repository: pygit2.Repository
    objects_dir: Path

    @classmethod
    def open(cls, git_dir: Path) -> "ObjectStore":
        """Open the bare store at `git_dir`."""
        with acting_as_server():
            return cls(pygit2.Repository(str(git_dir)), git_dir / "objects")

    def read(self, oid: GitOid) -> bytes:
        """Return the content of an object; raise MissingObjectError if it is nowhere."""
        try:
            with acting_as_server():
                return bytes(self.repository.odb.read(oid)[1])
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise MissingObjectError(
                f"git object {oid} is missing; run `git fsck` (a partial clone must be fetched in full)"
            ) from error

    def write(self, kind: ObjectKind, data: bytes, *, is_durable: bool = False) -> GitOid:
        """Put an object into the store, even if the user's repository has it too; return its id."""
        with acting_as_server():
            return write_object(self.objects_dir, kind, data, is_durable=is_durable)

    def has(self, oid: GitOid) -> bool:
        """Return whether the object can be read, here or through alternates."""
        with acting_as_server():
            return oid in self.repository.odb
