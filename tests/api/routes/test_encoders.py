"""Encoders over HTTP."""

from typing import Any

from handful.encoders import Encoder
from handful.encoders.catalogue import CATALOGUE


def test_the_encoders_are_listed_with_what_tells_their_rows_apart(serve: Any, encoder: Encoder) -> None:
    with serve(encoder=encoder) as served:
        item, *others = served.get("/v1/encoders").json()["items"]
    assert (item["name"], item["default"], item["usable"]) == ("builtin", True, True)
    assert (item["dimension"], item["fingerprint"]) == (encoder.dimension, encoder.fingerprint)
    assert "EfficientNet" in item["description"]
    assert [one["name"] for one in others] == [name for name in CATALOGUE if name != "builtin"]
    assert not any(one["default"] or one["usable"] or one["loaded"] for one in others)


def test_what_stands_in_the_catalogue_is_listed_without_being_fetched(serve: Any, encoder: Encoder) -> None:
    with serve(encoder=encoder, encoders="clip-vit-b-32, org/model@v1") as served:
        items = {one["name"]: one for one in served.get("/v1/encoders").json()["items"]}
        models = [one["id"] for one in served.get("/v1/models").json()["data"]]
    clip = items["clip-vit-b-32"]
    assert (clip["usable"], clip["fingerprint"], clip["dimension"]) == (True, None, 512)
    assert (clip["title"], clip["licence"], clip["imagenet_top1"]) == ("CLIP ViT-B/32", "MIT", 63.3)
    own = items["org/model@v1"]
    assert (own["usable"], own["dimension"], own["licence"]) == (True, None, None)
    assert "commercial" in items["mobileclip-s0"]["warning"]
    assert models == ["builtin", "clip-vit-b-32", "org/model@v1"]


def test_an_encoder_that_there_is_none_of_is_refused(served: Any) -> None:
    usable = [one["name"] for one in served.get("/v1/encoders").json()["items"] if one["usable"]]
    assert usable == ["tiny"]
    unknown = served.post("/v1/classifiers", json={"name": "x", "encoder": "magic"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/encoder")
