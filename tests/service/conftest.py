"""Services over an encoder of colours, in a folder that can be opened again; their calls are counted."""

import asyncio
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings
from handful.storage.sqlite.store import SqliteStore

# Files whose tests also run over Redis; the others look at SQLite's ways, or at all that is in the blobs.
ON_REDIS_TOO = {"test_changes", "test_classes", "test_classifiers", "test_keys", "test_versions"} | {
    "test_change_views",
    "test_evaluate",
    "test_frozen",
    "test_import",
    "test_jobs",
    "test_package",
    "test_train",
}


def pytest_generate_tests(metafunc):
    if metafunc.module.__name__.rpartition(".")[2] in ON_REDIS_TOO:
        metafunc.parametrize("kept_in", ["sqlite", "redis"], indirect=True)


@pytest.fixture(autouse=True)
def kept_in(request, monkeypatch):
    """Where services that name no store keep what they are given."""
    if getattr(request, "param", "sqlite") == "redis":
        server = request.getfixturevalue("redis_8")
        server.command("FLUSHALL")
        monkeypatch.setenv("HANDFUL_STORE_URL", server.url)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def opened(tmp_path, tiny_encoder):
    """`async with opened() as service`: on the test's folder, with settings by name."""

    def open_it(encoder=None, **settings):
        return open_service(Settings(data_dir=tmp_path, **settings), encoder or tiny_encoder)

    return open_it


@pytest.fixture
def warm():
    """Returns when the services that were opened have read and seen all that they try first."""

    async def wait():
        await asyncio.gather(*(one for one in asyncio.all_tasks() if one.get_name() == "handful-warm-up"))

    return wait


@pytest.fixture(scope="session")
def png(coloured):
    """Bytes of a picture of a colour."""

    def make(colour, seed=0):
        buffer = io.BytesIO()
        Image.fromarray(coloured(colour, 1, seed=seed)[0]).save(buffer, "PNG")
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def rows():
    """(count, 28) rows around an axis."""

    def make(axis, count=1, *, seed=0, blur=0.1):
        rng = np.random.default_rng([seed, axis])
        return np.eye(28)[axis] + blur * rng.standard_normal((count, 28))

    return make


@pytest.fixture(scope="session")
def taught(rows):
    """The id of a classifier of rows: each class around an axis of its own."""

    async def make(service, *, classes=("red", "green"), shots=4, tenant="default", **settings):
        view = await service.classifiers.create(tenant, NewClassifier(name="taught", **settings))
        new = [NewShot(label=name, row=row) for at, name in enumerate(classes) for row in rows(at, shots)]
        await service.shots.add(tenant, view.record.id, new)
        return view.record.id

    return make


@pytest.fixture(scope="session")
def ended():
    """Waits for a job's final state."""

    async def wait(service, job):
        *_, last = [state async for state in service.jobs.events(job.tenant, job.id)]
        return last

    return wait


@pytest.fixture(scope="session")
def blurred():
    """A classifier of rows around as many axes as there are classes; `blur` mixes them up."""

    async def make(service, *, classes=("red", "green"), shots=8, blur=0.3, tenant="default", **settings):
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


@pytest.fixture
def calls(monkeypatch):
    """Calls of the store by name, apart from those that are made all the time for nobody."""
    counted = Counter()
    idle = {"claim_job", "fold", "trash", "forget_trash", "forget_expired", "forget_jobs"}

    def counting(name, method):
        def call(self, *given, **named):
            counted[name] += 1
            return method(self, *given, **named)

        return call

    for name, method in vars(SqliteStore).items():
        if callable(method) and not name.startswith("_") and name not in idle:
            monkeypatch.setattr(SqliteStore, name, counting(name, method))
    return counted
