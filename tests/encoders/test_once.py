from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from handful.encoders.once import Once


def test_many_threads_at_once_make_it_once() -> None:
    made: list[int] = []
    barrier = Barrier(8)

    def make() -> int:
        made.append(len(made))
        return len(made)

    once = Once(make)

    def ask(_: int) -> int:
        barrier.wait(timeout=10)
        return once()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {1}
    assert made == [0]


def test_what_failed_is_tried_again() -> None:
    answers = iter([ValueError("not yet"), None])

    def make() -> str:
        failure = next(answers)
        if failure is not None:
            raise failure
        return "made"

    once = Once(make)
    with pytest.raises(ValueError, match="not yet"):
        once()
    assert once() == "made"
