"""Encoders come in with their first use, and go when nobody uses them, or when others need the room."""

import gc
import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from handful.encoders.base import Unloadable, leaves
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.residency import Residency

MB = 2**20


class Weight:
    """An encoder whose tower is an array of real size. Counts loads."""

    dimension = 2
    background = None

    def __init__(self, name: str, megabytes: int) -> None:
        self.name, self.fingerprint, self._size = name, f"{name}-1", megabytes * MB
        self._tower: np.ndarray | None = None
        self.loads = 0
        self._lock = threading.Lock()

    @property
    def loaded_bytes(self) -> int:
        return 0 if self._tower is None else self._tower.nbytes

    def unload(self) -> None:
        self._tower = None

    def see(self) -> None:
        with self._lock:
            if self._tower is None:
                self._tower = np.ones(self._size, np.uint8)
                self.loads += 1

    def encode_images(self, images, *, progress=None):
        self.see()
        return np.ones((len(list(images)), 2), np.float32)

    def encode_texts(self, texts):
        self.see()
        return np.ones((len(texts), 2), np.float32)


@pytest.fixture
def clock():
    return SimpleNamespace(now=0.0)


@pytest.fixture
def residency(clock):
    def make(megabytes=100, idle=60.0, told=None):
        return Residency(most_bytes=megabytes * MB, idle_seconds=idle, told=told, clock=lambda: clock.now)

    return make


def use(residency, clock, *encoders):
    for encoder in encoders:
        clock.now += 1
        with residency.used(encoder):
            encoder.see()


def loaded(*encoders):
    return [one.name for one in encoders if one.loaded_bytes]


def test_the_one_unused_for_the_longest_goes_where_room_is_short(residency, clock):
    one, two, three = (Weight(name, 40) for name in ("one", "two", "three"))
    room = residency(100)
    use(room, clock, one, two, one, three)
    assert loaded(one, two, three) == ["one", "three"]
    assert room.loaded_bytes == 80 * MB


def test_one_that_was_weighed_before_finds_room_before_it_comes(residency, clock):
    one, two, three = (Weight(name, 40) for name in ("one", "two", "three"))
    room = residency(100)
    use(room, clock, one, two, three)
    with room.used(one):
        assert loaded(one, two, three) == ["three"]
        one.see()
    assert loaded(one, two, three) == ["one", "three"]


def test_one_that_says_what_it_needs_finds_room_before_it_comes_the_first_time(residency, clock):
    one, two = Weight("one", 80), Weight("two", 80)
    two.needed_bytes = 80 * MB
    room = residency(100)
    use(room, clock, one)
    with room.used(two):
        assert loaded(one, two) == []


def test_one_larger_than_all_the_room_is_loaded_alone_and_the_log_says_so(residency, clock, caplog):
    small, large = Weight("small", 10), Weight("large", 150)
    room = residency(100)
    use(room, clock, small)
    with caplog.at_level(logging.WARNING), room.used(large):
        large.see()
        room.make_room()
    assert loaded(small, large) == ["large"]
    use(room, clock, large, large)
    assert large.loads == 1
    use(room, clock, small)
    assert loaded(small, large) == ["small"]
    assert "150 MB, over the 100 MB of HANDFUL_ENCODERS_BYTES" in caplog.text


def test_one_in_use_is_neither_pushed_out_nor_idle(residency, clock):
    busy, other = Weight("busy", 80), Weight("other", 80)
    room = residency(100)
    with room.used(busy):
        busy.see()
        use(room, clock, other)
        clock.now += 1000
        room.unload_idle()
        assert loaded(busy, other) == ["busy"]
    clock.now += 1
    assert room.unload_idle() == []
    clock.now += 60
    assert room.unload_idle() == ["busy"]


def test_what_is_kept_stays_however_long_it_is_unused(residency, clock):
    default, other = Weight("default", 30), Weight("other", 30)
    room = residency(100)
    room.keep(default)
    use(room, clock, default, other)
    clock.now += 1000
    assert room.unload_idle() == ["other"]
    assert loaded(default, other) == ["default"]


def test_it_comes_again_and_loads_and_unloads_are_counted(residency, clock):
    told = []
    one = Weight("one", 10)
    room = residency(100, told=lambda *numbers: told.append(numbers))
    for _ in range(2):
        use(room, clock, one)
        clock.now += 100
        room.unload_idle()
    assert one.loads == 2
    assert [sum(numbers[at] for numbers in told) for at in (1, 2)] == [2, 2]
    assert told[-1][0] == 0
    assert [(one.name, one.loads, one.in_use) for one in room.listed()] == [("one", 2, False)]


