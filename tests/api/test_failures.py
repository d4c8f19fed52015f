"""Every failure of every route is a problem as RFC 9457 has it, and one that its OpenAPI entry names."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from handful.api.app import create_app
from handful.settings import Settings
from handful.storage.ids import new_id

Ask = Callable[[str, str], dict[str, Any]]
_OPEN = {"/healthz", "/readyz"}
_READING = {  # POSTs that change nothing
    "/v1/classifiers/{id}/classify",
    "/v1/classifiers/{id}/suggest",
    "/v1/classifiers/{id}/hf",
    "/v1/zero-shot",
    "/v1/zero-shot/hf",
    "/v1/embeddings",
    "/label-studio/{id}/setup",
    "/label-studio/{id}/predict",
    "/clip",
    "/world",
}
_DESCRIBED = create_app(Settings()).openapi()["paths"]
_ROUTES = [(method.upper(), path) for path, methods in _DESCRIBED.items() for method in methods]
_WITH_BODY = [(m, p) for m, p in _ROUTES if "requestBody" in _DESCRIBED[p][m.lower()]]
_JSON_ALONE = [
    (m, p)
    for m, p in _WITH_BODY
    if list(_DESCRIBED[p][m.lower()]["requestBody"]["content"]) == ["application/json"]
]


@pytest.fixture(scope="module")
def locked(serve: Any) -> Iterator[Any]:
    keys = {name: ("default", name) for name in ("read", "write", "admin")}
    with serve(keys=keys, request_max_bytes=200_000, upload_max_bytes=300_000) as served:
        served.names = {
            "id": served.classifier()["id"],
            "shot": new_id(),
            "name": "x",
            "version": "1",
            "model": "x",
        }
        yield served


def problem_of(answer: httpx2.Response, method: str, path: str) -> dict[str, Any]:
    """What went wrong, if it is said as it must be."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    said = answer.json()
    assert said.keys() - {"errors"} == {"type", "title", "status", "detail", "instance"}
    assert said["status"] == answer.status_code
    assert said["type"].startswith("/problems/")
    assert said["instance"] == answer.request.url.path
    assert all(isinstance(said[name], str) and said[name] for name in ("title", "detail"))
    for error in said.get("errors", []):
        assert error.keys() == {"detail", "pointer"}
        assert error["pointer"].startswith("/")
    assert answer.headers["x-request-id"]
    declared = _DESCRIBED.get(path, {}).get(method.lower())
    assert declared is None or str(answer.status_code) in declared["responses"]
    return dict(said)


def _path(served: Any, path: str) -> str:
    return path.format(**served.names)


@pytest.mark.parametrize(("method", "path"), [route for route in _ROUTES if route[1] not in _OPEN])
def test_without_a_key_no_route_does_anything(locked: Any, asked: Ask, method: str, path: str) -> None:
    answer = httpx2.request(method, locked.url + _path(locked, path), **asked(method, path))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert problem_of(answer, method, path)["type"] == "/problems/key"


@pytest.mark.parametrize(("method", "path"), [route for route in _ROUTES if route[1] not in _OPEN])
def test_a_key_does_what_its_scope_says(locked: Any, asked: Ask, method: str, path: str) -> None:
    needed = "read" if method == "GET" or path in _READING else "write"
    needed = "admin" if path == "/metrics" else needed
    lower = {"admin": ["read", "write"], "write": ["read"], "read": []}[needed]
    body = asked(method, path)
    for scope in ("read", "write", "admin"):
        headers = {**body.get("headers", {}), **locked.as_key(scope)}
        target = _path(locked, path)
        if method == "DELETE" and path == "/v1/classifiers/{id}":
            target = f"/v1/classifiers/{new_id()}"
        answer = locked.client.request(method, target, **{**body, "headers": headers})
        if scope in lower:
            assert answer.status_code == 403
            assert scope in problem_of(answer, method, path)["detail"]
        else:
            assert answer.status_code not in (401, 403)
            assert answer.status_code < 500 or answer.status_code == 503


@pytest.mark.parametrize("path", sorted(_DESCRIBED))
def test_a_method_that_is_not_there_is_405(locked: Any, path: str) -> None:
    missing = next(m for m in ("PUT", "PATCH", "DELETE", "GET") if m.lower() not in _DESCRIBED[path])
    if path == "/v1/classifiers/import":  # also /v1/classifiers/{id}, with an id of that name
        missing = "PUT"
    answer = locked.client.request(missing, _path(locked, path))
    assert answer.status_code == 405
    assert {method.lower() for method in answer.headers["allow"].split(", ")} >= _DESCRIBED[path].keys()
    assert problem_of(answer, missing, path)["type"] == "/problems/method"


def test_a_path_that_is_not_there_is_404(locked: Any) -> None:
    for path in (
        "/",
        "/v1",
        "/v2/classifiers",
        "/v1/classifiers/",
        "/docs/nothing.js",
        "/v1/classifiers/a%2Fb",
    ):
        answer = locked.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path"), _JSON_ALONE)
