"""A folder of ONNX files as the service's encoder, over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDERS = Path(__file__).parents[1] / "encoders/fixtures"


@pytest.fixture(params=["clip-immich", "siglip-transformers"])
def by_folder(request: Any, serve: Any) -> Iterator[Any]:
    folder = str(FOLDERS / request.param)
    with serve(encoder=folder) as running:
        yield running, folder


def test_a_folder_named_in_the_settings_teaches_and_answers(by_folder: Any, png: Any) -> None:
    served, folder = by_folder
    id = served.taught({"red": png("red", 3), "blue": png("blue", 3)})
    for label in ("red", "blue"):
        files = [("files", ("x.png", png(label, seed=9)[0], "image/png"))]
        answer = served.post(f"/v1/classifiers/{id}/classify", files=files).json()
        assert (answer["encoder"], answer["predictions"][0]["label"]) == (folder, label)
    made = served.post("/v1/embeddings", json={"model": folder, "input": ["a red thing"]}).json()
    listed = {one["name"]: one for one in served.get("/v1/encoders").json()["items"]}
    assert listed[folder]["dimension"] == len(made["data"][0]["embedding"])
    assert listed[folder]["loaded_bytes"] > 0
