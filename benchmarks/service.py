"""The service beside a bare loop that decodes and encodes the same bytes, and beside a plain handler.

Pictures: one JPEG a request, as its body; the plain FastAPI handler gets it as a form, since that is what one
writes. Caches are off on all sides, so that each picture is decoded and encoded each time. The bare loop has
the service's batch cap and as many threads, and decodes a batch while it encodes the one before; it runs
before each turn of the others, in the same round, and `of bare` is the median of the rounds. Embeddings: one
row as JSON; 64 rows as float32 bytes with top_k=1. The clients are wrk's, on the same cores.

Then, with one client: what HTTP, queue and head add to the median of decoding and encoding one picture, turn
and turn about; and the time from creating a classifier of 10 classes to its first answer, 160 photos sent
in one request, beside the time in which the bare loop sees these photos. That server is set up as it comes;
each round has photos and names that it has not seen.

    python benchmarks/service.py
    python benchmarks/service.py --created    # only created to classified, and nothing written
"""

import argparse
import contextlib
import http.client
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

import httpx2
import numpy as np

import wrk
from bare_loop import BareLoop
from serving import Server, handful_server, photos
from tables import Row, command, print_table, write_result

BATCH = 8  # the service's default
CLASSES, SHOTS, DIMENSION = 10, 16, 512
UNCACHED = {
    "HANDFUL_EMBEDDINGS_CACHE_BYTES": "0",
    "HANDFUL_CACHE_BYTES": "0",
    "HANDFUL_BATCH_IMAGES": str(BATCH),
}
BARS = {
    "throughput of pictures ÷ bare loop, one worker, best of clients": (">=", 0.90),
    "milliseconds added to the median of one picture": ("<=", 3.0),
    "requests/s of one embedding, one worker": (">=", 1000.0),
    "rows/s in 64s as float32 bytes, one worker": (">=", 15_000.0),
    "created to classified ÷ encoder's time": ("<=", 1.15),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--created", action="store_true", help="only the time from created to classified")
    args = parser.parse_args()
    if args.created:
        bare = BareLoop(batch=BATCH, threads=min(8, len(os.sched_getaffinity(0))))
        print(said_of(creations(bare, rounds=15)))
        return
    if not wrk.available():
        sys.exit("wrk is not installed; it is a package of Debian and of Homebrew (apt install wrk)")

    pictures = [path.read_bytes() for path in photos(120)]
    bare = BareLoop(batch=BATCH, threads=min(8, len(os.sched_getaffinity(0))))
    bare.encode(pictures)
    with tempfile.TemporaryDirectory(prefix="handful-bench-") as made, contextlib.ExitStack() as stack:
        folder = Path(made)
        servers = {
            f"handful, {count} worker{'s' * (count > 1)}": stack.enter_context(
                handful_server(folder / f"data-{count}", workers=count, settings=UNCACHED)
            )
            for count in args.workers
        }
        plain_file = str(Path(__file__).with_name("plain_service.py"))
        plain = stack.enter_context(Server([sys.executable, plain_file], folder / "plain.log", UNCACHED))
        classifiers = {name: taught(server) for name, server in servers.items()}
        rows = list(by_pictures(bare, servers, plain, classifiers, pictures, args))
        rows += by_embeddings(servers, classifiers, args)
        first = next(iter(servers))
        served, alone = latencies(bare, servers[first], classifiers[first], pictures)
    created = creations(bare)

    print_table("The service, beside a bare loop and a plain handler", rows)
    figures = bars(rows, first, added=served - alone, creation=median(one.ratio for one in created))
    for name, value in figures.items():
        sign, bar = BARS[name]
        met = value >= bar if sign == ">=" else value <= bar
        print(f"{'met   ' if met else 'MISSED'} {name}: {value:,.2f} ({sign} {bar:,})")
    notes = [
        f"one picture: {served:.2f} ms served, {alone:.2f} ms decoded and encoded, medians",
        said_of(created),
        f"{args.rounds} rounds of {args.seconds:g} s; batch cap {BATCH}; all on the same cores, wrk included",
    ]
    print("\n".join(notes))
    write_result("service", command(), rows, notes, bars=figures)


def by_pictures(
    bare: BareLoop,
    servers: Mapping[str, Server],
    plain: Server,
    classifiers: Mapping[str, str],
    pictures: Sequence[bytes],
    args: argparse.Namespace,
) -> Iterator[Row]:
    """Throughput and latency of pictures: each server right after a turn of the bare loop."""
    targets = {name: (classifiers[name], list(pictures), "image/jpeg") for name in servers}
    form = "multipart/form-data; boundary=handful"
    targets["plain FastAPI handler"] = (f"{plain.url}/classify", [as_form(one) for one in pictures], form)
    for clients in args.clients:
        turns: dict[str, list[tuple[float, wrk.Load]]] = {name: [] for name in targets}
        for at in range(args.rounds):
            for name in islice(cycle(targets), at, at + len(targets)):
                raw = bare.rate(pictures, seconds=args.seconds / 2)
                url, bodies, media_type = targets[name]
                turns[name].append(
                    (raw, wrk.load(url, bodies, media_type, clients=clients, seconds=args.seconds))
                )
        for name, found in turns.items():
            yield row("a picture", clients, name, [load for _, load in found], [raw for raw, _ in found])


def by_embeddings(
    servers: Mapping[str, Server], classifiers: Mapping[str, str], args: argparse.Namespace
) -> Iterator[Row]:
    """Throughput and latency of rows that were encoded elsewhere."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(32, 64, DIMENSION)).astype("<f4")
    single = [
        json.dumps({"embeddings": [[round(float(x), 6) for x in X[at, 0]]]}).encode() for at in range(32)
    ]
    for clients in args.clients:
        for name in servers:
            for what, url, bodies, media_type in (
                ("a row, JSON", classifiers[name], single, "application/json"),
                (
                    "64 rows, bytes",
                    f"{classifiers[name]}?top_k=1",
                    [x.tobytes() for x in X],
                    "application/octet-stream",
                ),
            ):
                loads = [
                    wrk.load(url, bodies, media_type, clients=clients, seconds=args.seconds / 2)
                    for _ in range(args.rounds)
                ]
                yield row(what, clients, name, loads, [])


def row(what: str, clients: int, name: str, loads: Sequence[wrk.Load], raw: Sequence[float]) -> Row:
    """A line of the table: medians of the rounds."""
    return {
        "request": what,
        "clients": clients,
        "server": name,
        "per s": median(load.rate for load in loads),
        "bare, per s": median(raw) if raw else None,
        "of bare": median(load.rate / rate for load, rate in zip(loads, raw, strict=True)) if raw else None,
        **{f"{tail} ms": median(getattr(load, tail) for load in loads) for tail in ("p50", "p95", "p99")},
    }


def latencies(
    bare: BareLoop, server: Server, url: str, pictures: Sequence[bytes], turns: int = 400
) -> tuple[float, float]:
    """Median milliseconds of a picture over HTTP, and of decoding and encoding it here, by turns."""
    served, alone = [], []
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    for data in islice(cycle(pictures), turns):
        begun = perf_counter()
        connection.request("POST", urlsplit(url).path, data, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        answer.read()
        served.append(perf_counter() - begun)
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"{url} answered {answer.status}")
        begun = perf_counter()
        bare.one(data)
        alone.append(perf_counter() - begun)
    connection.close()
    return 1000 * median(served), 1000 * median(alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """Seconds from nothing to shots that are stored, on to the first answer, and of the bare loop."""

    stored: float
    answered: float
    bare: float

    @property
    def ratio(self) -> float:
        return (self.stored + self.answered) / self.bare


def creations(bare: BareLoop, rounds: int = 7) -> list[Creation]:
    """A server of its own makes a classifier in each round; of the first, which warms up, nothing is told."""
    shots = [path.read_bytes() for path in photos(CLASSES * SHOTS)]
    found = []
    with tempfile.TemporaryDirectory(prefix="handful-bench-") as made, contextlib.ExitStack() as stack:
        server = stack.enter_context(handful_server(Path(made) / "data"))
        client = stack.enter_context(httpx2.Client(base_url=server.url, timeout=60))
        for number in range(rounds + 1):
            fresh = [unseen(shot, number) for shot in shots]
            begun = perf_counter()
            there = teach(client, fresh, first=number * CLASSES)
            stored = perf_counter()
            asked = unseen(shots[0], rounds + 1 + number)
            client.post(there, content=asked, headers={"Content-Type": "image/jpeg"}).raise_for_status()
            answered = perf_counter()
            bare.encode(fresh)
            done = perf_counter()
            found.append(Creation(stored=stored - begun, answered=answered - stored, bare=done - answered))
    return found[1:]


def unseen(picture: bytes, number: int) -> bytes:
    """A JPEG with a comment of its own, so that nobody knows it, and the same pixels."""
    comment = f"{number}".encode()
    return picture[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment + picture[2:]


def said_of(created: Sequence[Creation]) -> str:
    """Medians and all ratios, in a line."""
    stored, answered, raw = (
        median(getattr(one, name) for one in created) for name in ("stored", "answered", "bare")
    )
    ratios = ", ".join(f"{one.ratio:.2f}" for one in created)
    return (
        f"created to classified: {stored:.2f} s to store {CLASSES} classes of {SHOTS} photos and "
        f"{answered:.2f} s to answer, bare loop {raw:.2f} s; ratios {ratios}; "
        f"median {median(one.ratio for one in created):.2f}"
    )


def taught(server: Server) -> str:
    """The URL to classify by, of a new classifier."""
    shots = [path.read_bytes() for path in photos(CLASSES * SHOTS)]
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        return f"{server.url}{teach(client, shots)}"


def teach(client: httpx2.Client, shots: Sequence[bytes], first: int = 0) -> str:
    """A classifier of so many shots of each class, from one request. Returns the path to classify by it.

    first : number of its first class.
    """
    made = client.post("/v1/classifiers", json={"name": "benchmark"}).raise_for_status().json()
    there = f"/v1/classifiers/{made['id']}"
    client.post(
        f"{there}/shots",
        data={"label": [f"class {first + at % CLASSES}" for at in range(len(shots))]},
        files=[("files", (f"{at}.jpg", shot, "image/jpeg")) for at, shot in enumerate(shots)],
    ).raise_for_status()
    return f"{there}/classify"


def as_form(picture: bytes) -> bytes:
    """A picture as a browser sends it, with the boundary `handful`."""
    head = b'--handful\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
    return head + b"Content-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--handful--\r\n"


def bars(rows: Sequence[Row], server: str, *, added: float, creation: float) -> dict[str, float]:
    """What was reached, by the name of the bar."""

    def best(what: str, column: str) -> float:
        return max(
            float(str(row[column])) for row in rows if row["server"] == server and row["request"] == what
        )

    reached = best("a picture", "of bare"), added, best("a row, JSON", "per s")
    return dict(zip(BARS, [*reached, 64 * best("64 rows, bytes", "per s"), creation], strict=True))


if __name__ == "__main__":
    main()
