"""Statistics of traffic: whose pictures count, each once, and what is left of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful.encoders.traffic import FILE, Traffic
from handful.service.encoding import Encoding

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def seen(settings, encoder, tenants, images):
    encoding = Encoding(settings.model_copy(update={"traffic_tenants": tenants}), encoder)
    for tenant, pictures in images.items():
        await encoding.rows(tenant, encoder, pictures, pointers=["/"] * len(pictures))
    await encoding.close()


async def test_without_the_setting_nothing_is_written(settings, tiny_encoder, picture):
    await seen(settings, tiny_encoder, (), {"a": [picture(1), picture(2)]})
    assert not (settings.data_dir / FILE).exists()


async def test_pictures_of_the_tenants_that_are_named_count_once_each_over_restarts(
    settings, tiny_encoder, picture
):
    images = {"a": [picture(red) for red in range(0, 140, 2)], "b": [picture(200)]}
    await seen(settings, tiny_encoder, ("a",), {"a": [*images["a"], picture(0)], "b": images["b"]})
    first = Traffic(settings.data_dir).read(tiny_encoder)
    assert first.count == 70
    await seen(settings, tiny_encoder, ("*",), images)
    now = Traffic(settings.data_dir).read(tiny_encoder)
    X = tiny_encoder.encode_images([np.full((4, 6, 3), (red, 100, 50), np.uint8) for red in range(0, 140, 2)])
    other = tiny_encoder.encode_images([np.full((4, 6, 3), (200, 100, 50), np.uint8)])
    rows = np.concatenate([X, X, other]).astype(float)
    assert now.count == len(rows)
    assert_allclose(now.mean, rows.mean(axis=0), atol=1e-6)
    assert_allclose(now.scatter / (now.count - 1), np.cov(rows.T), atol=1e-6)


async def test_of_views_the_plain_picture_counts(settings, tiny_encoder, picture):
    encoding = Encoding(settings.model_copy(update={"traffic_tenants": ("a",)}), tiny_encoder)
    await encoding.pictures("a", tiny_encoder, [picture(9)], pointers=["/"], views="standard")
    await encoding.close()
    assert Traffic(settings.data_dir).read(tiny_encoder).count == 1


async def test_a_file_that_cannot_be_written_costs_no_answer(settings, tiny_encoder, picture, caplog):
    (settings.data_dir / FILE).write_bytes(b"no database" * 1000)
    await seen(settings, tiny_encoder, ("a",), {"a": [picture(1)]})
    assert "1 pictures are missing in the statistics of traffic" in caplog.text
