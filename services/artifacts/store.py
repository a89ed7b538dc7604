"""The artifact store over obstore: a local folder, or any object store obstore has a URL for."""

import hashlib
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from services.artifacts.protocol import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    ArtifactStoreDownError,
    ArtifactStoreFullError,
    BadDigestError,
    CreateOnlyMissingError,
)
from services.kernel.db import in_thread
from services.kernel.errors import InvalidRequestError
from services.kernel.ids import Sha256

_DIGEST = re.compile(r"[0-9a-f]{64}")
# obstore passes the operating system's words through: no space, file too large, quota; S3 servers have names for it.
_FULL = re.compile(r"os error (28|27|122)\b|StorageFull|QuotaExceeded|InsufficientStorage", re.IGNORECASE)
_PROBE_KEY = "probe/create-only"

Create = Callable[[str, bytes], Awaitable[None]]


class ObstoreArtifactStore:
    """ArtifactStore on any obstore store; open it with `open_folder` or `open_url`, which probe the store first."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    async def open_folder(cls, directory: Path) -> Self:
        """Return a store in a local folder (made if absent, for its owner only)."""
        with _translated("open"):
            await in_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
            opened = cls(LocalStore(directory))
        await probe_create_only(opened._create)
        return opened

    @classmethod
    async def open_url(cls, url: str) -> Self:
        """Return a store at an object store URL such as `s3://bucket/prefix`."""
        with _translated("open"):
            opened = cls(from_url(url))
        await probe_create_only(opened._create)
        return opened

    async def put(self, content: bytes | Path) -> Sha256:
        data = content if isinstance(content, bytes) else await in_thread(_read_file, content)
        digest = Sha256(hashlib.sha256(data).hexdigest())
        with _translated("store"):
            try:
                await self._create(_key(digest), data)
            except AlreadyExistsError:
                return digest
        return digest

    async def get(self, digest: Sha256) -> bytes:
        with _translated("read"):
            try:
                answer = await obstore.get_async(self._store, _key(digest))
                data = bytes(await answer.bytes_async())
            except FileNotFoundError as error:
                raise ArtifactNotFoundError(f"no artifact {digest} is stored here") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArtifactCorruptError(f"the artifact {digest} is damaged in the store; restore it from a backup")
        return data

    async def exists(self, digest: Sha256) -> bool:
        with _translated("read"):
            try:
                await obstore.head_async(self._store, _key(digest))
            except FileNotFoundError:
                return False
        return True

    async def _create(self, key: str, data: bytes) -> None:
        await obstore.put_async(self._store, key, data, mode="create", use_multipart=False)


async def probe_create_only(create: Create) -> None:
    """Raise CreateOnlyMissingError unless the second create of one key fails (some S3 servers overwrite instead)."""
    with _translated("probe"):
        try:
            await create(_PROBE_KEY, b"1")
        except AlreadyExistsError:
            return
        try:
            await create(_PROBE_KEY, b"1")
        except AlreadyExistsError:
            return
    raise CreateOnlyMissingError(
        "the artifact store overwrites what it should only create (it ignores If-None-Match); use another one"
    )


def _key(digest: Sha256) -> str:
    if not _DIGEST.fullmatch(digest):
        raise BadDigestError(f"{digest[:80]!r} is no SHA-256; give 64 lower-case hex digits")
    return f"sha256/{digest[:2]}/{digest[2:4]}/{digest}"


def _read_file(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequestError(f"cannot read the artifact {path}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InvalidRequestError(f"the artifact {path} is no regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


@contextmanager
def _translated(verb: str) -> Iterator[None]:
    """Turn what obstore and the disk raise into the port's errors, in one line."""
    try:
        yield
    except AlreadyExistsError:
        raise
    except (BaseError, OSError, ValueError) as error:
        line = str(error).strip().partition("\n")[0]
        if _FULL.search(str(error)):
            raise ArtifactStoreFullError(
                f"the artifact store is full, nothing was stored; free some space ({line})"
            ) from error
        raise ArtifactStoreDownError(f"cannot {verb} artifacts: {line}") from error