def test_parts_of_a_composite_count_each_for_itself(residency, clock):
    one, two = Weight("one", 40), Weight("two", 40)
    both = SimpleNamespace(name="one+two", fingerprint="both", parts=(one, two), dimension=4, background=None)
    both.encode_images = both.encode_texts = None
    assert leaves(both) == [one, two]
    room = residency(100)
    with room.used(both):
        one.see(), two.see()
        use(room, clock, one)
        clock.now += 1000
        assert room.unload_idle() == []
    use(room, clock, one)
    clock.now += 59.5
    assert room.unload_idle() == ["two"]


def test_many_threads_never_find_the_tower_of_a_running_use_gone(residency, clock):
    encoders = [Weight(str(at), 30) for at in range(6)]
    room = residency(60)

    def work(at):
        missing = 0
        for turn in range(60):
            encoder = encoders[(at * 7 + turn) % 6]
            with room.used(encoder):
                encoder.see()
                room.unload_idle()
                missing += not encoder.loaded_bytes
        return missing

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0] * 4
    assert room.loaded_bytes <= 60 * MB
    assert sum(one.loads for one in encoders) > 6


def test_the_builtin_encoder_loads_once_for_many_threads_and_again_after_it_was_unloaded():
    encoder = BuiltinEncoder()
    assert isinstance(encoder, Unloadable)
    assert encoder.loaded_bytes == 0
    blank = np.zeros((1, 260, 260, 3), np.uint8)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: encoder.encode_prepared(blank), range(4)))
    assert encoder._image_tower.made == 1
    assert encoder.loaded_bytes > 0
    encoder.unload()
    assert encoder.loaded_bytes == 0
    np.testing.assert_array_equal(encoder.encode_prepared(blank), rows[0])
    assert encoder._image_tower.made == 2


_TURNS = """
import ctypes, json, os, shutil, sys, threading
from pathlib import Path
import numpy as np
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.residency import Residency
from handful.encoders.session import SessionOptions
from handful.encoders.shipped import FOLDER, Shipped

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

other = Path(sys.argv[1]) / "other"
shutil.copytree(FOLDER, other)
manifest = json.loads((other / "manifest.json").read_text())
(other / "manifest.json").write_text(json.dumps({**manifest, "copy": True}))
one_thread = SessionOptions(threads=1)
both = [BuiltinEncoder(options=one_thread, shipped=Shipped.open(folder)) for folder in (FOLDER, other)]
assert both[0].fingerprint != both[1].fingerprint
room = Residency(most_bytes=500 * 2**20, idle_seconds=1000)
both[0].encode_texts(["a"]), both[0].encode_prepared(np.zeros((1, 260, 260, 3), np.uint8))
both[0].unload()
room.unload_idle()
start, peak, done = None, 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, resident())

ctypes.CDLL(None).malloc_trim(0)
start = resident()
watching = threading.Thread(target=watch)
watching.start()
for turn in range(6):
    with room.used(both[turn % 2]):
        both[turn % 2].encode_prepared(np.zeros((4, 260, 260, 3), np.uint8))
        both[turn % 2].encode_texts(["a photo of a cat"])
done.set()
watching.join()
print(json.dumps([peak - start, [one.loads for one in room.listed()]]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_two_encoders_that_take_turns_never_take_more_than_the_bound(tmp_path):
    """Each takes some 270 MB; both together would not fit."""
    command = [sys.executable, "-c", _TURNS, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, loads = json.loads(ran.stdout)
    assert loads == [3, 3]
    assert 200 * MB < peak < 500 * MB


_MEASURED = """
import json, os
import numpy as np
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.residency import Residency
from handful.encoders.session import SessionOptions

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def used():
    with room.used(encoder):
        encoder.encode_prepared(np.zeros((4, 260, 260, 3), np.uint8))
        encoder.encode_texts(["a photo of a cat"])

clock = [0.0]
room = Residency(most_bytes=2**30, idle_seconds=1, clock=lambda: clock[0])
encoder = BuiltinEncoder(options=SessionOptions(threads=1))
used()
clock[0] += 2
room.unload_idle()
start = resident()  # libraries are in memory from here on
told = []
for _ in range(3):
    used()
    loaded, reckoned = resident(), encoder.loaded_bytes
    clock[0] += 2
    assert room.unload_idle() == ["builtin"]
    told.append((loaded - start, reckoned, resident() - start))
print(json.dumps(told))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_an_unloaded_encoder_is_given_back_to_the_system():
    gc.collect()
    ran = subprocess.run([sys.executable, "-c", _MEASURED], capture_output=True, text=True, check=True)
    for taken, reckoned, left in json.loads(ran.stdout):
        assert taken > 150 * MB  # it was really there
        assert left < 0.1 * taken  # and is really gone
        assert 0.5 * taken < reckoned < 1.5 * taken
