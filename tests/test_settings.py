from pathlib import Path

import pytest
from pydantic import ValidationError

from handful.images import Limits
from handful.settings import Settings


def test_options_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDFUL_CACHE_DIR", "/somewhere/else")
    monkeypatch.setenv("HANDFUL_CACHE_BYTES", "2GiB")
    monkeypatch.setenv("HANDFUL_ENCODER_THREADS", "3")
    monkeypatch.setenv("HANDFUL_ENCODER_PROVIDERS", "CUDAExecutionProvider,CPUExecutionProvider")
    settings = Settings()
    assert settings.cache_dir == Path("/somewhere/else")
    assert settings.cache_bytes == 2 * 2**30
    assert settings.encoder_threads == 3
    assert settings.encoder_providers == ("CUDAExecutionProvider", "CPUExecutionProvider")


def test_the_limits_of_images_are_those_of_the_library_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_BYTES", "MAX_PIXELS", "MAX_SIDE"):
        monkeypatch.delenv(f"HANDFUL_IMAGE_{name}", raising=False)
    settings, limits = Settings(), Limits()
    assert settings.image_max_bytes == limits.max_bytes
    assert settings.image_max_pixels == limits.max_pixels
    assert settings.image_max_side == limits.max_side


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENCODER_THREADS", "0"),
        ("IMAGE_MAX_SIDE", "-1"),
        ("CACHE_BYTES", "much"),
        ("ENCODER_PROVIDERS", " , "),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HANDFUL_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_are_values() -> None:
    assert hash(Settings(encoder_threads=2)) == hash(Settings(encoder_threads=2))
    with pytest.raises(ValidationError, match="frozen"):
        Settings().encoder_threads = 5
