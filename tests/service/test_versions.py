"""Heads: which there are, which one answers, and which stay."""

import asyncio

import pytest

from handful.errors import ConflictError, NotFoundError
from handful.service.answers import Asked
from handful.service.classifiers import ClassifierPatch, NewClassifier
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio


async def version_asked(service, id, row):
    return (await service.answers.classify("default", id, Asked(rows=row))).version


async def write(service, id, rows, seed, label="red"):
    (view,) = await service.shots.add("default", id, [NewShot(label=label, row=rows(0, seed=seed)[0])])
    return view.record.id


async def numbers(service, id):
    return [view.version for view in await service.versions.list("default", id)]


async def active(service, id):
    (view,) = [view for view in await service.versions.list("default", id) if view.active]
    return view.version, view.stale


async def test_the_last_five_in_closed_form_stay(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        made = []
        for seed in range(7):
            await write(service, id, rows, seed)
            made.append(await version_asked(service, id, rows(0)))
        assert await numbers(service, id) == made[:1:-1]
        assert await active(service, id) == (made[-1], False)


async def test_a_version_that_nobody_asked_yet_is_listed_as_it_will_answer(opened, taught):
    async with opened() as service:
        id = await taught(service, method="tip-f")
        (view,) = await service.versions.list("default", id)
        record = (await service.classifiers.get("default", id)).record
        assert (view.version, view.method) == (record.support_version, "auto")
        assert (view.active, view.stale) == (True, False)


async def test_an_old_version_that_is_activated_answers_and_is_stale_after_the_next_write(
    opened, taught, rows
):
    async with opened() as service:
        id = await taught(service)
        old = await version_asked(service, id, rows(1))
        before = await service.answers.classify("default", id, Asked(rows=rows(1)))
        await write(service, id, rows, 1, label="blue")
        newest = await version_asked(service, id, rows(1))
        view = await service.versions.activate("default", id, old)
        assert (view.version, view.active, view.stale) == (old, True, False)
        again = await service.answers.classify("default", id, Asked(rows=rows(1)))
        assert (again.version, again.predictions) == (old, before.predictions)
        await write(service, id, rows, 2)
        assert await active(service, id) == (old, True)
        assert await version_asked(service, id, rows(1)) == old
        assert (await service.classifiers.get("default", id)).record.stale
        record = (await service.classifiers.get("default", id)).record
        await service.versions.activate("default", id, record.support_version)
        assert await version_asked(service, id, rows(1)) == record.support_version > newest
        assert not (await service.classifiers.get("default", id)).record.stale


async def test_versions_once_activated_stay_whatever_comes(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        first = await version_asked(service, id, rows(0))
        await service.versions.activate("default", id, first)  # the newest, by hand
        for seed in range(7):
            await write(service, id, rows, seed)
            await version_asked(service, id, rows(0))
        found = await numbers(service, id)
        assert len(found) == 6
        assert found[-1] == first


async def test_the_newest_can_be_activated_before_anybody_asked_it(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        old = await version_asked(service, id, rows(0))
        await write(service, id, rows, 1)
        await service.versions.activate("default", id, old)
        newest = (await service.classifiers.get("default", id)).record.support_version
        view = await service.versions.activate("default", id, newest)
        assert (view.version, view.active, view.stale) == (newest, True, False)
        for seed in range(2, 9):
            await write(service, id, rows, seed)
            await version_asked(service, id, rows(0))
        assert newest in await numbers(service, id)


async def test_activating_what_answers_already_writes_no_revision(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        version = await version_asked(service, id, rows(0))
        before = (await service.classifiers.get("default", id)).record
        await service.versions.activate("default", id, version)
        assert (await service.classifiers.get("default", id)).record == before


async def test_setting_the_method_lets_the_shots_decide_again(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        old = await version_asked(service, id, rows(0))
        await write(service, id, rows, 1)
        await service.versions.activate("default", id, old)
        view = await service.classifiers.patch("default", id, ClassifierPatch(method="auto"))
        assert view.record.pinned is None
        assert await version_asked(service, id, rows(0)) == view.record.support_version > old


async def test_a_version_that_is_not_there_and_a_classifier_that_is_not_are_said(opened, taught):
    async with opened() as service:
        id = await taught(service)
        with pytest.raises(NotFoundError, match="no version 999; list its versions"):
            await service.versions.activate("default", id, 999)
        for tenant, name in (("other", id), ("default", "nothing")):
            with pytest.raises(NotFoundError, match=f"there is no classifier '{name}'"):
                await service.versions.activate(tenant, name, 1)
            with pytest.raises(NotFoundError, match=f"there is no classifier '{name}'"):
                await service.versions.list(tenant, name)


async def test_a_classifier_with_nothing_to_answer_by_has_no_version_to_activate(opened):
    async with opened() as service:
        record = (await service.classifiers.create("default", NewClassifier(name="x"))).record
        with pytest.raises(ConflictError, match="has no class that it could answer with"):
            await service.versions.activate("default", record.id, record.support_version)


async def test_a_head_in_the_making_is_kept_when_the_service_closes(opened, taught, rows):
    async with opened() as service:
        id = await taught(service)
        asking = asyncio.create_task(version_asked(service, id, rows(0)))
        while not service.heads._making and not asking.done():  # over Redis some turns later
            await asyncio.sleep(0)
    version = await asking
    async with opened() as service:
        assert await service.store.head("default", id, version) is not None
