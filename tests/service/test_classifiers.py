"""Classifiers are made, shown, changed and deleted."""

import pytest

from handful.errors import NotFoundError, QuotaError, RequestError, StaleError
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.classifiers import ClassifierPatch, NewClassifier, etag
from handful.service.new_shots import NewShot
from handful.storage.records import Usage

pytestmark = pytest.mark.anyio


async def test_a_new_classifier_has_what_was_said_and_is_there_after_a_restart(opened):
    new = NewClassifier(
        name=" pans ",
        method="lda",
        domain="metal",
        templates=("a {} seen from above",),
        use_text=False,
        unknown_threshold=0.2,
        classes=(NewClass(name="dent", description="a hollow"), NewClass(name="scratch")),
    )
    async with opened() as service:
        made = await service.classifiers.create("default", new)
    async with opened() as service:
        view = await service.classifiers.get("default", made.record.id)
    assert view == made
    assert (view.record.name, view.record.encoder, view.record.fingerprint) == ("pans", "tiny", "tiny-1")
    assert (view.record.method, view.record.domain, view.record.use_text) == ("lda", "metal", False)
    assert view.record.templates == ("a {} seen from above",)
    assert [(one.key, one.name, one.description) for one in view.classes] == [
        (0, "dent", "a hollow"),
        (1, "scratch", None),
    ]
    assert (view.record.class_count, view.record.next_class, view.record.head_version) == (2, 2, 1)


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"name": "a/b"}, "/name"),
        ({"encoder": "none such"}, "/encoder"),
        ({"method": "svm"}, "/method"),
        ({"views": "many"}, "/views"),
        ({"domain": "x" * 1001}, "/domain"),
        ({"templates": "none such"}, "/templates"),
        ({"templates": ("no place for a name",)}, "/templates"),
        ({"unknown_threshold": 1.5}, "/unknown_threshold"),
        ({"unknown_threshold": float("nan")}, "/unknown_threshold"),
        ({"classes": (NewClass(name="a\tb", pointer="/classes/0"),)}, "/classes/0"),
        ({"classes": (NewClass(name="a"), NewClass(name=" a", pointer="/classes/1"))}, "/classes/1"),
        ({"classes": (NewClass(name="a", prompts=("x" * 2001,), pointer="/classes/0"),)}, "/classes/0"),
    ],
)
async def test_what_no_classifier_can_have_is_refused_where_it_stands(opened, members, pointer):
    async with opened() as service:
        with pytest.raises(RequestError) as refused:
            await service.classifiers.create("default", NewClassifier(**{"name": "x", **members}))
        assert refused.value.pointer == pointer
        assert (await service.classifiers.list("default", limit=1)).items == ()


