"""Encoders over HTTP."""

from typing import Any

from handful.encoders import Encoder


def test_the_encoders_are_listed_with_what_tells_their_rows_apart(serve: Any, encoder: Encoder) -> None:
    with serve(encoder=encoder) as served:
        (item,) = served.get("/v1/encoders").json()["items"]
    assert (item["name"], item["default"]) == ("builtin", True)
    assert (item["dimension"], item["fingerprint"]) == (encoder.dimension, encoder.fingerprint)
    assert "EfficientNet" in item["description"]


def test_an_encoder_that_there_is_none_of_is_refused(served: Any) -> None:
    assert [one["name"] for one in served.get("/v1/encoders").json()["items"]] == ["tiny"]
    unknown = served.post("/v1/classifiers", json={"name": "x", "encoder": "magic"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/encoder")
