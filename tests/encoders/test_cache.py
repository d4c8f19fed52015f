import os
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from handful.encoders.base import Encoder
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.cache import CachedEncoder
from handful.encoders.store import RowStore
from handful.errors import EncoderError, ImageError


def pixels(count: int, *, first: int = 1) -> list[np.ndarray]:
    """Arrays (n, 5, 3) that differ in their height."""
    return [np.full((number, 5, 3), number % 256, np.uint8) for number in range(first, first + count)]


def test_a_cached_encoder_is_an_encoder_and_says_what_its_encoder_says(counting) -> None:
    cached = CachedEncoder(counting, RowStore(None))
    assert isinstance(cached, Encoder)
    assert (cached.name, cached.dimension, cached.fingerprint) == ("counting", 2, "counting-1")
    assert cached.background is None


def test_a_picture_is_encoded_once_also_across_stores(counting, tmp_path: Path) -> None:
    first = CachedEncoder(counting, RowStore(tmp_path)).encode_images(pixels(700))
    again = CachedEncoder(counting, RowStore(tmp_path)).encode_images(pixels(701))
    assert len(counting.images) == 701
    assert_array_equal(first, again[:700])
    assert_array_equal(again[:, 0], np.arange(1, 702))


def test_the_same_picture_twice_in_a_call_is_encoded_once(counting) -> None:
    X = CachedEncoder(counting, RowStore(None)).encode_images([*pixels(2), *pixels(2), *pixels(1)])
    assert len(counting.images) == 2
    assert_array_equal(X[:, 0], [1, 2, 1, 2, 1])


def test_another_fingerprint_means_encoding_again(counting) -> None:
    store = RowStore(None)
    CachedEncoder(counting, store).encode_images(pixels(3))
    counting.fingerprint = "counting-2"
    CachedEncoder(counting, store).encode_images(pixels(3))
    assert len(counting.images) == 6


def test_texts_are_encoded_once_and_never_taken_for_pictures(counting) -> None:
    cached = CachedEncoder(counting, RowStore(None))
    T = cached.encode_texts(["a", "bcd", "a"])
    assert_array_equal(T, [[1, 1], [3, 1], [1, 1]])
    cached.encode_texts(["bcd", "\ud800"])
    assert counting.texts == ["a", "bcd", "\ud800"]
    assert cached.encode_texts([]).shape == (0, 2)
    with pytest.raises(EncoderError, match="text 0 of 1"):
        cached.encode_texts([" "])


def test_progress_counts_known_pictures_too_and_ends_at_all(counting) -> None:
    cached = CachedEncoder(counting, RowStore(None))
    cached.encode_images(pixels(2))
    told: list[int] = []
    cached.encode_images(pixels(5), progress=told.append)
    assert told == [3, 4, 5, 5]
    told.clear()
    cached.encode_images(pixels(300), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 300


def test_no_pictures_are_no_rows(counting) -> None:
    assert CachedEncoder(counting, RowStore(None)).encode_images([]).shape == (0, 2)


def test_pictures_of_a_generator_are_not_all_held_at_once(counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handful.encoders.cache._HELD_BYTES", 1000)
    drawn: list[int] = []

    def draw():
        for array in pixels(100):
            drawn.append(len(array))
            yield Image.fromarray(array) if len(array) % 2 else array

    waiting: list[int] = []
    CachedEncoder(counting, RowStore(None)).encode_images(
        draw(), progress=lambda done: waiting.append(len(drawn) - done)
    )
    assert max(waiting) < 40


def test_one_picture_in_place_of_a_list_is_refused(counting, pictures: list[Path]) -> None:
    with pytest.raises(ImageError, match="put it in a list"):
        CachedEncoder(counting, RowStore(None)).encode_images(str(pictures[0]))


def test_every_way_to_give_a_file_is_one_picture(builtin: BuiltinEncoder, pictures: list[Path]) -> None:
    data = pictures[0].read_bytes()
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: [os.write(writing, data), os.close(writing)])
    writer.start()
    told: list[int] = []
    with os.fdopen(reading, "rb") as stream:
        cached = CachedEncoder(builtin, RowStore(None))
        X = cached.encode_images(
            [pictures[0], str(pictures[0]), data, BytesIO(data), stream], progress=told.append
        )
    writer.join()
    assert told == [5, 5]  # one of them was encoded, the last
    assert_array_equal(X, np.repeat(X[:1], 5, axis=0))


def test_the_place_of_a_bad_picture_counts_the_known_ones(
    builtin: BuiltinEncoder, pictures: list[Path], tmp_path: Path
) -> None:
    cached = CachedEncoder(builtin, RowStore(None))
    cached.encode_images(pictures[:4])
    with pytest.raises(ImageError, match=r"\(gone.jpg, number 5 of those given\) is not there"):
        cached.encode_images([*pictures[:4], tmp_path / "gone.jpg"])
    with pytest.raises(ImageError, match=r"number 3 of those given\) is a"):
        cached.encode_images([*pictures[:2], pictures[2].read_bytes()[:700]])
