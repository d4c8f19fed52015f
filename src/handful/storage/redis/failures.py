"""What Redis says, in words that help."""

import ssl

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from handful.errors import StorageError, StorageFullError, StorageSetupError

_BUG = "this is a bug in Handful; please report it"

# By class, the more special first: what is the matter, and what to do.
_TOLD: tuple[tuple[type[RedisError], str, str], ...] = (
    (BusyLoadingError, "is loading its data", "try again in a moment"),
    (
        ReadOnlyError,
        "is a replica, which takes no writes",
        "give the address of the primary, or those of the Sentinels as redis+sentinel://",
    ),
    (
        AuthenticationError,
        "refuses the user or the password",
        "set both in the store's URL as redis://user:password@host",
    ),
    (
        NoPermissionError,
        "forbids its user something ({error})",
        "let the user do all commands on the keys hf:*",
    ),
    (MasterDownError, "is a replica without its primary", "look at the primary"),
    (ClusterDownError, "is a Cluster that is down", "look at `redis-cli cluster info`"),
    (TryAgainError, "is moving these keys", "try again in a moment"),
    (
        TimeoutError,
        "does not answer in time",
        "look at its load, at the network, and whether it wants TLS (rediss) or not (redis)",
    ),
)

# By the first word of what Redis says.
_SAID = {
    "MISCONF": ("cannot save to its disk, and takes no writes", "free its disk, and look at its log"),
    "NOREPLICAS": ("has fewer replicas than its min-replicas-to-write", "look at the replicas"),
    "BUSY": ("is busy with a script", "try again in a moment"),
}

_TRANSIENT = (BusyLoadingError, ReadOnlyError, ClusterDownError, MasterDownError, TryAgainError)


class UnconfirmedError(StorageError):
    """A write may have been done, or not: the connection was lost, or replicas did not confirm."""


def passes(error: RedisError) -> bool:
    """Whether Redis has done nothing, and may do it in a moment."""
    return isinstance(error, _TRANSIENT) or str(error).startswith("BUSY ")


def is_final(error: BaseException) -> bool:
    """Whether a connection fails as long as nobody changes the settings."""
    refused = isinstance(error, AuthenticationError | ResponseError) and not passes(error)
    return refused or isinstance(error.__context__, ssl.SSLCertVerificationError)


def as_storage_error(where: str, error: BaseException) -> StorageError:
    """The error to raise in place of Redis's.    where : without anything secret."""
    what, advice = _told(error)
    if isinstance(error, OutOfMemoryError):
        return StorageFullError(
            f"the Redis at {where} has reached its maxmemory; nothing was written: raise it, or delete some"
        )
    kind = StorageSetupError if is_final(error) else StorageError
    return kind(f"the Redis at {where} {what}; {advice}")


def _told(error: BaseException) -> tuple[str, str]:
    for kind, what, advice in _TOLD:
        if isinstance(error, kind):
            return what.format(error=error), advice
    if isinstance(error.__context__, ssl.SSLError):
        return (
            f"cannot be spoken to by TLS ({error.__context__.reason})",
            "give the authority of its certificate as ?ssl_ca_certs=FILE, and a name that it is for; "
            "without TLS, begin the URL with redis instead of rediss",
        )
    if "cluster support disabled" in str(error):
        return "is no Cluster", "begin its URL with redis:// or redis+sentinel://"
    if isinstance(error, ResponseError):
        return _SAID.get(str(error).partition(" ")[0], (f"cannot do what is asked ({error})", _BUG))
    return (
        f"cannot be reached ({error})",
        "see that it runs, and look at its address, the network, and whether it wants TLS (rediss)",
    )