@pytest.mark.parametrize("content", [b"{", b"[1,", b"\xff\xfe", b"[" * 100_000, b'"\\ud800"', b"NaN"])
def test_what_is_no_json_is_said_so(locked: Any, method: str, path: str, content: bytes) -> None:
    answer = locked.client.request(
        method, _path(locked, path), content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    problem_of(answer, method, path)


@pytest.mark.parametrize(("method", "path"), _JSON_ALONE)
def test_no_body_where_one_is_needed_is_said_so(locked: Any, method: str, path: str) -> None:
    answer = locked.client.request(method, _path(locked, path))
    if not answer.is_success:  # the route needs a body
        assert answer.status_code in (400, 415, 422)
        assert re.search("body (is missing|is no JSON|has no)", problem_of(answer, method, path)["detail"])


@pytest.mark.parametrize(("method", "path"), _JSON_ALONE)
@pytest.mark.parametrize("content", [b"null", b"[]", b"0", b'{"nobody knows": 1}', b'{"name": 5}'])
def test_json_of_another_shape_is_invalid(locked: Any, method: str, path: str, content: bytes) -> None:
    answer = locked.client.request(
        method, _path(locked, path), content=content, headers={"Content-Type": "application/json"}
    )
    if answer.is_success:
        pytest.skip("the route needs no body, or ignores what it does not know")
    assert answer.status_code == 422
    assert problem_of(answer, method, path)["errors"]


@pytest.mark.parametrize(("method", "path"), _WITH_BODY)
def test_a_body_of_an_unknown_type_is_415(locked: Any, asked: Ask, method: str, path: str) -> None:
    if "415" not in _DESCRIBED[path][method.lower()]["responses"]:
        pytest.skip("the route takes anything")
    answer = locked.client.request(
        method,
        _path(locked, path),
        content=b"<x/>",
        headers={"Content-Type": "text/xml"},
        params=asked(method, path).get("params"),
    )
    assert answer.status_code == 415
    assert problem_of(answer, method, path)["type"] == "/problems/unsupported-type"


@pytest.mark.parametrize(("method", "path"), _WITH_BODY)
@pytest.mark.parametrize("said", [True, False])
def test_a_body_that_is_too_large_is_413(locked: Any, asked: Ask, method: str, path: str, said: bool) -> None:
    kind = next(iter(_DESCRIBED[path][method.lower()]["requestBody"]["content"])).replace("*/*", "image/png")
    kind = kind.replace("multipart/form-data", "multipart/form-data; boundary=x")
    chunk = b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n" + b" " * 100_000
    answer = locked.client.request(
        method,
        _path(locked, path),
        content=(chunk * 4 if said else iter([chunk, b" " * 100_000, b" " * 200_000])),
        headers={"Content-Type": kind},
        params=asked(method, path).get("params"),
    )
    assert answer.status_code == 413
    assert problem_of(answer, method, path)["type"] == "/problems/too-large"


@pytest.mark.parametrize(
    "data", [b"", b"--x", b"--x\r\n\r\n", b"no boundary at all", b"--x\r\nA: b\r\n\r\nc\r\n--x--"]
)
@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_broken_form_is_said_so(locked: Any, data: bytes, kind: str) -> None:
    for path in ("/v1/classifiers/{id}/shots", "/v1/classifiers/{id}/classify", "/v1/zero-shot"):
        answer = locked.post(_path(locked, path), content=data, headers={"Content-Type": kind})
        assert answer.status_code in (400, 422)
        problem_of(answer, "POST", path)


def test_a_fault_of_ours_is_500_and_tells_nothing(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is hunter2")

    with serve() as served:
        monkeypatch.setattr("handful.service.classifiers.Classifiers.get", broken)
        answer = served.get(f"/v1/classifiers/{new_id()}")
        assert answer.status_code == 500
        assert "hunter2" not in answer.text
        problem_of(answer, "GET", "/v1/classifiers/{id}")
        assert served.get("/healthz").is_success


def test_storage_that_fails_is_503_and_a_full_one_507(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from handful.errors import StorageError, StorageFullError
    from handful.storage.sqlite.store import SqliteStore

    with serve() as served:
        for error, status in ((StorageError, 503), (StorageFullError, 507)):

            async def failing(*_: Any, error: type[Exception] = error, **__: Any) -> None:
                raise error("the disk says no")

            monkeypatch.setattr(SqliteStore, "apply", failing)
            answer = served.post("/v1/classifiers", json={"name": "x"})
            assert answer.status_code == status
            problem_of(answer, "POST", "/v1/classifiers")
            assert (status == 503) == ("retry-after" in answer.headers)


def test_too_many_requests_of_a_tenant_are_429(serve: Any) -> None:
    keys = {"admin": ("alice", "admin"), "bob": ("bob", "read")}
    with serve(keys=keys, tenant_requests_per_second=2) as served:
        answers = [served.get("/v1/classifiers") for _ in range(6)]
        late = [answer for answer in answers if answer.status_code == 429]
        assert late
        assert int(late[0].headers["retry-after"]) >= 1
        problem_of(late[0], "GET", "/v1/classifiers")
        assert served.get("/v1/classifiers", headers=served.as_key("bob")).is_success
        assert served.get("/healthz").is_success


def test_a_tenant_over_its_quota_is_told_so(serve: Any, png: Callable[..., list[bytes]]) -> None:
    with serve(tenant_max_classifiers=1, tenant_max_shots=1) as served:
        id = served.classifier()["id"]
        answer = served.post("/v1/classifiers", json={"name": "x"})
        assert answer.status_code == 429
        assert "retry-after" not in answer.headers
        problem_of(answer, "POST", "/v1/classifiers")
        files = [("files", ("x.png", picture, "image/png")) for picture in png("red", 2)]
        answer = served.post(f"/v1/classifiers/{id}/shots", files=files, data={"label": "red"})
        assert answer.status_code == 429
        assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 0
