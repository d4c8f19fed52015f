"""What lies on the disk: after kills, after damage, and how much of it is read."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from handful.errors import RetrievalError
from handful.retrieval import ClassIndex

ROWS = 30_000
SEGMENT = 3_000

_ROWS = f"""
import sys
import numpy as np
from handful.retrieval import ClassIndex
rng = np.random.default_rng(0)
rows = rng.standard_normal(({ROWS}, 32), np.float32) * 0.9 ** np.arange(32, dtype=np.float32)
folder = sys.argv[1]
"""
_BUILD = f"""
told = [-1]
def tell(count):
    if count > told[-1]:
        told.append(count)
        print(count, flush=True)
ClassIndex.build(rows, folder, segment_rows={SEGMENT}, threads=1, progress=tell)
"""
_SAVE = """
index = ClassIndex.open(folder, threads=1)
for one in range(1000):
    index.add(rows[one : one + 50])
    index.remove([one])
    index.save()
    print(index.positions, len(index), flush=True)
"""


def rows() -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).standard_normal((ROWS, 32), np.float32)
    return np.asarray(drawn * 0.9 ** np.arange(32, dtype=np.float32), np.float32)


def killed(script: str, folder: Path, lines: int, moments: float = 0.0) -> list[str]:
    """Run a script until it said so many lines, and a moment longer, then kill it; what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", _ROWS + script, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        time.sleep(moments)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [line.strip() for line in said]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    with ClassIndex.build(rows()[:9000], folder, segment_rows=SEGMENT, threads=1) as index:
        index.remove([5])
        index.save()
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "copy")


def test_a_killed_build_goes_on_after_its_last_whole_segment(tmp_path: Path) -> None:
    said = killed(_BUILD, tmp_path / "index", 4)
    done = int(said[-1])
    assert 0 < done < ROWS
    with pytest.raises(RetrievalError, match="holds no index of class rows"):
        ClassIndex.open(tmp_path / "index")
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "index").glob("values-*")}
    assert len(there) >= done // SEGMENT
    told: list[int] = []
    index = ClassIndex.build(
        rows(), tmp_path / "index", segment_rows=SEGMENT, threads=1, progress=told.append
    )
    with index:
        assert told[0] >= done
        assert told[0] % SEGMENT == 0
        assert told[-1] == len(index) == ROWS
        kept = [path for path in (tmp_path / "index").glob("values-*") if path.name in there]
        assert len(kept) >= done // SEGMENT
        assert all(path.stat().st_mtime_ns == there[path.name] for path in kept)
        with ClassIndex.build(rows(), tmp_path / "whole", segment_rows=SEGMENT, threads=1) as whole:
            Q = rows()[::500]
            np.testing.assert_array_equal(index.search(Q, 5)[0], whole.search(Q, 5)[0])
    assert {path.name.split("-")[0] for path in (tmp_path / "index").iterdir()} == {
        "index.json", "sketch", "values", "scales", "codes"
    }  # fmt: skip


def test_a_build_does_not_go_on_with_other_rows(tmp_path: Path) -> None:
    killed(_BUILD, tmp_path, 3)
    with pytest.raises(RetrievalError, match="a build of other rows was begun in this folder"):
        ClassIndex.build(rows()[::-1], tmp_path, segment_rows=SEGMENT, threads=1)
    with ClassIndex.build(rows()[:50], tmp_path, segment_rows=SEGMENT + 1, threads=1) as index:
        assert len(index) == 50  # other segments: nothing of then is used


def test_an_index_serves_until_the_next_one_in_its_folder_is_complete(copy: Path) -> None:
    with ClassIndex.open(copy, threads=1) as before:
        found, _ = before.search(rows()[:3], 9)
        killed(_BUILD, copy, 2)
        with ClassIndex.open(copy, threads=1) as index:
            index.verify()
            assert len(index) == 8999
        with ClassIndex.build(rows(), copy, segment_rows=SEGMENT, threads=1) as after:
            assert len(after) == ROWS
        np.testing.assert_array_equal(before.search(rows()[:3], 9)[0], found)


