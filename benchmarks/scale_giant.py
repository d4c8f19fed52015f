"""One classifier of up to ten million classes: `handful.retrieval.ClassIndex` at 10², 10⁴, 10⁶, 10⁷ rows.

    python benchmarks/scale_giant.py --data FOLDER [--sizes 1e2,1e4,1e6,1e7] [--folder WORK] [--threads 2]

--data holds sets of embeddings (`feature_sets`), which `giant_classes` makes classes like. Rows go to a file
of halves in the working folder, then an index of them is built; both go on where they were cut off. 500
queries, shots of random classes, are answered exactly by a look at every row, then by a fresh process that
opens the index: time until its first answer, agreement of the best and of the best five with the exact ones,
one query at a time when warm (p50, p99 of 2,000), resident memory, and the same while 10,000 rows are added
and 1,000 removed. Then a file is taken away: opening has to refuse, and the index is built again (of more
than 10⁶ rows only with --rebuild; it is the same work as the first time). Sizes that were measured before in
the working folder are shown too.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np

from giant_classes import GiantClasses
from handful.errors import RetrievalError
from handful.retrieval import ClassIndex
from handful.rows import IntArray, Rows
from tables import Row, command, print_table, write_result

QUERIES, ASKED, K = 500, 2000, 5
ADDED, REMOVED, AT_ONCE = 10_000, 1_000, 100
_BLOCK = 65_536  # rows that are written or looked at together
_REBUILT = 1_000_000  # rows up to which an index is always built again


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of .npz, two or more")
    parser.add_argument("--sizes", default="1e2,1e4,1e6", help="numbers of classes, between commas")
    parser.add_argument("--folder", type=Path, default=Path("giant"), help="working folder; 16 GB for 1e7")
    parser.add_argument("--threads", type=int, default=2, help="that build and search")
    parser.add_argument("--rebuild", action="store_true", help="build also large indexes again after a loss")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)  # the fresh process
    options = parser.parse_args()
    if options.serve is not None:
        print(json.dumps(served(options.serve, options.threads)))
        return
    if options.data is None:
        parser.error("--data names the folder of embeddings")
    for size in (int(float(text)) for text in options.sizes.split(",") if text):
        measure(options, options.folder / f"{size:.0e}".replace("+0", ""), size)
    results = sorted(options.folder.glob("*/result.json"))
    rows: list[Row] = sorted(
        (json.loads(path.read_bytes()) for path in results), key=lambda row: row["classes"]
    )
    print_table("One classifier, searched in two stages", rows, digits=3)
    first, last = rows[0], rows[-1]
    growth = float(last["p50 ms"]) / float(first["p50 ms"])
    times = last["classes"] / first["classes"]
    notes = [
        f"p50 grows {growth:.0f}-fold while the number of classes grows {times:,.0f}-fold.",
        "top-1, top-5: how many of the exact best are found. accuracy: how often the exact best is right.",
        f"Load average at the end, other processes included: {os.getloadavg()[1]:.1f}.",
    ]
    print(*notes, sep="\n")
    print(write_result("scale_giant", command(), rows, notes))


def measure(options: argparse.Namespace, folder: Path, size: int) -> None:
    """One size, its result to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = GiantClasses.like(options.data, size)
    rows = written(classes, folder / "rows.f16")
    took = built(rows, folder / "index", options.threads)
    truth = exact(classes, rows, folder / "truth.npz")
    np.save(folder / "fresh.npy", classes.shots(ADDED, seed=2)[0])  # classes of one shot, to be added
    fresh = subprocess.run(
        [sys.executable, __file__, "--serve", str(folder), "--threads", str(options.threads)],
        check=True,
        stdout=subprocess.PIPE,
    )
    result = {"classes": size, "build s": took} | json.loads(fresh.stdout)
    result["accuracy"] = float((truth["positions"][:, 0] == truth["classes"]).mean())
    result["rebuild s"] = None
    if lost(folder / "index", keep=size > _REBUILT and not options.rebuild):
        result["rebuild s"] = built(rows, folder / "index", options.threads, anew=True)
    (folder / "result.json").write_text(json.dumps(result, indent=1))


def written(classes: GiantClasses, path: Path) -> np.memmap:
    """The rows in a file of halves; goes on after the last whole block."""
    count, dimension = classes.shape
    row_bytes = 2 * dimension
    done = path.stat().st_size // (row_bytes * _BLOCK) * _BLOCK if path.exists() else 0
    done = count if path.exists() and path.stat().st_size == count * row_bytes else done
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(done * row_bytes)
        file.seek(0, os.SEEK_END)
        for at in range(done, count, _BLOCK):
            file.write(classes[at : at + _BLOCK].astype(np.float16).tobytes())
            say(f"{min(at + _BLOCK, count):,} of {count:,} rows made")
    return np.memmap(path, np.float16, "r", shape=(count, dimension))


def built(rows: np.memmap, folder: Path, threads: int, *, anew: bool = False) -> float:
    """Seconds that the build took, all its parts together."""
    told = folder.with_name("build.json")
    spent = json.loads(told.read_bytes()) if told.exists() and not anew else {"seconds": 0.0, "done": False}
    if spent["done"]:
        return float(spent["seconds"])
    before, started = spent["seconds"], time.perf_counter()

    shown = -1

    def progress(count: int) -> None:
        nonlocal shown
        if count == shown:
            return
        shown = count
        spent["seconds"] = before + time.perf_counter() - started
        told.write_text(json.dumps(spent))
        say(f"{count:,} of {len(rows):,} rows in the index after {spent['seconds']:,.0f} s")

    ClassIndex.build(rows, folder, threads=threads, progress=progress).close()
    spent |= {"seconds": before + time.perf_counter() - started, "done": True}
    told.write_text(json.dumps(spent))
    return float(spent["seconds"])


