"""Ten million classes as a million classifiers of ten, in one Redis: memory, loading, answers, restarts.

Classifiers are made by the real way: files of lines sent to POST /v1/import of `handful serve`, whose rows
are those of the feature sets with noise, and whose words are left aside. Redis writes its log each second.

- bytes of Redis for each class: what `used_memory` grew by, once nothing waits to be folded;
- classify: one embedding, over one connection; cold is a classifier that nobody asked before, warm the same
  again;
- pages of 100 classifiers in order, one after the other; classifiers opened, and deleted;
- seconds until Redis has its data again from its log and from a snapshot, and until the service is ready.

All of it lies in --folder, and a run that was stopped goes on there: files that were imported are not sent
again. With 200 classifiers of 16 shots, loaded after the others.

    python benchmarks/scale_many.py --data FOLDER --classifiers 2000
    python benchmarks/scale_many.py --data FOLDER --folder FOLDER --classifiers 1000000
"""

import argparse
import http.client
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import perf_counter, sleep
from typing import Any

import numpy as np

from loading import Lines, import_files
from redis_process import RedisProcess
from serving import Server, handful_server
from tables import Row, command, print_table, write_result

CLASSES = 10
MEMORY = 12 * 2**30 / 10_000_000  # bytes of Redis for a class: ten million within 12 GiB
COLD, WARM = 15.0, 5.0  # ms, p99
RATES = {1: 2000.0, 16: 500.0}  # classes a second, by shots
_FOLDED = 30.0  # seconds after the last write
_WATCH = 0.2
_PAGES, _DELETED = 100, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of feature sets")
    parser.add_argument("--folder", type=Path, help="where all of it lies; default: a temporary one")
    parser.add_argument("--classifiers", type=int, default=2000)
    parser.add_argument("--more", type=int, default=200, help="classifiers of 16 shots, loaded last")
    parser.add_argument("--lines", type=int, default=20_000, help="classifiers of a file, at most")
    parser.add_argument("--workers", type=int, default=2, help="processes of the service")
    parser.add_argument("--turns", type=int, default=1000, help="classifiers that are asked")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="handful-many-") as made:
        folder = args.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        state = State(folder / "state.json", {"classifiers": args.classifiers, "more": args.more})
        rows = measured(args, folder, state)
    print_table(f"{args.classifiers:,} classifiers of {CLASSES} classes", rows, digits=1)
    missed = [row["what"] for row in rows if row["met"] is False]
    notes = f"MISSED: {', '.join(map(str, missed))}" if missed else "every bar met"
    print(notes)
    write_result("scale_many", command(), rows, notes, loaded=state["loads"])


