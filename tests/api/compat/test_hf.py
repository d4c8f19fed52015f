"""Hugging Face's own client against a real server."""

import json

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError


def test_a_path_and_bytes_are_classified_as_by_our_own_client(url, handful_client, waste, trashnet):
    photo = trashnet / "glass" / "030.jpg"
    client = InferenceClient(model=f"{url}/v1/classifiers/{waste.id}/hf")
    ours = handful_client.classify(waste.id, [photo]).predictions[0]
    for source in (photo, photo.read_bytes()):
        said = client.image_classification(source)
        assert [(one.label, pytest.approx(one.score)) for one in said] == [
            (one.label, one.probability) for one in ours.classes
        ]


def test_parameters_come_with_base64(url, waste, trashnet):
    client = InferenceClient(model=f"{url}/v1/classifiers/{waste.id}/hf")
    assert len(client.image_classification(trashnet / "metal" / "030.jpg", top_k=2)) == 2
    with pytest.raises(HfHubHTTPError, match="422"):
        client.image_classification(trashnet / "metal" / "030.jpg", function_to_apply="sigmoid")


def test_words_alone_classify(url, handful_client, trashnet):
    photo = trashnet / "cardboard" / "030.jpg"
    labels = ["cardboard", "a wine glass", "a battery"]
    said = InferenceClient(model=f"{url}/v1/zero-shot/hf").zero_shot_image_classification(
        photo, candidate_labels=labels, hypothesis_template="a snapshot of {}"
    )
    (ours,) = handful_client.zero_shot(labels, [photo], templates=["a snapshot of {}"]).predictions
    assert [(one.label, pytest.approx(one.score)) for one in said] == [
        (one.label, one.probability) for one in ours.classes
    ]


def test_what_is_no_picture_ends_in_a_problem(url, waste):
    there = f"{url}/v1/classifiers/{waste.id}/hf"
    for body, status in ((b"no picture", 422), (b"", 422), (b"{no json", 400), (b'{"inputs": "=="}', 422)):
        answer = httpx2.post(there, content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["errors"][0]["pointer"] == "/inputs"
    answer = httpx2.post(f"{url}/v1/classifiers/nothing/hf", content=b"x")
    assert json.loads(answer.content)["type"] == "/problems/not-found"
