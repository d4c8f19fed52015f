"""SIGKILL in the middle of a job: the next process finishes it, and nothing is there twice."""

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest

from handful.service.service import open_service
from handful.settings import Settings

pytestmark = pytest.mark.anyio
_DYING = Path(__file__).with_name("dying.py")


def killed(folder, case, *, after):
    """Start a service on a job, and kill it that many seconds after the job began; the job and classifier."""
    with subprocess.Popen(
        [sys.executable, str(_DYING), str(folder), case],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        job, _, classifier = process.stdout.readline().strip().partition(" ")
        while float(line if (line := process.stdout.readline()) else "nan") == 0.0:
            pass
        time.sleep(after)
        process.kill()
    assert process.returncode == -9, "it was done before it could be killed"
    return job, classifier


@pytest.fixture
def resumed(tmp_path, tiny_encoder):
    def open_it():
        return open_service(Settings(data_dir=tmp_path / "data", job_lease_seconds=3.0), tiny_encoder)

    return open_it


async def shots_of(service, id):
    found, cursor = [], None
    while True:
        page = await service.shots.list("default", id, limit=100, cursor=cursor)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_killed_import_of_an_archive_goes_on_and_doubles_no_shot(tmp_path, resumed, png, ended):
    with tarfile.open(tmp_path / "upload", "w:gz") as archive:
        for at in range(300):
            info = tarfile.TarInfo(f"{('red', 'blue')[at % 2]}/{at}.png")
            data = png("red", at)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    job, id = killed(tmp_path, "archive", after=random.uniform(0, 0.5))
    async with resumed() as service:
        at_first = await service.jobs.get("default", job)
        assert (at_first.status, 0 < at_first.progress < 1) == ("running", True)
        last = await ended(service, at_first)
        assert (last.status, last.result["shots"], last.attempts) == ("succeeded", 300, 2)
        shots = await shots_of(service, id)
        assert [one.record.source_id for one in shots] == [
            f"{('red', 'blue')[at % 2]}/{at}.png" for at in range(300)
        ]
        record = (await service.classifiers.get("default", id)).record
        assert record.shot_count == 300
        # What was written last before the kill may lie there unnamed; every record has its picture.
        assert {one.record.blob for one in shots} <= set(await service.blobs.names(f"default/{id}/"))
        for one in shots[::50]:
            assert await service.shots.image("default", id, one.record.id)


async def test_a_killed_import_of_lines_goes_on_and_doubles_no_classifier(tmp_path, resumed, ended):
    rng = random.Random(0)
    (tmp_path / "upload").write_text(
        "\n".join(
            json.dumps(
                {
                    "name": f"{at}",
                    "shots": [
                        {"label": label, "embedding": [rng.gauss(0, 1) for _ in range(28)]}
                        for label in ("a", "b")
                        for _ in range(10)
                    ],
                }
            )
            for at in range(2000)
        )
    )
    job, _ = killed(tmp_path, "lines", after=random.uniform(0, 0.3))
    async with resumed() as service:
        last = await ended(service, await service.jobs.get("default", job))
        assert (last.status, last.result["classifiers"], last.attempts) == ("succeeded", 2000, 2)
        usage = await service.classifiers.usage("default")
        assert (usage.classifiers, usage.classes, usage.shots) == (2000, 4000, 40_000)
        names, cursor = Counter(), None
        while True:
            page = await service.classifiers.list("default", limit=100, cursor=cursor)
            names.update(view.record.name for view in page.items)
            assert all(view.record.shot_count == 20 for view in page.items)
            if (cursor := page.next_cursor) is None:
                break
        assert names == Counter(str(at) for at in range(2000))


async def test_a_killed_training_is_done_again_and_leaves_one_head(tmp_path, resumed, ended):
    job, id = killed(tmp_path, "train", after=random.uniform(0, 0.3))
    async with resumed() as service:
        assert await service.store.heads("default", id) == []
        last = await ended(service, await service.jobs.get("default", job))
        assert (last.status, last.attempts) == ("succeeded", 2)
        (head,) = await service.store.heads("default", id)
        assert (head.version, head.trained) == (last.result["version"], True)
