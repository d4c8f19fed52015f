from pathlib import Path

import pytest

from handful import load_encoder
from handful.encoders.builtin import BuiltinEncoder
from handful.encoders.cache import CachedEncoder
from handful.errors import EncoderError
from handful.settings import Settings


def test_a_process_has_one_encoder_of_a_name() -> None:
    assert load_encoder() is load_encoder("builtin")
    assert load_encoder("builtin", cached=False) is load_encoder().encoder


def test_what_is_an_encoder_already_comes_back_as_it_is(counting) -> None:
    assert load_encoder(counting) is counting


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(EncoderError, match="no encoder 'clip'; there is builtin"):
        load_encoder("clip")


def test_something_else_is_refused_with_what_an_encoder_has() -> None:
    with pytest.raises(EncoderError, match="int is no encoder; give a name, or an object with"):
        load_encoder(7)


def test_settings_reach_the_encoder_and_its_cache(tmp_path: Path, pictures: list[Path]) -> None:
    settings = Settings(cache_dir=tmp_path, encoder_threads=1, image_max_side=100)
    encoder = load_encoder("builtin", settings=settings)
    assert isinstance(encoder, CachedEncoder)
    with pytest.raises(ValueError, match="no side may be over 100"):
        encoder.encode_images(pictures[:1])
    bare = load_encoder("builtin", settings=settings, cached=False)
    assert isinstance(bare, BuiltinEncoder)
    assert bare._image_tower().get_session_options().intra_op_num_threads == 1


def test_rows_are_kept_in_the_cache_folder(tmp_path: Path, pictures: list[Path]) -> None:
    settings = Settings(cache_dir=tmp_path)
    load_encoder("builtin", settings=settings).encode_images(pictures[:2])
    assert (tmp_path / "embeddings.sqlite").exists()


def test_what_does_not_concern_encoders_loads_no_other(tmp_path: Path) -> None:
    ours = load_encoder("builtin", settings=Settings(cache_dir=tmp_path))
    other = Settings(cache_dir=tmp_path, port=1234, queue_images=7, data_dir=tmp_path / "data")
    assert load_encoder("builtin", settings=other) is ours
    assert load_encoder("builtin", settings=Settings(cache_dir=tmp_path, encoder_threads=1)) is not ours


def test_two_caches_share_the_towers(tmp_path: Path) -> None:
    one = load_encoder("builtin", settings=Settings(cache_dir=tmp_path / "one"))
    other = load_encoder("builtin", settings=Settings(cache_dir=tmp_path / "other"))
    assert one is not other
    assert isinstance(one, CachedEncoder)
    assert isinstance(other, CachedEncoder)
    assert one.encoder is other.encoder
