"""Takes the steps of operations one after the other, and waits."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, TypeVar

import httpx2

from handful.client.connection import LARGEST_EVENT, put
from handful.client.steps import Give, Items, Part, Pause, Send, Step, Steps

T = TypeVar("T")


class Sender:
    """Of `handful.Client`."""

    def __init__(self, options: dict[str, Any]) -> None:  # Any: httpx2's
        self.http = httpx2.Client(**options)

    def done(self, steps: Steps[T]) -> T:
        """The answer of an operation."""
        with closing(steps), _Walk(self.http) as walk:
            move: Callable[[], Step] = partial(next, steps)
            while True:
                try:
                    step = move()
                except StopIteration as end:
                    answer: T = end.value
                    return answer
                try:
                    came = walk.take(step)
                except Exception as exc:  # the operation's own to handle
                    move = partial(steps.throw, exc)
                else:
                    move = partial(steps.send, came)

    def over(self, steps: Items[T]) -> Iterator[T]:
        """The items of an operation, as they come."""
        with closing(steps), _Walk(self.http) as walk:
            came = None
            while True:
                try:
                    step = steps.send(came)
                except StopIteration:
                    return
                if isinstance(step, Give):
                    yield step.item
                    came = None
                else:
                    came = walk.take(step)


class _Walk:
    """The steps of one operation; answers that it streams are closed at its end."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._stack = ExitStack()
        self._parts: dict[int, Iterator[Any]] = {}  # Any: bytes or text

    def __enter__(self) -> "_Walk":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def take(self, step: Step) -> Any:  # Any: told by the step
        match step:
            case Send():
                return self._sent(step)
            case Pause():
                return time.sleep(step.seconds)
            case Part():
                try:
                    return next(self._parts_of(step), None)
                except httpx2.TransportError as exc:
                    return exc
            case _:
                return step.do()

    def _sent(self, step: Send) -> httpx2.Response | httpx2.TransportError:
        asked = put(step.request)
        with ExitStack() as files:
            if step.request.file is not None:
                asked["content"] = files.enter_context(step.request.file.open("rb"))
            try:
                response = self._http.send(self._http.build_request(**asked), stream=step.streamed)
                if step.streamed:
                    self._stack.callback(response.close)
                    if not response.is_success:
                        response.read()
            except httpx2.TransportError as exc:
                return exc
        return response

    def _parts_of(self, step: Part) -> Iterator[Any]:  # Any: bytes or text
        parts = self._parts.get(id(step.response))
        if parts is None:
            parts = step.response.iter_bytes() if step.kind == "bytes" else _data(step.response)
            self._parts[id(step.response)] = parts
        return parts


def _data(response: httpx2.Response) -> Iterator[str]:
    return (event.data for event in httpx2.EventSource(response, LARGEST_EVENT))
