"""Many classifiers for benchmarks: lines of real embeddings with noise, and their import over HTTP."""

import base64
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
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
_LARGEST_FILE = 512 * 2**20  # bytes of lines in one request
_PATIENCE = 900.0  # seconds that a request may take; a file is half a gigabyte
_WATCH = 0.2  # seconds between looks at a job


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


def import_files(
    url: str,
    lines: Lines,
    first: int,
    count: int,
    *,
    name: str,
    workers: int,
    largest: int = 20_000,
    there: Container[str] = (),
    done: Callable[[str, int, list[str]], None],
) -> None:
    """Import so many classifiers in files, one more under way at a time than there are workers.

    name : of the whole; a file is called by it and its first number, and is sent once, however often it is
    asked for.    largest : classifiers of a file.    there : files to leave out.
    done : hears of each file its name, its classifiers and the first of their ids.
    """
    size = min(largest, max(_LARGEST_FILE // len(lines.line(0)), 1), -(-count // workers))

    def one(start: int) -> None:
        here, key = min(size, first + count - start), f"{name} {start}"
        if key in there:
            return
        with httpx2.Client(base_url=url, timeout=_PATIENCE) as client:
            sent = client.post(
                "/v1/import",
                content=lines.chunks(start, here),
                headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": key},
            )
            done(key, here, _finished(client, str(sent.raise_for_status().json()["id"]), here))

    with ThreadPoolExecutor(workers + 1) as pool:
        list(pool.map(one, range(first, first + count, size)))


def _finished(client: httpx2.Client, job: str, count: int) -> list[str]:
    """Wait for an import; the first of its ids."""
    while True:
        now = client.get(f"/v1/jobs/{job}").raise_for_status().json()
        if now["status"] not in ("queued", "running"):
            break
        sleep(_WATCH)
    if now["status"] != "succeeded" or now["result"]["classifiers"] != count:
        raise SystemExit(f"the import of {count} classifiers came to {now['status']}: {now['error']}")
    return list(now["result"]["ids"])
