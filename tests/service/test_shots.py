"""Shots are added, all of a request or none; shown, relabelled and deleted."""

import io
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from handful.errors import ConflictError, NotFoundError, QuotaError, RequestError, StorageError
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.support import support_rows
from handful.storage.ids import new_ids

pytestmark = pytest.mark.anyio


async def made(service, **settings):
    return (await service.classifiers.create("default", NewClassifier(name="x", **settings))).record.id


async def all_shots(service, id):
    return (await service.shots.list("default", id, limit=100)).items


async def test_a_shot_says_what_was_sent_and_its_label_makes_a_class(opened, png):
    picture = png("red")
    async with opened() as service:
        id = await made(service)
        (added,) = await service.shots.add(
            "default",
            id,
            [NewShot(label=" red ", image=picture, group="g", source_id="s", metadata={"camera": [1, None]})],
        )
        assert added.label == "red"
        assert (added.record.width, added.record.height) == (12, 12)
        assert added.record.sha256 == sha256(picture).hexdigest()
        assert (added.record.group, added.record.source_id) == ("g", "s")
        assert added.record.metadata == {"camera": [1, None]}
        shown = await service.shots.get("default", id, added.record.id)
        assert shown == replace(added, record=replace(added.record, rows=b""))
        view = await service.classifiers.get("default", id)
        assert [(one.name, one.shots) for one in view.classes] == [("red", 1)]
        assert (view.record.shot_count, view.record.image_bytes) == (1, added.record.blob_bytes)


async def test_shots_are_listed_by_arrival_and_by_label_in_pages(opened, rows):
    async with opened() as service:
        id = await made(service)
        new = [NewShot(label="ab"[at % 2], row=row) for at, row in enumerate(rows(0, 7))]
        added = [view.record.id for view in await service.shots.add("default", id, new)]
        seen, cursor = [], None
        while True:
            page = await service.shots.list("default", id, limit=2, cursor=cursor)
            seen += [view.record.id for view in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == added
        page = await service.shots.list("default", id, label="b", limit=100)
        assert [view.record.id for view in page.items] == added[1::2]
        with pytest.raises(NotFoundError, match="no class 'c'"):
            await service.shots.list("default", id, label="c", limit=1)


async def test_kept_pictures_are_jpeg_with_the_right_side_up_and_as_small_as_asked(opened):
    turned = Image.fromarray(np.zeros((40, 80, 3), np.uint8))
    turned.getexif()[0x0112] = 6  # a quarter turn
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=turned.getexif())
    async with opened() as service:
        id = await made(service)
        (added,) = await service.shots.add("default", id, [NewShot(label="x", image=buffer.getvalue())])
        assert (added.record.width, added.record.height) == (40, 80)
        shot = added.record.id
        whole = Image.open(io.BytesIO(await service.shots.image("default", id, shot)))
        small = Image.open(io.BytesIO(await service.shots.image("default", id, shot, 16)))
        assert (whole.format, whole.size) == ("JPEG", (40, 80))
        assert (small.format, small.size) == ("JPEG", (8, 16))
        (bare,) = await service.shots.add("default", id, [NewShot(label="x", row=[1.0] * 28)])
        with pytest.raises(NotFoundError, match="no picture"):
            await service.shots.image("default", id, bare.record.id)


async def test_no_picture_is_kept_where_the_settings_say_so(opened, png):
    async with opened(keep_images=False) as service:
        id = await made(service)
        (added,) = await service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        assert (added.record.blob, added.record.blob_bytes) == (None, 0)
        assert await service.blobs.names() == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"image": b"no picture"}, "/files/1"),
        ({"label": ""}, "/files/1"),
        ({"label": "a/b"}, "/files/1"),
        ({"image": None}, "/files/1"),
        ({"image": None, "row": [1.0] * 27}, "/files/1/embedding"),
        ({"image": None, "row": [0.0] * 28}, "/files/1/embedding"),
        ({"image": None, "row": [float("nan")] * 28}, "/files/1/embedding"),
        ({"image": None, "row": [[1.0] * 28, [1.0]]}, "/files/1/embedding"),
        ({"group": ""}, "/files/1/group"),
        ({"source_id": "x" * 201}, "/files/1/source_id"),
        ({"metadata": {"x": "y" * 1024}}, "/files/1/metadata"),
        ({"metadata": {"x": object()}}, "/files/1/metadata"),
        ({"metadata": {"x": "\ud800"}}, "/files/1/metadata"),
    ],
)
async def test_one_shot_that_cannot_be_is_pointed_at_and_none_is_stored(opened, png, wrong, pointer):
    good = NewShot(label="red", image=png("red"), pointer="/files/0")
    async with opened() as service:
        id = await made(service)
        before = await service.classifiers.get("default", id)
        with pytest.raises(RequestError) as refused:
            await service.shots.add("default", id, [good, replace(good, pointer="/files/1", **wrong)])
        assert refused.value.pointer == pointer
        assert await service.classifiers.get("default", id) == before
        assert await service.blobs.names() == []
        with pytest.raises(RequestError, match="no shot"):
            await service.shots.add("default", id, [])


