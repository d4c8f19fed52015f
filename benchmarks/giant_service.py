"""One classifier of very many classes through the real service: HTTP, SQLite, one shot to a class.

    python benchmarks/giant_service.py --data FOLDER --sizes 1e5

Classes lie as real ones do (`giant_classes.py`); FOLDER holds the .npz files that `feature_sets.py` tells of.
Columns: seconds to import all shots; to the first answer, which fits the head; until the index is there;
p50 and p99 of a request of one embedding, before and after the index; seconds from an acknowledged shot of a
new class to the first answer that names it, median and worst; of a training that estimates the statistics
anew; memory of the server at the end.
"""

import argparse
import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2
import numpy as np

from giant_classes import GiantClasses
from handful.rows import Rows, unit
from serving import Server, handful_server
from tables import Row, command, print_table, write_result

TOGETHER = 5000  # shots of a request
WRITES = 9
ASKED = 200
PATIENCE = 900.0  # seconds
NOTES = (
    "rows lie as those of the data, the background is the built-in encoder's; client and server share cores"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of .npz, two or more")
    parser.add_argument("--sizes", default="1e5", help="numbers of classes, between commas")
    parser.add_argument("--method", default="auto", help="auto, lda or prototype")
    options = parser.parse_args()
    rows = []
    for size in options.sizes.split(","):
        classes = GiantClasses.like(options.data, int(float(size)))
        with TemporaryDirectory() as folder:
            rows.append(measured(Path(folder), classes, options.method))
    print_table("One giant classifier through the service", rows)
    write_result("giant_service", command(), rows, NOTES)


def measured(folder: Path, classes: GiantClasses, method: str) -> Row:
    """One size."""
    Q, truths = classes.shots(ASKED)
    with started(folder) as (server, http):
        made = {"name": "giant", "method": method, "use_text": False}
        id = http.post("/v1/classifiers", json=made).raise_for_status().json()["id"]
        begun = time.perf_counter()
        for at in range(0, classes.count, TOGETHER):
            add(http, id, classes[at : at + TOGETHER], at)
        imported = time.perf_counter() - begun
        begun = time.perf_counter()
        ask(http, id, Q[0])
        first = time.perf_counter() - begun
        exact = waits(http, id, Q[:20])
        indexes = folder / "data" / "indexes" / "default" / id
        until(lambda: any(one.name[0] != "." for one in indexes.glob("*")))
        indexed = time.perf_counter() - begun
        warm = waits(http, id, Q)
        right = sum(ask(http, id, q) == f"class {truth}" for q, truth in zip(Q, truths, strict=True))
        known = [write(http, id, seed) for seed in range(WRITES)]
        begun = time.perf_counter()
        train(http, id, method)
        trained = time.perf_counter() - begun
        return {
            "classes": classes.count,
            "method": method,
            "import_s": imported,
            "first_answer_s": first,
            "index_s": indexed,
            "exact_p50_ms": 1e3 * median(exact),
            "p50_ms": 1e3 * median(warm),
            "p99_ms": 1e3 * float(np.quantile(warm, 0.99)),
            "right": right / len(Q),
            "write_known_s": median(known),
            "write_known_worst_s": max(known),
            "train_s": trained,
            "memory_gb": server.resident() / 1e9,
        }


@contextmanager
def started(folder: Path) -> Iterator[tuple[Server, httpx2.Client]]:
    settings = {"HANDFUL_TENANT_MAX_CLASSES": "100000000"}
    with (
        handful_server(folder / "data", settings=settings) as server,
        httpx2.Client(base_url=server.url, timeout=PATIENCE) as http,
    ):
        yield server, http


def add(http: httpx2.Client, id: str, rows: Rows, first: int) -> None:
    """A shot for each class from `first` on."""
    shots = [
        {"label": f"class {first + at}", "embedding": base64.b64encode(row.tobytes()).decode()}
        for at, row in enumerate(rows.astype("<f4"))
    ]
    http.post(f"/v1/classifiers/{id}/shots", json=shots).raise_for_status()


def ask(http: httpx2.Client, id: str, q: Rows) -> str:
    """The best class."""
    answer = http.post(
        f"/v1/classifiers/{id}/classify",
        content=q.astype("<f4").tobytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    return str(answer.raise_for_status().json()["predictions"][0]["label"])


def waits(http: httpx2.Client, id: str, Q: Rows) -> list[float]:
    """Seconds of each."""
    took = []
    for q in Q:
        begun = time.perf_counter()
        ask(http, id, q)
        took.append(time.perf_counter() - begun)
    return took


def write(http: httpx2.Client, id: str, seed: int) -> float:
    """Seconds from a new class's acknowledged shot to the answer that names it."""
    row = unit(np.random.default_rng((9, seed)).standard_normal((1, 512))).astype(np.float32)
    label = 1_000_000_000 + seed
    add(http, id, row, label)
    begun = time.perf_counter()
    assert ask(http, id, row[0]) == f"class {label}"
    return time.perf_counter() - begun


def train(http: httpx2.Client, id: str, method: str) -> None:
    """Until the statistics are others, and answer."""
    job = http.post(f"/v1/classifiers/{id}/train", json={"method": method}).raise_for_status().json()["id"]
    until(lambda: http.get(f"/v1/jobs/{job}").json()["status"] not in ("queued", "running"))
    assert http.get(f"/v1/jobs/{job}").json()["status"] == "succeeded"


def until(there: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > end:
            raise SystemExit("gave up waiting")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
