"""SIGKILL to `handful serve` at random moments, while it is written to and read from over HTTP.

A round: six clients send shots (pictures and rows, and delete some), archives, lines of classifiers, train
and export, until the server is killed. Then it is started again as it is, and asked:

- is every acknowledged shot there, its picture whole, and every deleted one gone?
- are of a request that was never answered all shots there, or none, and after sending it again with its
  Idempotency-Key each once?
- do the counts of classifier and classes agree with the list?
- has every job come to its end, with all it was to make or with an error that says why not?
- does the classifier answer?

At the end all classifiers of all rounds are counted once more. Exits 1 for anything lost or half-written.

    python benchmarks/service_kill.py --rounds 200
"""

import argparse
import contextlib
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from statistics import median

import httpx2
from PIL import Image

from kill_actors import Ledger, actors, finished, prepare
from serving import Server, handful_server, photos
from tables import command, print_table, write_result

SETTINGS = {"HANDFUL_JOB_LEASE_SECONDS": "1"}  # so that what was killed is taken up at once
_SOONEST, _LATEST = 0.02, 1.5  # seconds from the first request to the kill
_SHOTS_OF_A_PAGE = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-result", action="store_true", help="print only")
    args = parser.parse_args()

    rng = random.Random(args.seed)
    pictures = [path.read_bytes() for path in photos(60)]
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    expected: dict[str, int] = {}
    starts: list[float] = []
    with tempfile.TemporaryDirectory(prefix="handful-kill-") as made, contextlib.ExitStack() as stack:
        server = handful_server(Path(made) / "data", workers=args.workers, settings=SETTINGS)
        stack.callback(server.kill)
        try:
            server.start()
            for at in range(args.rounds):
                for fault in one_round(server, rng, pictures, counts, expected, starts):
                    wrong.append(f"round {at}: {fault}")
                    print(wrong[-1], file=sys.stderr, flush=True)
                counts["rounds"] += 1
        except KeyboardInterrupt:
            print("stopped; what follows is of the rounds so far", file=sys.stderr)
            server.kill()
            server.start()
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            wrong += counted_again(client, expected)
        server.stop()
    rows = [{"what": name, "count": count} for name, count in sorted(counts.items())]
    rows.append({"what": "lost or half-written", "count": len(wrong)})
    print_table("SIGKILL at random moments", rows)
    notes = [f"started again in {median(starts):.2f} s, the median; longest {max(starts):.2f} s", *wrong[:20]]
    print("\n".join(notes))
    if not args.no_result:
        write_result("service_kill", command(), rows, notes)
    return 1 if wrong else 0


def one_round(
    server: Server,
    rng: random.Random,
    pictures: list[bytes],
    counts: Counter[str],
    expected: dict[str, int],
    starts: list[float],
) -> list[str]:
    """Ask, kill, start again; what is wrong afterwards."""
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        ledger = prepare(client, rng)
    threads = actors(server.url, ledger, pictures, rng.getrandbits(32))
    for thread in threads:
        thread.start()
    threading.Event().wait(rng.uniform(_SOONEST, _LATEST))
    server.kill()
    for thread in threads:
        thread.join()
    counts.update(f"killed during: {name}" for name, busy in ledger.busy.items() if busy)
    starts.append(server.start())
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        return list(faults(client, ledger, counts, expected))


def faults(
    client: httpx2.Client, ledger: Ledger, counts: Counter[str], expected: dict[str, int]
) -> Iterator[str]:
    """What is wrong after the restart."""
    yield from ledger.refused
    yield from shot_faults(client, ledger, counts)
    yield from job_faults(client, ledger, counts)
    for id in (ledger.shots, ledger.imported, ledger.trained):
        yield from count_faults(client, id)
        expected[id] = len(shots_of(client, id))
    counts["exports that came whole"] += ledger.exports


