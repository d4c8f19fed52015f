"""Uploads in the place of the blobs, which every process of a service reaches."""

import os
import tarfile
import time
import zipfile
from datetime import UTC, datetime

import pytest

from handful.errors import StorageError, TooLargeError
from handful.service.transfer.archives import ArchiveLimits, scan
from handful.service.transfer.ndjson import numbered_lines
from handful.service.transfer.uploads import FOLDER, Uploads
from handful.storage.blobs import Blobs
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.records import JobRecord

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return Blobs({"folder": str(tmp_path / "blobs"), "memory": f"memory://{tmp_path}"}[request.param])


@pytest.fixture
def uploads(blobs):
    return Uploads(blobs)


async def chunks(*data):
    for chunk in data:
        yield chunk


async def test_an_upload_can_be_read_and_its_digest_is_told(uploads):
    digest = await uploads.keep("shop", "job", chunks(b"ab", b"c"), 3)
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert await uploads.size("shop", "job") == 3
    with uploads.upload("shop", "job").open() as file:
        assert file.read() == b"abc"
    await uploads.remove("shop", "job")
    await uploads.remove("shop", "job")
    assert await uploads.size("shop", "job") is None
    with pytest.raises(StorageError, match="cannot be read"):
        uploads.upload("shop", "job").open()


async def test_another_node_over_the_same_place_reads_it(blobs, uploads):
    await uploads.keep("shop", "job", chunks(os.urandom(2**20), b"\n", b"x" * 2**20, b"\ny"), 2**30)
    elsewhere = Uploads(Blobs(blobs.url)).upload("shop", "job")
    lines = [(number, end) for number, _, end in numbered_lines(elsewhere, 2**20 + 1)]
    assert lines == [(0, 2**21 + 2), (1, 2**21 + 3)]


async def test_archives_are_read_from_wherever_they_lie(uploads, tmp_path):
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("red/1.png", os.urandom(3 * 2**20))
        archive.writestr("blue/1.png", b"x")
    with tarfile.open(tmp_path / "tar", "w:gz") as tar:
        tar.add(tmp_path / "zip", "red/1.png")
        tar.add(tmp_path / "zip", "blue/1.png")
    for kind in ("zip", "tar"):
        await uploads.keep("shop", kind, chunks((tmp_path / kind).read_bytes()), 2**30)
        limits = ArchiveLimits(files=9, unpacked=2**30, file=2**30)
        assert scan(uploads.upload("shop", kind), limits).files == 2


async def test_uploads_are_no_blobs(blobs, uploads):
    await blobs.put("shop/bread/a.jpg", b"x")
    await uploads.keep("shop", "job", chunks(b"abc"), 3)
    assert await blobs.names() == ["shop/bread/a.jpg"]
    await blobs.remove("shop/")
    assert await uploads.size("shop", "job") == 3


async def test_one_that_is_too_large_is_not_read_further_and_leaves_nothing(uploads):
    asked = []

    async def endless():
        while True:
            asked.append(1)
            yield b"x" * 100

    with pytest.raises(TooLargeError, match="over 250 bytes"):
        await uploads.keep("shop", "job", endless(), 250)
    assert len(asked) == 3
    assert await uploads.size("shop", "job") is None


async def test_names_lead_nowhere_else(uploads):
    for tenant, name in (("..", "x"), ("shop", "../x"), ("shop", "/x"), ("", "x")):
        with pytest.raises(StorageError, match="is no name"):
            uploads.upload(tenant, name).open()
        with pytest.raises(StorageError, match="is no name"):
            await uploads.keep(tenant, name, chunks(b"x"), 1)


async def test_an_upload_in_a_folder_is_written_once_and_through_to_the_disk(tmp_path, monkeypatch):
    uploads = Uploads(Blobs(str(tmp_path)))
    synced = set()
    fsync = os.fsync

    def noting(descriptor):
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    await uploads.keep("shop", "job", chunks(b"x"), 1)
    place = tmp_path / FOLDER / "shop" / "job"
    assert {str(path) for path in (place, place.parent, place.parents[1])} <= synced
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [place]


async def test_what_no_job_needs_is_swept(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite")
    uploads = Uploads(Blobs(str(tmp_path / "blobs")))
    now = datetime.now(UTC)
    ids = {}
    for status in ("queued", "running", "succeeded", "failed"):
        ids[status] = new_id()
        await store.put_job(
            JobRecord(
                tenant="shop",
                id=ids[status],
                kind="k",
                classifier=None,
                status=status,
                request={},
                created=now,
                updated=now,
            )
        )
        await uploads.keep("shop", ids[status], chunks(b"x"), 1)
    places = tmp_path / "blobs" / FOLDER / "shop"
    for name, age in (("fresh", 0), ("old", 7200)):
        await uploads.keep("shop", name, chunks(b"x"), 1)
        os.utime(places / name, (time.time() - age,) * 2)
    await uploads.sweep(store)
    assert {path.name for path in places.iterdir()} == {ids["queued"], ids["running"], "fresh"}
    await store.close()
