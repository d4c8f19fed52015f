"""What is asked twice under one Idempotency-Key is done once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from handful.errors import NotFoundError, RequestError
from handful.service.classes import NewClass
from handful.service.classifiers import ClassifierPatch, NewClassifier
from handful.service.new_shots import NewShot
from handful.service.once import Once, Rendered
from handful.storage.store import AnsweredError

pytestmark = pytest.mark.anyio


def once(key="k", request="r", tenant="default", seconds=60.0):
    return Once(
        tenant=tenant,
        key=key,
        request=request,
        expires=datetime.now(UTC) + timedelta(seconds=seconds),
        render=lambda result: Rendered(status=201, body=repr(result).encode(), headers={"x": "y"}),
    )


async def test_the_second_is_given_the_answer_of_the_first_also_after_a_restart(opened):
    new = NewClassifier(name="x")
    async with opened() as service:
        view = await service.classifiers.create("default", new, once())
        with pytest.raises(AnsweredError) as answered:
            await service.classifiers.create("default", new, once())
    async with opened() as service:
        with pytest.raises(AnsweredError) as later:
            await service.classifiers.create("default", new, once())
        assert later.value.reply == answered.value.reply
        assert (later.value.reply.status, later.value.reply.headers) == (201, {"x": "y"})
        assert later.value.reply.body == repr(view).encode()
        assert len((await service.classifiers.list("default", limit=10)).items) == 1


async def test_every_write_is_done_once(opened, taught):
    async with opened() as service:
        id = await taught(service)
        shot = (await service.shots.list("default", id, limit=1)).items[0].record.id
        version = (await service.classifiers.get("default", id)).record.head_version
        writes = [
            lambda once: service.classifiers.patch("default", id, ClassifierPatch(name="y"), once=once),
            lambda once: service.classes.put("default", id, [NewClass(name="new")], once),
            lambda once: service.classes.rename("default", id, "new", "newer", once),
            lambda once: service.classes.delete("default", id, "newer", once),
            lambda once: service.shots.add("default", id, [NewShot(label="a", row=[1.0] * 28)], once),
            lambda once: service.shots.relabel("default", id, shot, "b", once),
            lambda once: service.shots.delete("default", id, shot, once),
            lambda once: service.versions.activate("default", id, version, once),
            lambda once: service.jobs.submit("default", "evaluate", id, {}, once),
            lambda once: service.classifiers.delete("default", id, once=once),
        ]
        for at, write in enumerate(writes):
            if at == 7:  # the head is there to be activated
                record = (await service.classifiers.get("default", id)).record
                await service.heads.ready(record)
                version = record.head_version
            key = once(f"k{at}")
            await write(key)
            state = [view.record for view in (await service.classifiers.list("default", limit=9)).items]
            with pytest.raises(AnsweredError):
                await write(key)
            with pytest.raises(RequestError, match=f"'k{at}' was used for another request"):
                await write(once(f"k{at}", request="another"))
            assert state == [
                view.record for view in (await service.classifiers.list("default", limit=9)).items
            ]


async def test_of_many_at_once_exactly_one_is_done(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label="red", image=png("red"))]
        outcomes = await asyncio.gather(
            *(service.shots.add("default", id, new, once()) for _ in range(8)),
            *(service.classifiers.create("default", NewClassifier(name="y"), once("c")) for _ in range(8)),
            return_exceptions=True,
        )
        for some in (outcomes[:8], outcomes[8:]):
            replies = [one.reply for one in some if isinstance(one, AnsweredError)]
            (done,) = [one for one in some if not isinstance(one, BaseException)]
            assert len(replies) == 7
            assert {reply.body for reply in replies} == {repr(done).encode()}
        (stored,) = (await service.shots.list("default", id, limit=9)).items
        assert await service.blobs.names() == [stored.record.blob]
        assert len((await service.classifiers.list("default", limit=9)).items) == 2


async def test_of_two_services_on_one_store_one_does_it(opened, tiny_encoder_class):
    async with opened() as one, opened(tiny_encoder_class()) as other:
        id = (await one.classifiers.create("default", NewClassifier(name="x"))).record.id
        new = [NewShot(label="red", row=[1.0] * 28)]
        outcomes = await asyncio.gather(
            *(service.shots.add("default", id, new, once()) for service in (one, other) * 4),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, AnsweredError) for outcome in outcomes) == 7
        assert (await one.classifiers.get("default", id)).record.shot_count == 1


async def test_what_failed_may_be_tried_again_under_its_key(opened):
    async with opened() as service:
        with pytest.raises(NotFoundError):
            await service.shots.add("default", "x" * 26, [NewShot(label="a", row=[1.0] * 28)], once())
        with pytest.raises(RequestError):
            await service.classifiers.create("default", NewClassifier(name=""), once())
        await service.classifiers.create("default", NewClassifier(name="x"), once())


async def test_an_answer_is_forgotten_when_it_has_expired(opened):
    async with opened() as service:
        first = await service.classifiers.create("default", NewClassifier(name="x"), once(seconds=-1))
        second = await service.classifiers.create("default", NewClassifier(name="x"), once(request="another"))
        assert first.record.id != second.record.id


async def test_a_key_is_its_tenants_alone(opened):
    async with opened() as service:
        await service.classifiers.create("default", NewClassifier(name="x"), once())
        await service.classifiers.create("other", NewClassifier(name="x"), once(tenant="other"))
        assert len((await service.classifiers.list("other", limit=9)).items) == 1
