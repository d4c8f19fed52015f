"""Pictures of many requests through one encoder."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from handful.errors import BusyError, RequestError
from handful.service.encoding import Encoding, Timings


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


def pointers(count: int) -> list[str]:
    return [f"/files/{at}" for at in range(count)]


def test_rows_come_in_the_order_of_their_pictures(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        X = await encoding.rows("a", held, [picture(red) for red in (7, 3, 200, 41)], pointers=pointers(4))
        assert X.tolist() == [[7, 1], [3, 1], [200, 1], [41, 1]]
        assert (await encoding.rows("a", held, [], pointers=[])).shape == (0, 2)
        await encoding.close()

    asyncio.run(main())


def test_equal_pictures_of_a_request_are_encoded_once(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        images = [picture(5), picture(9), picture(5), picture(5)]
        pictures = await encoding.pictures("a", held, images, pointers=pointers(4))
        assert sorted(held.seen) == [5, 9]
        assert [one.X[0, 0] for one in pictures] == [5, 9, 5, 5]
        assert pictures[0].sha256 == pictures[2].sha256 != pictures[1].sha256
        await encoding.close()

    asyncio.run(main())


def test_an_idle_encoder_starts_at_once_and_takes_together_what_gathers_meanwhile(
    settings, held, picture
) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"batch_images": 4}), held)
        held.go.clear()
        first = asyncio.create_task(encoding.rows("a", held, [picture(1)], pointers=pointers(1)))
        await until(held.started.is_set)
        others = [
            asyncio.create_task(encoding.rows(tenant, held, [picture(red)], pointers=pointers(1)))
            for tenant, red in (("a", 2), ("b", 3), ("c", 4), ("d", 5), ("e", 6), ("f", 7))
        ]
        tower = encoding._towers[held.fingerprint]
        await until(lambda: len(tower.batcher._queue) == 6)
        held.go.set()
        await asyncio.gather(first, *others)
        assert [len(batch) for batch in held.batches] == [1, 4, 2]
        await encoding.close()

    asyncio.run(main())


def test_a_batch_may_wait_for_more_where_the_settings_say_so(settings, held, picture) -> None:
    async def main() -> None:
        patient = settings.model_copy(update={"batch_wait_ms": 20_000.0, "batch_images": 3})
        encoding = Encoding(patient, held)
        await asyncio.gather(
            *(encoding.rows("a", held, [picture(red)], pointers=pointers(1)) for red in (1, 2, 3))
        )
        assert [len(batch) for batch in held.batches] == [3]
        await encoding.close()

    asyncio.run(main())


def test_a_tenant_does_not_wait_for_anothers_backlog(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"batch_images": 1}), held)
        held.go.clear()
        many = asyncio.create_task(
            encoding.rows("a", held, [picture(red) for red in range(1, 101)], pointers=pointers(100))
        )
        tower = encoding._towers
        await until(lambda: bool(tower) and len(tower[held.fingerprint].batcher._queue) == 2)
        one = asyncio.create_task(encoding.rows("b", held, [picture(200)], pointers=pointers(1)))
        await asyncio.sleep(0)
        held.go.set()
        await one
        assert held.seen.index(200) <= 6  # in the encoder, waiting for it, and decoded when b came
        assert not many.done()
        await many
        await encoding.close()

    asyncio.run(main())


def test_a_tenants_own_requests_take_turns_too(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"batch_images": 1}), held)
        held.go.clear()
        many = asyncio.create_task(
            encoding.rows("a", held, [picture(red) for red in range(1, 101)], pointers=pointers(100))
        )
        await until(held.started.is_set)
        one = asyncio.create_task(encoding.rows("a", held, [picture(200)], pointers=pointers(1)))
        await asyncio.sleep(0)
        held.go.set()
        await one
        assert held.seen.index(200) <= 6
        await many
        await encoding.close()

    asyncio.run(main())


def test_where_too_many_wait_a_request_is_turned_away_whole(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"queue_images": 3}), held)
        held.go.clear()
        two = asyncio.create_task(encoding.rows("a", held, [picture(1), picture(2)], pointers=pointers(2)))
        await until(held.started.is_set)
        with pytest.raises(BusyError, match="2 pictures wait for the encoder, and 2 more") as refused:
            await encoding.rows("b", held, [picture(3), picture(4)], pointers=pointers(2))
        assert refused.value.retry_after >= 1
        fits = asyncio.create_task(encoding.rows("b", held, [picture(3)], pointers=pointers(1)))
        await asyncio.sleep(0)
        held.go.set()
        await asyncio.gather(two, fits)
        assert 4 not in held.seen
        await encoding.rows("b", held, [picture(red) for red in (5, 6, 7, 8)], pointers=pointers(4))
        await encoding.close()

    asyncio.run(main())


def test_a_picture_that_cannot_be_read_fails_its_own_request_and_no_other(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        broken = picture(30)[:-20]
        good, bad = await asyncio.gather(
            encoding.rows("a", held, [picture(1), picture(2)], pointers=pointers(2)),
            encoding.rows("a", held, [picture(3), broken], pointers=pointers(2)),
            return_exceptions=True,
        )
        assert isinstance(good, np.ndarray)
        assert isinstance(bad, RequestError)
        assert bad.pointer == "/files/1"
        assert "picture (files 1) is a PNG" in str(bad)
        assert (await encoding.rows("a", held, [picture(4)], pointers=pointers(1))).shape == (1, 2)
        await encoding.close()

    asyncio.run(main())


def test_a_picture_that_the_encoder_refuses_fails_its_own_request_and_no_other(
    settings, held, picture
) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        held.refused = 13
        held.go.clear()
        asked = [
            asyncio.create_task(encoding.rows("a", held, [picture(red)], pointers=pointers(1)))
            for red in (11, 12, 13, 14)
        ]
        await until(lambda: held.fingerprint in encoding._towers)
        await until(lambda: len(encoding._towers[held.fingerprint].batcher._queue) == 3)
        held.go.set()
        said = await asyncio.gather(*asked, return_exceptions=True)
        assert [one[0, 0] for at, one in enumerate(said) if at != 2] == [11, 12, 14]
        assert "red 13 is refused" in str(said[2])
        await encoding.close()

    asyncio.run(main())


def test_an_encoder_that_loses_rows_is_no_silent_hang(settings, held, picture) -> None:
    async def main() -> None:
        held.encode_images = lambda images, progress=None: np.zeros((0, 2), np.float32)
        encoding = Encoding(settings, held)
        for _ in range(2):
            with pytest.raises(ValueError, match="made 0 rows of 1 pictures"):
                await encoding.rows("a", held, [picture(1)], pointers=pointers(1))
        await encoding.close()

    asyncio.run(main())


def test_what_nobody_wants_any_more_is_not_encoded(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"batch_images": 1}), held)
        held.go.clear()
        kept = asyncio.create_task(encoding.rows("a", held, [picture(1)], pointers=pointers(1)))
        await until(held.started.is_set)
        gone = asyncio.create_task(
            encoding.rows("b", held, [picture(red) for red in range(50, 90)], pointers=pointers(40))
        )
        await until(lambda: len(encoding._towers[held.fingerprint].batcher._queue) == 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        held.go.set()
        await kept
        await encoding.rows("a", held, [picture(2)], pointers=pointers(1))
        assert held.seen == [1, 2]
        await encoding.close()

    asyncio.run(main())


def test_closing_finishes_what_was_accepted_and_accepts_no_more(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        held.go.clear()
        asked = asyncio.create_task(
            encoding.rows("a", held, [picture(red) for red in range(20)], pointers=pointers(20))
        )
        await until(held.started.is_set)
        closing = asyncio.create_task(encoding.close())
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="stopping"):
            await encoding.rows("a", held, [picture(99)], pointers=pointers(1))
        held.go.set()
        assert (await asked)[:, 0].tolist() == list(range(20))
        await closing

    asyncio.run(main())


def test_closing_cancels_what_does_not_finish_in_time(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"shutdown_seconds": 0.05}), held)
        held.go.clear()
        asked = asyncio.create_task(encoding.rows("a", held, [picture(1), picture(2)], pointers=pointers(2)))
        await until(held.started.is_set)
        closing = asyncio.create_task(encoding.close())
        with pytest.raises(asyncio.CancelledError):
            await asked
        held.go.set()
        await closing

    asyncio.run(main())


def test_a_picture_seen_before_is_encoded_again_only_for_another_tenant(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        for tenant, calls in (("a", 1), ("a", 1), ("b", 2), ("b", 2), ("a", 2)):
            X = await encoding.rows(tenant, held, [picture(8)], pointers=pointers(1))
            assert X.tolist() == [[8, 1]]
            assert len(held.seen) == calls
        await encoding.close()

    asyncio.run(main())


def test_a_picture_taught_is_known_when_it_is_classified_and_the_other_way_round(
    settings, held, picture
) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        kept: dict[int, bytes] = {}
        await encoding.pictures("a", held, [picture(8)], pointers=pointers(1), keep=kept.__setitem__)
        await encoding.rows("a", held, [picture(8)], pointers=pointers(1))
        await encoding.rows("a", held, [picture(9)], pointers=pointers(1))
        kept.clear()
        (again,) = await encoding.pictures(
            "a", held, [picture(9)], pointers=pointers(1), keep=kept.__setitem__
        )
        assert held.seen == [8, 9]
        assert (again.width, again.height) == (6, 4)
        assert list(kept) == [0]
        await encoding.pictures("a", held, [picture(9)], pointers=pointers(1), views="standard")
        assert len(held.seen) == 2 + 12
        await encoding.close()

    asyncio.run(main())


def test_without_memory_every_picture_is_encoded(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"embeddings_cache_bytes": 0}), held)
        for _ in range(2):
            await encoding.rows("a", held, [picture(8)], pointers=pointers(1))
        assert held.seen == [8, 8]
        await encoding.close()

    asyncio.run(main())


def test_views_are_rows_of_their_picture_the_plain_one_first(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        (one,) = await encoding.pictures("a", held, [picture(100)], pointers=pointers(1), views="standard")
        assert one.X.shape == (12, 2)
        assert one.X[0].tolist() == [100, 1]
        assert len(set(one.X[:, 0])) > 1  # some are recoloured
        await encoding.close()

    asyncio.run(main())


def test_pictures_are_kept_only_where_the_settings_want_it(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings.model_copy(update={"keep_images": False}), held)
        kept: dict[int, bytes] = {}
        await encoding.pictures("a", held, [picture(1)], pointers=pointers(1), keep=kept.__setitem__)
        assert kept == {}
        await encoding.close()

    asyncio.run(main())


def test_what_is_kept_of_a_picture_is_told_before_it_is_encoded_of_equal_ones_for_each(
    settings, held, picture
) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        held.go.clear()
        kept: dict[int, bytes] = {}
        images = [picture(1), picture(200), picture(1)]
        coming = asyncio.create_task(
            encoding.pictures("a", held, images, pointers=pointers(3), keep=kept.__setitem__)
        )
        await until(lambda: len(kept) == 3)
        assert not coming.done()
        assert kept[0] == kept[2] != kept[1]
        held.go.set()
        await coming
        await encoding.close()

    asyncio.run(main())


def test_a_call_tells_where_its_time_went(settings, held, picture) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        timings = Timings()
        await encoding.rows("a", held, [picture(1)], pointers=pointers(1), timings=timings)
        assert timings.decode > 0
        assert timings.queue > 0
        assert timings.encode > 0
        known = Timings()
        await encoding.rows("a", held, [picture(1)], pointers=pointers(1), timings=known)
        assert known == Timings()
        await encoding.close()

    asyncio.run(main())


def test_the_builtin_encoder_sees_through_batches_what_it_sees_alone(settings, encoder, trashnet) -> None:
    async def main() -> None:
        encoding = Encoding(settings)
        own = encoding.encoder()
        files = sorted(trashnet.rglob("*.jpg"))[::40]
        images = [file.read_bytes() for file in files]
        parts = await asyncio.gather(
            *(encoding.rows("a", own, [data], pointers=pointers(1)) for data in images)
        )
        np.testing.assert_allclose(np.concatenate(parts), encoder.encode_images(files), atol=1e-5)
        await encoding.close()

    asyncio.run(main())


def test_it_is_ready_once_the_encoder_has_seen_a_picture(settings, held) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        held.go.clear()
        starting = asyncio.create_task(encoding.start())
        await until(held.started.is_set)
        assert not encoding.ready
        held.go.set()
        await starting
        assert encoding.ready
        assert held.texts  # both towers are warm
        await encoding.close()

    asyncio.run(main())


def test_an_encoder_that_fails_is_told_of_and_never_ready(settings, held) -> None:
    async def main() -> None:
        for name, broken, failure in (
            ("encode_images", lambda images: 1 / 0, "division by zero"),
            ("encode_texts", lambda texts: [].pop(), "pop from empty list"),
        ):
            held = type(held_encoder)()
            setattr(held, name, broken)
            encoding = Encoding(settings, held)
            await encoding.start()
            assert not encoding.ready
            assert encoding.failure == failure
            await encoding.close()
        unknown = Encoding(settings.model_copy(update={"encoder": "clip"}))
        await unknown.start()
        assert not unknown.ready
        assert "no encoder 'clip'" in str(unknown.failure)
        await unknown.close()

    held_encoder = held
    asyncio.run(main())


def test_a_name_without_an_encoder_is_the_requests_fault(settings, held) -> None:
    async def main() -> None:
        encoding = Encoding(settings, held)
        assert encoding.encoder() is held
        assert encoding.encoder("held") is held
        with pytest.raises(RequestError, match="no encoder 'clip'") as wrong:
            encoding.encoder("clip")
        assert wrong.value.pointer == "/encoder"
        await encoding.close()

    asyncio.run(main())
