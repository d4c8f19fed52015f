"""Names that sort by the time they were given, in one process and over several."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from handful.storage.ids import derived_id, new_id, new_ids


def test_names_grow_and_are_never_given_twice_by_many_threads_either() -> None:
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: new_ids(500), range(16)))
    assert all(part == sorted(part) for part in parts)
    everything = [name for part in parts for name in part]
    assert len(set(everything)) == len(everything)
    assert new_id() > max(everything)
    assert {len(name) for name in everything} == {26}
    assert set("".join(everything)) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_names_of_another_process_made_later_sort_behind() -> None:
    before = new_id()
    time.sleep(0.002)  # names of one millisecond are in order within a process only
    code = "from handful.storage.ids import new_id; print(new_id())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert before < other


def test_names_go_on_when_the_clock_is_put_back(monkeypatch) -> None:
    before = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert before < new_id() < new_id()


def test_derived_names_are_the_same_each_time_in_order_and_apart() -> None:
    of = new_id()
    names = [derived_id(of, number) for number in range(3000)]
    assert names == [derived_id(of, number) for number in range(3000)] == sorted(set(names))
    assert not set(names) & {derived_id(new_id(), number) for number in range(3000)}
    assert {len(name) for name in names} == {26}