def exact(classes: GiantClasses, rows: np.memmap, path: Path) -> dict[str, np.ndarray]:
    """Queries, their classes, and the best five positions and scores, by a look at every row."""
    if path.exists():
        return dict(np.load(path))
    Q, own = classes.shots(QUERIES)
    positions, scores = np.zeros((len(Q), 0), np.int64), np.zeros((len(Q), 0), np.float32)
    started = time.perf_counter()
    for at in range(0, len(rows), _BLOCK):
        said = Q @ rows[at : at + _BLOCK].astype(np.float32).T
        best = np.argpartition(-said, min(K, said.shape[1] - 1), axis=1)[:, :K]
        positions = np.concatenate([positions, best + at], axis=1)
        scores = np.concatenate([scores, np.take_along_axis(said, best, axis=1)], axis=1)
        order = np.argsort(-scores, axis=1)[:, :K]
        positions, scores = np.take_along_axis(positions, order, 1), np.take_along_axis(scores, order, 1)
    say(f"{len(Q)} queries answered exactly in {time.perf_counter() - started:.0f} s")
    truth = {"Q": Q, "classes": own, "positions": positions, "scores": scores}
    np.savez(path, **truth)
    return truth


def served(folder: Path, threads: int) -> Row:
    """What a process measures that has just started."""
    truth = dict(np.load(folder / "truth.npz"))
    Q: Rows = truth["Q"]
    started = time.perf_counter()
    index = ClassIndex.open(folder / "index", threads=threads)
    index.search(Q[:1], K)
    opened = time.perf_counter() - started
    positions, scores = index.search(Q, K)  # and warm
    calm = asked(index, Q, ASKED)
    own = np.take_along_axis(truth["scores"], np.zeros((len(Q), 1), int), axis=1)[:, 0]
    agrees = positions[:, 0] == truth["positions"][:, 0]
    files = sum(path.stat().st_size for path in (folder / "index").iterdir())
    changed, adds = changes(index, Q, np.load(folder / "fresh.npy"))
    return {
        "open s": opened,
        "top-1": float(agrees.mean()),
        "top-5": float(
            np.mean(
                [
                    len(np.intersect1d(a, b)) / a.size
                    for a, b in zip(positions, truth["positions"], strict=True)
                ]
            )
        ),
        "score error": float(np.abs(scores[:, 0] - own)[agrees].max()),
        "p50 ms": calm[0],
        "p99 ms": calm[1],
        "changing p99": changed,
        "adds/s": adds,
        "B/class": files / (index.positions - ADDED),
        "RSS GB": resident() / 1e9,
        "files GB": files / 1e9,
    }


def asked(index: ClassIndex, Q: Rows, number: int) -> tuple[float, float]:
    """p50 and p99 in ms of one query at a time."""
    took = []
    for at in range(number):
        started = time.perf_counter()
        index.search(Q[at % len(Q)][None], K)
        took.append(time.perf_counter() - started)
    return tuple(1e3 * np.percentile(took, [50, 99]))


def changes(index: ClassIndex, Q: Rows, fresh: Rows) -> tuple[float, float]:
    """p99 in ms while rows are added and removed, and how many were added in a second; all in memory only.

    Raises AssertionError where additions are not found by themselves, or a removed row is.
    """
    given: list[IntArray] = []
    spent = 0.0
    over = Event()

    def change() -> None:
        nonlocal spent
        for at in range(0, ADDED, AT_ONCE):
            started = time.perf_counter()
            given.append(index.add(fresh[at : at + AT_ONCE]))
            index.remove(given[-1][: AT_ONCE * REMOVED // ADDED])
            spent += time.perf_counter() - started
            time.sleep(0.005)
        over.set()

    took = []
    changing = Thread(target=change)
    changing.start()
    at = 0
    while not over.is_set():
        started = time.perf_counter()
        index.search(Q[at % len(Q)][None], K)
        took.append(time.perf_counter() - started)
        at += 1
    changing.join()
    positions = np.concatenate(given)
    found, _ = index.search(fresh, 1)
    gone = np.concatenate([own[: AT_ONCE * REMOVED // ADDED] for own in given])
    left = ~np.isin(positions, gone)
    assert not np.isin(found, gone).any(), "a removed row was found"
    assert (found[left, 0] == positions[left]).mean() >= 0.99, "additions were not found"
    return float(1e3 * np.percentile(took, 99)), ADDED / spent


def lost(folder: Path, *, keep: bool) -> bool:
    """Take a file away, which has to be noticed; whether it is gone for good."""
    path = sorted(folder.glob("values-*"))[-1]
    aside = folder.with_name(path.name)
    path.rename(aside)
    try:
        ClassIndex.open(folder)
    except RetrievalError as exc:
        say(f"refused: {exc}")
    else:
        raise SystemExit("an index without one of its files was opened")
    if keep:
        aside.rename(path)
    else:
        aside.unlink()
    return not keep


def resident() -> int:
    """Bytes of this process in memory, mapped files included."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmRSS:")[1].split()[0]) * 1024


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
