"""deploy/image/healthy.py, which asks from inside the container."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "deploy" / "image" / "healthy.py"


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server whose /readyz answers with a status, and everything else with 404."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def asked(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HANDFUL_")}
    return subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        env=clean | {name: str(value) for name, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_service_that_is_ready_is_healthy() -> None:
    with answering(200) as port:
        assert asked(HANDFUL_PORT=port).returncode == 0


def test_a_service_that_is_not_ready_is_not_healthy_and_the_reason_is_said() -> None:
    with answering(503) as port:
        done = asked(HANDFUL_PORT=port)
    assert done.returncode == 1
    assert "503" in done.stderr


def test_a_worker_is_asked_on_the_port_of_its_probes_and_without_tls() -> None:
    with answering(200) as port:
        assert asked(port, HANDFUL_PORT=1, HANDFUL_TLS_CERTIFICATE="/certificate").returncode == 0


def test_where_nobody_listens_nobody_is_healthy() -> None:
    with answering(200) as port:
        pass
    done = asked(HANDFUL_PORT=port)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
