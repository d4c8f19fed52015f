"""Label Studio's requests, as it documents and sends them."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

import handful

CONFIG = """<View>
  <Image name="photo" value="$picture"/>
  <Choices name="kind" toName="photo" choice="single"><Choice value="glass"/><Choice value="metal"/></Choices>
</View>"""


def data_uri(path):
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def annotated(number, label, path, action="ANNOTATION_CREATED", **more):
    result = [{"from_name": "kind", "to_name": "photo", "type": "choices", "value": {"choices": [label]}}]
    return {
        "action": action,
        "annotation": {
            "id": number,
            "result": result if label else [],
            "was_cancelled": False,
            "task": 5,
            **more,
        },
        "task": {"id": 5, "data": {"picture": data_uri(path)}, "project": 1},
        "project": {"id": 1, "title": "Waste", "label_config": CONFIG},
    }


@pytest.fixture
def backend(url, waste):
    """Post to the classifier's backend; the answer's JSON after its status was checked."""

    def post(route, body, status=200):
        answer = httpx2.post(f"{url}/label-studio/{waste.id}/{route}", json=body, timeout=60)
        assert answer.status_code == status, answer.text
        return answer.json()

    return post


@pytest.fixture
def labels(handful_client, waste):
    return lambda: {shot.source_id: shot.label for shot in handful_client.shots(waste.id) if shot.source_id}


def test_a_project_is_connected(url, waste, backend):
    health = httpx2.get(f"{url}/label-studio/{waste.id}/health")
    assert health.json() == {"status": "UP", "model_class": "Handful"}
    setup = {"project": "1.17", "schema": CONFIG, "hostname": "http://localhost:8080", "access_token": "t"}
    assert backend("setup", setup) == {"model_version": str(waste.head_version)}
    wrong = backend("setup", {**setup, "schema": "<View><Text name='t' value='$t'/></View>"}, 422)
    assert "Image Classification" in wrong["detail"]
    backend("setup", {**setup, "schema": "<!DOCTYPE x [<!ENTITY a 'b'>]><View/>"}, 422)


def test_tasks_are_answered_in_the_shape_that_it_shows(handful_client, waste, backend, trashnet):
    photos = [trashnet / "glass" / "030.jpg", trashnet / "metal" / "030.jpg"]
    tasks = [{"id": at, "data": {"picture": data_uri(photo)}} for at, photo in enumerate(photos)]
    said = backend("predict", {"tasks": tasks, "label_config": CONFIG, "project": "1.17", "params": {}})
    ours = handful_client.classify(waste.id, photos).predictions
    assert said["results"] == [
        {
            "result": [
                {
                    "from_name": "kind",
                    "to_name": "photo",
                    "type": "choices",
                    "value": {"choices": [one.label]},
                }
            ],
            "score": pytest.approx(one.probability),
            "model_version": str(waste.head_version),
        }
        for one in ours
    ]


def test_an_annotation_is_a_shot_that_edits_move_and_deletions_remove(backend, labels, trashnet):
    photo = trashnet / "glass" / "040.jpg"
    (added,) = backend("webhook", annotated(17, "glass", photo), 201)["shots"]
    assert (added["annotation"], added["done"]) == (17, "added")
    assert (
        backend("webhook", annotated(17, "glass", photo), 201)["shots"][0]["done"] == "nothing"
    )  # sent twice
    assert labels() == {"label-studio:17": "glass"}
    moved = backend("webhook", annotated(17, "metal", photo, "ANNOTATION_UPDATED"), 201)["shots"]
    assert moved == [{"annotation": 17, "shot": added["shot"], "done": "moved"}]
    assert labels() == {"label-studio:17": "metal"}
    backend("webhook", annotated(18, "glass", photo), 201)
    gone = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 17}, {"id": 18}, {"id": 19}]}
    assert [one["done"] for one in backend("webhook", gone, 201)["shots"]] == [
        "removed",
        "removed",
        "nothing",
    ]
    assert labels() == {}


def test_a_skipped_or_emptied_annotation_teaches_nothing(backend, labels, trashnet):
    photo = trashnet / "glass" / "040.jpg"
    backend("webhook", annotated(20, "glass", photo, was_cancelled=True), 201)
    assert labels() == {}
    backend("webhook", annotated(20, "glass", photo, "ANNOTATION_UPDATED"), 201)
    assert labels() == {"label-studio:20": "glass"}
    backend("webhook", annotated(20, None, photo, "ANNOTATION_UPDATED"), 201)
    assert labels() == {}


def test_many_annotations_come_at_once_and_other_actions_change_nothing(backend, labels, trashnet):
    both = [annotated(number, "metal", trashnet / "metal" / f"{number:03}.jpg") for number in (21, 22)]
    body = {
        "action": "ANNOTATIONS_CREATED",
        "annotation": [one["annotation"] for one in both],
        "task": [one["task"] for one in both],
        "project": both[0]["project"],
    }
    backend("webhook", body, 201)
    backend("webhook", {"action": "PROJECT_UPDATED", "project": both[0]["project"]}, 201)
    assert labels() == {"label-studio:21": "metal", "label-studio:22": "metal"}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://169.254.169.254/latest/meta-data", "not fetched from this host"),
        ("http://127.0.0.1:1/a.jpg", "not fetched from this host"),
        ("file:///etc/passwd", "data URI, or an http"),
        ("/data/upload/1/a.jpg", "data URI, or an http"),
        ("data:image/png;base64,AAAA", "picture"),
    ],
)
def test_nothing_is_fetched_from_a_host_that_is_not_allowed(backend, address, said):
    body = {"tasks": [{"id": 1, "data": {"picture": address}}], "label_config": CONFIG}
    problem = backend("predict", body, 422)
    assert said in problem["detail"]
    assert problem["errors"][0]["pointer"] == "/tasks/0/data/picture"


@pytest.fixture
def pictures(trashnet):
    """A host with a picture, an address that leads elsewhere, and one without an end."""
    photo = (trashnet / "glass" / "030.jpg").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/a.jpg":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(photo)
            elif self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "http://localhost:1/secret")
                self.end_headers()
            elif self.path == "/moved":
                self.send_response(301)
                self.send_header("Location", "/a.jpg")
                self.end_headers()
            elif self.path == "/endless":
                self.send_response(200)
                self.end_headers()
                while True:
                    try:
                        self.wfile.write(bytes(2**16))
                    except OSError:
                        return
            else:
                self.send_error(404)

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_allowed_host_is_fetched_from_within_limits(serving, pictures, trashnet):
    allowed = f"127.0.0.1:{pictures},localhost:{pictures}"
    with serving(fetch_hosts=allowed, image_max_bytes=2**20) as url, handful.Client(url) as client:
        made = client.create_classifier("fetched", classes=["glass", "metal"])

        def predict(address):
            body = {"tasks": [{"id": 1, "data": {"picture": address}}], "label_config": CONFIG}
            return httpx2.post(f"{url}/label-studio/{made.id}/predict", json=body, timeout=60)

        here = f"http://127.0.0.1:{pictures}"
        expected = client.classify(made.id, [trashnet / "glass" / "030.jpg"]).predictions[0].label
        for path in ("/a.jpg", "/moved"):
            answer = predict(here + path)
            assert answer.json()["results"][0]["result"][0]["value"]["choices"] == [expected]
        assert "not fetched from this host" in predict(f"{here}/elsewhere").json()["detail"]
        assert "answered 404" in predict(f"{here}/none").json()["detail"]
        assert predict(f"{here}/endless").status_code == 413
        assert "private address" in predict(f"http://localhost:{pictures}/a.jpg").json()["detail"]


def test_the_key_is_the_password(serving, tmp_path, trashnet):
    (tmp_path / "key").write_text("a key of more than enough characters")
    with serving(admin_key_file=tmp_path / "key") as url:
        key = (tmp_path / "key").read_text()
        with handful.Client(url, api_key=key) as client:
            made = client.create_classifier("locked", classes=["glass"])
        there = f"{url}/label-studio/{made.id}"
        assert httpx2.get(f"{there}/health").status_code == 401
        assert httpx2.get(f"{there}/health", auth=("handful", "wrong")).status_code == 401
        assert httpx2.get(f"{there}/health", auth=("handful", key)).status_code == 200
        body = annotated(1, "glass", trashnet / "glass" / "000.jpg")
        bearer = {"Authorization": f"Bearer {key}"}  # webhooks have headers of their own
        assert httpx2.post(f"{there}/webhook", json=body, headers=bearer, timeout=60).status_code == 201
