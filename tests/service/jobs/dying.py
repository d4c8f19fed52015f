"""A service that works on a job until it is killed. Run as a script by tests: FOLDER CASE."""

import asyncio
import importlib.util
import sys
import time
from pathlib import Path

import numpy as np

from handful.adapters import training
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[3]))  # where `tests` is, for what conftest.py imports
_spec = importlib.util.spec_from_file_location("shared", Path(__file__).parents[2] / "conftest.py")
_shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_shared)


class SlowEncoder(_shared.TinyEncoder):
    """Takes its time, so that there is a middle to be killed in."""

    def encode_images(self, images, *, progress=None):
        pictures = list(images)
        time.sleep(0.01 * len(pictures))
        return super().encode_images(pictures, progress=progress)


async def sent(folder):
    yield (folder / "upload").read_bytes()


async def submitted(service, folder, case):
    if case == "lines":
        return await service.transfer.start_lines("default", sent(folder))
    view = await service.classifiers.create("default", NewClassifier(name="victim"))
    if case == "archive":
        return await service.transfer.start_archive("default", view.record.id, sent(folder))
    training._PATIENCE = 10**9
    rng = np.random.default_rng(0)
    new = [NewShot(label=f"{at % 3}", row=rng.standard_normal(28), pointer="/x") for at in range(60)]
    await service.shots.add("default", view.record.id, new)
    options = {"epochs": 100_000}
    return await service.jobs.submit(
        "default", "train", view.record.id, {"method": "tip-f", "options": options}
    )


async def main(folder, case):
    settings = Settings(data_dir=folder / "data", job_lease_seconds=3.0)
    async with open_service(settings, SlowEncoder()) as service:
        job = await submitted(service, folder, case)
        tell(f"{job.id} {job.classifier or ''}")
        async for state in service.jobs.events("default", job.id):
            tell(str(state.progress))


def tell(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
