"""Classes are made, described, renamed and deleted."""

import pytest

from handful.errors import ConflictError, NotFoundError, QuotaError, RequestError
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio

COMPOSED, APART = "caf\u00e9", "cafe\u0301"  # one name, as two keyboards write it


async def test_classes_that_are_put_are_made_or_described_anew(opened, taught):
    async with opened() as service:
        id = await taught(service)
        before = (await service.classifiers.get("default", id)).record
        put = await service.classes.put(
            "default", id, [NewClass(name="red", description="like blood"), NewClass(name="blue")]
        )
        assert [(one.key, one.name, one.description, one.shots) for one in put] == [
            (0, "red", "like blood", 4),
            (2, "blue", None, 0),
        ]
        record = (await service.classifiers.get("default", id)).record
        assert (record.class_count, record.next_class) == (3, 3)
        assert record.support_version == before.support_version + 1
        await service.classes.put("default", id, [NewClass(name="red", description="like blood")])
        assert (await service.classifiers.get("default", id)).record == record


async def test_a_name_is_the_same_however_its_accents_are_written(opened, rows):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        await service.shots.add("default", id, [NewShot(label=COMPOSED, row=row) for row in rows(0, 2)])
        (put,) = await service.classes.put("default", id, [NewClass(name=APART, description="warm")])
        assert (put.name, put.shots) == (COMPOSED, 2)
        assert len((await service.shots.list("default", id, label=APART, limit=10)).items) == 2
        renamed = await service.classes.rename("default", id, APART, "tea")
        assert renamed.name == "tea"
        await service.classes.rename("default", id, "tea", APART)
        await service.classes.delete("default", id, APART)
        assert (await service.classifiers.get("default", id)).classes == ()


async def test_a_renamed_class_keeps_its_shots_and_answers_by_its_new_name(opened, taught, rows):
    async with opened() as service:
        id = await taught(service, use_text=False)
        asked = Asked(rows=rows(0, 1, seed=5))
        before = await service.answers.classify("default", id, asked)
        await service.classes.rename("default", id, "red", "rust")
        after = await service.answers.classify("default", id, asked)
        assert (before.predictions[0].label, after.predictions[0].label) == ("red", "rust")
        assert after.predictions[0].probability == before.predictions[0].probability
        assert len((await service.shots.list("default", id, label="rust", limit=10)).items) == 4


async def test_a_class_cannot_take_the_name_of_another(opened, taught):
    async with opened() as service:
        id = await taught(service)
        before = await service.classifiers.get("default", id)
        with pytest.raises(ConflictError, match="relabel"):
            await service.classes.rename("default", id, "red", "green")
        with pytest.raises(NotFoundError, match="no class 'blue'"):
            await service.classes.rename("default", id, "blue", "sky")
        with pytest.raises(RequestError) as refused:
            await service.classes.rename("default", id, "red", "a/b")
        assert refused.value.pointer == "/name"
        assert (await service.classes.rename("default", id, "red", " red ")).name == "red"
        assert await service.classifiers.get("default", id) == before


async def test_a_deleted_class_takes_its_shots_along_and_nothing_else(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label=label, image=png(label, seed)) for label in ("red", "blue") for seed in range(3)]
        await service.shots.add("default", id, new)
        left = [
            view.record for view in (await service.shots.list("default", id, label="blue", limit=9)).items
        ]
        await service.classes.delete("default", id, "red")
        view = await service.classifiers.get("default", id)
        assert [one.name for one in view.classes] == ["blue"]
        assert (view.record.class_count, view.record.shot_count) == (1, 3)
        assert view.record.image_bytes == sum(shot.blob_bytes for shot in left)
        usage = await service.classifiers.usage("default")
        assert (usage.classes, usage.shots, usage.image_bytes) == (1, 3, view.record.image_bytes)
        with pytest.raises(NotFoundError):
            await service.classes.delete("default", id, "red")
        again = await service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        assert again[0].record.class_key == 2  # keys are never given twice


async def test_classes_are_listed_in_pages(opened):
    async with opened() as service:
        names = [f"class {at}" for at in range(7)]
        view = await service.classifiers.create(
            "default", NewClassifier(name="x", classes=tuple(NewClass(name=name) for name in names))
        )
        seen, cursor = [], None
        while True:
            page = await service.classes.list("default", view.record.id, limit=3, cursor=cursor)
            seen += [one.name for one in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == names


async def test_thousands_of_classes_are_put_at_once(opened, rows):
    async with opened(tenant_max_classes=3000) as service:
        view = await service.classifiers.create("default", NewClassifier(name="x"))
        many = [NewClass(name=f"{at}") for at in range(2500)]
        await service.classes.put("default", view.record.id, many)
        await service.classes.put("default", view.record.id, [*many, NewClass(name="last")])
        shown = await service.classifiers.get("default", view.record.id)
        assert (shown.record.class_count, len(shown.classes)) == (2501, 1000)
        with pytest.raises(QuotaError, match="3,000 are allowed"):
            await service.classes.put(
                "default", view.record.id, [NewClass(name=f"more {at}") for at in range(500)]
            )
        # Names that say nothing, and no shot: they wait until they have something.
        await service.shots.add("default", view.record.id, [NewShot(label="7", row=rows(0)[0])])
        answer = await service.answers.classify("default", view.record.id, Asked(rows=rows(0)))
        assert {one.label for one in answer.predictions[0].classes} == {"7", "last"}