async def test_over_a_limit_nothing_is_stored_and_no_picture_stays(opened, png):
    async with opened(tenant_max_shots=3) as service:
        id = await made(service)
        new = [NewShot(label="red", image=png("red", seed)) for seed in range(2)]
        await service.shots.add("default", id, new)
        blobs = await service.blobs.names()
        with pytest.raises(QuotaError, match="4 shots, and 3 are allowed"):
            await service.shots.add("default", id, new)
        assert await service.blobs.names() == blobs
        assert len(await all_shots(service, id)) == 2
        await service.shots.add("default", id, new[:1])


async def test_a_disk_that_fails_leaves_nothing_behind(opened, png, monkeypatch):
    async with opened() as service:
        id = await made(service)
        put_all, done = service.blobs.put_all, []

        async def failing(blobs):
            name, *others = blobs
            done.append(name)
            await put_all({name: blobs[name]})
            if others or len(done) == 3:
                raise StorageError("the disk is gone")

        monkeypatch.setattr(service.blobs, "put_all", failing)
        with pytest.raises(StorageError):
            await service.shots.add(
                "default", id, [NewShot(label="red", image=png("red", seed)) for seed in range(3)]
            )
        assert done
        assert await service.blobs.names() == []
        assert await all_shots(service, id) == ()


async def test_a_picture_that_is_none_takes_those_before_it_along(opened, png, monkeypatch):
    async with opened() as service:
        id = await made(service)
        written, put_all = [], service.blobs.put_all

        async def noted(blobs):
            await put_all(blobs)
            written.extend(blobs)

        monkeypatch.setattr(service.blobs, "put_all", noted)
        new = [NewShot(label="red", image=png("red", seed)) for seed in range(40)]
        with pytest.raises(RequestError, match="not a picture"):
            await service.shots.add("default", id, [*new, NewShot(label="red", image=b"no picture")])
        assert written
        assert await service.blobs.names() == []
        assert await all_shots(service, id) == ()


async def test_it_is_not_known_whether_a_change_was_written_so_its_pictures_stay(opened, png, monkeypatch):
    async with opened() as service:
        id = await made(service)
        apply = service.store.apply

        async def broken(change):
            await apply(change)
            raise StorageError("no word from the disk")

        monkeypatch.setattr(service.store, "apply", broken)
        with pytest.raises(StorageError):
            await service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        (stored,) = await all_shots(service, id)
        assert await service.blobs.names() == [stored.record.blob]


async def test_equal_pictures_are_shots_of_their_own_and_left_out_together(opened, png, tiny_encoder, warm):
    async with opened() as service:
        id = await made(service)
        await warm()
        seen = tiny_encoder.pictures_seen
        same = [NewShot(label="red", image=png("red")) for _ in range(3)]
        named = [replace(same[0], group="of its own"), NewShot(label="red", image=png("red", 1))]
        added = await service.shots.add("default", id, [*same, *named])
        assert tiny_encoder.pictures_seen == seen + 2
        assert len({view.record.id for view in added}) == 5
        groups = support_rows(await service.store.support("default", id)).groups
        assert len(set(groups[:3])) == 1
        assert len(set(groups)) == 3


async def test_shots_of_a_decided_name_are_added_once(opened, png):
    async with opened() as service:
        id = await made(service)
        ids = new_ids(3)
        new = [NewShot(label="red", image=png("red", seed)) for seed in range(3)]
        first = await service.shots.add("default", id, new[:2], ids=ids[:2])
        revision = (await service.classifiers.get("default", id)).record.revision
        again = await service.shots.add("default", id, new[:2], ids=ids[:2])
        assert [view.record.id for view in again] == [view.record.id for view in first] == ids[:2]
        record = (await service.classifiers.get("default", id)).record
        assert (record.shot_count, record.revision) == (2, revision)
        await service.shots.add("default", id, new, ids=ids)
        assert [view.record.id for view in await all_shots(service, id)] == ids
        assert len(await service.blobs.names()) == 3


