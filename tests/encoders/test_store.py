import os
import sqlite3
import subprocess
import sys
import warnings
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from handful.encoders.store import FILE, RowStore


def rows(count: int, *, first: int = 0, width: int = 8) -> dict[bytes, np.ndarray]:
    return {
        sha256(str(number).encode()).digest(): np.random.default_rng(number).normal(size=width).astype("f4")
        for number in range(first, first + count)
    }


def assert_same(found: dict[bytes, np.ndarray], expected: dict[bytes, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for key in expected:
        assert_array_equal(found[key], expected[key])


def test_rows_come_back_to_the_bit_also_in_another_store_over_the_same_folder(tmp_path: Path) -> None:
    kept = rows(1100)
    RowStore(tmp_path / "new" / "folder").put(kept)
    assert_same(RowStore(tmp_path / "new" / "folder").get([*kept, *rows(5, first=5000)]), kept)


@pytest.mark.parametrize("max_bytes", [0, 2**20])
def test_without_a_folder_or_bytes_rows_are_kept_in_memory_only(tmp_path: Path, max_bytes: int) -> None:
    store = RowStore(tmp_path if max_bytes == 0 else None, max_bytes=max_bytes)
    store.put(rows(3))
    assert_same(store.get(list(rows(4))), rows(3))
    assert list(tmp_path.iterdir()) == []


def test_the_file_stays_within_its_bound_and_forgets_the_oldest_first(tmp_path: Path) -> None:
    bound = 2**20
    store = RowStore(tmp_path, max_bytes=bound)
    for start in range(0, 2000, 100):
        store.put(rows(100, first=start, width=512))
    assert (tmp_path / FILE).stat().st_size < 1.5 * bound
    left = RowStore(tmp_path, max_bytes=bound).get(list(rows(2000, width=512)))
    assert 200 < len(left) < 600
    assert_same(left, {key: row for key, row in rows(2000, width=512).items() if key in left})
    assert set(rows(100, first=1900, width=512)) <= set(left)
    assert not set(rows(100, width=512)) & set(left)


def test_a_row_that_is_read_again_outlives_those_that_are_not(tmp_path: Path) -> None:
    store = RowStore(tmp_path, max_bytes=2**20)
    store.put(rows(300, width=512))
    favourite = list(rows(1, width=512))
    disk = sqlite3.connect(tmp_path / FILE)
    with disk:
        disk.execute("UPDATE embeddings SET used = used - 100000")
    disk.close()
    RowStore(tmp_path, max_bytes=2**20).get(favourite)
    store.put(rows(250, first=300, width=512))
    assert list(RowStore(tmp_path).get(favourite)) == favourite


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handful.encoders.store._MEMORY_BYTES", 10 * (32 + 100))
    store = RowStore(None)
    store.put(rows(10))
    store.get(list(rows(1)))
    store.put(rows(5, first=10))
    left = store.get(list(rows(15)))
    assert set(left) == set(rows(1)) | set(rows(9, first=6))


def test_a_damaged_file_warns_once_and_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database " * 1000)
    store = RowStore(tmp_path)
    with pytest.warns(RuntimeWarning, match="damaged and is begun anew"):
        assert store.get(list(rows(2))) == {}
    store.put(rows(2))
    assert_same(RowStore(tmp_path).get(list(rows(2))), rows(2))


def test_a_folder_that_cannot_be_made_warns_once_and_memory_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = RowStore(tmp_path / "file")
    with pytest.warns(RuntimeWarning, match="HANDFUL_CACHE_DIR"):
        store.put(rows(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(rows(3))
        assert_same(store.get(list(rows(3))), rows(3))


def test_a_database_that_cannot_be_written_warns_once(tmp_path: Path) -> None:
    file = tmp_path / FILE
    disk = sqlite3.connect(file)
    disk.execute("CREATE VIEW embeddings AS SELECT 1 AS key, 2 AS row, 3 AS used")
    disk.close()
    store = RowStore(tmp_path)
    with pytest.warns(RuntimeWarning, match="memory only"):
        store.put(rows(2))
    assert_same(store.get(list(rows(2))), rows(2))


def test_a_file_that_another_process_holds_is_passed_over_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RowStore(tmp_path).put(rows(1))
    monkeypatch.setattr("handful.encoders.store._PATIENCE", 0.01)
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("BEGIN EXCLUSIVE")
    store = RowStore(tmp_path)
    store.put(rows(2))
    other.rollback()
    other.close()
    assert_same(RowStore(tmp_path).get(list(rows(2))), rows(1))


def test_several_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from handful.encoders.store import RowStore\n"
        "store, name = RowStore(Path(sys.argv[1])), sys.argv[2]\n"
        "for i in range(20):\n"
        "    store.put({f'{name} {i}'.encode(): np.full(4, i, 'f4')})\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, str(tmp_path), name], env=os.environ)
        for name in "abc"
    ]
    assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    keys = [f"{name} {i}".encode() for name in "abc" for i in range(20)]
    assert len(RowStore(tmp_path).get(keys)) == 60
