"""Heads in memory are bounded by what is asked, not by how often it was written."""

import numpy as np
import pytest
from prometheus_client import REGISTRY

from handful.service.answers import Asked
from handful.service.classifiers import NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import open_service
from handful.settings import Settings


@pytest.fixture
def anyio_backend():
    return "asyncio"


def held():
    return REGISTRY.get_sample_value("handful_heads_cached_bytes")


@pytest.mark.anyio
async def test_a_head_takes_the_place_of_the_one_before(tmp_path, tiny_encoder):
    rows = np.random.default_rng(0).normal(size=(8, tiny_encoder.dimension))
    async with open_service(Settings(data_dir=tmp_path), tiny_encoder) as service:
        made = await service.classifiers.create("default", NewClassifier(name="colours"))
        id = made.record.id
        new = [NewShot(label=f"class {at % 2}", row=row) for at, row in enumerate(rows)]
        shots = await service.shots.add("default", id, new)
        versions, sizes = set(), []
        for at in range(6):
            label = f"class {at % 2}"
            await service.shots.relabel("default", id, shots[0].record.id, label)
            answer = await service.answers.classify("default", id, Asked(rows=rows), explain=1)
            versions.add(answer.version)
            sizes.append(held())
    assert len(versions) > 4
    assert max(sizes) < 1.5 * sizes[0]
