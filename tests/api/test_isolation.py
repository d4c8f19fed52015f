"""Tenants cannot see, guess, time or count each other's things."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handful.api.app import create_app
from handful.settings import Settings
from handful.storage.ids import new_id
from handful.storage.sqlite.store import SqliteStore

# Done all the time, for nobody in particular; and what of a key is looked up for either tenant.
_UPKEEP = {
    "check",
    "claim_job",
    "fold",
    "update_job",
    "trash",
    "forget_trash",
    "forget_expired",
    "key",
    "keys",
    "keep_head",
}
_NOBODYS = {"/v1/models/{model}"}  # names what all share


def _operations() -> list[tuple[str, str]]:
    paths = create_app(Settings()).openapi()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        if "{" in path and path not in _NOBODYS
        for method in methods
    ]


@pytest.fixture(scope="module")
def two(serve: Any) -> Iterator[Any]:
    with serve(keys={"admin": ("alice", "admin"), "bob": ("bob", "admin")}) as served:
        yield served


@pytest.fixture(scope="module")
def alices(two: Any, png: Callable[..., list[bytes]]) -> dict[str, str]:
    """Something of each kind that a path may name."""
    id = two.taught({"red": png("red", 3), "blue": png("blue", 3)})
    shot = two.get(f"/v1/classifiers/{id}/shots").json()["items"][0]["id"]
    job = two.post(f"/v1/classifiers/{id}/evaluate").json()["id"]
    two.ended(job)
    version = two.get(f"/v1/classifiers/{id}").json()["head_version"]
    return {"id": id, "shot": shot, "name": "red", "version": str(version), "job": job}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls of the store, by name."""
    counted: Counter[str] = Counter()

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: SqliteStore, *given: Any, **named: Any) -> Any:
            counted[name] += 1
            return method(self, *given, **named)

        return call

    for name, method in vars(SqliteStore).items():
        if callable(method) and not name.startswith("_") and name not in _UPKEEP:
            monkeypatch.setattr(SqliteStore, name, counting(name, method))
    return counted


@pytest.mark.parametrize(("method", "path"), _operations())
def test_what_is_anothers_is_not_there(
    two: Any,
    alices: dict[str, str],
    calls: Counter[str],
    asked: Callable[[str, str], dict[str, Any]],
    method: str,
    path: str,
) -> None:
    body = asked(method, path)
    headers = {**body.get("headers", {}), **two.as_key("bob")}
    seen = []
    for names in (alices, {**alices, "id": new_id(), "job": new_id(), "shot": new_id()}):
        names = {**names, "id": names["job"]} if path.startswith("/v1/jobs/") else names
        calls.clear()
        answer = two.client.request(method, path.format(**names), **{**body, "headers": headers})
        said = answer.text
        for kind in ("id", "shot"):
            said = said.replace(names[kind], kind)
        seen.append((answer.status_code, answer.headers["content-type"], said, Counter(calls)))
    assert seen[0] == seen[1]
    assert seen[0][0] == 404
    assert seen[0][1] == "application/problem+json"


def test_the_first_prototypes_cache_is_its_tenants_alone(
    two: Any, alices: dict[str, str], asked: Callable[[str, str], dict[str, Any]], calls: Counter[str]
) -> None:
    seen = []
    for id in (alices["id"], new_id()):
        calls.clear()
        answer = two.post(
            "/clip", **{**asked("POST", "/clip"), "params": {"cache_id": id}}, headers=two.as_key("bob")
        )
        seen.append((answer.status_code, answer.text.replace(id, "id"), Counter(calls)))
    assert seen[0] == seen[1]
    assert seen[0][0] == 404


def test_lists_hold_ones_own_alone(two: Any, alices: dict[str, str]) -> None:
    assert two.get("/v1/classifiers").json()["items"]
    assert two.get("/v1/classifiers", headers=two.as_key("bob")).json() == {"items": [], "next_cursor": None}


def test_an_idempotency_key_is_its_tenants_alone(two: Any) -> None:
    key = {"Idempotency-Key": "same"}
    mine = two.post("/v1/classifiers", json={"name": "mine"}, headers=key)
    theirs = two.post("/v1/classifiers", json={"name": "theirs"}, headers={**key, **two.as_key("bob")})
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]
