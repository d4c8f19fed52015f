import asyncio
import time

import pytest

from handful.errors import BusyError
from handful.service.encoding.waiting import Waiting


def test_a_request_is_taken_whole_or_not_at_all() -> None:
    waiting = Waiting(4)
    waiting.accept("a", 3)
    with pytest.raises(BusyError, match="3 pictures wait for the encoder, and 2 more"):
        waiting.accept("a", 2)
    waiting.accept("a", 1)
    waiting.done("a", encoded=True)
    waiting.accept("a", 1)


def test_a_request_over_the_limit_is_taken_when_nothing_else_waits() -> None:
    waiting = Waiting(4)
    waiting.accept("a", 9)
    with pytest.raises(BusyError):
        waiting.accept("a", 1)


def test_a_tenant_gets_its_share_where_another_has_filled_the_queue() -> None:
    waiting = Waiting(10)
    waiting.accept("a", 10)
    waiting.accept("b", 5)
    with pytest.raises(BusyError):
        waiting.accept("b", 1)
    waiting.accept("c", 3)
    with pytest.raises(BusyError):
        waiting.accept("a", 1)
    with pytest.raises(BusyError):
        waiting.accept("d", 3)
    waiting.accept("d", 2)
    with pytest.raises(BusyError, match="20 pictures wait"):
        waiting.accept("e", 1)


def test_the_time_after_which_to_try_again_follows_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    waiting = Waiting(100)
    for _ in range(5):
        waiting.accept("a", 100)
        for _ in range(100):
            now += 0.5
            waiting.done("a", encoded=True)
        now += 1000  # nothing to do, which says nothing about the pace
    waiting.accept("a", 100)
    with pytest.raises(BusyError) as refused:
        waiting.accept("a", 40)
    assert refused.value.retry_after == pytest.approx(20, rel=0.05)


def test_what_failed_says_nothing_about_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    waiting = Waiting(100)
    waiting.accept("a", 100)
    for _ in range(99):
        waiting.done("a", encoded=False)
    waiting.accept("a", 99)
    with pytest.raises(BusyError) as refused:
        waiting.accept("a", 100)
    assert refused.value.retry_after == 5.0  # 100 pictures, each 0.05 s as long as none was seen


def test_closing_waits_for_the_last_picture() -> None:
    async def main() -> None:
        waiting = Waiting(4)
        waiting.accept("a", 2)
        closing = asyncio.create_task(waiting.close(30))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="stopping"):
            waiting.accept("a", 1)
        waiting.done("a", encoded=True)
        await asyncio.sleep(0)
        assert not closing.done()
        waiting.done("a", encoded=False)
        await closing

    asyncio.run(main())
