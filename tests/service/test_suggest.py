"""Which pictures to label next: typical ones, of all kinds, and later those in doubt."""

import numpy as np
import pytest

from handful.errors import NotFoundError, RequestError
from handful.rows import unit
from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.suggest import suggestions

D = 16
NOTHING = np.zeros((0, D), np.float32)


def around(axis, count, *, blur=0.05, seed=0):
    rng = np.random.default_rng([axis, seed])
    return unit(np.eye(D)[axis] + blur * rng.standard_normal((count, D))).astype(np.float32)


def order(found):
    return [one.index for one in found]


def test_every_picture_is_ranked_once_with_falling_scores_in_0_to_1():
    Q = np.concatenate([around(0, 5), around(1, 4)])
    found = suggestions(Q, NOTHING, None, 0.0)
    assert sorted(order(found)) == list(range(9))
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) <= max(scores) <= 1


def test_without_shots_the_first_two_are_typical_of_the_two_kinds_and_no_stray_picture():
    strays = unit(np.random.default_rng(5).standard_normal((3, D))).astype(np.float32)
    Q = np.concatenate([around(0, 8), around(1, 8), strays])
    first, second = order(suggestions(Q, NOTHING, None, 0.0))[:2]
    assert {first // 8, second // 8} == {0, 1}


def test_a_copy_of_a_picture_that_is_suggested_waits():
    Q = np.concatenate([around(0, 6), around(1, 6)])
    Q[1] = Q[0]
    found = order(suggestions(Q, NOTHING, None, 0.0))
    later = max(found.index(0), found.index(1))
    kinds = [at // 6 for at in found[:later]]
    assert set(kinds) == {0, 1}


def test_a_picture_like_one_that_is_labelled_waits_and_says_why():
    Q = np.concatenate([around(0, 6), around(1, 6)])
    found = suggestions(Q, around(0, 4, seed=1), None, 0.0)
    assert found[0].index >= 6
    reasons = {one.index: one.reason for one in found}
    assert reasons[0].startswith("much like one that is labelled")


def test_with_many_shots_doubtful_pictures_come_first_and_say_so():
    Q = unit(np.random.default_rng(0).standard_normal((12, D))).astype(np.float32)
    certain = np.tile([0.98, 0.02], (12, 1))
    certain[7] = [0.52, 0.48]
    found = suggestions(Q, NOTHING, certain, 100.0)
    assert found[0].index == 7
    assert "in doubt" in found[0].reason


def test_doubtful_pictures_are_dealt_over_the_classes_that_they_seem_to_belong_to():
    Q = unit(np.random.default_rng(1).standard_normal((24, D))).astype(np.float32)
    probabilities = np.tile([0.55, 0.30, 0.15], (24, 1))  # more in doubt, and many
    probabilities[16:20] = [0.25, 0.60, 0.15]
    probabilities[20:] = [0.20, 0.15, 0.65]
    first = order(suggestions(Q, NOTHING, probabilities, 100.0))[:9]
    assert len({int(probabilities[at].argmax()) for at in first}) == 3


def test_of_thousands_each_is_ranked_once_too():
    rng = np.random.default_rng(2)
    Q = unit(rng.standard_normal((2500, D))).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(4), 2500)
    found = suggestions(Q, around(0, 1200, blur=1.0), probabilities, 8.0)
    assert sorted(order(found)) == list(range(2500))


def test_one_picture_is_suggested_alone():
    (only,) = suggestions(around(0, 1), NOTHING, None, 0.0)
    assert only.index == 0


@pytest.mark.anyio
async def test_a_classifier_suggests_from_its_first_day_on(opened, rows):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x", use_text=False))).record.id
        Q = np.concatenate([rows(0, 4), rows(1, 4)])
        first = await service.answers.suggest("default", id, Asked(rows=Q))
        assert sorted(order(first)) == list(range(8))
        await service.shots.add("default", id, [NewShot(label="red", row=row) for row in rows(0, 4)])
        assert (await service.answers.suggest("default", id, Asked(rows=Q)))[0].index >= 4


@pytest.mark.anyio
async def test_pictures_are_ranked_without_being_kept(opened, png):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        images = [png("red"), png("red", 1), png("blue")]
        found = await service.answers.suggest("default", id, Asked(images=images))
        assert sorted(order(found)) == [0, 1, 2]
        assert (await service.classifiers.usage("default")).shots == 0


@pytest.mark.anyio
async def test_nothing_to_look_at_and_no_classifier_are_said(opened):
    async with opened() as service:
        id = (await service.classifiers.create("default", NewClassifier(name="x"))).record.id
        with pytest.raises(RequestError, match="nothing to look at"):
            await service.answers.suggest("default", id, Asked())
        with pytest.raises(NotFoundError):
            await service.answers.suggest("other", id, Asked(rows=np.eye(28)))
