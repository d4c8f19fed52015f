"""Probes and counts on a port of their own, for processes that answer nothing else."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST

from handful.api.routes.probes import exposition
from handful.errors import StorageError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TEXT = "text/plain; charset=utf-8"
_ALIVE = ("/livez", "/healthz")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    address_family = AF_INET


class _Server6(_Server):
    address_family = AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *given: object) -> None:
        """Probes come every few seconds."""


@contextmanager
def monitor(host: str, port: int, missing: Callable[[], str | None]) -> Iterator[int]:
    """GET /livez, /readyz and /metrics in threads, from here to the end of the block; the port.

    missing : why the process is not ready, None where it is; called in these threads.
    Raises StorageError where the address cannot be listened on.
    """

    def answered(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        status, kind, body = _answer(environ.get("PATH_INFO", ""), missing)
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    try:
        kind = _Server6 if ":" in host else _Server
        server = make_server(host, port, answered, server_class=kind, handler_class=_Quiet)
    except OSError as exc:
        raise StorageError(
            f"cannot listen on {host}:{port} ({exc}); choose another by HANDFUL_MONITOR_PORT"
        ) from exc
    thread = Thread(target=server.serve_forever, name="handful-monitor", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(path: str, missing: Callable[[], str | None]) -> tuple[str, str, bytes]:
    if path in _ALIVE:
        return "200 OK", _TEXT, b"ok\n"
    if path == "/readyz":
        reason = missing()
        return ("200 OK", _TEXT, b"ok\n") if reason is None else ("503 Not Ready", _TEXT, reason.encode())
    if path == "/metrics":
        return "200 OK", CONTENT_TYPE_LATEST, exposition()
    return "404 Not Found", _TEXT, b"here are /livez, /readyz and /metrics\n"
