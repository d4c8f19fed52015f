"""What is done to a server that is about to be killed, and what it acknowledged. See `service_kill.py`."""

import base64
import io
import random
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx2

DIMENSION = 512
_TRAINED_SHOTS = 8  # of each class that training is given
_PATIENCE = 30.0  # seconds for an answer


@dataclass(slots=True)
class Written:
    """One request with shots: all under a label of its own, so that what came of it can be counted."""

    label: str
    key: str
    body: list[dict[str, object]]
    ids: list[str] | None = None  # acknowledged


@dataclass(slots=True)
class Ledger:
    """What was asked in a round, and what was acknowledged."""

    shots: str = ""  # the classifier that shots are sent to
    imported: str = ""  # the one of archives
    trained: str = ""
    written: list[Written] = field(default_factory=list)
    deleting: set[str] = field(default_factory=set)  # asked
    deleted: set[str] = field(default_factory=set)  # acknowledged
    archives: dict[str, int] = field(default_factory=dict)  # pictures in it, by the job
    unanswered_archives: int = 0  # pictures in archives whose job is not known
    lines: list[str] = field(default_factory=list)  # jobs
    trainings: list[str] = field(default_factory=list)  # jobs
    exports: int = 0
    busy: dict[str, bool] = field(default_factory=dict)  # whether an actor waited for an answer at the kill
    refused: list[str] = field(default_factory=list)  # answers that should not have been


def prepare(client: httpx2.Client, rng: random.Random) -> Ledger:
    """Three empty classifiers, the last with shots to train on."""
    names = ("shots", "imported", "trained")
    made = [client.post("/v1/classifiers", json={"name": name}).raise_for_status().json() for name in names]
    ledger = Ledger(**{name: one["id"] for name, one in zip(names, made, strict=True)})
    rows = [
        {"label": f"class {label}", "embedding": row(rng)}
        for label in range(2)
        for _ in range(_TRAINED_SHOTS)
    ]
    client.post(f"/v1/classifiers/{ledger.trained}/shots", json=rows).raise_for_status()
    return ledger


def actors(url: str, ledger: Ledger, photos: Sequence[bytes], seed: int) -> list[threading.Thread]:
    """Threads that write and read until the server is gone."""
    acts: dict[str, Callable[[httpx2.Client, Ledger, Sequence[bytes], random.Random], None]] = {
        "shots": send_shots,
        "more shots": send_shots,
        "archive": send_archive,
        "lines": send_lines,
        "training": train,
        "export": export,
    }

    def run(name: str, number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        with httpx2.Client(base_url=url, timeout=_PATIENCE) as client:
            try:
                while True:
                    ledger.busy[name] = True
                    acts[name](client, ledger, photos, rng)
                    ledger.busy[name] = False
            except httpx2.TransportError:
                return  # killed
            except httpx2.HTTPStatusError as exc:
                ledger.refused.append(f"{name}: {exc.response.status_code} {exc.response.text[:300]}")

    return [threading.Thread(target=run, args=(name, number), name=name) for number, name in enumerate(acts)]


def send_shots(client: httpx2.Client, ledger: Ledger, photos: Sequence[bytes], rng: random.Random) -> None:
    """One to four shots, pictures and rows; now and then delete one that was acknowledged."""
    label = f"request {rng.getrandbits(48):x}"
    count = rng.randint(1, 4)
    body = [
        {"label": label, "image": base64.b64encode(rng.choice(photos)).decode()}
        if rng.random() < 0.4
        else {"label": label, "embedding": row(rng)}
        for _ in range(count)
    ]
    written = Written(label=label, key=f"{rng.getrandbits(64):x}", body=body)
    ledger.written.append(written)
    there = f"/v1/classifiers/{ledger.shots}/shots"
    answer = client.post(there, json=body, headers={"Idempotency-Key": written.key}).raise_for_status()
    written.ids = [shot["id"] for shot in answer.json()["shots"]]
    if rng.random() < 0.3:
        gone = rng.choice(written.ids)
        ledger.deleting.add(gone)
        client.delete(f"{there}/{gone}").raise_for_status()
        ledger.deleted.add(gone)


def send_archive(client: httpx2.Client, ledger: Ledger, photos: Sequence[bytes], rng: random.Random) -> None:
    """A zip of class folders; then wait for its job."""
    count = rng.randint(2, 12)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for at in range(count):
            archive.writestr(f"class {at % 2}/{at}.jpg", rng.choice(photos))
    ledger.unanswered_archives += count
    answer = client.post(
        f"/v1/classifiers/{ledger.imported}/shots",
        content=buffer.getvalue(),
        headers={"Content-Type": "application/zip"},
    ).raise_for_status()
    job = answer.json()["id"]
    ledger.archives[job] = count
    ledger.unanswered_archives -= count
    finished(client, job)


def send_lines(client: httpx2.Client, ledger: Ledger, photos: Sequence[bytes], rng: random.Random) -> None:
    """Lines of classifiers with shots; then wait for the job."""
    shots = ", ".join(f'{{"label": "a", "embedding": {row(rng)}}}' for _ in range(2))
    lines = "".join(f'{{"name": "line {at}", "shots": [{shots}]}}\n' for at in range(20))
    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.post("/v1/import", content=lines.encode(), headers=headers).raise_for_status()
    ledger.lines.append(answer.json()["id"])
    finished(client, ledger.lines[-1])


def train(client: httpx2.Client, ledger: Ledger, photos: Sequence[bytes], rng: random.Random) -> None:
    """Train a head; then wait for it."""
    answer = client.post(
        f"/v1/classifiers/{ledger.trained}/train", json={"method": "tip-f"}
    ).raise_for_status()
    ledger.trainings.append(answer.json()["id"])
    finished(client, ledger.trainings[-1])


def export(client: httpx2.Client, ledger: Ledger, photos: Sequence[bytes], rng: random.Random) -> None:
    """Export a classifier that others write to; what came whole has to be a sound zip."""
    answer = client.get(f"/v1/classifiers/{ledger.shots}/export").raise_for_status()
    broken = zipfile.ZipFile(io.BytesIO(answer.content)).testzip()
    if broken is not None:
        ledger.refused.append(f"export: {broken} is damaged")
    ledger.exports += 1


def finished(client: httpx2.Client, job: str) -> dict[str, object]:
    """The job, once it has come to its end."""
    while True:
        found: dict[str, object] = client.get(f"/v1/jobs/{job}").raise_for_status().json()
        if found["status"] in ("succeeded", "failed", "cancelled"):
            return found
        threading.Event().wait(0.02)


def row(rng: random.Random) -> list[float]:
    """An embedding; short, since it travels as text."""
    return [rng.randint(-9, 9) + 0.5 for _ in range(DIMENSION)]