class State:
    """What a stopped run has to know, in a file."""

    def __init__(self, file: Path, sizes: dict[str, int]) -> None:
        self._file = file
        self._lock = Lock()
        self._told: dict[str, Any] = {"sizes": sizes, "files": {}, "loads": {}, "used": None, "gone": 0}
        if file.exists():
            self._told = json.loads(file.read_text())
            if self._told["sizes"] != sizes:
                raise SystemExit(f"{file.parent} holds a run of {self._told['sizes']}; give another folder")

    def __getitem__(self, name: str) -> Any:
        return self._told[name]

    def note(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change it, on the disk too."""
        with self._lock:
            change(self._told)
            draft = self._file.with_suffix(".part")
            draft.write_text(json.dumps(self._told))
            draft.replace(self._file)


def measured(args: argparse.Namespace, folder: Path, state: State) -> list[Row]:
    """Load what is not loaded yet, and measure."""
    redis = RedisProcess(folder / "redis", appendonly="yes", appendfsync="everysec", save="")
    with redis:
        server = handful_server(
            folder / "data", workers=args.workers, settings={"HANDFUL_STORE_URL": redis.url}
        )
        with server:
            if state["used"] is None:
                used = redis.used()
                state.note(lambda told: told.update(used=used))
            lines = Lines(args.data, classes=CLASSES, shots=1)
            load(server, lines, args, state, "1 shot", first=0, count=args.classifiers)
            if "memory" not in state["loads"]["1 shot"]:
                memory = settled(redis) - state["used"]
                state.note(lambda told: told["loads"]["1 shot"].update(memory=memory))
            many = Lines(args.data, classes=CLASSES, shots=16)
            load(server, many, args, state, "16 shots", first=args.classifiers, count=args.more)
            if "memory" not in state["loads"]["16 shots"]:
                memory = settled(redis) - state["used"] - state["loads"]["1 shot"]["memory"]
                state.note(lambda told: told["loads"]["16 shots"].update(memory=memory))
            answers = asking(server, lines, args, state)
            resident = server.resident()
            server.stop()
            restarts = restarting(redis)
            restarts.append(row("service ready again, s", server.start()))
        log = sum(file.stat().st_size for file in (folder / "redis" / "appendonlydir").iterdir())
    return [
        *loaded(state),
        *answers,
        *restarts,
        row("log of Redis, GB", log / 1e9),
        row("memory of the service, MB", resident / 1e6),
    ]


def row(what: str, value: float, bar: float | None = None, *, least: bool = False) -> Row:
    """A row of the table.    least : the bar is to be reached, not to be kept under."""
    met = None if bar is None else (value >= bar if least else value <= bar)
    return {"what": what, "value": value, "bar": bar, "met": met}


# ---- loading


def load(
    server: Server, lines: Lines, args: argparse.Namespace, state: State, name: str, *, first: int, count: int
) -> None:
    """Import so many classifiers, unless an earlier run has."""
    before = state["loads"].get(name, {"seconds": 0.0, "classifiers": 0})
    if before["classifiers"] == count:
        return
    begun, done = perf_counter(), 0

    def note(file: str, made: int, ids: list[str]) -> None:
        def change(told: dict[str, Any]) -> None:
            nonlocal done
            done += made
            told["files"][file] = ids
            told["loads"][name] = {
                "seconds": before["seconds"] + perf_counter() - begun,
                "classifiers": before["classifiers"] + done,
            }

        state.note(change)
        rate = CLASSES * done / (perf_counter() - begun)
        print(
            f"{name}: {before['classifiers'] + done:,} of {count:,}, {rate:,.0f} classes a second", flush=True
        )

    import_files(
        server.url,
        lines,
        first,
        count,
        name=name,
        workers=args.workers,
        largest=args.lines,
        there=state["files"],
        done=note,
    )


def settled(redis: RedisProcess) -> int:
    """`used_memory` once nothing waits to be folded any more."""
    sleep(_FOLDED)
    while redis.ask("ZCARD", "hf:{tails}"):
        sleep(_WATCH)
    return redis.used()


def loaded(state: State) -> list[Row]:
    """Rates, and bytes of a class."""
    rows = []
    for name, told in state["loads"].items():
        classes = told["classifiers"] * CLASSES
        shots = int(name.split()[0])
        rate, size = classes / told["seconds"], told["memory"] / classes
        rows.append(row(f"classes loaded a second, {name}", rate, RATES[shots], least=True))
        rows.append(row(f"bytes of Redis for a class, {name}", size, MEMORY))
    return rows


# ---- asking


def asking(server: Server, lines: Lines, args: argparse.Namespace, state: State) -> list[Row]:
    """Milliseconds of requests, one after the other over one connection."""
    known = {
        (int(key.split()[-1]) + at): id
        for key, ids in state["files"].items()
        if key.startswith("1 shot")
        for at, id in enumerate(ids)
        if id is not None  # deleted by an earlier run
    }
    numbers = random.Random(state["gone"]).sample(sorted(known), len(known))
    gone, rest = numbers[:_DELETED], numbers[_DELETED : _DELETED + args.turns]
    port = http.client.HTTPConnection("127.0.0.1", server.port)

    def timed(verb: str, path: str, body: bytes | None = None) -> tuple[float, bytes]:
        begun = perf_counter()
        port.request(verb, path, body, {"Content-Type": "application/octet-stream"} if body else {})
        answer = port.getresponse()
        told = answer.read()
        spent = 1000 * (perf_counter() - begun)
        if answer.status not in (http.client.OK, http.client.NO_CONTENT):
            raise SystemExit(f"{verb} {path} answered {answer.status}: {told[:500]!r}")
        return spent, told

    spent: dict[str, list[float]] = {}
    for number in rest:
        path, query = f"/v1/classifiers/{known[number]}/classify", lines.query(number).astype("<f4").tobytes()
        spent.setdefault("classify, cold", []).append(timed("POST", path, query)[0])
        spent.setdefault("classify, warm", []).append(timed("POST", path, query)[0])
        spent.setdefault("open one", []).append(timed("GET", f"/v1/classifiers/{known[number]}")[0])
    cursor = ""
    for _ in range(_PAGES):
        took, told = timed("GET", f"/v1/classifiers?limit=100{cursor}")
        spent.setdefault("list a page of 100", []).append(took)
        following = json.loads(told)["next_cursor"]
        cursor = f"&cursor={following}" if following else ""
    for number in gone:
        spent.setdefault("delete one", []).append(timed("DELETE", f"/v1/classifiers/{known[number]}")[0])
    left = {known[number] for number in gone}

    def change(told: dict[str, Any]) -> None:
        told["gone"] += len(left)
        told["files"] = {
            key: [None if id in left else id for id in ids] for key, ids in told["files"].items()
        }

    state.note(change)
    bars = {"classify, cold": COLD, "classify, warm": WARM}
    return [
        row(f"{what}, p{at} ms", float(np.percentile(found, at)), bars.get(what) if at == 99 else None)
        for what, found in spent.items()
        for at in (50, 99)
    ]


# ---- restarting


def restarting(redis: RedisProcess) -> list[Row]:
    """Seconds until Redis has loaded its data: from its log, and from a snapshot."""
    held = redis.ask("DBSIZE")
    begun = perf_counter()
    redis.ask("SAVE")
    saved = perf_counter() - begun
    snapshot = (redis.folder / "dump.rdb").stat().st_size
    redis.stop()
    by_snapshot = redis.start(appendonly="no")
    if redis.ask("DBSIZE") != held:
        raise SystemExit(f"of {held} keys the snapshot brought {redis.ask('DBSIZE')}")
    redis.stop()
    by_log = redis.start()
    if redis.ask("DBSIZE") != held:
        raise SystemExit(f"of {held} keys the log brought {redis.ask('DBSIZE')}")
    return [
        row("Redis again from its log, s", by_log),
        row("Redis again from a snapshot, s", by_snapshot),
        row("snapshot written in, s", saved),
        row("snapshot, GB", snapshot / 1e9),
    ]


if __name__ == "__main__":
    main()
