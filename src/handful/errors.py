"""Every error Handful raises on purpose.

    HandfulError
    ├── ImageError          a picture that cannot be read or is not allowed
    ├── DatasetError        a folder, table or archive that holds no labelled pictures as they are needed
    ├── EmbeddingError      rows of numbers that are no embeddings of the encoder at hand
    ├── SupportError        shots, labels or texts that make no classifier
    ├── HeadError           a saved head that cannot be read, or is asked for what it does not hold
    ├── RetrievalError      an index of class rows that cannot be read, or rows that do not fit it
    ├── ModelError          a saved classifier that cannot be read or written
    ├── EncoderError        an encoder that is unknown, damaged or does not fit
    ├── NotFittedError      a classifier asked before it was taught
    ├── MissingExtraError   an optional part that is not installed
    ├── StorageError        a store or its blobs that cannot be opened, read or written
    │   ├── StorageFullError    no room is left to write
    │   └── StorageSetupError   it is set up in a way that it cannot be used, and waiting does not help
    ├── ClientError         what a service answered to its client instead of what was asked for
    │   ├── UnreachableError    nothing, since it cannot be reached
    │   └── JobError            that a job failed or was cancelled
    └── ServiceError        what a request to the service cannot have
        ├── RequestError        it says something that is not allowed
        ├── NotFoundError       it names something that is not there
        ├── ConflictError       it contradicts the state that things are in
        │   └── StaleError          it was made for an older version
        ├── AccessError         its key is missing, unknown, or may not do this
        ├── QuotaError          it would go over a limit of its tenant
        ├── TooLargeError       it is larger than allowed
        ├── UnsupportedTypeError  its body is of a kind that is not read here
        └── BusyError           it cannot be taken now, and may be tried again

Each message says what was found, what is allowed and what to do next. Where a builtin error is what
callers expect, the class is that error too.
"""

from collections.abc import Mapping
from typing import Any  # of problems: JSON


class HandfulError(Exception):
    """Base of all errors that Handful raises on purpose."""


class ImageError(HandfulError, ValueError):
    """A picture cannot be read, or breaks a limit."""


class DatasetError(HandfulError, ValueError):
    """A folder, table or archive does not hold labelled pictures."""


class EmbeddingError(HandfulError, ValueError):
    """Rows are not embeddings: wrong width, not finite, or of length zero."""


class SupportError(HandfulError, ValueError):
    """Shots, labels or texts do not make a classifier."""


class HeadError(HandfulError, ValueError):
    """A head cannot be read, or does not hold what is asked of it."""


class RetrievalError(HandfulError, ValueError):
    """An index of class rows cannot be read, or is given or asked for what does not fit it."""


class ModelError(HandfulError, ValueError):
    """A saved classifier cannot be read or written."""


class EncoderError(HandfulError, ValueError):
    """An encoder is unknown, damaged, or not the one that made the embeddings."""


class NotFittedError(HandfulError, ValueError, AttributeError):
    """A classifier is asked before it was taught."""


class MissingExtraError(HandfulError, ImportError):
    """An optional part is not installed; the message gives the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part; install it with: pip install 'handful[{extra}]'")
        self.extra = extra


class StorageError(HandfulError, OSError):
    """A store or its blobs cannot be opened, read or written."""


class StorageFullError(StorageError):
    """No room is left to write; nothing was written."""


class StorageSetupError(StorageError):
    """A store is of another kind or version, or set up to lose what it is given; somebody must change it."""


class ClientError(HandfulError):
    """A service did not answer its client what was asked for.

    status : of HTTP, or None where there was no answer.    problem : as RFC 9457 has it, {} for none.
    """

    def __init__(
        self, message: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}

    @classmethod
    def of_problem(cls, status: int, problem: Mapping[str, Any]) -> "ClientError":
        """Worded by the problem, with the place of the first thing that is wrong."""
        said = str(problem.get("detail") or problem["title"])
        errors = problem.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else None
        if isinstance(first, dict) and str(first.get("detail", said)) != said:
            said += f" ({first.get('pointer', '')}: {first['detail']})"
        return cls(said, status=status, problem=problem)


class UnreachableError(ClientError, ConnectionError):
    """No service answers at the address, or it breaks off."""


class JobError(ClientError):
    """A job failed or was cancelled.    job : its id.    problem : why."""

    def __init__(self, job: str, kind: str, status: str, problem: Mapping[str, Any] | None) -> None:
        detail = (problem or {}).get("detail") or (problem or {}).get("title")
        super().__init__(
            f"job {job} ({kind}) {_ENDED[status]}{f': {detail}' if detail else ''}", problem=problem
        )
        self.job = job


_ENDED = {"failed": "failed", "cancelled": "was cancelled"}


class ServiceError(HandfulError):
    """What a request to the service cannot have.

    pointer : JSON pointer to the member of the body that is wrong, or None.
    """

    def __init__(self, message: str, *, pointer: str | None = None) -> None:
        super().__init__(message)
        self.pointer = pointer


class RequestError(ServiceError, ValueError):
    """A request says something that is not allowed."""


class NotFoundError(ServiceError, LookupError):
    """A request names something that is not there, or not the caller's."""


class ConflictError(ServiceError):
    """A request contradicts the state that things are in."""


class StaleError(ConflictError):
    """A request was made for an older version of what it changes."""


class AccessError(ServiceError, PermissionError):
    """A key is missing, unknown, or may not do this.

    known : whether the caller is known, and only lacks the scope.
    """

    def __init__(self, message: str, *, known: bool = False) -> None:
        super().__init__(message)
        self.known = known


class QuotaError(ServiceError):
    """A request would go over a limit of its tenant.

    retry_after : seconds until it may work, or None where waiting does not help.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooLargeError(ServiceError, ValueError):
    """A body, or a part of it, is larger than allowed."""


class UnsupportedTypeError(ServiceError, ValueError):
    """A body is of a kind that is not read here."""


class BusyError(ServiceError):
    """The service cannot take more now.

    retry_after : seconds after which to try again.
    """

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
