"""Statistics of pictures: what is added by many processes, some of them killed, is what they saw."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.background import Background
from handful.encoders.moments import Moments
from handful.encoders.traffic import Traffic, background_of_traffic
from handful.errors import EncoderError
from handful.rows import unit


def rows(count: int, *, seed: int = 0, dimension: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((count, dimension)) + 2 * np.eye(dimension)[0]).astype(np.float32)


@pytest.fixture
def encoder() -> SimpleNamespace:
    return SimpleNamespace(name="seen", fingerprint="seen-1", dimension=12, background=None)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    X = rows(300)
    parts = [Moments.of(part) for part in np.split(X, [1, 20, 21, 170])]
    total = parts[0]
    for part in parts[1:]:
        total = total.merged(part)
    fitted, made = Background.fit(X), total.background(None)
    assert made.count == 300
    assert_allclose(made.mean, fitted.mean, atol=1e-7)
    assert_allclose(made.covariance, fitted.covariance, atol=1e-7)


def test_what_is_the_encoders_own_stays_its_own() -> None:
    known = Background.fit(rows(5), logit_scale=7, ridge=3, anchors=np.eye(12))
    made = Moments.of(rows(20)).background(known)
    assert (made.logit_scale, made.ridge, made.count) == (7, 3, 20)
    assert (made.anchors == known.anchors).all()


def test_traffic_of_several_starts_and_folders_is_one_background(tmp_path, encoder) -> None:
    X = rows(600)
    for folder, part in (("a", X[:250]), ("a", X[250:400]), ("b", X[400:])):
        Traffic(tmp_path / folder).add("seen-1", Moments.of(part))
    Traffic(tmp_path / "a").add("another", Moments.of(rows(50, dimension=3)))
    made = background_of_traffic(encoder, [tmp_path / "a", tmp_path / "b"])
    assert made.count == 600
    assert_allclose(made.covariance, Background.fit(X).covariance, atol=1e-7)


def test_few_pictures_make_no_background(tmp_path, encoder) -> None:
    Traffic(tmp_path).add("seen-1", Moments.of(rows(499)))
    with pytest.raises(EncoderError, match=r"statistics of 499 pictures by encoder 'seen' .*500 are needed"):
        background_of_traffic(encoder, [tmp_path])
    with pytest.raises(EncoderError, match="statistics of 0 pictures"):
        background_of_traffic(encoder, [tmp_path / "nothing"])
    assert not (tmp_path / "nothing").exists()


def test_no_row_is_in_the_file(tmp_path) -> None:
    X = rows(40)
    traffic = Traffic(tmp_path)
    for part in (X[:20], X[20:]):
        traffic.add("seen-1", Moments.of(part))
    content = traffic.file.read_bytes()
    for row in X:
        assert row.tobytes() not in content
        assert row.astype("<f8").tobytes() not in content


def test_a_file_that_is_no_database_is_named(tmp_path, encoder) -> None:
    (tmp_path / "traffic.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(EncoderError, match=r"traffic.sqlite cannot be used .*remove the file"):
        Traffic(tmp_path).read(encoder)


_WRITING = """
import sys
import numpy as np
from pathlib import Path
from handful.encoders.moments import Moments
from handful.encoders.traffic import Traffic
one = Moments.of(np.eye(12, dtype=np.float32))
while True:
    Traffic(Path(sys.argv[1])).add("seen-1", one)
    print("added", flush=True)
"""


def test_processes_that_are_killed_while_they_write_leave_all_that_they_had_added(
    tmp_path: Path, encoder
) -> None:
    added = 0
    for round_ in range(6):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITING, str(tmp_path)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for at, writer in enumerate(writers):
            assert writer.stdout is not None
            for _ in range(3 + 5 * round_ + at):
                assert writer.stdout.readline() == "added\n"
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            added += sum(3 + 5 * round_ + at for at, one in enumerate(writers) if one is writer)
            added += writer.communicate()[0].count("added\n")
    found = Traffic(tmp_path).read(encoder)
    assert found is not None
    # One of each process may have been written before it could be told.
    assert 12 * added <= found.count <= 12 * (added + 12)
    assert_allclose(found.mean, np.full(12, 1 / 12), atol=1e-9)
    assert_allclose(found.scatter / found.count, np.eye(12) / 12 - 1 / 144, atol=1e-9)
