"""What newer builds write is read as far as it may be, or refused by name; old bytes stay readable."""

from collections.abc import Callable
from dataclasses import fields, replace

import msgspec
import pytest
from tests.redis_servers import Server
from tests.storage.conftest import NOW, classifier, job, shot, taught, with_shots
from tests.storage.test_store import head, reply

from handful.errors import StorageError, StorageSetupError
from handful.storage.blobs import Blobs, digest_name
from handful.storage.records import ClassRecord, KeyRecord, Pinned
from handful.storage.redis import codec
from handful.storage.redis.layout import BATCH, HEADS, RECORD
from handful.storage.redis.pages import classes_of
from handful.storage.redis.segments import Batch, batch_of, packed, unpacked
from handful.storage.redis.support import record_of, record_value
from handful.storage.store import Change, Store

pytestmark = pytest.mark.anyio

KEY = KeyRecord(id="k", tenant="shop", name="till", digest="d", scopes=frozenset({"read"}), created=NOW)


@pytest.fixture
def store_url(redis_8: Server) -> str:
    redis_8.command("FLUSHALL")
    return redis_8.url


@pytest.mark.parametrize(
    ("kind", "record", "elsewhere"),
    [
        (codec.CLASSIFIER, classifier(pinned=Pinned(version=1, since=1)), {"tenant", "id", "revision"}),
        (
            codec.CLASS,
            ClassRecord(key=3, name="é", description="d", prompts=("p",), shots=2),
            {"key", "name"},
        ),
        (codec.SHOT, shot(group="g", source_id="s", blob="a/b", blob_bytes=3), {"rows"}),
        (codec.HEAD, head(3, held=True), {"classes"}),
        (codec.JOB, job(result={"n": 10**30}, token="t", lease_until=NOW, cancelling=True), set()),
        (codec.KEY, KEY, set()),
        (codec.REPLY, reply(), {"tenant", "key"}),
    ],
)
def test_records_come_back_also_from_a_build_that_writes_more(
    kind: codec.Codec, record: object, elsewhere: set[str]
) -> None:
    kept = {name: getattr(record, name) for name in elsewhere}
    assert kind.read(kind.write(record), **kept) == record
    more = codec.seal(codec.encode([*kind.values(record), {"new": [1]}, "newer"]))
    assert kind.read(more, **kept) == record
    # Each field is either in the list or kept elsewhere.
    assert len(kind.values(record)) == len({field.name for field in fields(record)} - elsewhere)  # type: ignore[arg-type]


def test_a_field_that_an_older_build_did_not_write_has_its_default() -> None:
    told = codec.SHOT.values(shot(group="g", blob="a/b", blob_bytes=7))
    assert codec.SHOT.record(told[:7]).blob is None
    with pytest.raises(StorageError, match="a ShotRecord in the store is damaged"):
        codec.SHOT.record(told[:5])


def test_the_bytes_of_format_1_are_read_for_ever() -> None:
    record = replace(classifier(), id="01jd0000000000000000000000")
    golden = (
        "000000000000000101dc0011a56272656164a474696e79a674696e792d31a46175746fa46175746fa6706173747279"
        "91af61207b7d206f6e206120706c617465c3cb3fa999999999999a01c000000000d6ff695735a5d6ff695735a5"
    )
    assert record_value(record).hex() == golden
    assert record_of("shop", record.id, bytes.fromhex(golden)) == record
    page = bytes.fromhex("0103000400000004726f6c6c9302c090")
    assert list(classes_of(1, page)) == [ClassRecord(key=67, name="roll", shots=2)]


async def test_a_page_is_written_in_those_bytes(store: Store, redis_8: Server) -> None:
    record = await taught(store, shots=2)
    written = redis_8.command("HGET", f"hf:{{shop/{record.id}}}", "c0")
    assert written.hex() == "0100000400000005726f6c6c9402c09000"


def newer(value: bytes) -> bytes:
    return bytes([2]) + value[1:]


async def test_what_a_newer_build_wrote_in_a_way_of_its_own_is_refused_by_name(
    store: Store, redis_8: Server
) -> None:
    record = await taught(store, shots=1)
    await store.keep_head("shop", record.id, head(2), b"data", newest=5)
    key = f"hf:{{shop/{record.id}}}"
    fields = redis_8.command("HGETALL", key)
    (batch,) = [name for name in fields if name.startswith(BATCH)]

    async def fails(name: bytes, value: bytes, read: Callable[[], object], what: str) -> None:
        redis_8.command("HSET", key, name, value)
        with pytest.raises(StorageSetupError, match=f"{what} has format 2, newer than 1.*upgrade"):
            await read()  # type: ignore[misc]
        redis_8.command("HSET", key, name, fields[name])

    old = fields[RECORD]
    await fails(
        RECORD, old[:8] + newer(old[8:]), lambda: store.classifier("shop", record.id), "a ClassifierRecord"
    )
    await fails(
        b"c0", newer(fields[b"c0"]), lambda: store.classes("shop", record.id, limit=5), "a page of classes"
    )
    await fails(batch, newer(fields[batch]), lambda: store.support("shop", record.id), "a batch of shots")
    inline = batch_of(batch, fields[batch])
    assert inline.data is not None
    later = replace(inline, data=newer(inline.data)).value
    await fails(batch, later, lambda: store.support("shop", record.id), "a segment of shots")
    await fails(HEADS, newer(fields[HEADS]), lambda: store.heads("shop", record.id), "an index of heads")
    assert await store.support("shop", record.id) is not None


def test_segments_say_what_is_wrong_with_them() -> None:
    data = packed([shot(), shot(3)])
    assert len(unpacked(data)) == 2
    for damaged in (b"", data[:3], data[:20], data[:-1], data[:30] + b"\xff\xff" + data[32:]):
        with pytest.raises(StorageError, match="a segment of shots in the store is damaged"):
            unpacked(damaged)


def test_pointers_may_say_more_than_this_build_knows() -> None:
    batch = Batch(
        field=b"t1",
        revision=3,
        first="a",
        last="b",
        low=0,
        high=4,
        count=9,
        pictures=2,
        size=99,
        digest="0123456789abcdef",
    )
    assert batch_of(b"t1", batch.value) == batch
    told = msgspec.msgpack.decode(batch.value[2:])
    assert batch_of(b"t1", batch.value[:2] + msgspec.msgpack.encode([*told, "new"])) == batch
    with pytest.raises(StorageError, match="a batch of shots in the store is damaged"):
        batch_of(b"t1", batch.value[:9])


async def test_a_segment_with_other_bytes_than_its_name_says_is_refused(store: Store, blobs: Blobs) -> None:
    record = await with_shots(store, await taught(store), 20)
    (name,) = [name for name in await blobs.names() if name.endswith(".seg")]
    assert digest_name(f"shop/{record.id}/support", await blobs.get(name) or b"", "seg") == name
    await blobs.put(name, b"other")
    with pytest.raises(StorageError, match=f"{name} is damaged"):
        await store.support("shop", record.id)
    await store.apply(Change(before=record, after=None))
    assert await store.support("shop", record.id) is None
