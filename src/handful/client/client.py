"""The client that waits."""

from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from handful.client import asking as of_asking
from handful.client import classifiers as of_classifiers
from handful.client import jobs as of_jobs
from handful.client import shots as of_shots
from handful.client import transfer as of_transfer
from handful.client.connection import as_method, options
from handful.client.sender import Sender
from handful.client.steps import Items, Steps

P = ParamSpec("P")
T = TypeVar("T")


def _done(operation: Callable[P, Steps[T]]) -> Callable[Concatenate["Client", P], T]:
    @wraps(operation)
    def method(self: "Client", /, *given: P.args, **named: P.kwargs) -> T:
        return self._sender.done(operation(*given, **named))

    return as_method(method)


def _over(operation: Callable[P, Items[T]]) -> Callable[Concatenate["Client", P], Iterator[T]]:
    @wraps(operation)
    def method(self: "Client", /, *given: P.args, **named: P.kwargs) -> Iterator[T]:
        return self._sender.over(operation(*given, **named))

    return as_method(method, Iterator)


class Client:
    """A Handful service, as Python sees it.

    url : its address; by default HANDFUL_URL, or else http://127.0.0.1:8000.
    api_key : by default HANDFUL_API_KEY, or else none.
    timeout : seconds without a byte after which an answer is given up.

    Requests are sent again with growing pauses while the service is busy (429, 503) or away; each write
    carries an Idempotency-Key, so that it is done once. It may be shared by threads. Every method raises
    ClientError (`status`, `problem`) where the service says no, and UnreachableError where none answers.

    >>> client = Client("http://127.0.0.1:8000")
    >>> client.url
    'http://127.0.0.1:8000'
    >>> client.close()
    """

    def __init__(
        self, url: str | None = None, *, api_key: str | None = None, timeout: float | None = None
    ) -> None:
        self._sender = Sender(options(url, api_key, timeout))
        self.url = str(self._sender.http.base_url).rstrip("/")

    def close(self) -> None:
        """Let its connections go."""
        self._sender.http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    create_classifier = _done(of_classifiers.create_classifier)
    classifier = _done(of_classifiers.classifier)
    classifiers = _over(of_classifiers.classifiers)
    find_classifier = _done(of_classifiers.find_classifier)
    update_classifier = _done(of_classifiers.update_classifier)
    delete_classifier = _done(of_classifiers.delete_classifier)
    classes = _over(of_classifiers.classes)
    put_class = _done(of_classifiers.put_class)
    put_classes = _done(of_classifiers.put_classes)
    rename_class = _done(of_classifiers.rename_class)
    delete_class = _done(of_classifiers.delete_class)

    add_shots = _done(of_shots.add_shots)
    add_embeddings = _done(of_shots.add_embeddings)
    add_folder = _done(of_shots.add_folder)
    add_archive = _done(of_shots.add_archive)
    shots = _over(of_shots.shots)
    shot_image = _done(of_shots.shot_image)
    relabel_shot = _done(of_shots.relabel_shot)
    delete_shot = _done(of_shots.delete_shot)

    classify = _done(of_asking.classify)
    classify_embeddings = _done(of_asking.classify_embeddings)
    zero_shot = _done(of_asking.zero_shot)
    suggest = _done(of_asking.suggest)
    embed_texts = _done(of_asking.embed_texts)
    embed_images = _done(of_asking.embed_images)
    encoders = _done(of_asking.encoders)

    train = _done(of_jobs.train)
    change_views = _done(of_jobs.change_views)
    evaluate = _done(of_jobs.evaluate)
    wait = _done(of_jobs.wait)
    job = _done(of_jobs.job)
    events = _over(of_jobs.events)
    cancel_job = _done(of_jobs.cancel_job)
    versions = _done(of_jobs.versions)
    activate = _done(of_jobs.activate)

    export = _done(of_transfer.export)
    import_classifier = _done(of_transfer.import_classifier)
    import_classifiers = _done(of_transfer.import_classifiers)
