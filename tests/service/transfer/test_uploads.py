"""Uploads on the disk."""

import os
import time
from datetime import UTC, datetime

import pytest

from handful.errors import StorageError, TooLargeError
from handful.service.transfer.uploads import Uploads
from handful.storage.ids import new_id
from handful.storage.open import open_store
from handful.storage.records import JobRecord

pytestmark = pytest.mark.anyio


async def chunks(*data):
    for chunk in data:
        yield chunk


async def test_an_upload_lies_under_its_tenant_and_its_digest_is_told(tmp_path):
    uploads = Uploads(tmp_path / "uploads")
    digest = await uploads.keep("shop", "job", chunks(b"ab", b"c"), 3)
    assert uploads.path("shop", "job").read_bytes() == b"abc"
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    uploads.remove("shop", "job")
    uploads.remove("shop", "job")
    assert not uploads.path("shop", "job").exists()


async def test_one_that_is_too_large_is_not_read_further_and_leaves_nothing(tmp_path):
    asked = []

    async def endless():
        while True:
            asked.append(1)
            yield b"x" * 100

    uploads = Uploads(tmp_path)
    with pytest.raises(TooLargeError, match="over 250 bytes"):
        await uploads.keep("shop", "job", endless(), 250)
    assert len(asked) == 3
    assert not uploads.path("shop", "job").exists()


async def test_names_lead_nowhere_else(tmp_path):
    for tenant, name in (("..", "x"), ("shop", "../x"), ("shop", "/x"), ("", "x")):
        with pytest.raises(StorageError, match="is no name for an upload"):
            Uploads(tmp_path).path(tenant, name)


async def test_what_no_job_needs_is_swept(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite")
    uploads = Uploads(tmp_path / "uploads")
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
    for name, age in (("fresh", 0), ("old", 7200)):
        await uploads.keep("shop", name, chunks(b"x"), 1)
        os.utime(uploads.path("shop", name), (time.time() - age,) * 2)
    await uploads.sweep(store)
    left = {path.name for path in (tmp_path / "uploads" / "shop").iterdir()}
    assert left == {ids["queued"], ids["running"], "fresh"}
    await store.close()
