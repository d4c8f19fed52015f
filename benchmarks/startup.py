"""How soon it answers: importing, starting, and whether 10,000 classifiers make it slower than 10.

Import and start are medians of several processes. Cold: the files of the environment and of the package
are dropped from the system's memory before (where that can be asked for), and the data folder is new. Ready:
`/readyz` is 200, so the encoder is warm, too. List is a page of 10 classifiers; open is one at random;
classify is one row, by a classifier at random: the first time, when its head is read, and again.
All over one connection, by turns between the server with few and the one with many classifiers.

    python benchmarks/startup.py
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import httpx2
import numpy as np

import handful
from serving import Server, handful_server
from tables import Row, command, print_table, write_result

READY = 3.0  # seconds to a warm start, at most
FEW = 10
_CLASSES, _SHOTS, _DIMENSION = 3, 4, 512
_PAGE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--many", type=int, default=10_000, help="classifiers")
    parser.add_argument("--rounds", type=int, default=5, help="processes that are started")
    parser.add_argument("--turns", type=int, default=300, help="requests of each kind")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="handful-startup-") as made:
        folder = Path(made)
        starts = list(starting(folder, args.rounds))
        with (
            handful_server(folder / "few") as few,
            handful_server(folder / "many") as many,
        ):
            sizes = {fill(server, count): server for server, count in ((few, FEW), (many, args.many))}
            rows = [*starts, *asking(sizes, args.turns)]
            many.stop()
            again = many.start()
    rows.append({"what": "serve to ready, many", "seconds": again})
    warm = next(row for row in rows if row["what"] == "serve to ready, warm")
    columns = ["what", "seconds", "few, ms", "many, ms", "many ÷ few"]
    rows = [{column: row.get(column) for column in columns} for row in rows]
    print_table("Starting, and many classifiers", rows)
    met = float(str(warm["seconds"])) <= READY
    reached = "met" if met else "MISSED"
    notes = f"{reached}: ready within {READY:.0f} s of a warm start; few are {FEW}, many {args.many:,}"
    print(notes)
    write_result("startup", command(), rows, notes)


def starting(folder: Path, rounds: int) -> list[Row]:
    """Seconds to import, and to be ready."""
    imports, colds, warms = [], [], []
    for at in range(rounds):
        colds.append(once(folder / f"cold-{at}", cold=True))
        warms.append(once(folder / "warm", cold=False))
        begun = perf_counter()
        subprocess.run([sys.executable, "-c", "import handful"], check=True)
        bare = perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        imports.append(2 * bare - begun - perf_counter())
    return [
        {"what": "import handful, over a bare Python", "seconds": median(imports)},
        {"what": "serve to ready, cold", "seconds": median(colds)},
        {"what": "serve to ready, warm", "seconds": median(warms[1:] or warms)},
    ]


def once(folder: Path, *, cold: bool) -> float:
    """Start a server, stop it, and say how long it took to be ready."""
    if cold:
        forget_files()
    server = handful_server(folder)
    took = server.start()
    server.stop()
    return took


def forget_files() -> None:
    """Ask the system to read the package and its environment from disk again."""
    if not hasattr(os, "posix_fadvise"):
        return
    for root in (Path(handful.__file__).parent, Path(np.__file__).parents[1]):
        for path in root.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill(server: Server, count: int) -> int:
    """Import so many classifiers of a few classes and shots. Returns the count."""
    rng = np.random.default_rng(count)
    with httpx2.Client(base_url=server.url, timeout=600) as client:
        job = client.post(
            "/v1/import",
            content=(line(rng, at) for at in range(count)),
            headers={"Content-Type": "application/x-ndjson"},
        )
        id = job.raise_for_status().json()["id"]
        while (now := client.get(f"/v1/jobs/{id}").json())["status"] in ("queued", "running"):
            sleep(0.2)
    if now["status"] != "succeeded" or now["result"]["classifiers"] != count:
        raise SystemExit(f"the import of {count} classifiers came to {now}")
    return count


def line(rng: np.random.Generator, at: int) -> bytes:
    """A classifier with its shots, as a line of JSON."""
    shots = [
        {"label": f"class {label}", "embedding": [round(float(x), 3) for x in rng.normal(size=_DIMENSION)]}
        for label in range(_CLASSES)
        for _ in range(_SHOTS)
    ]
    return json.dumps({"name": f"classifier {at}", "use_text": False, "shots": shots}).encode() + b"\n"


def asking(servers: dict[int, Server], turns: int) -> list[Row]:
    """Median milliseconds of each kind of request, of few and of many classifiers, by turns."""
    spent: dict[str, dict[int, list[float]]] = {}
    ids = {count: all_ids(server) for count, server in servers.items()}
    ports = {count: http.client.HTTPConnection("127.0.0.1", server.port) for count, server in servers.items()}
    rng = random.Random(0)
    row = json.dumps({"embeddings": [[rng.gauss(0, 1) for _ in range(_DIMENSION)]]})

    def timed(what: str, count: int, verb: str, path: str, body: str | None = None) -> None:
        begun = perf_counter()
        ports[count].request(verb, path, body, {"Content-Type": "application/json"} if body else {})
        answer = ports[count].getresponse()
        answer.read()
        spent.setdefault(what, {}).setdefault(count, []).append(perf_counter() - begun)
        if answer.status != http.client.OK:
            raise SystemExit(f"{verb} {path} answered {answer.status}")

    asked = {count: rng.sample(own, min(FEW, len(own))) for count, own in ids.items()}
    for at in range(FEW):
        for count in servers:
            path = f"/v1/classifiers/{asked[count][at]}/classify"
            timed("classify a row, the first time", count, "POST", path, row)
    for _ in range(turns):
        for count in servers:
            id = rng.choice(asked[count])
            timed("list a page", count, "GET", f"/v1/classifiers?limit={FEW}")
            timed("open one", count, "GET", f"/v1/classifiers/{rng.choice(ids[count])}")
            timed("classify a row, again", count, "POST", f"/v1/classifiers/{id}/classify", row)
    few, many = servers
    return [
        {
            "what": what,
            "few, ms": 1000 * median(found[few]),
            "many, ms": 1000 * median(found[many]),
            "many ÷ few": median(found[many]) / median(found[few]),
        }
        for what, found in spent.items()
    ]


def all_ids(server: Server) -> list[str]:
    """Ids of all classifiers, page by page."""
    found: list[str] = []
    cursor = None
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        while True:
            query = {"limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            page = client.get("/v1/classifiers", params=query).raise_for_status().json()
            found += [one["id"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


if __name__ == "__main__":
    main()
