"""The application as processes that listen."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry, multiprocess, start_http_server
from uvicorn.supervisors import Multiprocess

from handful.api.app import create_app
from handful.api.logs import configure_logs
from handful.errors import StorageError
from handful.settings import Settings

_APP = "handful.api.serve:application"
_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
_KEEP_ALIVE = 75  # seconds; longer than the usual proxy's, so that it is the one to close


def application() -> FastAPI:
    """What each worker process runs; its settings are those of the environment."""
    settings = Settings()
    configure_logs(settings)
    return create_app(settings)


def serve(settings: Settings, *, listening: Callable[[str, int], None]) -> None:
    """Answer requests until told to stop; what was accepted is finished.

    The workers read their settings from the environment, as `environment_of` gives them.
    listening : told the host and port once connections are taken.
    Raises StorageError where the address cannot be listened on.
    """
    config = uvicorn.Config(
        _APP,
        factory=True,
        workers=settings.workers,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies) or None,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=round(settings.shutdown_seconds),
        timeout_keep_alive=_KEEP_ALIVE,
    )
    with _counts(settings), _listener(settings) as listener, _monitor(settings):
        listening(*listener.getsockname()[:2])
        if settings.workers > 1:
            Multiprocess(config, sockets=[listener]).run()
        else:
            uvicorn.Server(config).run(sockets=[listener])


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as variables that `Settings()` reads the same from."""
    said = {}
    for name, value in settings.model_dump(mode="json").items():
        if isinstance(value, list):
            said[f"HANDFUL_{name.upper()}"] = ",".join(value)
        elif value is not None:
            said[f"HANDFUL_{name.upper()}"] = str(value)
    return said


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
        listener.set_inheritable(True)
        yield listener
    except OSError as exc:
        raise StorageError(
            f"cannot listen on {settings.host}:{settings.port} ({exc}); choose another with --host and --port"
        ) from exc
    finally:
        listener.close()


@contextmanager
def _counts(settings: Settings) -> Iterator[None]:
    """With a folder in which several workers count together, empty at the start."""
    if not settings.metrics or settings.workers == 1 or _COUNTS in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="handful-counts-") as folder:
        os.environ[_COUNTS] = folder
        try:
            yield
        finally:
            del os.environ[_COUNTS]


@contextmanager
def _monitor(settings: Settings) -> Iterator[None]:
    """With /metrics on a port of its own, where one is wanted."""
    if not settings.metrics or settings.monitor_port is None:
        yield
        return
    registry = REGISTRY
    if _COUNTS in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    server, thread = start_http_server(settings.monitor_port, addr=settings.host, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
