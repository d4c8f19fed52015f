"""Above a number of classes a write makes those anew that it changed; the head's statistics stay."""

import numpy as np
import pytest

from handful.adapters.frozen import ClassShots
from handful.rows import unit
from handful.service import heads as heads_module
from handful.service.answers import Asked
from handful.service.classes import NewClass
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio

NAMES = tuple(f"class {at}" for at in range(12))
METHODS = ("auto", "lda", "prototype")


@pytest.fixture
def fits(monkeypatch):
    """Of how many classes each whole fit was."""
    counted = []
    fit = heads_module.fit

    def counting(rows, classes, *others):
        counted.append(len(classes))
        return fit(rows, classes, *others)

    monkeypatch.setattr(heads_module, "fit", counting)
    return counted


async def head_of(service, id):
    return await service.heads.ready(await service.store.classifier("default", id))


async def add(service, id, name, rows):
    return await service.shots.add("default", id, [NewShot(label=name, row=row) for row in rows])


def as_kept(rows):
    """Rows as the store gives them again."""
    return unit(np.asarray(rows).astype("<f2").astype(np.float32))


def rows_by_key(ready):
    return {key: ready.head.scorer.rows[place] for place, key in enumerate(ready.keys)}


@pytest.mark.parametrize("method", METHODS)
async def test_a_write_makes_its_own_class_anew_by_the_statistics_of_before(
    opened, taught, rows, fits, method
):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES, method=method)
        before = await head_of(service, id)
        assert fits == [12]
        fresh = rows(20, 3)
        await add(service, id, "class 12", fresh)
        after = await head_of(service, id)
        assert fits == [12]
        shots = ClassShots(X=as_kept(unit(fresh)), y=np.zeros(3, int), text=np.zeros((1, 28), np.float32))
        expected = before.head.with_classes(np.append(np.arange(12), -1), shots)
        Q = np.concatenate([rows(axis, 2, seed=5) for axis in (3, 20)])
        np.testing.assert_allclose(after.head.scores(Q), expected.scores(Q), atol=2e-3)
        np.testing.assert_array_equal(after.head.scorer.rows[:12], before.head.scorer.rows)
        assert after.names == (*NAMES, "class 12")
        said = (await service.answers.classify("default", id, Asked(rows=rows(20, 2, seed=9)))).predictions
        assert {one.label for one in said} == {"class 12"}


async def test_only_the_shots_of_changed_classes_are_read(opened, taught, rows, monkeypatch):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES)
        before = await service.store.classifier("default", id)
        await head_of(service, id)
        await add(service, id, "class 3", rows(3, 2, seed=4))
        part = await service.store.changed_since("default", id, before.support_version)
        assert [shot.class_key for shot in part.shots] == [3] * 6
        assert len(part.classes) == 12
        assert await service.store.changed_since("default", "no", 0) is None

        async def refused(*given):
            raise AssertionError("all shots were read")

        monkeypatch.setattr(service.store, "support", refused)
        assert (await head_of(service, id)).made_of > before.support_version


async def test_deleted_relabelled_renamed_and_described_classes_count(opened, taught, rows, fits):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES, use_text=True)
        first = rows_by_key(await head_of(service, id))
        await service.classes.delete("default", id, "class 2")
        shot = (await service.shots.list("default", id, label="class 4", limit=1)).items[0]
        await service.shots.relabel("default", id, shot.record.id, "class 5")
        await service.classes.rename("default", id, "class 7", "crimson")
        await service.classes.put("default", id, [NewClass(name="azure", description="a blue thing")])
        ready = await head_of(service, id)
        now = rows_by_key(ready)
        assert fits == [12]
        assert 2 not in now
        assert {key for key in first if key in now and not np.array_equal(first[key], now[key])} >= {4, 5}
        assert all(np.array_equal(first[key], now[key]) for key in (0, 1, 3, 6, 8, 9, 10, 11))
        assert {"crimson", "azure"} <= set(ready.names)
        assert "class 7" not in ready.names


async def test_the_way_to_a_head_does_not_matter(opened, taught, rows, fits):
    async with opened(exact_classes=5) as one, opened(exact_classes=5) as other:
        id = await taught(one, classes=NAMES)
        await head_of(one, id)
        for at in range(3):
            await add(one, id, f"class {at}", rows(at, 1, seed=20 + at))
            if at < 2:
                await head_of(one, id)  # and the other node sees none of these
            await one.heads.settled("default", id)
        there, here = await head_of(other, id), await head_of(one, id)
        assert fits == [12]
        ours, theirs = rows_by_key(here), rows_by_key(there)
        assert ours.keys() == theirs.keys()
        for key, row in ours.items():
            np.testing.assert_allclose(row, theirs[key], atol=1e-6)


async def test_few_classes_and_another_method_are_fitted_whole(opened, taught, rows, fits):
    async with opened(exact_classes=12) as service:
        id = await taught(service, classes=NAMES)
        assert (await head_of(service, id)).head.frozen is None
        await add(service, id, "class 1", rows(1))
        await head_of(service, id)
        assert fits == [12, 12]
        await add(service, id, "class 12", rows(12))
        assert (await head_of(service, id)).head.frozen is not None
        await add(service, id, "class 12", rows(12, seed=1))
        await head_of(service, id)
        assert fits == [12, 12, 13]
        await service.classes.delete("default", id, "class 12")
        assert (await head_of(service, id)).head.frozen is None
        assert fits == [12, 12, 13, 12]


async def test_a_head_of_mostly_other_classes_is_fitted_whole(opened, taught, rows, fits):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES)
        await head_of(service, id)
        for at in range(7):
            await add(service, id, f"class {at}", rows(at, seed=3))
        await head_of(service, id)
        assert fits == [12, 12]


@pytest.mark.parametrize("method", METHODS)
async def test_training_by_the_same_method_estimates_the_statistics_anew(
    opened, taught, rows, ended, fits, method
):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES, method=method)
        await head_of(service, id)
        await add(service, id, "class 12", rows(12, 4))
        await head_of(service, id)
        job = await service.jobs.submit("default", "train", id, {"method": method})
        done = await ended(service, job)
        assert done.status == "succeeded", done.error
        record = await service.store.classifier("default", id)
        assert (record.pinned, record.support_version) == (None, done.result["version"])
        renewed = await head_of(service, id)
        assert fits == [12]  # the job fits by itself
        fresh = await taught(service, classes=(*NAMES, "class 12"), method=method)
        whole = await head_of(service, fresh)
        Q = np.concatenate([rows(axis, 2, seed=5) for axis in range(13)])
        np.testing.assert_allclose(renewed.head.probabilities(Q), whole.head.probabilities(Q), atol=0.01)
        await add(service, id, "class 12", rows(12, seed=8))
        await head_of(service, id)
        assert fits == [12, 13]


async def test_one_head_larger_than_the_memory_for_heads_is_kept(opened, taught):
    async with opened(heads_cache_bytes=1, exact_classes=5) as service:
        id, small, other = [await taught(service, classes=NAMES[:count]) for count in (12, 2, 9)]
        first = await head_of(service, id)
        assert await head_of(service, id) is first
        assert service.heads.nbytes == first.nbytes
        await head_of(service, small)
        assert await head_of(service, id) is first
        await head_of(service, other)
        assert await head_of(service, id) is not first
