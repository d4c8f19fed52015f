"""Other people's protocols keep tenants apart, and read keys from write keys, as our own does."""

import base64
import json
import subprocess
import sys

import httpx2
import pytest

import handful
from handful.errors import ClientError

CONFIG = '<View><Image name="i" value="$i"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'


@pytest.fixture(scope="module")
def shared(serving, tmp_path_factory):
    """A server, and keys of it: of the owner, of another tenant, and the owner's for reading alone."""
    data = tmp_path_factory.mktemp("tenants")

    def key(tenant, scope):
        command = ["keys", "create", "a key", "--tenant", tenant, "--scope", scope, "--data", data, "--json"]
        made = subprocess.run(
            [sys.executable, "-c", "from handful.cli import app; app()", *map(str, command)],
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(made.stdout)["secret"]

    keys = {"owner": key("ours", "write"), "other": key("theirs", "write"), "reader": key("ours", "read")}
    with serving(data=data) as url:
        yield url, keys


@pytest.fixture(scope="module")
def photo(trashnet):
    return (trashnet / "glass" / "000.jpg").read_bytes()


@pytest.fixture(scope="module")
def asked(photo):
    """Requests by name, of a classifier's id: method, path and what goes with it."""
    uri = f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"
    annotation = {
        "id": 1,
        "result": [{"type": "choices", "value": {"choices": ["a"]}}],
    }
    webhook = {
        "action": "ANNOTATION_CREATED",
        "annotation": annotation,
        "task": {"data": {"i": uri}},
        "project": {"label_config": CONFIG},
    }
    tasks = {"tasks": [{"data": {"i": uri}}], "label_config": CONFIG}
    return {
        "hf": lambda id: ("POST", f"/v1/classifiers/{id}/hf", {"content": photo}),
        "clip": lambda id: ("POST", f"/clip?cache_id={id}", {"files": {"file": ("a", photo)}}),
        "health": lambda id: ("GET", f"/label-studio/{id}/health", {}),
        "setup": lambda id: ("POST", f"/label-studio/{id}/setup", {"json": {"schema": CONFIG}}),
        "predict": lambda id: ("POST", f"/label-studio/{id}/predict", {"json": tasks}),
        "webhook": lambda id: ("POST", f"/label-studio/{id}/webhook", {"json": webhook}),
    }


NAMES = ["hf", "clip", "health", "setup", "predict", "webhook"]


@pytest.fixture
def ask(shared, asked):
    url, keys = shared

    def request(name, id, who):
        method, path, body = asked[name](id)
        headers = {} if who is None else {"Authorization": f"Bearer {keys[who]}"}
        return httpx2.request(method, url + path, headers=headers, timeout=60, **body)

    return request


@pytest.fixture(scope="module")
def owned(shared):
    url, keys = shared
    with handful.Client(url, api_key=keys["owner"]) as client:
        yield client.create_classifier("ours", classes=["a", "b"]).id


@pytest.mark.parametrize("name", NAMES)
def test_anothers_classifier_is_not_there(ask, owned, name):
    theirs, nothing = ask(name, owned, "other"), ask(name, "0" * 26, "other")
    assert theirs.status_code == nothing.status_code == 404
    assert theirs.text.replace(owned, "") == nothing.text.replace("0" * 26, "")
    assert ask(name, owned, "owner").is_success
    assert ask(name, owned, None).status_code == 401


@pytest.mark.parametrize("name", NAMES)
def test_a_key_for_reading_teaches_nothing(ask, owned, name):
    assert ask(name, owned, "reader").status_code == (403 if name == "webhook" else 200)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/embeddings", {"json": {"model": "builtin", "input": "x"}}),
        ("GET", "/v1/models", {}),
        ("GET", "/v1/models/builtin", {}),
        ("POST", "/v1/zero-shot/hf", {"json": {}}),
        ("POST", "/clip/cache", {"files": {"files": ("a", b"x")}}),
        ("POST", "/world", {}),
    ],
)
def test_what_is_nobodys_needs_a_key_all_the_same(shared, method, path, body):
    answer = httpx2.request(method, shared[0] + path, **body)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_a_wrong_key_is_said_so(shared):
    with (
        handful.Client(shared[0], api_key="hfl_wrong") as client,
        pytest.raises(ClientError, match="key is unknown") as refused,
    ):
        next(client.classifiers())
    assert refused.value.status == 401