async def test_a_list_goes_on_where_the_page_before_ended(opened):
    async with opened() as service:
        made = [
            (await service.classifiers.create("default", NewClassifier(name=f"c{at}"))).record.id
            for at in range(5)
        ]
        await service.classifiers.create("other", NewClassifier(name="hers"))
        seen, cursor = [], None
        while True:
            page = await service.classifiers.list("default", limit=2, cursor=cursor)
            seen += [view.record.id for view in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == made
        for limit in (0, 101):
            with pytest.raises(RequestError):
                await service.classifiers.list("default", limit=limit)


async def test_a_patch_changes_what_it_names_and_only_what_heads_depend_on_makes_a_new_one(opened, taught):
    async with opened() as service:
        id = await taught(service)
        before = (await service.classifiers.get("default", id)).record
        named = await service.classifiers.patch(
            "default", id, ClassifierPatch(name="new", unknown_threshold=0.5)
        )
        assert (named.record.name, named.record.unknown_threshold) == ("new", 0.5)
        assert named.record.revision == before.revision + 1
        assert named.record.head_version == before.head_version
        same = await service.classifiers.patch("default", id, ClassifierPatch(name="new"))
        assert same.record == named.record
        other = await service.classifiers.patch("default", id, ClassifierPatch(method="prototype"))
        assert other.record.head_version == other.record.revision == before.revision + 2


async def test_a_patch_of_another_version_is_refused(opened, taught):
    async with opened() as service:
        id = await taught(service)
        tag = etag((await service.classifiers.get("default", id)).record)
        patched = await service.classifiers.patch(
            "default", id, ClassifierPatch(name="a"), if_match=f'"other", {tag}'
        )
        with pytest.raises(StaleError, match="read it again"):
            await service.classifiers.patch("default", id, ClassifierPatch(name="b"), if_match=tag)
        with pytest.raises(StaleError):
            await service.classifiers.delete("default", id, if_match=tag)
        await service.classifiers.patch("default", id, ClassifierPatch(name="c"), if_match="*")
        now = (await service.classifiers.get("default", id)).record
        assert (now.name, now.revision) == ("c", patched.record.revision + 1)
        await service.classifiers.delete("default", id, if_match=etag(now))


async def test_the_threshold_decides_what_is_unknown_without_a_new_head(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        asked = Asked(rows=rows(0, 1, seed=9))
        before = await service.answers.classify("default", id, asked)
        assert not before.predictions[0].unknown
        await service.classifiers.patch("default", id, ClassifierPatch(unknown_threshold=1.0))
        after = await service.answers.classify("default", id, asked)
        assert after.predictions[0].unknown
        assert after.version == before.version


async def test_what_is_deleted_is_gone_and_what_it_held_may_be_held_again(opened, png):
    async with opened(tenant_max_classifiers=1) as service:
        made = await service.classifiers.create("default", NewClassifier(name="x"))
        id = made.record.id
        await service.shots.add("default", id, [NewShot(label="red", image=png("red"))])
        with pytest.raises(QuotaError, match="2 classifiers, and 1 are allowed"):
            await service.classifiers.create("default", NewClassifier(name="y"))
        await service.classifiers.create("other", NewClassifier(name="y"))
        assert (await service.classifiers.usage("default")).shots == 1
        await service.classifiers.delete("default", id)
        assert await service.classifiers.usage("default") == Usage()
        with pytest.raises(NotFoundError):
            await service.classifiers.get("default", id)
        again = await service.classifiers.create("default", NewClassifier(name="x"))
        assert again.classes == ()


async def test_what_is_anothers_is_refused_like_what_is_not_there_after_as_many_reads(opened, taught, calls):
    async with opened() as service:
        id = await taught(service)
        asked = Asked(rows=[[1.0] * 28])
        uses = [
            lambda id: service.classifiers.get("other", id),
            lambda id: service.classifiers.patch("other", id, ClassifierPatch(name="x")),
            lambda id: service.classifiers.delete("other", id),
            lambda id: service.classes.list("other", id, limit=1),
            lambda id: service.classes.put("other", id, [NewClass(name="x")]),
            lambda id: service.classes.rename("other", id, "red", "x"),
            lambda id: service.classes.delete("other", id, "red"),
            lambda id: service.shots.add("other", id, [NewShot(label="x", row=[1.0] * 28)]),
            lambda id: service.shots.list("other", id, limit=1),
            lambda id: service.shots.get("other", id, "x"),
            lambda id: service.shots.delete("other", id, "x"),
            lambda id: service.shots.relabel("other", id, "x", "y"),
            lambda id: service.answers.classify("other", id, asked),
            lambda id: service.answers.suggest("other", id, asked),
            lambda id: service.versions.list("other", id),
            lambda id: service.versions.activate("other", id, 1),
        ]
        for use in uses:
            seen = []
            for name in (id, "0" * 26):
                calls.clear()
                with pytest.raises(NotFoundError) as refused:
                    await use(name)
                seen.append((str(refused.value).replace(name, "id"), dict(calls)))
            assert seen[0] == seen[1]
        assert (await service.classifiers.get("default", id)).record.class_count == 2
