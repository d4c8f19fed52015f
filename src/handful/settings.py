"""Every option of the environment: HANDFUL_… variables."""

from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import ByteSize, Field, PositiveInt, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Read once where a process starts, and passed down as values.

    >>> Settings(encoder_providers="CUDAExecutionProvider, CPUExecutionProvider").encoder_providers
    ('CUDAExecutionProvider', 'CPUExecutionProvider')
    """

    model_config = SettingsConfigDict(env_prefix="HANDFUL_", frozen=True)

    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("handful"),
        description="folder of the embedding cache",
    )
    cache_bytes: ByteSize = Field(
        default=ByteSize(2**30),
        description="largest size of the embedding cache, as 1073741824 or 1GiB; 0: none",
    )
    encoder_threads: PositiveInt | None = Field(
        default=None, description="threads of one encoder; unset: one per core"
    )
    encoder_providers: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("CPUExecutionProvider",),
        min_length=1,
        description="ONNX Runtime's devices in order of preference, between commas",
    )
    image_max_bytes: ByteSize = Field(
        default=ByteSize(20 * 2**20), ge=1, description="largest file of a picture, as 20971520 or 20MiB"
    )
    image_max_pixels: PositiveInt = Field(default=50_000_000, description="most pixels of a picture")
    image_max_side: PositiveInt = Field(default=30_000, description="longest side of a picture in pixels")

    @field_validator("encoder_providers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )
