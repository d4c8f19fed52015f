"""1, 2 and 4 processes on one Redis: answers a second, and what Redis adds to an answer over SQLite.

Each process is a `handful serve` of its own on its own port; all share a Redis and the place of the blobs.
Requests are JSON with one embedding, to classifiers of ten classes that were asked before; the clients are
wrk's, shared out over the processes, on the same cores. For the latency one client asks a server with SQLite
and one with Redis by turns, the same classifiers with the same rows. After a write: a shot is added at one
process, and the next answer comes from another, which has to compile the head first.

    python benchmarks/nodes.py --data FOLDER
"""

import argparse
import base64
import http.client
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import numpy as np

import wrk
from loading import Lines, import_files
from redis_process import RedisProcess
from serving import Server, handful_server
from tables import Row, command, print_table, write_result

NODES = (1, 2, 4)
ADDED = 1.0  # ms of the median answer
_CLASSES, _SHOTS = 10, 16
_WRITES = 30
_OK = (http.client.OK, http.client.CREATED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of feature sets")
    parser.add_argument("--classifiers", type=int, default=16)
    parser.add_argument("--clients", type=int, default=16, help="that ask at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=1000, help="answers of each store, by turns")
    args = parser.parse_args()
    if not wrk.available():
        sys.exit("wrk is not installed; it is a package of Debian and of Homebrew (apt install wrk)")
    lines = Lines(args.data, classes=_CLASSES, shots=_SHOTS)
    with tempfile.TemporaryDirectory(prefix="handful-nodes-") as made, ExitStack() as stack:
        folder = Path(made)
        redis = stack.enter_context(RedisProcess(folder / "redis", appendonly="yes", save=""))
        settings = {"HANDFUL_STORE_URL": redis.url, "HANDFUL_BLOBS_URL": str(folder / "blobs")}
        embedded = handful_server(folder / "sqlite")
        nodes = [handful_server(folder / f"node-{at}", settings=settings) for at in range(max(NODES))]
        stack.enter_context(embedded)
        stack.enter_context(nodes[0])
        ids = {server.url: filled(server, lines, args.classifiers) for server in (embedded, nodes[0])}
        rows = [*latencies(embedded, nodes[0], ids, lines, args.turns)]
        embedded.stop()
        started = 1
        for count in NODES:
            for node in nodes[started:count]:
                stack.enter_context(node)
            started = count
            rows.append(throughput(nodes[:count], ids[nodes[0].url], lines, args))
        one = next(row for row in rows if row["what"] == told_of(args.clients, 1))["answers a second"]
        for row in rows:
            if row.get("answers a second") is not None:
                row["÷ one"] = row["answers a second"] / one
        rows.append(after_writes(nodes[0], nodes[1], ids[nodes[0].url], lines))
    columns = ["what", "answers a second", "÷ one", "p50 ms", "p99 ms", "bar", "met"]
    shown = [{column: row.get(column) for column in columns} for row in rows]
    print_table("Processes on one Redis", shown)
    missed = [row["what"] for row in shown if row["met"] is False]
    notes = f"MISSED: {', '.join(map(str, missed))}" if missed else "every bar met"
    print(notes)
    write_result("nodes", command(), shown, notes)


def filled(server: Server, lines: Lines, count: int) -> list[str]:
    """Import so many classifiers; their ids."""
    found: list[str] = []
    import_files(
        server.url, lines, 0, count, name="all", workers=1, done=lambda _file, _count, ids: found.extend(ids)
    )
    return found


def body(lines: Lines, number: int) -> bytes:
    """A request of one embedding."""
    row = lines.query(number).astype("<f4").tobytes()
    return json.dumps({"embeddings": [base64.b64encode(row).decode()]}).encode()


class Asker:
    """One client with one connection."""

    def __init__(self, server: Server) -> None:
        self._port = http.client.HTTPConnection("127.0.0.1", server.port)

    def post(self, path: str, told: bytes) -> float:
        """Milliseconds of a request."""
        begun = perf_counter()
        self._port.request("POST", path, told, {"Content-Type": "application/json"})
        answer = self._port.getresponse()
        said = answer.read()
        if answer.status not in _OK:
            raise SystemExit(f"POST {path} answered {answer.status}: {said[:500]!r}")
        return 1000 * (perf_counter() - begun)


def latencies(
    embedded: Server, node: Server, ids: dict[str, list[str]], lines: Lines, turns: int
) -> list[Row]:
    """Of one client, by turns."""
    askers = {server.url: Asker(server) for server in (embedded, node)}
    spent: dict[str, list[float]] = {url: [] for url in askers}
    bodies = [body(lines, number) for number in range(len(ids[node.url]))]
    for turn in range(-len(bodies), turns):  # each head is in memory after the first ones
        for url, asker in askers.items():
            at = turn % len(bodies)
            took = asker.post(f"/v1/classifiers/{ids[url][at]}/classify", bodies[at])
            if turn >= 0:
                spent[url].append(took)
    p50 = {url: float(np.median(took)) for url, took in spent.items()}
    added = p50[node.url] - p50[embedded.url]
    return [
        {"what": "one client, SQLite", **_percentiles(spent[embedded.url])},
        {"what": "one client, Redis", **_percentiles(spent[node.url])},
        {"what": "added by Redis", "p50 ms": added, "bar": ADDED, "met": added <= ADDED},
    ]


def throughput(nodes: Sequence[Server], ids: Sequence[str], lines: Lines, args: argparse.Namespace) -> Row:
    """Of many clients, shared out over the processes; the median of the rounds."""
    share = max(args.clients // len(nodes), 1)

    def one(at: int) -> wrk.Load:
        url = f"{nodes[at].url}/v1/classifiers/{ids[at]}/classify"
        return wrk.load(url, [body(lines, at)], "application/json", clients=share, seconds=args.seconds)

    loads: list[list[wrk.Load]] = []
    with ThreadPoolExecutor(len(nodes)) as pool:
        for _ in range(args.rounds):
            loads.append(list(pool.map(one, range(len(nodes)))))
    rates = [sum(load.rate for load in some) for some in loads]
    all_loads = [load for some in loads for load in some]
    return {
        "what": told_of(args.clients, len(nodes)),
        "answers a second": float(np.median(rates)),
        "p50 ms": float(np.median([load.p50 for load in all_loads])),
        "p99 ms": float(np.median([load.p99 for load in all_loads])),
    }


def told_of(clients: int, nodes: int) -> str:
    """What a row of the table is called."""
    return f"{clients} clients, {nodes} process{'' if nodes == 1 else 'es'}"


def after_writes(first: Server, second: Server, ids: Sequence[str], lines: Lines) -> Row:
    """The answer of a process after a write at another."""
    writer, reader = Asker(first), Asker(second)
    spent = []
    for turn in range(_WRITES):
        at = turn % len(ids)
        row = base64.b64encode(lines.query(1000 + turn).astype("<f4").tobytes()).decode()
        shots = json.dumps([{"label": "class 0", "embedding": row}]).encode()
        writer.post(f"/v1/classifiers/{ids[at]}/shots", shots)
        spent.append(reader.post(f"/v1/classifiers/{ids[at]}/classify", body(lines, at)))
    return {"what": "one client, another process after a write", **_percentiles(spent)}


def _percentiles(spent: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(spent, (50, 99))
    return {"p50 ms": float(p50), "p99 ms": float(p99)}


if __name__ == "__main__":
    main()
