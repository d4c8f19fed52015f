"""Mixed reads and writes at 80 % of what the service can take: errors, times, and what becomes of its memory.

First the classifier grows to the size that it keeps, and the same mix is asked by as many clients as it takes
to keep the service busy: that is its capacity. Then requests come at 80 % of that rate, at random times,
whether or not earlier ones are answered. The cache of embeddings is a small one: it fills before memory is
measured, which would otherwise still grow by what a cache is meant to take. Of 20 requests: 12 classify a
picture, 2 a row, 1 explains, 1 lists, 2 add a shot, 1 deletes the oldest, 1 makes and deletes a classifier.
So what is kept stays of one size, and memory that grows is lost. Exits 1 for an error, and where memory in
the last minute is more than 3 % above that in the third.

    python benchmarks/service_soak.py --minutes 10
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter, deque
from pathlib import Path
from statistics import mean, median, quantiles
from time import perf_counter

import httpx2

from serving import Server, handful_server, photos
from tables import command, print_table, write_result

CLASSES, SHOTS, DIMENSION = 6, 16, 512
LOAD = 0.8  # of the capacity
GROWTH = 0.03  # of memory, at most
_CLIENTS = 16  # that find out the capacity
_SETTINGS = {"HANDFUL_EMBEDDINGS_CACHE_BYTES": "8MiB"}  # some 3,500 pictures: a minute or so
_MIX = [
    *["classify a picture"] * 12,
    *["classify a row"] * 2,
    "explain",
    "list",
    *["add a shot"] * 2,
    "delete a shot",
    "make and delete a classifier",
]
_MOST_SHOTS = 48  # added ones that are there at once; above, one more is deleted


class Visitors:
    """Ask for all sorts of things, and note how it went."""

    def __init__(
        self, client: httpx2.AsyncClient, there: str, pictures: list[bytes], added: deque[str]
    ) -> None:
        self._client = client
        self._there = there
        self._pictures = pictures
        self._rng = random.Random(0)
        self._added = added
        self.seconds: dict[str, list[float]] = {what: [] for what in dict.fromkeys(_MIX)}
        self.errors: Counter[str] = Counter()

    async def one(self) -> None:
        """One request, or two that belong together."""
        what = self._rng.choice(_MIX)
        if what == "delete a shot" and not self._added:
            what = "add a shot"
        begun = perf_counter()
        try:
            await self.do(what)
        except httpx2.HTTPStatusError as exc:
            self.errors[f"{what}: {exc.response.status_code} {exc.response.text[:200]}"] += 1
        except httpx2.TransportError as exc:
            self.errors[f"{what}: {type(exc).__name__}"] += 1
        self.seconds[what].append(perf_counter() - begun)

    async def do(self, what: str) -> None:
        """A request of that kind. Raises what the client raises."""
        picture = self._rng.choice(self._pictures) + self._rng.randbytes(8)  # never seen before
        row = [self._rng.gauss(0, 1) for _ in range(DIMENSION)] if what == "classify a row" else []
        match what:
            case "classify a picture":
                await self._post("/classify", content=picture, headers={"Content-Type": "image/jpeg"})
            case "classify a row":
                await self._post("/classify", json={"embeddings": [row]})
            case "explain":
                jpeg = {"Content-Type": "image/jpeg"}
                await self._post("/classify?explain=true", content=picture, headers=jpeg)
            case "list":
                (await self._client.get(f"{self._there}/shots?limit=20")).raise_for_status()
            case "add a shot":
                label = f"class {self._rng.randrange(CLASSES)}"
                files = [("files", ("a.jpg", picture, "image/jpeg"))]
                made = await self._post("/shots", data={"label": label}, files=files)
                self._added.append(made.json()["shots"][0]["id"])
                if len(self._added) > _MOST_SHOTS:
                    await self._delete_a_shot()
            case "delete a shot":
                await self._delete_a_shot()
            case _:
                made = await self._client.post("/v1/classifiers", json={"name": "passing"})
                id = made.raise_for_status().json()["id"]
                (await self._client.delete(f"/v1/classifiers/{id}")).raise_for_status()

    async def _post(self, path: str, **more: object) -> httpx2.Response:
        answer = await self._client.post(f"{self._there}{path}", **more)  # type: ignore[arg-type]
        return answer.raise_for_status()

    async def _delete_a_shot(self) -> None:
        shot = self._added.popleft()
        (await self._client.delete(f"{self._there}/shots/{shot}")).raise_for_status()


async def capacity(visitors: Visitors, *, seconds: float) -> float:
    """Requests per second while the service is never idle."""
    done = 0
    until = perf_counter() + seconds

    async def visit() -> None:
        nonlocal done
        while perf_counter() < until:
            await visitors.one()
            done += 1

    await asyncio.gather(*(visit() for _ in range(_CLIENTS)))
    return done / seconds


async def steadily(visitors: Visitors, server: Server, *, rate: float, seconds: float) -> list[float]:
    """Requests at random times, so many a second; memory in MiB, once a second."""
    rng = random.Random(1)
    memory: list[float] = []
    begun = perf_counter()
    due = begun
    async with asyncio.TaskGroup() as group:
        while (now := perf_counter()) - begun < seconds:
            if len(memory) <= now - begun:
                memory.append(await asyncio.to_thread(server.resident) / 2**20)
            group.create_task(visitors.one())
            due += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - perf_counter()))
    return memory


async def soak(server: Server, args: argparse.Namespace) -> tuple[Visitors, float, float, list[float]]:
    pictures = [path.read_bytes() for path in photos(CLASSES * SHOTS)]
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        made = await client.post("/v1/classifiers", json={"name": "soak"})
        there = f"/v1/classifiers/{made.raise_for_status().json()['id']}"
        taught = await client.post(
            f"{there}/shots",
            data={"label": [f"class {at % CLASSES}" for at in range(len(pictures))]},
            files=[("files", (f"{at}.jpg", one, "image/jpeg")) for at, one in enumerate(pictures)],
        )
        taught.raise_for_status()
        added: deque[str] = deque()
        first = Visitors(client, there, pictures, added)
        while len(added) < _MOST_SHOTS:
            await first.do("add a shot")
        most = await capacity(first, seconds=args.capacity_seconds)
        if first.errors:
            sys.exit(f"errors while the capacity was measured: {first.errors.most_common(3)}")
        visitors = Visitors(client, there, pictures, added)
        begun = perf_counter()
        memory = await steadily(visitors, server, rate=LOAD * most, seconds=60 * args.minutes)
        return visitors, most, perf_counter() - begun, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--capacity-seconds", type=float, default=20)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="handful-soak-") as made,
        handful_server(Path(made) / "data", workers=args.workers, settings=_SETTINGS) as server,
    ):
        visitors, most, took, memory = asyncio.run(soak(server, args))
    minute = max(1, min(60, len(memory) // 4))
    third = mean(memory[2 * minute : 3 * minute])
    last = mean(memory[-minute:])
    rows = [
        {
            "request": what,
            "count": len(spent),
            "p50 ms": 1000 * median(spent),
            "p95 ms": 1000 * quantiles(spent, n=20)[-1],
            "p99 ms": 1000 * quantiles(spent, n=100)[-1],
        }
        for what, spent in visitors.seconds.items()
        if len(spent) > 1
    ]
    print_table(f"{took / 60:.1f} minutes at {LOAD:.0%} of {most:.0f} requests a second", rows)
    errors = sum(visitors.errors.values())
    notes = [
        f"errors: {errors}"
        + "".join(f"; {what} x {count}" for what, count in visitors.errors.most_common(5)),
        f"memory: {third:.1f} MiB in the third minute, {last:.1f} MiB in the last: {last / third - 1:+.1%} "
        f"(at most {GROWTH:+.0%})",
    ]
    print("\n".join(notes))
    figures = {"capacity, requests per s": most, "errors": errors, "memory, MiB by second": memory}
    write_result("service_soak", command(), rows, notes, minutes=args.minutes, **figures)
    return 1 if errors or last / third - 1 > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
