"""A service of one's own for each test that wants one: on a socket, in a thread, with files of its own."""

import asyncio
import base64
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import structlog
import uvicorn
from PIL import Image

from handful.api.app import create_app
from handful.encoders import Encoder
from handful.service.keys import Keys
from handful.service.service import store_of
from handful.settings import Settings

PATIENCE = 30.0  # seconds


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """What structlog does unless told otherwise, coloured tracebacks with all variables, takes seconds."""
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


@dataclass
class Served:
    """A running service.    keys : secrets by name.    client : shows the key `admin`, if there is one."""

    url: str
    settings: Settings
    app: Any
    client: httpx2.Client
    keys: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        """`served.get(…)` and the like are the client's."""
        return getattr(self.client, name)

    def as_key(self, name: str) -> dict[str, str]:
        """The header that shows a key."""
        return {"Authorization": f"Bearer {self.keys[name]}"}

    def classifier(self, **members: Any) -> dict[str, Any]:
        """A new classifier."""
        answer = self.client.post("/v1/classifiers", json={"name": "colours", **members})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def taught(self, images: dict[str, list[bytes]], **members: Any) -> str:
        """A new classifier's id, with shots by label."""
        id = str(self.classifier(**members)["id"])
        for label, pictures in images.items():
            files = [("files", ("x.png", picture, "image/png")) for picture in pictures]
            answer = self.client.post(f"/v1/classifiers/{id}/shots", files=files, data={"label": label})
            assert answer.status_code == 201, answer.text
        return id

    def ended(self, job: str) -> dict[str, Any]:
        """The job in its final state."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            now = self.client.get(f"/v1/jobs/{job}").json()
            if now["status"] in ("succeeded", "failed", "cancelled"):
                return dict(now)
            time.sleep(0.02)
        raise AssertionError(f"job {job} did not end: {now}")


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_class: Callable[[], Encoder]) -> Serve:
    """`with serve(tenant_max_shots=3) as served`: settings by name.

    data : folder of an earlier service.    encoder : in place of one that sees colours, or a name.
    keys : {name: (tenant, scope)} to make before it starts.    until : which probe to wait for.
    """

    @contextmanager
    def start(
        data: Path | None = None,
        encoder: Encoder | str | None = None,
        keys: dict[str, tuple[str, str]] | None = None,
        until: str = "/readyz",
        **settings: Any,
    ) -> Iterator[Served]:
        folder = data or tmp_path_factory.mktemp("service")
        named = {"encoder": encoder} if isinstance(encoder, str) else {}
        chosen = Settings(data_dir=folder, **named, **settings)
        secrets = asyncio.run(_made(chosen, keys or {}))
        app = create_app(chosen, None if named else encoder or tiny_encoder_class())
        with ExitStack() as stack:
            listener = stack.enter_context(socket.create_server((chosen.host, 0)))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            shown = {"Authorization": f"Bearer {secrets['admin']}"} if "admin" in secrets else {}
            client = httpx2.Client(base_url=url, headers=shown, timeout=PATIENCE)
            try:
                _wait_for(url + until)
                yield Served(url, chosen, app, client, secrets)
            finally:
                client.close()
                server.should_exit = True
                thread.join()

    return start


@pytest.fixture(scope="module")
def served(serve: Serve) -> Iterator[Served]:
    """A service that the tests of a module share; it needs no key."""
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def png(coloured: Callable[..., list[np.ndarray]]) -> Callable[..., list[bytes]]:
    """Pictures of a colour, as PNG."""

    def make(colour: str, count: int = 1, *, seed: int = 0) -> list[bytes]:
        return [_as_png(pixels) for pixels in coloured(colour, count, seed=seed)]

    return make


def _as_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


async def _made(settings: Settings, keys: dict[str, tuple[str, str]]) -> dict[str, str]:
    if not keys:
        return {}
    store = store_of(settings)
    try:
        made: dict[str, str] = {}
        for name, (tenant, scope) in keys.items():
            _, made[name] = await Keys(store).create(tenant, name, [scope])
        return made
    finally:
        await store.close()


def _wait_for(url: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.TransportError:
            pass  # not listening yet
        time.sleep(0.01)
    raise AssertionError("the service did not become ready")


_LABELLING = (
    '<View><Image name="image" value="$image"/>'
    '<Choices name="colour" toName="image"><Choice value="red"/></Choices></View>'
)
Ask = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def asked(png: Callable[..., list[bytes]]) -> Ask:
    """A request's body that the route would accept, by method and path. A new route needs an entry here."""
    picture = png("red")[0]
    text = base64.b64encode(picture).decode()
    files = {"files": [("files", ("x.png", picture, "image/png"))]}
    octets = {"content": b"x", "headers": {"Content-Type": "application/zip"}}
    labelled = {"data": {"image": f"data:image/png;base64,{text}"}, "id": 1}
    annotation = {"id": 1, "result": [], "task": 1, "was_cancelled": False}
    known: dict[tuple[str, str], dict[str, Any]] = {
        ("POST", "/v1/classifiers"): {"json": {"name": "x"}},
        ("POST", "/v1/classifiers/import"): octets,
        ("PATCH", "/v1/classifiers/{id}"): {"json": {"name": "x"}},
        ("POST", "/v1/classifiers/{id}/classes"): {"json": {"classes": [{"name": "x"}]}},
        ("PUT", "/v1/classifiers/{id}/classes/{name}"): {"json": {}},
        ("PATCH", "/v1/classifiers/{id}/classes/{name}"): {"json": {"name": "x"}},
        ("POST", "/v1/classifiers/{id}/shots"): {**files, "data": {"label": "x"}},
        ("PATCH", "/v1/classifiers/{id}/shots/{shot}"): {"json": {"label": "x"}},
        ("POST", "/v1/classifiers/{id}/classify"): files,
        ("POST", "/v1/classifiers/{id}/suggest"): files,
        ("POST", "/v1/classifiers/{id}/versions/{version}/activate"): {},
        ("POST", "/v1/classifiers/{id}/train"): {"json": {"method": "tip-f"}},
        ("POST", "/v1/classifiers/{id}/evaluate"): {"json": {}},
        ("POST", "/v1/classifiers/{id}/views"): {"json": {"views": "flip"}},
        ("POST", "/v1/classifiers/{id}/hf"): {"json": {"inputs": text}},
        ("POST", "/v1/zero-shot/hf"): {
            "json": {"inputs": text, "parameters": {"candidate_labels": ["red", "blue"]}}
        },
        ("POST", "/v1/zero-shot"): {"json": {"labels": ["red", "blue"], "images": [text]}},
        ("POST", "/v1/import"): {
            "content": b'{"name": "x"}\n',
            "headers": {"Content-Type": "application/x-ndjson"},
        },
        ("POST", "/v1/embeddings"): {"json": {"model": "tiny", "input": "red"}},
        ("POST", "/label-studio/{id}/setup"): {"json": {"project": "1", "schema": _LABELLING}},
        ("POST", "/label-studio/{id}/predict"): {"json": {"tasks": [labelled], "label_config": _LABELLING}},
        ("POST", "/label-studio/{id}/webhook"): {
            "json": {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": labelled}
        },
        ("POST", "/clip/cache"): {**files, "data": {"labels": "x"}},
        ("POST", "/clip"): {
            "files": [("file", ("x.png", picture, "image/png"))],
            "params": {"cache_id": "x"},
        },
        ("POST", "/world"): {},
    }
    return lambda method, path: {} if method in ("GET", "DELETE") else known[method, path]
