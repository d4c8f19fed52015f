"""OpenAI's own client against a real server."""

import base64

import numpy as np
import openai
import pytest


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_embeddings_come_as_numbers_and_as_base64(client, encoder):
    texts = ["a photo of a cat", "a photo of a dog"]
    T = encoder.encode_texts(texts)
    for form in ("float", "base64", openai.omit):  # left out, the client asks for base64 and decodes it
        said = client.embeddings.create(model="builtin", input=texts, encoding_format=form)
        rows = [one.embedding for one in said.data]
        if form == "base64":
            rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
        np.testing.assert_allclose(np.array(rows), T, atol=1e-5)
        assert [one.index for one in said.data] == [0, 1]
        assert said.usage.total_tokens == 10
    (one,) = client.embeddings.create(model="builtin", input=texts[1]).data
    np.testing.assert_allclose(one.embedding, T[1], atol=1e-5)


def test_pictures_come_into_the_same_space(client, encoder, trashnet):
    photo = trashnet / "glass" / "000.jpg"
    uri = f"data:image/jpeg;base64,{base64.b64encode(photo.read_bytes()).decode()}"
    said = client.embeddings.create(model="builtin", input=[uri], extra_body={"modality": "image"})
    np.testing.assert_allclose(said.data[0].embedding, encoder.encode_images([photo])[0], atol=2e-3)


def test_encoders_are_models(client):
    names = [model.id for model in client.models.list()]
    assert names[0] == "builtin"
    assert client.models.retrieve("builtin").owned_by == "handful"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("gpt-4")
    assert "there is no model 'gpt-4'" in unknown.value.body["detail"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"model": "ada", "input": "x"}, openai.NotFoundError),
        ({"model": "builtin", "input": []}, openai.UnprocessableEntityError),
        ({"model": "builtin", "input": [" "]}, openai.UnprocessableEntityError),
        ({"model": "builtin", "input": [[1, 2]]}, openai.UnprocessableEntityError),
        ({"model": "builtin", "input": "x", "dimensions": 7}, openai.UnprocessableEntityError),
        (
            {"model": "builtin", "input": "no picture", "extra_body": {"modality": "image"}},
            openai.UnprocessableEntityError,
        ),
    ],
)
def test_what_cannot_be_embedded_is_the_error_its_users_expect(client, asked, error):
    with pytest.raises(error):
        client.embeddings.create(**asked)
