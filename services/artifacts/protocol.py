"""The port of the artifact store.

PlatformError
├── InvalidRequestError
│   └── BadDigestError                artifacts.bad_digest
├── NotFoundError
│   └── ArtifactNotFoundError         artifacts.not_found
├── UnavailableError
│   ├── ArtifactStoreFullError        artifacts.store_full
│   ├── ArtifactStoreDownError        artifacts.store_down
│   └── CreateOnlyMissingError        artifacts.create_only_missing
└── InternalError
    └── ArtifactCorruptError          artifacts.corrupt
"""

from pathlib import Path
from typing import Protocol

from services.kernel.errors import InternalError, InvalidRequestError, NotFoundError, UnavailableError
from services.kernel.ids import Sha256


class BadDigestError(InvalidRequestError):
    """The name is no SHA-256 digest."""

    code = "artifacts.bad_digest"


class ArtifactNotFoundError(NotFoundError):
    """No artifact has this digest."""

    code = "artifacts.not_found"


class ArtifactStoreFullError(UnavailableError):
    """The disk or quota behind the store is full; nothing was stored."""

    code = "artifacts.store_full"


class ArtifactStoreDownError(UnavailableError):
    """The store could not be reached or written."""

    code = "artifacts.store_down"


class CreateOnlyMissingError(UnavailableError):
    """The store overwrites objects that it was asked only to create."""

    code = "artifacts.create_only_missing"


class ArtifactCorruptError(InternalError):
    """What is stored under a digest has another one."""

    code = "artifacts.corrupt"


class ArtifactStore(Protocol):
    """Bytes by their SHA-256; what is stored never changes and is never overwritten."""

    async def put(self, content: bytes | Path) -> Sha256:
        """Store bytes, or a file's content, and return the digest; storing the same content again is no error.

        A path must be a regular file; a symlink is refused. The content is held in memory once.
        Raises ArtifactStoreFullError or ArtifactStoreDownError, with nothing stored.
        """
        ...

    async def get(self, digest: Sha256) -> bytes:
        """Return the content, verified; raise ArtifactNotFoundError, ArtifactCorruptError or BadDigestError."""
        ...

    async def exists(self, digest: Sha256) -> bool:
        """Return whether the artifact is stored; its content is not read."""
        ...
