"""Many classifiers for benchmarks: lines of real embeddings with noise, and their import over HTTP."""

import base64
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import httpx2
import numpy as np

from feature_sets import read_sets
from handful.rows import Rows, unit

_NOISE = 0.3  # length of what is added to a row of length one
_NOISES = 4096  # noises that there are
_CHUNK = 2**20  # bytes sent together
_WATCH = 0.1  # seconds between looks at a job


class Lines:
    """Classifiers as lines for POST /v1/import, the same for the same number whenever they are asked for.

    Each has so many classes, drawn of those of the feature sets of a folder, and shots of them with noise.
    """

    def __init__(self, data: Path, *, classes: int, shots: int, method: str = "auto") -> None:
        sets = read_sets(data)
        self._rows = np.concatenate([one.pool for one in sets])
        first = np.cumsum([0] + [one.class_count for one in sets])
        labels = np.concatenate(
            [one.pool_labels + start for one, start in zip(sets, first[:-1], strict=True)]
        )
        self._places = [np.flatnonzero(labels == label) for label in range(int(first[-1]))]
        if classes > len(self._places):
            raise SystemExit(f"{data} has {len(self._places)} classes, and {classes} are asked for")
        width = self._rows.shape[1]
        noise = np.random.default_rng(0).standard_normal((_NOISES, width)) * (_NOISE / np.sqrt(width))
        self._noise = noise.astype(np.float32)
        self._classes, self._shots, self._method = classes, shots, method

    def support(self, number: int) -> tuple[Rows, np.ndarray[Any, np.dtype[np.int64]]]:
        """Rows (N, D) and classes (N,) of a classifier's shots."""
        rng = np.random.default_rng(number)
        chosen = rng.choice(len(self._places), self._classes, replace=False)
        at = np.concatenate([rng.choice(self._places[label], self._shots) for label in chosen])
        noise = self._noise[rng.integers(0, _NOISES, len(at))]
        rows = np.asarray(unit(self._rows[at] + noise), np.float32)
        return rows, np.repeat(np.arange(self._classes), self._shots)

    def query(self, number: int) -> Rows:
        """(1, D) a picture of one of its classes."""
        rows, _ = self.support(number)
        rng = np.random.default_rng([number, 1])
        return np.asarray(unit(rows[:1] + self._noise[rng.integers(0, _NOISES, 1)]), np.float32)

    def line(self, number: int) -> bytes:
        """A classifier, its words left aside."""
        rows, classes = self.support(number)
        shots = b",".join(
            b'{"label":"class %d","embedding":"%s"}' % (label, base64.b64encode(row))
            for label, row in zip(classes.tolist(), rows.astype("<f4"), strict=True)
        )
        head = b'{"name":"many %d","method":"%s","use_text":false,' % (number, self._method.encode())
        return head + b'"shots":[' + shots + b"]}\n"

    def chunks(self, first: int, count: int) -> Iterator[bytes]:
        """The lines of so many classifiers."""
        waiting = bytearray()
        for number in range(first, first + count):
            waiting += self.line(number)
            if len(waiting) >= _CHUNK:
                yield bytes(waiting)
                waiting.clear()
        yield bytes(waiting)


def start_import(client: httpx2.Client, lines: Lines, first: int, count: int, key: str) -> str:
    """Send so many classifiers; the id of the job. Done once, however often it is asked under one key."""
    answer = client.post(
        "/v1/import",
        content=lines.chunks(first, count),
        headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": key},
    )
    return str(answer.raise_for_status().json()["id"])


def finished(client: httpx2.Client, job: str, count: int) -> list[str] | None:
    """The first ids of an import that made so many classifiers; None while it is under way."""
    now = client.get(f"/v1/jobs/{job}").raise_for_status().json()
    if now["status"] in ("queued", "running"):
        return None
    if now["status"] != "succeeded" or now["result"]["classifiers"] != count:
        raise SystemExit(f"the import of {count} classifiers came to {now['status']}: {now['error']}")
    return list(now["result"]["ids"])


def imported(client: httpx2.Client, lines: Lines, first: int, count: int, key: str) -> list[str]:
    """Import so many classifiers and wait; the first of their ids."""
    job = start_import(client, lines, first, count, key)
    while (ids := finished(client, job, count)) is None:
        sleep(_WATCH)
    return ids
