"""Takes the steps of operations one after the other, and awaits: the twin of `sender`."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx2

from handful.client.connection import LARGEST_EVENT, put
from handful.client.steps import Give, Items, Part, Pause, Send, Step, Steps

T = TypeVar("T")
_CHUNK = 2**18  # bytes of a file that is streamed


class AsyncSender:
    """Of `handful.AsyncClient`."""

    def __init__(self, options: dict[str, Any]) -> None:  # Any: httpx2's
        self.http = httpx2.AsyncClient(**options)

    async def done(self, steps: Steps[T]) -> T:
        """The answer of an operation."""
        with closing(steps):
            async with _Walk(self.http) as walk:
                move: Callable[[], Step] = partial(next, steps)
                while True:
                    try:
                        step = move()
                    except StopIteration as end:
                        answer: T = end.value
                        return answer
                    try:
                        came = await walk.take(step)
                    except Exception as exc:  # the operation's own to handle
                        move = partial(steps.throw, exc)
                    else:
                        move = partial(steps.send, came)

    async def over(self, steps: Items[T]) -> AsyncIterator[T]:
        """The items of an operation, as they come."""
        with closing(steps):
            async with _Walk(self.http) as walk:
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
                        came = await walk.take(step)


class _Walk:
    """The steps of one operation; answers that it streams are closed at its end."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._stack = AsyncExitStack()
        self._parts: dict[int, AsyncIterator[Any]] = {}  # Any: bytes or text

    async def __aenter__(self) -> "_Walk":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def take(self, step: Step) -> Any:  # Any: told by the step
        match step:
            case Send():
                return await self._sent(step)
            case Pause():
                return await anyio.sleep(step.seconds)
            case Part():
                try:
                    return await anext(self._parts_of(step), None)
                except httpx2.TransportError as exc:
                    return exc
            case _:
                return await anyio.to_thread.run_sync(step.do)

    async def _sent(self, step: Send) -> httpx2.Response | httpx2.TransportError:
        asked = put(step.request)
        async with AsyncExitStack() as files:
            if step.request.file is not None:
                asked["content"] = await files.enter_async_context(aclosing(_chunks(step.request.file)))
            try:
                response = await self._http.send(self._http.build_request(**asked), stream=step.streamed)
                if step.streamed:
                    self._stack.push_async_callback(response.aclose)
                    if not response.is_success:
                        await response.aread()
            except httpx2.TransportError as exc:
                return exc
        return response

    def _parts_of(self, step: Part) -> AsyncIterator[Any]:  # Any: bytes or text
        parts = self._parts.get(id(step.response))
        if parts is None:
            parts = step.response.aiter_bytes() if step.kind == "bytes" else _data(step.response)
            self._parts[id(step.response)] = parts
        return parts


async def _chunks(path: Path) -> AsyncGenerator[bytes, None]:
    async with await anyio.open_file(path, "rb") as file:
        while chunk := await file.read(_CHUNK):
            yield chunk


async def _data(response: httpx2.Response) -> AsyncIterator[str]:
    async for event in httpx2.EventSource(response, LARGEST_EVENT):
        yield event.data
