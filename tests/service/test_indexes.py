"""Heads of very many classes are answered in two stages, from indexes that any process builds again."""

import asyncio
import sys

import numpy as np
import pytest
from structlog.testing import capture_logs

from handful.errors import RetrievalError
from handful.retrieval.head_index import HeadIndex
from handful.retrieval.two_stages import TwoStages
from handful.service.answers import Asked
from handful.service.new_shots import NewShot

pytestmark = pytest.mark.anyio

NAMES = tuple(f"class {at}" for at in range(12))


@pytest.fixture
def staged(monkeypatch):
    """How many rows each search in two stages was asked for."""
    counted = []
    judged = TwoStages.judged

    def counting(self, rows, top_k):
        counted.append(len(rows))
        return judged(self, rows, top_k)

    monkeypatch.setattr(TwoStages, "judged", counting)
    return counted


@pytest.fixture
def built(monkeypatch):
    """The folders that indexes were built in."""
    made = []
    build = HeadIndex.build.__func__

    def counting(cls, head, folder, **named):
        made.append(folder)
        return build(cls, head, folder, **named)

    monkeypatch.setattr(HeadIndex, "build", classmethod(counting))
    return made


def shots(rows):
    return np.concatenate([rows(axis, 3, seed=7, blur=0.3) for axis in range(12)])


async def asked(service, id, Q, **options):
    return (await service.answers.classify("default", id, Asked(rows=Q), **options)).predictions


def same(said, expected):
    for one, other in zip(said, expected, strict=True):
        assert [entry.label for entry in one.classes] == [entry.label for entry in other.classes]
        assert [entry.probability for entry in one.classes] == pytest.approx(
            [entry.probability for entry in other.classes], rel=1e-5
        )
        assert one.known == pytest.approx(other.known, rel=1e-3)
        assert (one.label, one.unknown, one.set) == (other.label, other.unknown, other.set)


@pytest.mark.parametrize("method", ["auto", "lda", "prototype"])
async def test_two_stages_answer_as_a_look_at_every_class_does(opened, taught, rows, staged, method):
    Q = shots(rows)
    async with opened(exact_classes=11) as service:
        id = await taught(service, classes=NAMES, method=method)
        exact = await asked(service, id, Q, top_k=5, coverage=0.8)
        assert staged == []
        await service.heads.indexes.settled()
        same(await asked(service, id, Q, top_k=5, coverage=0.8), exact)
        assert sum(staged) == len(Q)
        assert (await asked(service, id, Q[:1], explain=2))[0].neighbours is not None


@pytest.mark.parametrize(("method", "limit"), [("auto", 12), ("tip", 5)])
async def test_few_classes_and_heads_of_shots_have_no_index(opened, taught, rows, staged, method, limit):
    async with opened(exact_classes=limit) as service:
        id = await taught(service, classes=NAMES, method=method)
        await asked(service, id, shots(rows))
        await service.heads.indexes.settled()
        await asked(service, id, shots(rows))
        assert staged == []
        assert not (service.settings.data_dir / "indexes").exists()


@pytest.mark.parametrize(("most", "built_again"), [(2048, False), (0, True)])
async def test_a_write_counts_at_once_and_the_index_serves_on_until_too_much_changed(
    opened, taught, rows, staged, built, monkeypatch, most, built_again
):
    monkeypatch.setattr("handful.service.indexes._MOST_FRESH", most)
    Q = rows(20, 3)
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES)
        await asked(service, id, Q)
        await service.heads.indexes.settled()
        assert len(built) == 1
        await service.shots.add("default", id, [NewShot(label="fresh", row=row) for row in rows(20, 4)])
        await service.classes.delete("default", id, "class 3")
        exact = await asked(service, id, np.concatenate([Q, shots(rows)]))
        assert {one.label for one in exact[:3]} == {"fresh"}
        assert staged == []
        await service.heads.indexes.settled()
        same(await asked(service, id, np.concatenate([Q, shots(rows)])), exact)
        assert staged == [39]
        assert (len(built) == 2) == built_again
        place = service.settings.data_dir / "indexes" / "default" / id
        assert len(list(place.iterdir())) == 1
    async with opened(exact_classes=5) as service:
        await asked(service, id, Q)
        await service.heads.indexes.settled()
        same(await asked(service, id, np.concatenate([Q, shots(rows)])), exact)
        assert staged == [39, 39]
        assert (len(built) == 2) == built_again


async def test_the_next_process_opens_what_was_built_and_builds_again_what_is_damaged(
    opened, taught, rows, staged, built
):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES)
        exact = await asked(service, id, shots(rows))
        await service.heads.indexes.settled()
        [folder] = (service.settings.data_dir / "indexes" / "default" / id).iterdir()
    for count in (1, 2):
        async with opened(exact_classes=5) as service:
            await asked(service, id, shots(rows))
            await service.heads.indexes.settled()
            same(await asked(service, id, shots(rows)), exact)
            assert len(staged) == count
            assert len(built) == count
        next(folder.glob("values-*")).unlink()


async def test_an_index_that_cannot_be_built_leaves_exact_answers(opened, taught, rows, staged, monkeypatch):
    tried = []

    def failing(cls, head, folder, **named):
        tried.append(folder)
        raise RetrievalError("no room")

    monkeypatch.setattr(HeadIndex, "build", classmethod(failing))
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES)
        for _ in range(3):
            assert len(await asked(service, id, shots(rows))) == 36
            await service.heads.indexes.settled()
    assert (len(tried), staged) == (1, [])


async def test_the_index_of_a_classifier_that_is_gone_is_removed_with_the_next_build(opened, taught, rows):
    async with opened(exact_classes=5) as service:
        gone, stays = [await taught(service, classes=NAMES) for _ in range(2)]
        await asked(service, gone, rows(0))
        await service.heads.indexes.settled()
        await service.classifiers.delete("default", gone)
        await asked(service, stays, rows(0))
        await service.heads.indexes.settled()
        place = service.settings.data_dir / "indexes" / "default"
        assert [path.name for path in place.iterdir()] == [stays]


async def test_a_service_that_stops_gives_up_what_it_builds(opened, taught, rows, built):
    async with opened(exact_classes=5) as service:
        id = await taught(service, classes=NAMES)
        await asked(service, id, rows(0))
        await asyncio.sleep(0)
    place = service.settings.data_dir / "indexes" / "default" / id
    left = list(place.iterdir()) if place.exists() else []
    assert all(not path.name.startswith(".part-") for path in left)


async def test_without_faiss_every_class_is_looked_at_and_the_log_says_so_once(
    opened, taught, rows, staged, monkeypatch
):
    for name in [name for name in sys.modules if name.startswith("handful.retrieval")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "faiss", None)  # as where it is not installed
    with capture_logs() as said:
        async with opened(exact_classes=5) as service:
            id = await taught(service, classes=NAMES)
            for _ in range(3):
                assert len(await asked(service, id, shots(rows))) == 36
                await service.heads.indexes.settled()
    (line,) = [one for one in said if one["event"] == "every class is looked at"]
    assert "handful[giant]" in line["why"]
    assert staged == []
