"""What an operation of the client is made of: steps that a sender takes, one that waits or one that awaits.

An operation is a generator. It yields a step, gets what came of it, and returns its answer; so that each is
written once, for `Client` and `AsyncClient` alike.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import httpx2

T = TypeVar("T")
Upload = tuple[str, bytes, str]  # name, content, media type of a file
Progress = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask of the service.

    path : below the service's address.    query : without what is None.
    json, files with form, content, file : the body; a file is streamed from disk.
    write : it changes something, so that it gets an Idempotency-Key.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(
        default_factory=dict
    )  # Any: numbers, text and bool, as httpx2 takes them
    json: Any = None  # Any: JSON
    files: Sequence[tuple[str, Upload]] = ()
    form: Mapping[str, Any] = field(default_factory=dict)  # Any: text, or a list of it
    content: bytes | None = None
    file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    write: bool = False

    def with_headers(self, headers: Mapping[str, str]) -> "Request":
        """The same with more headers."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request once → the answer, or the transport's error.    streamed : its body stays unread."""

    request: Request
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds → None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Do something that takes a while, such as reading files → its result."""

    do: Callable[[], Any]  # Any: each has its own result


@dataclass(frozen=True, slots=True)
class Part:
    """The next part of a streamed answer → bytes, the data of a server-sent event, or None at its end.

    Comes to the transport's error where the connection breaks.
    """

    response: httpx2.Response
    kind: Literal["bytes", "event"]


@dataclass(frozen=True, slots=True)
class Give(Generic[T]):
    """Hand an item to whoever goes over the items → None."""

    item: T


Step: TypeAlias = Send | Pause | Work | Part
Steps: TypeAlias = Generator[Step, Any, T]  # Any: what comes of a step, told by the step
Items: TypeAlias = Generator[Step | Give[T], Any, None]


def worked(do: Callable[[], T]) -> Steps[T]:
    """Do it away from the event loop, if there is one."""
    result: T = yield Work(do)
    return result
