"""API keys: made, shown once, changed, checked."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from handful.errors import AccessError, NotFoundError, RequestError, StorageError
from handful.service import keys as keys_of
from handful.service.classifiers import NewClassifier
from handful.service.keys import Keys, check_scope
from handful.service.new_shots import NewShot
from handful.storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(tmp_path / "store.sqlite")
    yield store
    await store.close()


@pytest.fixture
async def keys(store):
    return Keys(store)


async def test_a_key_works_with_the_secret_that_was_shown_once(keys, store):
    record, secret = await keys.create("shop", "till", {"read"})
    assert secret.startswith(f"hfl_{record.id}_")
    assert await keys.check(secret) == record
    assert record.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret.encode() not in store.file.read_bytes()
    assert [one.id for one in await keys.list("shop")] == [record.id]
    assert await keys.list("other") == []


@pytest.mark.parametrize("shown", ["", "hfl", "hfl_x_y", "hfl_{id}_wrong", "{secret}x", "{other}"])
async def test_any_other_text_is_an_unknown_key(keys, shown):
    record, secret = await keys.create("shop", "till", {"read"})
    _, other = await keys.create("shop", "till", {"read"})
    swapped = f"hfl_{record.id}_{other.split('_', 2)[2]}"
    with pytest.raises(AccessError, match="unknown"):
        await keys.check(shown.format(id=record.id, secret=secret, other=swapped))


async def test_a_rotated_key_has_another_secret_and_the_same_rights(keys):
    record, old = await keys.create("shop", "till", {"write"})
    rotated, new = await keys.rotate(record.id)
    assert (rotated.id, rotated.scopes, rotated.tenant) == (record.id, record.scopes, "shop")
    assert await keys.check(new) == rotated
    with pytest.raises(AccessError, match="unknown"):
        await keys.check(old)


async def test_a_revoked_key_works_no_longer_and_stays_listed_as_it_was_revoked(keys):
    record, secret = await keys.create("shop", "till", {"read"})
    assert await keys.check(secret) == record
    revoked = await keys.revoke(record.id)
    with pytest.raises(AccessError, match="revoked"):
        await keys.check(secret)
    assert await keys.revoke(record.id) == revoked
    assert await keys.list() == [revoked]
    with pytest.raises(RequestError, match="revoked; create another"):
        await keys.rotate(record.id)


async def test_a_key_that_is_rotated_and_revoked_at_once_is_revoked_in_the_end(keys, store):
    elsewhere = Keys(store)
    for revoking_first in (True, False):
        record, _ = await keys.create("shop", "till", {"read"})
        both = [elsewhere.revoke(record.id), keys.rotate(record.id)]
        await asyncio.gather(*(both if revoking_first else reversed(both)), return_exceptions=True)
        assert (await store.key(record.id)).revoked is not None


async def test_another_process_hears_within_seconds_that_a_key_was_revoked(keys, store, monkeypatch):
    monkeypatch.setattr(keys_of, "_REMEMBERED", 0.0)
    elsewhere = Keys(store)
    record, secret = await keys.create("shop", "till", {"read"})
    assert await elsewhere.check(secret) == record
    await keys.revoke(record.id)
    with pytest.raises(AccessError, match="revoked"):
        await elsewhere.check(secret)


async def test_a_key_works_until_it_expires(keys, monkeypatch):
    later = datetime.now(UTC) + timedelta(hours=1)
    record, secret = await keys.create("shop", "till", {"read"}, later)
    assert await keys.check(secret) == record

    class Tomorrow(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(zone) + timedelta(days=1)

    monkeypatch.setattr(keys_of, "datetime", Tomorrow)
    with pytest.raises(AccessError, match="expired"):
        await keys.check(secret)
    with pytest.raises(RequestError, match="expired; create another"):
        await keys.rotate(record.id)


@pytest.mark.parametrize("expires", [datetime.now(UTC) - timedelta(seconds=1), datetime(2999, 1, 1)])
async def test_a_key_expires_in_time_to_come_of_a_known_zone(keys, expires):
    with pytest.raises(RequestError, match="expires"):
        await keys.create("shop", "till", {"read"}, expires)


@pytest.mark.parametrize("tenant", ["", "-shop", "Shop", "a/b", "..", "a" * 65, "café"])
async def test_a_tenant_has_a_name_that_its_blobs_can_begin_with(keys, tenant):
    with pytest.raises(RequestError, match="is no name for one"):
        await keys.create(tenant, "till", {"read"})


@pytest.mark.parametrize("tenant", ["a", "_x", "0-9", "a" * 64])
async def test_pictures_of_every_tenant_that_may_have_a_key_can_be_kept(opened, png, tenant):
    async with opened() as service:
        record, _ = await service.keys.create(tenant, "till", {"write"})
        view = await service.classifiers.create(record.tenant, NewClassifier(name="x"))
        (shot,) = await service.shots.add(tenant, view.record.id, [NewShot(label="red", image=png("red"))])
        assert (await service.shots.image(tenant, view.record.id, shot.record.id))[:2] == b"\xff\xd8"


async def test_scopes_are_known_ones_and_wider_ones_hold_the_narrower(keys):
    for scopes in ((), ("read", "dance")):
        with pytest.raises(RequestError, match="scopes are"):
            await keys.create("shop", "till", scopes)
    reader, _ = await keys.create("shop", "a", {"read"})
    writer, _ = await keys.create("shop", "b", {"write"})
    owner, _ = await keys.create("shop", "c", {"admin"})
    allowed = {"read": (reader, writer, owner), "write": (writer, owner), "admin": (owner,)}
    for needed, able in allowed.items():
        for record in (reader, writer, owner):
            if record in able:
                check_scope(record, needed)
            else:
                with pytest.raises(AccessError, match=f"this needs {needed}") as refused:
                    check_scope(record, needed)
                assert refused.value.known


async def test_keys_are_needed_from_the_first_one_on(keys, store):
    assert not await keys.exist()
    elsewhere = Keys(store)
    assert not await elsewhere.exist()
    await keys.create("shop", "till", {"read"})
    assert await keys.exist()
    assert await Keys(store).exist()


async def test_a_key_that_is_not_there_cannot_be_changed(keys):
    for change in (keys.rotate, keys.revoke):
        with pytest.raises(NotFoundError, match="no key 'nobody'"):
            await change("nobody")


async def test_the_key_in_a_file_may_do_anything_for_the_default_tenant(store, tmp_path):
    file = tmp_path / "admin.key"
    file.write_text("correct horse battery\n")
    keys = Keys(store, file)
    assert await keys.exist()
    record = await keys.check("correct horse battery")
    assert record.tenant == "default"
    check_scope(record, "admin")
    with pytest.raises(AccessError):
        await keys.check("correct horse battery\n")


async def test_a_file_with_a_short_key_or_none_says_what_to_do(store, tmp_path):
    file = tmp_path / "admin.key"
    file.write_text("short")
    with pytest.raises(StorageError, match="has 5 characters; make one of 16 or more"):
        Keys(store, file)
    with pytest.raises(StorageError, match="cannot be read"):
        Keys(store, tmp_path / "absent")
