from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handful.adapters import fit_head
from handful.adapters.support import Support
from handful.adapters.training import Schedule, cross_entropy, deal, descend, train, watched, without
from handful.errors import SupportError


@dataclass(frozen=True)
class Slope:
    """One number w with a constant gradient; scores favour the truth the more, the larger `better`·w."""

    support: Support
    better: float
    gradient: float = -1.0

    def start(self, seed):
        return (np.ones(1),)

    def rows(self):
        return np.arange(len(self.support.y))

    def loss_and_gradient(self, parameters, rows, seen=None):
        return 0.0, (np.full(1, self.gradient),)

    def scores(self, parameters, Q):
        truth = (Q @ self.support.X.T).argmax(axis=1)  # pictures are corners: the nearest row has its class
        sure = self.better * (parameters[0][0] - 1)
        noise = np.linspace(0, 1, Q.shape[0] * self.support.class_count).reshape(len(Q), -1)
        return noise + (0.1 + sure) * np.eye(self.support.class_count)[self.support.y[truth]]


def corners(shots=6):
    y = np.repeat(np.arange(3), shots)
    return Support.checked(np.eye(3)[y], y, class_count=3)


def test_a_constant_gradient_moves_by_the_rate_of_the_cosine_each_step():
    steps = [float(p[0][0]) for p in descend(Slope(corners(), 1.0), Schedule(learning_rate=0.1, epochs=4))]
    rates = [0.1 * (1 + np.cos(np.pi * i / 4)) / 2 for i in range(4)]
    assert_allclose(steps, 1 + np.concatenate([[0], np.cumsum(rates)]), atol=1e-6)


def test_weight_decay_shrinks_by_its_share_of_the_rate():
    schedule = Schedule(learning_rate=0.1, epochs=1, weight_decay=0.5)
    *_, (after,) = descend(Slope(corners(), 1.0, gradient=0.0), schedule)
    assert_allclose(after, 1 - 0.1 * 0.5)


def test_training_stops_at_nothing_where_left_out_shots_get_worse():
    trained = train(corners(), lambda part: Slope(part, -1.0), [Schedule(learning_rate=0.5, epochs=10)])
    assert trained.epochs == 0
    assert trained.held_out is None
    assert_array_equal(trained.parameters[0], 1.0)


def test_training_goes_on_while_left_out_shots_get_better():
    schedule = Schedule(learning_rate=0.1, epochs=8)
    support = corners()
    trained = train(support, lambda part: Slope(part, 1.0), [schedule])
    assert trained.epochs == 8
    *_, last = descend(Slope(support, 1.0), schedule)
    assert_array_equal(trained.parameters[0], last[0])
    assert trained.held_out.judged.all()


def test_of_two_schedules_the_one_that_left_out_shots_prefer_is_taken():
    slow, fast = (Schedule(learning_rate=r, epochs=3) for r in (0.01, 0.3))
    assert train(corners(), lambda part: Slope(part, 1.0), [slow, fast]).learning_rate == 0.3
    assert train(corners(), lambda part: Slope(part, -1.0), [slow, fast]).epochs == 0


def test_one_shot_for_each_class_gives_no_evidence_and_no_training():
    trained = train(corners(shots=1), lambda part: Slope(part, 1.0), [Schedule(learning_rate=1, epochs=5)])
    assert trained.epochs == 0


def test_folds_keep_groups_whole_and_spread_each_class():
    y = np.repeat(np.arange(5), 8)
    groups = np.repeat(np.arange(20), 2)
    support = Support.checked(np.eye(5)[y], y, class_count=5, groups=groups)
    folds = deal(support, 3, seed=1)
    assert all(len(set(folds[groups == g])) == 1 for g in range(20))
    for c in range(5):
        sizes = np.bincount(folds[y == c], minlength=3)
        assert sizes.max() - sizes.min() <= 2  # one group
    assert_array_equal(folds, deal(support, 3, seed=1))


def test_a_group_of_several_classes_is_one_fold():
    y = np.array([0, 1, 0, 1, 0, 1])
    support = Support.checked(np.eye(2)[y], y, class_count=2, groups=[0, 0, 1, 1, 2, 2])
    folds = deal(support, 3, seed=0)
    assert sorted(folds[::2]) == [0, 1, 2]
    assert_array_equal(folds[::2], folds[1::2])


def test_a_support_without_rows_keeps_its_other_shots_and_ids():
    support = corners(shots=2)
    rest = without(support, np.array([True, False, False, True, False, False]))
    assert rest.ids == ("1", "2", "4", "5")
    assert_array_equal(rest.groups, [0, 1, 2, 3])
    assert_array_equal(rest.y, [0, 1, 2, 2])


def test_the_slope_of_cross_entropy_is_that_of_its_differences():
    random = np.random.default_rng(0)
    logits, y = random.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    _, slope = cross_entropy(logits, y)
    for i, j in np.ndindex(4, 3):
        step = np.zeros_like(logits)
        step[i, j] = 1e-5
        difference = cross_entropy(logits + step, y)[0] - cross_entropy(logits - step, y)[0]
        assert slope[i, j] == pytest.approx(difference / 2e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0; give a number above 0"),
        ({"epochs": -1}, "epochs is -1; give 0 or more"),
        ({"batch": 0}, "batch is 0; give 1 or more"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1; give 0 or more"),
    ],
)
def test_schedules_that_mean_nothing_are_refused(options, message):
    with pytest.raises(SupportError, match=message):
        replace(Schedule(learning_rate=1e-3, epochs=1), **options)


def small_fit():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 8)
    return fit_head("tip-f", np.eye(2, 6)[y] + 0.4 * rng.standard_normal((16, 6)), y, class_count=2)


def test_the_share_that_is_told_grows_and_changes_nothing():
    told = []
    with watched(told.append):
        head = small_fit()
    assert told == sorted(told)
    assert len(told) > 1
    assert all(0 <= share <= 1 for share in told)
    assert head.to_bytes() == small_fit().to_bytes()


def test_what_the_watcher_raises_ends_the_training():
    def stop(share):
        raise KeyboardInterrupt

    with watched(stop), pytest.raises(KeyboardInterrupt):
        small_fit()
    small_fit()  # nobody watches any more


class Lonely(Slope):
    """No row can be learnt from."""

    def rows(self):
        return np.zeros(0, np.int64)

    def loss_and_gradient(self, parameters, rows, seen=None):
        raise AssertionError("there is nothing to learn from")


def test_where_no_row_can_be_learnt_from_nothing_moves():
    steps = list(descend(Lonely(corners(), 1.0), Schedule(learning_rate=0.1, epochs=3, weight_decay=0.5)))
    assert_array_equal([p[0][0] for p in steps], 1.0)
    assert len(steps) == 4
