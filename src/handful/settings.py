"""Every option of the environment: HANDFUL_… variables."""

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import ByteSize, Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator
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
    encoder_precision: Literal["fp32", "fp16", "int8"] = Field(
        default="fp32", description="which of an encoder's files are run, where it has several"
    )
    offline: bool = Field(default=False, description="whether to fetch no encoder from a model hub")
    image_max_bytes: ByteSize = Field(
        default=ByteSize(20 * 2**20), ge=1, description="largest file of a picture, as 20971520 or 20MiB"
    )
    image_max_pixels: PositiveInt = Field(default=50_000_000, description="most pixels of a picture")
    image_max_side: PositiveInt = Field(default=30_000, description="longest side of a picture in pixels")

    # ---- the service: where

    host: str = Field(default="127.0.0.1", description="address that the service listens on")
    port: NonNegativeInt = Field(default=8000, le=65535, description="port; 0: one that is free")
    workers: PositiveInt = Field(default=1, description="processes that answer requests")
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("handful"),
        description="folder of all that the service keeps",
    )
    store_url: str | None = Field(
        default=None, description="store; unset: sqlite:///store.sqlite inside the data folder"
    )
    redis_wait_replicas: NonNegativeInt = Field(
        default=0, description="replicas of a Redis that have to confirm each write"
    )
    blobs_url: str | None = Field(
        default=None, description="kept pictures, as fsspec names places; unset: blobs inside the data folder"
    )
    encoder: str = Field(default="builtin", description="encoder of classifiers that name none")
    encoders: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="encoders that callers may name besides builtin and the default one, between commas; "
        "*: any of the catalogue, not folders and hub ids, which are to be listed",
    )
    insecure: bool = Field(
        default=False, description="whether to serve without API keys on an address that others can reach"
    )
    admin_key_file: Path | None = Field(
        default=None, description="file with an API key that may do anything, for the first start"
    )
    tls_certificate: Path | None = Field(default=None, description="certificate chain in PEM, for HTTPS")
    tls_key: Path | None = Field(default=None, description="private key in PEM of that certificate")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="addresses of proxies whose X-Forwarded-* headers are believed, between commas",
    )
    root_path: str = Field(default="", description="path under which a proxy shows the service")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="web pages that may call the service, between commas, as https://example.org"
    )
    monitor_port: NonNegativeInt | None = Field(
        default=None,
        le=65535,
        description="port of /metrics alone, and of a worker's probes; unset: on the service's own, by key",
    )
    fetch_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="hosts that pictures may be fetched from for a caller, between commas; none: no fetching",
    )

    # ---- the service: how much

    request_max_bytes: ByteSize = Field(
        default=ByteSize(64 * 2**20), ge=1, description="largest body of a request, archives excepted"
    )
    upload_max_bytes: ByteSize = Field(
        default=ByteSize(2 * 2**30), ge=1, description="largest archive to import"
    )
    unpacked_max_bytes: ByteSize = Field(
        default=ByteSize(8 * 2**30), ge=1, description="most bytes that an archive unpacks to"
    )
    upload_max_files: PositiveInt = Field(default=50_000, description="most files of an archive")
    request_max_images: PositiveInt = Field(default=256, description="most pictures of a request")
    request_max_rows: PositiveInt = Field(default=10_000, description="most embeddings of a request")
    queue_images: PositiveInt = Field(
        default=512, description="most pictures that wait for the encoder before requests are turned away"
    )
    batch_images: PositiveInt = Field(default=8, description="most pictures encoded together")
    batch_wait_ms: float = Field(
        default=0.0, ge=0, description="how long a batch waits for more pictures while the encoder is idle"
    )
    decode_threads: PositiveInt | None = Field(
        default=None, description="threads that decode pictures; unset: one per core, at most 8"
    )
    embeddings_cache_bytes: ByteSize = Field(
        default=ByteSize(128 * 2**20), description="memory for embeddings of pictures and words seen before"
    )
    heads_cache_bytes: ByteSize = Field(
        default=ByteSize(512 * 2**20), description="memory for heads that are ready to answer"
    )
    exact_classes: PositiveInt = Field(
        default=50_000,
        description="classes of a classifier up to which each is looked at; above, an index names "
        "candidates, and a write makes those classes anew that it changed, by statistics that stay",
    )
    traffic_tenants: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="tenants whose pictures count in statistics that a background can be made of, between "
        "commas; *: all; no picture is kept",
    )
    encoders_bytes: ByteSize = Field(
        default=ByteSize(4 * 2**30),
        ge=1,
        description="memory for encoders, about; the one unused for the longest goes first",
    )
    encoders_idle_minutes: PositiveFloat = Field(
        default=15.0, description="time without use after which an encoder that is not the default one goes"
    )
    keep_images: bool = Field(default=True, description="whether to keep the pictures of shots")
    keep_side: PositiveInt = Field(
        default=768, ge=64, description="longer side of kept pictures in pixels; caps every later encoder"
    )
    keep_quality: PositiveInt = Field(default=90, le=100, description="JPEG quality of kept pictures")
    job_threads: NonNegativeInt = Field(
        default=1, description="jobs that a process works on at once; 0: none, where `handful worker` does"
    )
    job_lease_seconds: PositiveFloat = Field(
        default=30.0, description="silence after which a job is taken from its worker"
    )
    job_days: PositiveFloat = Field(
        default=30.0, le=36500, description="how long a job can be asked about once it is over"
    )
    shutdown_seconds: PositiveFloat = Field(
        default=30.0, description="how long a stopping service finishes what it has accepted"
    )
    reply_hours: PositiveFloat = Field(
        default=24.0, description="how long the answer under an Idempotency-Key is kept"
    )

    # ---- the service: what a tenant may

    tenant_max_classifiers: PositiveInt = Field(default=10_000_000, description="most classifiers")
    tenant_max_classes: PositiveInt = Field(
        default=100_000_000, description="most classes, of all classifiers"
    )
    tenant_max_shots: PositiveInt = Field(default=1_000_000_000, description="most shots, of all classifiers")
    tenant_max_image_bytes: ByteSize = Field(
        default=ByteSize(2**40), description="most bytes of kept pictures"
    )
    tenant_requests_per_second: PositiveFloat | None = Field(
        default=None,
        description="requests of a tenant, to all processes over Redis, to each over SQLite; unset: no limit",
    )

    # ---- the service: what it says

    log_format: Literal["console", "json"] | None = Field(
        default=None, description="of log lines; unset: console in a terminal, json elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severity that is logged"
    )
    metrics: bool = Field(default=True, description="whether to count for Prometheus at /metrics")
    docs: bool = Field(default=True, description="whether to show the interface at /docs")

    @property
    def store_place(self) -> str:
        """URL of the store."""
        return self.store_url or f"sqlite:///{self.data_dir.absolute()}/store.sqlite"

    @property
    def blobs_place(self) -> str:
        """Place of the blobs, as fsspec names it."""
        return self.blobs_url or str(self.data_dir.absolute() / "blobs")

    @field_validator(
        "encoder_providers",
        "encoders",
        "traffic_tenants",
        "trusted_proxies",
        "cors_origins",
        "fetch_hosts",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )


class ClientSettings(BaseSettings):
    """Where clients find a service, and with which key.

    >>> ClientSettings(url="https://handful.example.org").url
    'https://handful.example.org'
    """

    model_config = SettingsConfigDict(env_prefix="HANDFUL_", frozen=True)

    url: str | None = Field(default=None, description="address of the service that clients ask")
    api_key: SecretStr | None = Field(default=None, description="key that clients show")
