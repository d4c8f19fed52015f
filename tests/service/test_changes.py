"""Changes are decided anew until they hold."""

import asyncio

import pytest

from handful.errors import BusyError, NotFoundError
from handful.service import changes as changes_of
from handful.service.changes import Changes, next_revision
from handful.service.classifiers import ClassifierPatch
from handful.service.new_shots import NewShot
from handful.settings import Settings
from handful.storage.store import Change, ChangedMeanwhileError

pytestmark = pytest.mark.anyio


def renamed(name):
    async def decide(record):
        return Change(before=record, after=next_revision(record, support=False, name=name)), name

    return decide


async def test_a_change_that_another_process_overtakes_is_decided_again(opened, taught):
    async with opened() as service:
        id = await taught(service)
        mine, theirs = (Changes(service.store, Settings()) for _ in range(2))
        seen = []

        async def decide(record):
            seen.append(record.revision)
            if len(seen) < 3:
                await theirs.to("default", id, renamed(f"theirs {len(seen)}"))
            return await renamed(record.name + ", mine")(record)

        assert await mine.to("default", id, decide) == "theirs 2, mine"
        assert seen == [seen[0], seen[0] + 1, seen[0] + 2]
        assert (await service.classifiers.get("default", id)).record.name == "theirs 2, mine"


async def test_what_is_read_for_a_decision_may_be_newer_than_the_classifier(opened, taught, monkeypatch):
    """The shot's class goes, with the shot, between the reads of one decision."""
    async with opened() as service, opened() as other:
        id = await taught(service)
        shot = (await service.shots.list("default", id, limit=1)).items[0].record.id
        look, looked = service.store.classes_keyed, []

        async def late(tenant, classifier, keys):
            if not looked:
                looked.append(keys)
                await other.classes.delete("default", id, "red")
            return await look(tenant, classifier, keys)

        monkeypatch.setattr(service.store, "classes_keyed", late)
        with pytest.raises(NotFoundError, match="no shot"):
            await service.shots.delete("default", id, shot)
        assert (await service.classifiers.get("default", id)).record.shot_count == 4


async def test_who_is_always_overtaken_is_told_to_try_again(opened, taught, monkeypatch):
    monkeypatch.setattr(changes_of, "_PATIENCE", 0.05)
    async with opened() as service:
        id = await taught(service)

        async def overtaken(record):
            raise ChangedMeanwhileError("another was faster")

        with pytest.raises(BusyError, match="changed by many"):
            await Changes(service.store, Settings()).to("default", id, overtaken)


async def test_changes_of_one_process_take_turns_and_none_is_decided_twice(opened, taught):
    async with opened() as service:
        id = await taught(service)
        changes, seen = Changes(service.store, Settings()), []

        async def decide(record):
            seen.append(record.revision)
            await asyncio.sleep(0)
            return Change(before=record, after=next_revision(record, support=False)), None

        await asyncio.gather(*(changes.to("default", id, decide) for _ in range(20)))
        assert seen == list(range(seen[0], seen[0] + 20))


async def test_a_classifier_that_is_deleted_meanwhile_is_not_there(opened, taught):
    async with opened() as service:
        id = await taught(service)
        outcomes = await asyncio.gather(
            service.classifiers.delete("default", id),
            *(service.shots.add("default", id, [NewShot(label="red", row=[1.0] * 28)]) for _ in range(4)),
            service.classifiers.patch("default", id, ClassifierPatch(name="x")),
            return_exceptions=True,
        )
        assert outcomes[0] is None
        assert all(isinstance(one, NotFoundError) for one in outcomes[1:] if isinstance(one, Exception))
        assert await service.store.classifier("default", id) is None
        assert (await service.classifiers.usage("default")).shots == 0


async def test_a_write_that_changes_nothing_has_no_revision(opened, taught):
    async with opened() as service:
        id = await taught(service)
        before = (await service.classifiers.get("default", id)).record

        async def decide(record):
            return Change(before=record, after=record), None

        await Changes(service.store, Settings()).to("default", id, decide)
        assert (await service.classifiers.get("default", id)).record == before
