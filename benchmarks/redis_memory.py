"""Bytes of Redis for each trained class, beside float32 tensors and a key for each shot.

Classifiers are imported as lines through `handful serve`, words left aside; `used_memory` is read before and
--wait seconds after, once nothing waits to be folded. The same shots are written to an empty server of the
same program in two other ways: as tensors, as the first prototype kept them (a key with N×D float32 and one
with the N×C labels, one-hot in float32, for each classifier), and as a hash for each shot (label and D×
float32). Points are those of top-1 that the head loses that is kept, of halves and in a byte for each number,
beside one in float32 of float32 rows: all test pictures of the drawn classes, mean of the sets and seeds.

    python benchmarks/redis_memory.py --data FOLDER                                  (100,000 classes each)
    python benchmarks/redis_memory.py --data FOLDER --classes 2000 --wait 2 --seeds 1   (roughly)
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import sleep

import httpx2
import numpy as np
import redis

from feature_sets import FeatureSet, read_sets
from handful import fit_head
from handful.adapters import Head
from handful.rows import unit
from loading import Lines, import_files
from redis_process import RedisProcess
from serving import handful_server
from tables import Row, command, print_table, write_result

BYTES = 1024.0  # of a class, in classifiers of ten
POINTS = 0.2  # of top-1
_PATIENCE = 60.0
_COMPARED = 200  # classifiers that are written in the other ways
_REPLIES = 100
_WATCH = 0.2


@dataclass(frozen=True, slots=True)
class Case:
    """Classifiers of a kind."""

    method: str
    classes: int
    shots: int

    def __str__(self) -> str:
        return f"{self.method}, {self.classes} × {self.shots}"


CASES = [
    Case("auto", 10, 1),
    Case("auto", 10, 16),
    Case("auto", 100, 1),
    Case("auto", 100, 16),
    Case("lda", 10, 1),
    Case("lda", 10, 16),
    Case("prototype", 10, 1),
    Case("prototype", 10, 16),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of feature sets")
    parser.add_argument("--classes", type=int, default=100_000, help="of each case")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds after the last write")
    parser.add_argument("--seeds", type=int, default=5, help="draws of classes and shots, for top-1")
    parser.add_argument("--workers", type=int, default=2, help="processes of the service")
    args = parser.parse_args()
    sets = read_sets(args.data)
    with tempfile.TemporaryDirectory(prefix="handful-memory-") as made:
        rows, reply = kept(args, Path(made))
        for row in rows:
            case = row["case"]
            row |= others(Path(made) / "others", Lines(args.data, classes=case.classes, shots=case.shots))
            row["points"] = lost_points(case, sets, args.seeds)
    shown = [told(row) for row in rows]
    print_table("Bytes of Redis for a class", shown)
    missed = [row["what"] for row in shown if row["met"] is False]
    notes = [
        f"MISSED: {', '.join(map(str, missed))}" if missed else "every bar met",
        f"beside it, for each answer under an Idempotency-Key, kept for 24 hours: {reply:,.0f} bytes",
    ]
    print("; ".join(notes))
    write_result("redis_memory", command(), shown, notes)


def told(row: dict[str, object]) -> Row:
    """A row of the table."""
    case, bytes_, points = row["case"], float(str(row["bytes"])), float(str(row["points"]))
    assert isinstance(case, Case)
    met = abs(points) <= POINTS and (case.classes != 10 or bytes_ <= BYTES)
    tensors, hashes = float(str(row["tensors"])), float(str(row["hashes"]))
    return {
        "what": str(case),
        "classes": int(str(row["count"])),
        "bytes a class": bytes_,
        "as tensors": tensors,
        "as hashes": hashes,
        "tensors ÷": tensors / bytes_,
        "hashes ÷": hashes / bytes_,
        "points lost": points,
        "met": met,
    }


def kept(args: argparse.Namespace, folder: Path) -> tuple[list[dict[str, object]], float]:
    """What the service takes for classifiers of each case; and bytes of an answer under a key."""
    rows: list[dict[str, object]] = []
    with RedisProcess(folder / "redis", save="", appendonly="no") as store:
        settings = {"HANDFUL_STORE_URL": store.url}
        with (
            handful_server(folder / "data", workers=args.workers, settings=settings) as server,
            httpx2.Client(base_url=server.url, timeout=_PATIENCE) as client,
        ):
            first = 0
            for case in (Case("auto", 10, 2), *CASES):  # the first brings what connections and scripts take
                lines = Lines(args.data, classes=case.classes, shots=case.shots, method=case.method)
                before, count = store.used(), -(-(args.classes if first else 100) // case.classes)
                import_files(
                    server.url,
                    lines,
                    first,
                    count,
                    name=f"case {first}",
                    workers=args.workers,
                    done=lambda *_: None,
                )
                after = settled(store, args.wait)
                first += count
                if first == count:
                    continue
                print(f"{case}: {(after - before) / count / case.classes:,.0f} bytes a class", flush=True)
                size = (after - before) / (count * case.classes)
                rows.append({"case": case, "count": count * case.classes, "bytes": size})
            for at in range(_REPLIES):
                named = {"Idempotency-Key": f"reply {at}"}
                client.post("/v1/classifiers", json={"name": "one"}, headers=named).raise_for_status()
            with redis.Redis(port=store.port) as own:
                replies = list(own.scan_iter("hf:{default}:reply:reply *", count=1000))
                reply = sum(own.memory_usage(key) for key in replies) / len(replies)
    return rows, reply


def settled(store: RedisProcess, wait: float) -> int:
    """`used_memory` once nothing waits to be folded."""
    sleep(wait)
    while store.ask("ZCARD", "hf:{tails}"):
        sleep(_WATCH)
    return store.used()


def others(folder: Path, lines: Lines) -> dict[str, object]:
    """Bytes of a class as tensors, and as a hash for each shot."""
    sizes: dict[str, object] = {}
    supports = [lines.support(number) for number in range(_COMPARED)]
    classes = sum(int(y.max()) + 1 for _, y in supports)
    for way in ("tensors", "hashes"):
        with RedisProcess(folder, save="", appendonly="no") as store, redis.Redis(port=store.port) as client:
            client.ping()
            before = store.used()
            pipe = client.pipeline(transaction=False)
            for number, (X, y) in enumerate(supports):
                if way == "tensors":
                    one_hot = np.eye(int(y.max()) + 1, dtype="<f4")[y]
                    pipe.set(f"cache:{number:08}:keys", X.astype("<f4").tobytes())
                    pipe.set(f"cache:{number:08}:values", one_hot.tobytes())
                    continue
                for at, (row, label) in enumerate(zip(X.astype("<f4"), y.tolist(), strict=True)):
                    shot = {"label": f"class {label}", "embedding": row.tobytes()}
                    pipe.hset(f"cache:{number:08}:shot:{at:08}", mapping=shot)
            pipe.execute()
            sizes[way] = (store.used() - before) / classes
    return sizes


def lost_points(case: Case, sets: list[FeatureSet], seeds: int) -> float:
    """Points of top-1 between a head of float32 and the one that is kept."""
    losses = []
    for seed in range(seeds):
        for own in sets:
            if own.class_count < case.classes:
                continue
            rng = np.random.default_rng(seed)
            chosen = rng.permutation(own.class_count)[: case.classes]
            place = np.full(own.class_count, -1)
            place[chosen] = np.arange(case.classes)
            shots = own.shots(case.shots, seed)
            shots = shots[place[own.pool_labels[shots]] >= 0]
            asked = place[own.test_labels] >= 0
            X, y = own.pool[shots], place[own.pool_labels[shots]]
            exact = fit_head(case.method, X, y, class_count=case.classes, background=own.background)
            halves = np.asarray(unit(X.astype(np.float16).astype(np.float32)), np.float32)
            made = fit_head(case.method, halves, y, class_count=case.classes, background=own.background)
            stored = Head.from_bytes(made.compact().to_bytes(), own.background)
            truth = place[own.test_labels[asked]]
            right = [
                (head.scores(own.test[asked]).argmax(axis=1) == truth).mean() for head in (exact, stored)
            ]
            losses.append(100 * (right[0] - right[1]))
    return float(np.mean(losses))


if __name__ == "__main__":
    main()
