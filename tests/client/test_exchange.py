"""Asking until there is an answer, of a small server that says what it is told to."""

import json
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import handful
from handful.client import exchange
from handful.errors import ClientError, UnreachableError

OK = (200, {}, b'{"items": [], "next_cursor": null}')
CLASSIFIER = {
    "id": "1",
    "name": "a",
    "encoder": "builtin",
    "method": "auto",
    "views": "auto",
    "unknown_threshold": 0.05,
    "class_count": 0,
    "classes": [],
    "shots": 0,
    "support_version": 1,
    "head_version": 1,
    "stale": False,
    "created": "2026-01-01T00:00:00Z",
    "updated": "2026-01-01T00:00:00Z",
}


class Script:
    """Answers (status, headers, body) in turn, None: the connection breaks; and the requests that came."""

    def __init__(self):
        self.answers = []
        self.requests = []


@pytest.fixture
def script():
    said = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said.requests.append((self.command, self.path, dict(self.headers), body))
            answer = said.answers.pop(0)
            if answer is None:
                self.connection.close()
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE = do_POST  # noqa: N815 # names of http.server

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    said.url = f"http://127.0.0.1:{server.server_port}"
    yield said
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """Pauses that were to be made, in seconds; none is."""
    made = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@pytest.fixture
def client(script):
    with handful.Client(script.url, api_key="the key") as client:
        yield client


def test_a_busy_service_is_asked_again_when_it_says(client, script, pauses):
    script.answers = [(503, {"Retry-After": "3"}, b""), (429, {"Retry-After": "0"}, b""), OK]
    assert list(client.classifiers()) == []
    assert pauses == [3.0, 0.0]


def test_retry_after_may_be_a_date(client, script, pauses):
    script.answers = [(503, {"Retry-After": formatdate(time.time() + 20, usegmt=True)}, b""), OK]
    assert list(client.classifiers()) == []
    assert 10 < pauses[0] <= 20


def test_without_it_pauses_grow_and_end(client, script, pauses):
    script.answers = [(503, {}, b"")] * 6
    with pytest.raises(ClientError) as busy:
        list(client.classifiers())
    assert busy.value.status == 503
    assert len(pauses) == 5
    assert all(0.125 * 2**at <= pause <= 0.25 * 2**at for at, pause in enumerate(pauses))


def test_a_wait_that_is_too_long_is_left_to_the_caller(client, script, pauses):
    script.answers = [(429, {"Retry-After": "3600"}, b'{"title": "Over a limit", "detail": "slow down"}')]
    with pytest.raises(ClientError, match="slow down"):
        list(client.classifiers())
    assert pauses == []


def test_a_write_keeps_its_key_however_often_it_is_sent(client, script, pauses):
    made = (201, {"ETag": '"1"'}, json.dumps(CLASSIFIER).encode())
    script.answers = [None, (502, {}, b"<html>"), (503, {"Retry-After": "1"}, b""), made, made]
    assert client.create_classifier("a").etag == '"1"'
    client.create_classifier("a")
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in script.requests]
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[0]
    assert len({body for _, _, _, body in script.requests}) == 1


def test_a_file_is_sent_again_from_its_start(client, script, pauses, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"x" * 1000)
    script.answers = [(503, {}, b""), (201, {}, json.dumps(CLASSIFIER).encode())]
    client.import_classifier(tmp_path / "a.zip")
    assert len(pauses) == 1
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in script.requests}
    assert len(keys) == 1


def test_what_the_service_refuses_is_not_asked_again(client, script, pauses):
    problem = {
        "type": "/problems/invalid",
        "title": "Invalid request",
        "status": 422,
        "detail": "two things are wrong",
        "errors": [{"pointer": "/name", "detail": "too long"}],
    }
    script.answers = [(422, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode())]
    with pytest.raises(ClientError, match=r"two things are wrong \(/name: too long\)") as refused:
        client.create_classifier("a")
    assert refused.value.problem == problem
    assert (refused.value.status, pauses) == (422, [])


def test_another_server_is_told_from_handful(client, script):
    script.answers = [(404, {}, b"<html>"), (200, {}, b"<html>"), (302, {"Location": "/login"}, b"")]
    for status in (404, 200, 302):
        with pytest.raises(ClientError, match="is this Handful's address") as other:
            list(client.classifiers())
        assert other.value.status == status


def test_the_key_is_shown_and_reads_carry_no_idempotency_key(client, script):
    script.answers = [OK]
    list(client.classifiers())
    ((_, path, headers, _),) = script.requests
    assert path == "/v1/classifiers?limit=100"
    assert headers["Authorization"] == "Bearer the key"
    assert headers["User-Agent"] == f"handful/{handful.__version__}"
    assert "Idempotency-Key" not in headers


def test_names_are_one_part_of_a_path_whatever_is_in_them(client, script):
    script.answers = [(204, {}, b"")] * 2
    client.delete_class("1", "50 % off? #é..")
    client.delete_shot("1", "..")
    assert [path for _, path, _, _ in script.requests] == [
        "/v1/classifiers/1/classes/50%20%25%20off%3F%20%23%C3%A9..",
        "/v1/classifiers/1/shots/%2E%2E",
    ]
    for other in ("", "1/shots/2"):
        with pytest.raises(ClientError, match="no id and no name"):
            client.delete_classifier(other)


def test_events_go_on_over_a_connection_that_breaks(client, script, pauses):
    def event(status, progress):
        job = {"id": "7", "kind": "train", "status": status, "progress": progress, "result": None}
        return f"data: {json.dumps(job)}\n\n".encode()

    stream = {"Content-Type": "text/event-stream"}
    script.answers = [
        (200, {**stream, "Content-Length": "9999"}, b": waiting\n\n" + event("running", 0.5)),
        (200, stream, event("running", 0.75) + event("succeeded", 1.0)),
    ]
    assert client.wait("7").progress == 1.0
    assert len(script.requests) == 2
    assert len(pauses) == 1


def test_an_export_that_breaks_off_leaves_no_file(client, script, tmp_path):
    script.answers = [(200, {"Content-Length": "9999"}, b"half")]
    with pytest.raises(UnreachableError, match="broke off"):
        client.export("1", tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_nobody_there_is_said_with_what_to_do(pauses):
    with (
        handful.Client("http://127.0.0.1:1") as client,
        pytest.raises(
            UnreachableError, match=r"GET http://127\.0\.0\.1:\d+/v1/jobs/1 got no answer.*handful serve"
        ) as nobody,
    ):
        client.job("1")
    assert (nobody.value.status, nobody.value.problem) == (None, {})
    assert isinstance(nobody.value, ConnectionError)
    assert len(pauses) == 5


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://here", "http://", "/v1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ClientError, match="no address of a service"):
        handful.Client(address)


def test_address_and_key_come_from_the_environment(monkeypatch, script):
    monkeypatch.setenv("HANDFUL_URL", f"{script.url}/behind/a/proxy")
    monkeypatch.setenv("HANDFUL_API_KEY", "of the environment")
    script.answers = [OK]
    with handful.Client() as client:
        list(client.classifiers())
    ((_, path, headers, _),) = script.requests
    assert path.startswith("/behind/a/proxy/v1/classifiers")
    assert headers["Authorization"] == "Bearer of the environment"


@pytest.mark.parametrize(
    ("said", "seconds"), [("2", 2.0), ("-1", 0.0), ("soon", None), ("nan", None), ("inf", None), (None, None)]
)
def test_retry_after_is_read_whatever_it_says(said, seconds):
    assert exchange.retry_after({} if said is None else {"Retry-After": said}) == seconds
