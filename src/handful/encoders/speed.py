"""How fast an encoder is on this machine, and what memory it takes: measured in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful.encoders.base import Encoder
from handful.encoders.load import load_encoder
from handful.errors import EncoderError
from handful.pixels import Pixels
from handful.settings import Settings

SIDES = (480, 640)  # pixels of the pictures that are encoded
_LONGEST = 20.0  # seconds of one figure, after which fewer pictures must do
_TEXTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Of one encoder, with the threads and devices it was given. Pictures are decoded already."""

    name: str
    precision: str
    threads: int | None  # None: one per core
    providers: tuple[str, ...]
    fingerprint: str
    pictures_per_second: float  # many at once
    pictures_per_second_alone: float  # one after another
    texts_per_second: float
    memory_bytes: int | None  # largest of the process; None where the system does not tell
    load_seconds: float  # to the first picture and the first text
    pictures: int  # that were encoded at once
    measured: float  # seconds since 1970

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        return asdict(self)


def measured(spec: str, *, settings: Settings, pictures: int) -> Speed:
    """Start a process that encodes, and wait for what it finds.

    Raises EncoderError for an encoder that cannot be loaded.
    """
    asked = {
        "spec": spec,
        "pictures": pictures,
        "settings": settings.model_dump(mode="json", exclude_unset=True),
    }
    command = [sys.executable, "-m", "handful.encoders.speed"]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    try:
        said = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EncoderError(
            f"measuring {spec} ended with {done.returncode}: {last}; memory may be short"
        ) from None
    if "error" in said:
        raise EncoderError(str(said["error"]))
    return Speed(**{**said, "providers": tuple(said["providers"])})


def of(encoder: Encoder, *, pictures: int, load_seconds: float, settings: Settings) -> Speed:
    """Measure an encoder in this process."""
    seen = [_picture(number) for number in range(pictures)]
    texts = [f"a photo of a thing, number {number}." for number in range(_TEXTS)]
    return Speed(
        name=encoder.name,
        precision=settings.encoder_precision,
        threads=settings.encoder_threads,
        providers=settings.encoder_providers,
        fingerprint=encoder.fingerprint,
        pictures_per_second=_rate(lambda: encoder.encode_images(seen), len(seen), rounds=3),
        pictures_per_second_alone=_rate(lambda: encoder.encode_images(seen[:1]), 1, rounds=pictures),
        texts_per_second=_rate(lambda: encoder.encode_texts(texts), len(texts), rounds=3),
        memory_bytes=_most_memory(),
        load_seconds=load_seconds,
        pictures=pictures,
        measured=time.time(),
    )


def _rate(work: Callable[[], object], count: int, *, rounds: int) -> float:
    """Per second, in the fastest round: whatever else the machine did only ever takes time."""
    fastest, begun = float("inf"), time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
        if time.perf_counter() - begun > _LONGEST:
            break
    return count / fastest


def _picture(number: int) -> Pixels:
    """Noise over a slope, another for each number."""
    noise = np.random.default_rng(number).integers(0, 128, (*SIDES, 3), dtype=np.uint8)
    slope = np.linspace(0, 127, SIDES[1], dtype=np.uint8)[None, :, None]
    return noise + slope


def _most_memory() -> int | None:
    """Bytes. `getrusage` would count the process that started this one, too."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """What `measured` starts: JSON in, JSON out."""
    asked = json.load(sys.stdin)
    settings = Settings(**asked["settings"])
    start = time.perf_counter()
    try:
        encoder = load_encoder(asked["spec"], settings=settings, cached=False)
        encoder.encode_images([_picture(0)])
        encoder.encode_texts(["a photo."])
    except EncoderError as exc:
        sys.stdout.write(json.dumps({"error": str(exc)}))
        return
    speed = of(
        encoder,
        pictures=asked["pictures"],
        load_seconds=time.perf_counter() - start,
        settings=settings,
    )
    sys.stdout.write(json.dumps(speed.as_dict()))


if __name__ == "__main__":
    main()
