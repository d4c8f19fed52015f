"""A service over an encoder of colours, in a folder that can be opened again."""

import io

import numpy as np
import pytest
from PIL import Image

from handful.service.service import open_service
from handful.settings import Settings


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def opened(tmp_path, tiny_encoder):
    """Opens the service on the test's folder."""

    def open_it(**settings):
        return open_service(Settings(data_dir=tmp_path, **settings), tiny_encoder)

    return open_it


@pytest.fixture(scope="session")
def png(coloured):
    """Bytes of a picture of a colour."""

    def make(colour, seed=0):
        buffer = io.BytesIO()
        Image.fromarray(coloured(colour, 1, seed=seed)[0]).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def ended():
    """Waits for a job's final state."""

    async def wait(service, job):
        *_, last = [state async for state in service.jobs.events(job.tenant, job.id)]
        return last

    return wait


@pytest.fixture(scope="session")
def taught():
    """A classifier of rows around as many axes as there are classes; `blur` mixes them up."""

    async def make(service, *, classes=("red", "green"), shots=8, blur=0.3, tenant="default", **settings):
        from handful.service.classifiers import NewClassifier
        from handful.service.new_shots import NewShot

        rng = np.random.default_rng(0)
        view = await service.classifiers.create(tenant, NewClassifier(name="taught", **settings))
        new = [
            NewShot(label=name, row=np.eye(28)[at] + blur * rng.standard_normal(28), pointer=f"/{at}")
            for at, name in enumerate(classes)
            for _ in range(shots)
        ]
        views = await service.shots.add(tenant, view.record.id, new)
        return view.record.id, views

    return make
