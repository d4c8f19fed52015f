"""A model hub on this machine: what its client asks of the real one, and faults on demand."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

LARGE = 1000  # bytes from which a file is one of git LFS, named by its sha256


def commit_of(files: dict[str, bytes]) -> str:
    said = "".join(f"{name} {sha256(data).hexdigest()}" for name, data in sorted(files.items()))
    return sha1(said.encode()).hexdigest()


@dataclass
class Hub:
    """repositories : org/name → path → content. Faults are used up, one for each request of that file."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    address: str = ""
    corrupt: Counter[str] = field(default_factory=Counter)  # path: how often one byte of it is another
    cut: Counter[str] = field(default_factory=Counter)  # path: how often the connection breaks half way
    stalled: set[str] = field(default_factory=set)  # paths of which half comes, and no more until `released`
    released: Event = field(default_factory=Event)
    stalling: Event = field(default_factory=Event)  # set where one stalls
    gated: set[str] = field(default_factory=set)
    status: int | None = None  # of every answer
    asked: list[str] = field(default_factory=list)  # "GET path", as they came; ranges as "GET path 12-"
    lies: dict[str, bytes] = field(default_factory=dict)  # path: what is listed in place of the content

    def downloads(self, name: str) -> int:
        return sum(line.startswith("GET ") and line.split()[1].endswith(f"/{name}") for line in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub, parts = self.hub, unquote(urlsplit(self.path).path).strip("/").split("/")
        wanted = self.headers.get("Range")
        asked = f"{self.command} /{'/'.join(parts)}"
        hub.asked.append(asked if wanted is None else f"{asked} {wanted.removeprefix('bytes=')}")
        if hub.status is not None:
            self._send(hub.status, b"no", {}, body=body)
            return
        at = parts[2:] if parts[:2] == ["api", "models"] else parts
        name, rest = "/".join(at[:2]), at[2:]
        files = hub.repositories.get(name)
        if files is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
            return
        commit = commit_of(files)
        if len(rest) > 1 and rest[1] not in ("main", commit):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
            return
        if name in hub.gated and self.headers.get("Authorization") != "Bearer accepted":
            self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
            return
        if parts[0] == "api":
            self._send(200, json.dumps(_said(name, commit, files, hub)).encode(), {}, body=body)
            return
        self._file("/".join(rest[2:]), commit, files, wanted, body=body)

    def _file(
        self, path: str, commit: str, files: dict[str, bytes], wanted: str | None, *, body: bool
    ) -> None:
        if path not in files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, body=body)
            return
        data = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_digest(data)}"', "Accept-Ranges": "bytes"}
        if len(data) >= LARGE:
            headers |= {"X-Linked-Etag": f'"{_digest(data)}"', "X-Linked-Size": str(len(data))}
        if body and self.hub.corrupt[path] > 0:
            self.hub.corrupt[path] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        status = 200
        if wanted is not None:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data, status = data[start:], 206
        if body and (self.hub.cut[path] > 0 or path in self.hub.stalled):
            stalls = path in self.hub.stalled
            self.hub.cut[path] -= 0 if stalls else 1
            self._send(status, data, headers, body=False)
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if stalls:
                self.hub.stalling.set()
                self.hub.released.wait(30)
            self.close_connection = True
            return
        self._send(status, data, headers, body=body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


def _digest(data: bytes) -> str:
    return (
        sha256(data).hexdigest() if len(data) >= LARGE else sha1(b"blob %d\0" % len(data) + data).hexdigest()
    )


def _said(name: str, commit: str, files: dict[str, bytes], hub: Hub) -> dict[str, object]:
    siblings = []
    for path, content in files.items():
        data = hub.lies.get(path, content)
        entry: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": _digest(data)}
        if len(data) >= LARGE:
            entry["blobId"] = "0" * 40
            entry["lfs"] = {"sha256": sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        siblings.append(entry)
    return {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": [], "private": False}


@contextmanager
def running() -> Iterator[Hub]:
    """A hub without a model, at `address`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