@pytest.mark.parametrize("moments", [0.0, 0.003, 0.01, 0.03])
def test_a_kill_leaves_what_was_saved_or_what_was_being_saved(copy: Path, moments: float) -> None:
    said = killed(_SAVE, copy, 3, moments)
    positions, count = map(int, said[-1].split())
    with ClassIndex.open(copy, threads=1) as index:
        index.verify()
        assert (index.positions, len(index)) in {(positions, count), (positions + 50, count + 49)}
        given = index.rows(np.arange(9000, positions))
        expected = np.concatenate([rows()[at : at + 50] for at in range((positions - 9000) // 50)])
        np.testing.assert_allclose(given, expected, atol=0.03)
        index.add(rows()[:1])
        index.save()
    assert len(list(copy.glob(".part-*"))) == 0


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["sketch", "values", "scales", "codes", "removed"])
@pytest.mark.parametrize("harm", [_truncate, Path.unlink])
def test_a_file_that_is_cut_or_missing_is_named(copy: Path, kind: str, harm: Callable[[Path], None]) -> None:
    path = next(copy.glob(f"{kind}-*"))
    harm(path)
    with pytest.raises(RetrievalError, match=f"{path.name} of an index is (damaged|missing)"):
        ClassIndex.open(copy)


@pytest.mark.parametrize("kind", ["sketch", "values", "scales", "codes", "removed"])
def test_a_bit_that_flipped_is_found(copy: Path, kind: str) -> None:
    path = next(copy.glob(f"{kind}-*"))
    _flip(path)
    with pytest.raises(RetrievalError, match=r"is damaged|cannot be read"):  # noqa: SIM117
        with ClassIndex.open(copy, threads=1) as index:
            index.verify()


def _with_format(manifest: dict[str, object]) -> None:
    manifest["format"] = "handful.class-index/2"


def _with_other_kind(manifest: dict[str, object]) -> None:
    manifest["format"] = "handful.head/1"


def _with_other_rows(manifest: dict[str, object]) -> None:
    manifest["dimension"] = 31


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with_format, "format version 2, newer than 1, the newest that this build reads"),
        (_with_other_kind, "its format is 'handful.head'"),
        (_with_other_rows, "it changed since it was written"),
    ],
)
def test_a_manifest_of_another_kind_or_a_newer_one_is_refused(
    copy: Path, change: Callable[[dict[str, object]], None], said: str
) -> None:
    path = copy / "index.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(RetrievalError, match=said):
        ClassIndex.open(copy)


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"[" * 100_000, b"[]", b'{"format": 1}'])
def test_a_manifest_that_is_none_is_refused(copy: Path, data: bytes) -> None:
    (copy / "index.json").write_bytes(data)
    with pytest.raises(RetrievalError, match=r"index\.json is damaged"):
        ClassIndex.open(copy)


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="holds no index of class rows"):
        ClassIndex.open(tmp_path)


def test_an_index_is_mapped_and_not_read(copy: Path, tmp_path: Path) -> None:
    wide = np.random.default_rng(0).standard_normal((60_000, 512), np.float32)
    wide *= 0.97 ** np.arange(512, dtype=np.float32)
    ClassIndex.build(wide, tmp_path / "wide", threads=1).close()
    size = sum(path.stat().st_size for path in (tmp_path / "wide").iterdir())
    assert size > 32_000_000
    script = """
import sys
from handful.retrieval import ClassIndex

def pages():
    told = open("/proc/self/status").read()
    return sum(int(told.split(name)[1].split()[0]) for name in ("RssFile:", "RssAnon:"))

ClassIndex.open(sys.argv[1], threads=1)  # what is loaded for any
before = pages()
index = ClassIndex.open(sys.argv[2], threads=1)
print(len(index), (pages() - before) * 1024)
"""
    told = subprocess.run(
        [sys.executable, "-c", script, str(copy), str(tmp_path / "wide")],
        check=True,
        capture_output=True,
        text=True,
    )
    count, read = map(int, told.stdout.split())
    assert count == 60_000
    assert read < size / 4
