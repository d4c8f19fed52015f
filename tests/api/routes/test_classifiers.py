"""Classifiers over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

Pictures = Callable[..., list[bytes]]


def test_a_new_classifier_is_as_it_was_asked_for(served: Any) -> None:
    answer = served.post(
        "/v1/classifiers",
        json={
            "name": "parts",
            "domain": "metal part",
            "unknown_threshold": 0.1,
            "classes": [{"name": "dent", "description": "a hollow"}, {"name": "rust"}],
        },
    )
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/classifiers/{made['id']}"
    assert served.get(answer.headers["location"]).json() == made
    assert made["classes"] == [
        {"name": "dent", "description": "a hollow", "prompts": [], "shots": 0},
        {"name": "rust", "description": None, "prompts": [], "shots": 0},
    ]
    assert {key: made[key] for key in ("name", "encoder", "method", "views", "unknown_threshold")} == {
        "name": "parts",
        "encoder": "tiny",
        "method": "auto",
        "views": "auto",
        "unknown_threshold": 0.1,
    }
    assert (made["class_count"], made["shots"], made["stale"]) == (2, 0, False)
    assert made["support_version"] == made["head_version"] == 1


def test_lists_are_walked_by_cursor_without_gap_or_repeat(serve: Any) -> None:
    with serve() as served:
        made = [served.classifier(name=f"c{number}")["id"] for number in range(5)]
        seen, cursor = [], None
        while True:
            page = served.get(
                "/v1/classifiers", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
            )
            seen += [item["id"] for item in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break
    assert seen == made


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x"])
def test_a_page_holds_1_to_100_items(served: Any, limit: str) -> None:
    answer = served.get("/v1/classifiers", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/limit"


@pytest.mark.parametrize(
    "cursor", ["x", "nonsense!", "MTIz=", "é", "A" * 199, "OTk5OTk5OTk5OTk5OTk5OTk5OTk5"]
)
@pytest.mark.parametrize("what", ["", "/{id}/classes", "/{id}/shots"])
def test_an_unknown_cursor_is_invalid(served: Any, cursor: str, what: str) -> None:
    id = served.classifier()["id"]
    answer = served.get(f"/v1/classifiers{what.format(id=id)}", params={"cursor": cursor})
    assert answer.status_code == 422 or answer.json()["items"] == []
    assert answer.headers["content-type"] in ("application/problem+json", "application/json")


def test_an_etag_guards_against_changes_made_meanwhile(served: Any) -> None:
    made = served.classifier()
    path = f"/v1/classifiers/{made['id']}"
    etag = served.get(path).headers["etag"]
    first = served.patch(path, json={"name": "one"}, headers={"If-Match": etag})
    assert (first.status_code, first.json()["name"]) == (200, "one")
    late = served.patch(path, json={"name": "two"}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["type"]) == (412, "/problems/stale")
    assert served.delete(path, headers={"If-Match": etag}).status_code == 412
    assert served.patch(path, json={"name": "two"}, headers={"If-Match": first.headers["etag"]}).is_success
    assert served.delete(path, headers={"If-Match": "*"}).status_code == 204
    assert served.get(path).status_code == 404


def test_a_patch_changes_what_it_names_and_nothing_else(served: Any) -> None:
    made = served.classifier(domain="thing")
    path = f"/v1/classifiers/{made['id']}"
    now = served.patch(path, json={"unknown_threshold": 0.2, "domain": None}).json()
    assert now == {
        **made,
        "unknown_threshold": 0.2,
        "domain": None,
        "support_version": 2,
        "head_version": 2,
    } | {"updated": now["updated"]}
    refused = served.patch(path, json={"colour": "red"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/colour")


def test_classes_are_made_renamed_and_deleted_with_their_shots(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 2), "green": png("green", 1)})
    path = f"/v1/classifiers/{id}/classes"
    made = served.put(f"{path}/sky%20blue", json={"description": "like the sky"})
    assert made.json() == {"name": "sky blue", "description": "like the sky", "prompts": [], "shots": 0}
    assert served.patch(f"{path}/red", json={"name": "crimson"}).json()["shots"] == 2
    assert served.patch(f"{path}/crimson", json={"name": "green"}).status_code == 409
    assert served.delete(f"{path}/crimson").status_code == 204
    assert [one["name"] for one in served.get(path).json()["items"]] == ["green", "sky blue"]
    assert served.get(f"/v1/classifiers/{id}").json()["shots"] == 1
    bulk = served.post(path, json={"classes": [{"name": "a"}, {"name": "b"}]})
    assert (bulk.status_code, len(bulk.json()["items"])) == (201, 2)
    twice = served.post(path, json={"classes": [{"name": "a"}, {"name": " a"}]})
    assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (422, "/classes/1/name")


def test_a_dry_run_says_what_a_deletion_would_take_and_changes_nothing(served: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 2), "green": png("green", 3)})
    path = f"/v1/classifiers/{id}"
    body = {"content": png("red")[0], "headers": {"Content-Type": "image/png"}}
    assert served.post(f"{path}/classify", **body).is_success  # makes a head
    kept = {
        label: sum(
            len(served.get(f"{path}/shots/{shot['id']}/image").content)
            for shot in served.get(f"{path}/shots", params={"label": label}).json()["items"]
        )
        for label in ("red", "green")
    }
    before = served.get(path)
    versions = served.get(f"{path}/versions").json()["items"]
    dry = {"params": {"dry_run": True}}

    whole = served.delete(path, **dry)
    said = {"classes": 2, "shots": 5, "image_bytes": sum(kept.values()), "versions": len(versions)}
    assert (whole.status_code, whole.json()) == (200, said)
    part = served.delete(f"{path}/classes/green", headers={"Idempotency-Key": id}, **dry)
    said = {"classes": 1, "shots": 3, "image_bytes": kept["green"], "versions": 0}
    assert (part.status_code, part.json()) == (200, said)
    assert served.delete(path, headers={"If-Match": '"other"'}, **dry).status_code == 412
    assert served.delete(f"{path}/classes/blue", **dry).status_code == 404
    assert served.delete(f"/v1/classifiers/{id[::-1]}", **dry).status_code == 404

    after = served.get(path)
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
    # The key was not used up, and the deletion takes what was said.
    real = served.delete(f"{path}/classes/green", headers={"Idempotency-Key": id})
    assert real.status_code == 204
    left = served.delete(path, **dry).json()
    assert (left["shots"], left["image_bytes"]) == (2, kept["red"])


def test_a_package_brings_a_classifier_elsewhere(served: Any, serve: Any, png: Pictures) -> None:
    id = served.taught({"red": png("red", 3), "blue": png("blue", 3)})
    asked = png("red", 1, seed=9)[0]
    before = served.post(
        f"/v1/classifiers/{id}/classify", content=asked, headers={"Content-Type": "image/png"}
    )
    package = served.get(f"/v1/classifiers/{id}/export")
    assert package.headers["content-type"] == "application/zip"
    assert "attachment" in package.headers["content-disposition"]
    with serve() as other:
        made = other.post(
            "/v1/classifiers/import", content=package.content, headers={"Content-Type": "application/zip"}
        )
        assert (made.status_code, made.json()["shots"]) == (201, 6)
        after = other.post(
            f"{made.headers['location']}/classify", content=asked, headers={"Content-Type": "image/png"}
        )
        assert after.json()["predictions"] == before.json()["predictions"]
        broken = other.post(
            "/v1/classifiers/import",
            content=package.content[:-90],
            headers={"Content-Type": "application/zip"},
        )
        assert broken.status_code == 422
        assert len(other.get("/v1/classifiers").json()["items"]) == 1
