"""Embeddings seen before, by tenant: nobody learns from the time an answer takes what others have sent."""

from collections.abc import Hashable

from cachetools import LRUCache

from handful.rows import Rows
from handful.service import metrics

_OVERHEAD = 300  # bytes of key and entry beside the numbers and the content


class Memory:
    """Bounded in bytes; what was not used for the longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._rows: LRUCache[Hashable, tuple[Rows, int]] = LRUCache(max_bytes, getsizeof=lambda kept: kept[1])

    def __bool__(self) -> bool:
        """Whether it keeps anything at all."""
        return self._rows.maxsize > 0

    def get(self, kind: str, tenant: str, fingerprint: str, content: str) -> Rows | None:
        """kind : "image" or "text".    content : a picture's digest and policy, or the text."""
        found = self._rows.get((kind, tenant, fingerprint, content))
        if found is None:
            return None
        metrics.EMBEDDINGS_FOUND.labels(kind).inc()
        return found[0]

    def put(self, kind: str, tenant: str, fingerprint: str, content: str, X: Rows) -> None:
        """What does not fit at all is not kept."""
        size = X.nbytes + len(content) + _OVERHEAD
        if size <= self._rows.maxsize:
            own = X.copy()  # not a view that holds the rows of a whole batch
            own.flags.writeable = False
            self._rows[kind, tenant, fingerprint, content] = own, size
