from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handful import JoinedBackground, load_encoder
from handful.encoders.base import PreparingEncoder, SideBySideEncoder, leaves
from handful.encoders.ensemble import Ensemble, ensemble
from handful.errors import EncoderError, ImageError
from handful.images import decode
from handful.rows import apart
from handful.settings import Settings

FIXTURES = Path(__file__).parent / "fixtures"
CLIP, SIGLIP = str(FIXTURES / "clip-immich"), str(FIXTURES / "siglip-immich")
SPEC = f"builtin+{CLIP}"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@pytest.fixture
def both(settings) -> Ensemble:
    encoder = load_encoder(SPEC, settings=settings, cached=False)
    assert isinstance(encoder, Ensemble)
    return encoder


def test_rows_are_the_parts_rows_side_by_side_and_of_unit_length(both, pictures) -> None:
    rows = both.encode_images(pictures[:12])
    assert rows.shape == (12, both.dimension)
    assert rows.dtype == np.float32
    assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for part, own in zip(both.parts, apart(rows, both.background.widths), strict=True):
        # The builtin one decodes JPEG smaller where it is alone.
        assert (own * part.encode_images(pictures[:12])).sum(axis=1).min() > 0.99


def test_each_part_of_a_decoded_picture_sees_what_it_sees_alone(both, pictures) -> None:
    seen = [decode(path) for path in pictures[:3]]
    parts = apart(both.encode_images(seen), both.background.widths)
    for part, own in zip(both.parts, parts, strict=True):
        assert_allclose(own, part.encode_images(seen), atol=1e-5)


def test_texts_are_side_by_side_too(both) -> None:
    rows = both.encode_texts(["a photo of a can", "glass"])
    parts = apart(rows, both.background.widths)
    for part, own in zip(both.parts, parts, strict=True):
        assert_allclose(own, part.encode_texts(["a photo of a can", "glass"]), atol=1e-5)


def test_what_it_looks_at_is_one_flat_array_that_batches(both, pictures) -> None:
    assert isinstance(both, PreparingEncoder)
    seen = [decode(path) for path in pictures[:3]]
    prepared = np.stack([both.prepare(pixels) for pixels in seen])
    assert prepared.ndim == 2
    assert prepared.dtype == np.uint8
    assert_allclose(both.encode_prepared(prepared), both.encode_images(seen), atol=1e-5)


def test_it_has_lanes_where_all_parts_have(both, settings, pictures) -> None:
    assert isinstance(both, SideBySideEncoder)
    assert both.lanes == min(getattr(part, "lanes", 1) for part in both.parts)
    prepared = np.stack([both.prepare(decode(path)) for path in pictures[:2]])
    assert_allclose(both.encode_beside(prepared), both.encode_prepared(prepared), atol=1e-5)


def test_the_fingerprint_is_that_of_the_parts_in_their_order(both, settings) -> None:
    turned = load_encoder(f"{CLIP}+builtin", settings=settings, cached=False)
    again = load_encoder(SPEC, settings=settings, cached=False)
    assert again is both
    assert len({turned.fingerprint, both.fingerprint, *(part.fingerprint for part in both.parts)}) == 4
    assert both.name == SPEC


def test_its_background_is_the_parts_own(both) -> None:
    background = both.background
    assert isinstance(background, JoinedBackground)
    assert background.parts == tuple(part.background for part in both.parts)
    assert background.widths == tuple(part.dimension for part in both.parts)
    assert both.background is background


def test_towers_are_those_of_the_parts_which_are_unloaded_one_by_one(both, settings, pictures) -> None:
    alone = load_encoder(CLIP, settings=settings, cached=False)
    assert leaves(both) == [load_encoder("builtin", settings=settings, cached=False), alone]
    both.encode_images(pictures[:1])
    assert alone.loaded_bytes > 0
    alone.unload()
    assert alone.loaded_bytes == 0
    assert both.encode_images(pictures[:1]).shape == (1, both.dimension)


def test_rows_of_a_part_that_are_known_are_not_encoded_again(settings, pictures) -> None:
    encoder = load_encoder(SPEC, settings=settings)
    load_encoder("builtin", settings=settings).encode_images(pictures[:4])
    load_encoder(CLIP, settings=settings).encode_images(pictures[:4])
    bare = [load_encoder(name, settings=settings, cached=False) for name in ("builtin", CLIP)]
    for part in bare:
        part.unload()
    told: list[int] = []
    rows = encoder.encode_images(pictures[:4], progress=told.append)
    assert [part.loaded_bytes for part in bare] == [0, 0]
    assert rows.shape == (4, encoder.dimension)
    assert told[-1] == 4
    assert told == sorted(told)


@pytest.mark.parametrize("cached", [True, False])
def test_a_picture_that_cannot_be_read_is_called_by_its_place(cached, settings, pictures) -> None:
    encoder = load_encoder(SPEC, settings=settings, cached=cached)
    with pytest.raises(ImageError, match=r"number 3 of those given|picture 3"):
        encoder.encode_images([*pictures[:2], b"no picture"])


def test_no_pictures_give_no_rows(both) -> None:
    assert both.encode_images([]).shape == (0, both.dimension)


def test_parts_that_know_one_step_only_make_an_ensemble_as_well(counting, both) -> None:
    other = type(counting)()
    other.fingerprint = "counting-2"
    plain = ensemble([counting, other])
    assert not isinstance(plain, PreparingEncoder)
    rows = plain.encode_images([np.zeros((3, 4, 3), np.uint8)] * 3)
    assert_allclose(rows[0] * np.sqrt(2), [3, 4, 3, 4], rtol=1e-6)
    assert plain.background.parts == (None, None)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("builtin+builtin", "'builtin' stands in the ensemble twice"),
        ("builtin+", "a part has no name; give two, as in a\\+b"),
        ("builtin+a+b+c+d", "at most 4 parts, not 5"),
        ("builtin+nonesuch", "there is no encoder 'nonesuch'"),
    ],
)
def test_what_is_no_ensemble_is_refused(spec, said, settings) -> None:
    with pytest.raises(EncoderError, match=said):
        load_encoder(spec, settings=settings)


def test_an_ensemble_of_one_or_of_ensembles_is_refused(both, counting) -> None:
    with pytest.raises(EncoderError, match="an ensemble of 1 encoders; there are 2 to 4"):
        ensemble([counting])
    with pytest.raises(EncoderError, match="no ensembles; name them one by one"):
        ensemble([both, counting])


def test_a_folder_with_a_plus_in_its_name_is_one_encoder(tmp_path, settings) -> None:
    folder = tmp_path / "a+b"
    folder.symlink_to(CLIP, target_is_directory=True)
    assert not isinstance(load_encoder(str(folder), settings=settings, cached=False), Ensemble)