def shot_faults(client: httpx2.Client, ledger: Ledger, counts: Counter[str]) -> Iterator[str]:
    there = f"/v1/classifiers/{ledger.shots}/shots"
    by_id = {shot["id"]: shot for shot in shots_of(client, ledger.shots)}
    for written in ledger.written:
        own = {id for id, shot in by_id.items() if shot["label"] == written.label}
        if written.ids is not None:
            counts["shots acknowledged"] += len(written.ids)
            lost = set(written.ids) - own - ledger.deleting
            if lost or own - set(written.ids):
                yield f"{written.label}: acknowledged {written.ids}, there are {sorted(own)}"
            continue
        counts["requests with shots that were not answered"] += 1
        if len(own) not in (0, len(written.body)):
            yield f"{written.label}: {len(own)} of {len(written.body)} shots are there"
        counts["of these, written all the same"] += bool(own)
        again = client.post(there, json=written.body, headers={"Idempotency-Key": written.key})
        ids = {shot["id"] for shot in again.json()["shots"]} if again.is_success else set()
        if len(ids) != len(written.body) or not own <= ids:
            yield f"{written.label}: sent again, it was answered {again.status_code} {again.text[:200]}"
    yield from (f"{id} was deleted, and is there" for id in ledger.deleted & by_id.keys())
    counts["deletions acknowledged"] += len(ledger.deleted)
    pictured = {
        id
        for written in ledger.written
        for id, sent in zip(written.ids or (), written.body, strict=False)
        if "image" in sent and id in by_id
    }
    for id in pictured:
        answer = client.get(f"{there}/{id}/image")
        try:
            Image.open(BytesIO(answer.content)).load()
        except OSError as exc:
            yield f"the picture of {id} is broken: {answer.status_code} {exc}"
    counts["kept pictures looked at"] += len(pictured)
    if by_id:
        asked = client.post(f"/v1/classifiers/{ledger.shots}/classify", json={"embeddings": [[1.0] * 512]})
        if not asked.is_success:
            yield f"asked after the restart, it answers {asked.status_code} {asked.text[:200]}"


def job_faults(client: httpx2.Client, ledger: Ledger, counts: Counter[str]) -> Iterator[str]:
    for job in [*ledger.archives, *ledger.lines, *ledger.trainings]:
        ended = finished(client, job)
        counts[f"jobs {ended['status']}"] += 1
        if ended["status"] != "succeeded" and not ended["error"]:
            yield f"job {job} is {ended['status']} and does not say why"
        if ended["status"] == "failed":
            yield f"job {job} failed: {ended['error']}"
        result = ended["result"]
        if job in ledger.archives and isinstance(result, dict) and result["shots"] != ledger.archives[job]:
            yield f"job {job} made {result['shots']} of {ledger.archives[job]} shots"
    held = len(shots_of(client, ledger.imported))
    least = sum(ledger.archives.values())
    if not least <= held <= least + ledger.unanswered_archives:
        yield f"{least} shots were to be imported, {held} are there"
    if ledger.trainings:
        answer = client.get(f"/v1/classifiers/{ledger.trained}/versions").raise_for_status().json()
        if not any(one["active"] and one["method"] == "tip-f" for one in answer["items"]):
            yield f"no trained head is active: {answer}"


def count_faults(client: httpx2.Client, id: str) -> Iterator[str]:
    shown = client.get(f"/v1/classifiers/{id}").raise_for_status().json()
    listed = Counter(shot["label"] for shot in shots_of(client, id))
    said = {one["name"]: one["shots"] for one in shown["classes"]}
    if shown["shots"] != listed.total() or any(listed[name] != count for name, count in said.items()):
        yield f"classifier {id} counts {shown['shots']} shots, {said}; listed are {listed}"


def counted_again(client: httpx2.Client, expected: dict[str, int]) -> Iterator[str]:
    """What of earlier rounds is not as it was."""
    for id, count in expected.items():
        shown = client.get(f"/v1/classifiers/{id}").raise_for_status().json()
        if shown["shots"] != count:
            yield f"classifier {id} had {count} shots, and has {shown['shots']}"


def shots_of(client: httpx2.Client, id: str) -> list[dict[str, str]]:
    """All shots of a classifier."""
    found: list[dict[str, str]] = []
    cursor = None
    while True:
        query = {"limit": str(_SHOTS_OF_A_PAGE), **({"cursor": cursor} if cursor else {})}
        page = client.get(f"/v1/classifiers/{id}/shots", params=query).raise_for_status().json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


if __name__ == "__main__":
    sys.exit(main())