async def test_a_failure_leaves_pictures_that_another_worker_of_the_import_named(opened, png, monkeypatch):
    async with opened(tenant_max_shots=1) as service:
        id, ids = await made(service), new_ids(2)
        new = [NewShot(label="red", image=png("red", seed)) for seed in range(2)]
        look = service.store.shots_named
        looked = []

        async def late(tenant, classifier, names):
            found = await look(tenant, classifier, names)
            if not looked:  # the other worker is done just after this one looked
                looked.append(names)
                monkeypatch.setattr(service.store, "shots_named", look)
                await service.shots.add(tenant, classifier, new[:1], ids=ids[:1])
            return found

        monkeypatch.setattr(service.store, "shots_named", late)
        with pytest.raises(QuotaError):
            await service.shots.add("default", id, new, ids=ids)
        (stored,) = await all_shots(service, id)
        assert await service.blobs.get(stored.record.blob) is not None


async def test_a_relabelled_shot_counts_for_its_new_class_at_once(opened, taught, rows):
    async with opened() as service:
        id = await taught(service, use_text=False)
        for view in (await service.shots.list("default", id, label="red", limit=3)).items:
            moved = await service.shots.relabel("default", id, view.record.id, "blue")
            assert moved.label == "blue"
        classes = (await service.classifiers.get("default", id)).classes
        assert [(one.name, one.shots) for one in classes] == [("red", 1), ("green", 4), ("blue", 3)]
        record = (await service.classifiers.get("default", id)).record
        assert (record.class_count, record.shot_count) == (3, 8)
        answer = await service.answers.classify("default", id, Asked(rows=rows(0, 1)))
        assert answer.version == record.revision
        shot = (await service.shots.list("default", id, label="blue", limit=1)).items[0].record
        same = await service.shots.relabel("default", id, shot.id, "blue")
        assert (same.label, same.record) == ("blue", shot)
        assert (await service.classifiers.get("default", id)).record == record


async def test_a_deleted_shot_is_gone_and_its_class_stays(opened, png):
    async with opened() as service:
        id = await made(service)
        added = await service.shots.add(
            "default", id, [NewShot(label="red", image=png("red", seed)) for seed in range(2)]
        )
        await service.shots.delete("default", id, added[0].record.id)
        with pytest.raises(NotFoundError, match="no shot"):
            await service.shots.delete("default", id, added[0].record.id)
        with pytest.raises(NotFoundError, match="no shot"):
            await service.shots.relabel("default", id, added[0].record.id, "x")
        with pytest.raises(NotFoundError, match="no shot"):
            await service.shots.get("default", id, added[0].record.id)
        await service.shots.delete("default", id, added[1].record.id)
        view = await service.classifiers.get("default", id)
        assert [(one.name, one.shots) for one in view.classes] == [("red", 0)]
        assert (view.record.shot_count, view.record.image_bytes) == (0, 0)


async def test_shots_of_other_weights_of_an_encoder_are_refused(opened, taught, tiny_encoder_class, rows):
    async with opened() as service:
        id = await taught(service)
    async with opened(tiny_encoder_class(fingerprint="tiny-2")) as service:
        for use in (
            lambda: service.shots.add("default", id, [NewShot(label="red", row=rows(0)[0])]),
            lambda: service.answers.classify("default", id, Asked(rows=rows(0))),
        ):
            with pytest.raises(ConflictError, match="tiny-1, and this service has tiny-2"):
                await use()
        assert (await service.classifiers.get("default", id)).record.shot_count == 8
    blind = tiny_encoder_class()
    blind.name = "other"
    async with opened(blind) as service:
        with pytest.raises(ConflictError, match="cannot be used here: there is no encoder 'tiny'"):
            await service.answers.classify("default", id, Asked(rows=rows(0)))


async def test_each_view_of_a_picture_is_a_row_of_its_shot(opened, png):
    async with opened() as service:
        id = await made(service, views="standard")
        added = await service.shots.add(
            "default", id, [NewShot(label="red", image=png("red", seed)) for seed in range(2)]
        )
        rows = support_rows(await service.store.support("default", id))
        assert len(rows.X) > 2
        assert np.allclose(np.linalg.norm(rows.X, axis=1), 1, atol=1e-6)
        assert sorted(set(rows.ids)) == [view.record.id for view in added]
        for view in added:
            own = [at for at, shot in enumerate(rows.ids) if shot == view.record.id]
            assert len({rows.groups[at] for at in own}) == 1
