import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import MemoryStore

from services.artifacts.protocol import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    ArtifactStore,
    ArtifactStoreDownError,
    ArtifactStoreFullError,
    BadDigestError,
    CreateOnlyMissingError,
)
from services.artifacts.store import ObstoreArtifactStore, probe_create_only
from services.kernel.errors import InvalidRequestError
from services.kernel.ids import Sha256

PROJECT = Path(__file__).parents[3]


@pytest.fixture(params=["folder", "memory"])
async def store(request, tmp_path) -> ArtifactStore:
    if request.param == "folder":
        return await ObstoreArtifactStore.open_folder(tmp_path / "artifacts")
    return ObstoreArtifactStore(MemoryStore())


async def test_what_was_put_is_got_by_its_digest(store):
    digest = await store.put(b"content")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert await store.get(digest) == b"content"
    assert await store.exists(digest)


async def test_empty_content_is_content(store):
    assert await store.get(await store.put(b"")) == b""


async def test_putting_the_same_content_again_is_no_error(store):
    assert await store.put(b"content") == await store.put(b"content")


async def test_unknown_digest_is_not_found(store):
    unknown = Sha256("0" * 64)
    assert not await store.exists(unknown)
    with pytest.raises(ArtifactNotFoundError):
        await store.get(unknown)


@pytest.mark.parametrize("digest", ["", "abc", "../../etc/passwd", "A" * 64, "0" * 63 + "\n", "0" * 65])
async def test_names_that_are_no_digest_are_refused(store, digest):
    for use in (store.get, store.exists):
        with pytest.raises(BadDigestError):
            await use(Sha256(digest))


async def test_file_is_stored_by_content_and_a_link_or_fifo_is_refused(store, tmp_path):
    file = tmp_path / "report.txt"
    file.write_bytes(b"report")
    assert await store.get(await store.put(file)) == b"report"
    link = tmp_path / "link"
    link.symlink_to(file)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for bad in (link, fifo, tmp_path, tmp_path / "absent"):
        with pytest.raises(InvalidRequestError, match=bad.name):
            await store.put(bad)


async def test_key_is_spread_over_folders_and_put_never_rewrites(tmp_path):
    store = await ObstoreArtifactStore.open_folder(tmp_path)
    digest = await store.put(b"content")
    file = tmp_path / "sha256" / digest[:2] / digest[2:4] / digest
    before = file.stat()
    await store.put(b"content")
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


async def test_damaged_content_is_detected_on_read(tmp_path):
    store = await ObstoreArtifactStore.open_folder(tmp_path)
    digest = await store.put(b"content")
    tmp_path.joinpath("sha256", digest[:2], digest[2:4], digest).write_bytes(b"c0ntent")
    with pytest.raises(ArtifactCorruptError, match=digest):
        await store.get(digest)


async def test_store_reopens_with_what_it_held(tmp_path):
    digest = await (await ObstoreArtifactStore.open_folder(tmp_path)).put(b"content")
    assert await (await ObstoreArtifactStore.open_folder(tmp_path)).get(digest) == b"content"


async def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    tmp_path.joinpath("file").write_text("in the way")
    with pytest.raises(ArtifactStoreDownError, match="cannot open artifacts"):
        await ObstoreArtifactStore.open_folder(tmp_path / "file" / "artifacts")


async def test_unknown_url_is_one_clear_error():
    with pytest.raises(ArtifactStoreDownError):
        await ObstoreArtifactStore.open_url("nonsense://nowhere")


async def test_store_that_overwrites_is_refused_at_start():
    objects = {}

    async def overwrite(key, data):
        objects[key] = data

    with pytest.raises(CreateOnlyMissingError, match="If-None-Match"):
        await probe_create_only(overwrite)


async def test_store_that_refuses_the_second_create_passes_the_probe():
    objects = {}

    async def create(key, data):
        if key in objects:
            raise AlreadyExistsError(key)
        objects[key] = data

    await probe_create_only(create)
    await probe_create_only(create)


FULL_DISK = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from services.artifacts.protocol import ArtifactStoreFullError
from services.artifacts.store import ObstoreArtifactStore

async def main(folder):
    store = await ObstoreArtifactStore.open_folder(folder)
    small = await store.put(b"fits")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    try:
        await store.put(os.urandom(1_000_000))
    except ArtifactStoreFullError as error:
        assert "\\n" not in error.detail, error.detail
        assert error.is_retryable
    else:
        raise SystemExit("a full disk went unnoticed")
    files = [path for path in folder.rglob("*") if path.is_file() and "probe" not in path.parts]
    assert [path.name for path in files] == [small], files
    assert await store.get(small) == b"fits"

asyncio.run(main(Path(sys.argv[1])))
"""


def test_disk_that_fills_up_while_writing_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs; the test above covers the same with a file size limit")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_full_file_system_is_a_retryable_error_and_leaves_nothing_behind(tiny_disk):
    store = await ObstoreArtifactStore.open_folder(tiny_disk)
    with pytest.raises(ArtifactStoreFullError, match="free some space"):
        await store.put(os.urandom(200_000))
    assert [path for path in tiny_disk.joinpath("sha256").rglob("*") if path.is_file()] == []
    assert await store.get(await store.put(b"fits")) == b"fits"
