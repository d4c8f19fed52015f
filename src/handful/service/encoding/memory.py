"""Embeddings seen before, by tenant: nobody learns from the time an answer takes what others have sent."""

from collections.abc import Hashable

from cachetools import LRUCache

from handful.rows import Rows
from handful.service import metrics

_OVERHEAD = 300  # bytes of key and entry beside the numbers


class Memory:
    """Bounded in bytes; what was not used for the longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._rows: LRUCache[Hashable, Rows] = LRUCache(max_bytes, getsizeof=lambda X: X.nbytes + _OVERHEAD)

    def get(self, kind: str, tenant: str, fingerprint: str, content: str) -> Rows | None:
        """kind : "image" or "text".    content : a picture's digest and policy, or the text."""
        found = self._rows.get((kind, tenant, fingerprint, content))
        if found is not None:
            metrics.EMBEDDINGS_FOUND.labels(kind).inc()
        return found

    def put(self, kind: str, tenant: str, fingerprint: str, content: str, X: Rows) -> None:
        """What does not fit at all is not kept."""
        if X.nbytes + _OVERHEAD <= self._rows.maxsize:
            self._rows[kind, tenant, fingerprint, content] = X
