"""Make the files of a release that every later one has to read: tests/golden/<name>.

    python scripts/make_golden.py 0.1
    python scripts/make_golden.py head-2 heads      (heads and backgrounds alone)

Run it where a format or a rule gets a new version, and never again under the same name: the files are to
stay as the build of their day wrote them, and what it answered stands beside them in answers.json. Heads,
backgrounds and the classifier are the same from run to run; ids and times in the rest are not.
"""

import asyncio
import importlib.util
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import handful
from handful.adapters.methods import METHODS
from handful.background import Background
from handful.rows import unit
from handful.service.answers import Asked
from handful.service.classifiers import NewClass, NewClassifier
from handful.service.new_shots import NewShot
from handful.service.service import Service, open_service
from handful.settings import Settings
from handful.storage.backup import backup

TESTS = Path(__file__).parents[1] / "tests"
COLOURS = {"red": (200, 30, 30), "green": (30, 190, 40), "blue": (20, 40, 210)}
DIMENSION, SHOTS = 10, 4  # of heads
RNG = np.random.default_rng(8)  # one stream: what comes later depends on what comes before


def main() -> None:
    folder = TESTS / "golden" / sys.argv[1]
    folder.mkdir(parents=True)
    answers = {"heads": heads(folder)}
    if sys.argv[2:] != ["heads"]:
        answers |= {"classifier": classifier(folder), "service": asyncio.run(service(folder))}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
    print(f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()):,} bytes in {folder}")


def heads(folder: Path) -> dict[str, Any]:
    """Backgrounds, and full and compact heads of every method, with what they answer."""
    backgrounds = {
        "plain": Background.fit(RNG.normal(0.4, 1, (40, DIMENSION))),
        "anchored": Background.fit(
            RNG.normal(0.4, 1, (40, DIMENSION)), ridge=1.0, anchors=RNG.normal(0, 1, (5, DIMENSION))
        ),
    }
    for name, background in backgrounds.items():
        (folder / f"background-{name}").write_bytes(background.to_bytes())
    kinds = [(method, "plain") for method in METHODS] + [("auto", "anchored"), ("auto", None)]
    y = np.repeat(np.arange(3), SHOTS)
    X = unit(np.eye(3, DIMENSION)[y] + 0.25 * RNG.standard_normal((len(y), DIMENSION)))
    text = np.eye(3, DIMENSION) + 0.1
    Q = unit(np.eye(3, DIMENSION)[[0, 1, 2, 0, 1]] + 0.4 * RNG.standard_normal((5, DIMENSION)))
    told: dict[str, Any] = {"Q": Q.tolist(), "files": {}}
    for method, name in kinds:
        background = backgrounds[name] if name else None
        head = handful.fit_head(method, X, y, class_count=3, text=text, background=background)
        for kind, made in (("full", head), ("compact", head.compact())):
            file = f"head-{method}-{name or 'alone'}-{kind}"
            (folder / file).write_bytes(made.to_bytes())
            judged = made.judged(Q)
            told["files"][file] = {
                "background": name and f"background-{name}",
                "rule": made.rule,
                "scores": judged.scores.tolist(),
                "probabilities": judged.probabilities.tolist(),
                "known": judged.known.tolist(),
            }
    return told


def classifier(folder: Path) -> dict[str, Any]:
    """A saved classifier of an encoder of colours."""
    pictures, labels = zip(*[(picture(name), name) for name in COLOURS for _ in range(3)], strict=True)
    taught = handful.FewShotClassifier(encoder=tiny_encoder()).fit(list(pictures), list(labels))
    with tempfile.TemporaryDirectory() as place:
        taught.save(Path(place) / "saved")
        zipped(Path(place) / "saved", folder / "classifier.zip")
    Q = rows(5)
    answer = taught.classify_embeddings(Q)
    return {
        "Q": Q.tolist(),
        "answers": [[one.label, one.known, one.confidences] for one in answer],
    }


async def service(folder: Path) -> dict[str, Any]:
    """The data folder of a service, a backup of it, and a package of one of its classifiers."""
    Q = rows(5)
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        async with open_service(Settings(data_dir=data), tiny_encoder()) as opened:
            colours = await colours_of(opened)
            trained = await trained_of(opened)
            told = {"Q": Q.tolist()}
            for name, id in (("colours", colours), ("trained", trained)):
                answer = await opened.answers.classify("default", id, Asked(rows=Q), top_k=9)
                told[name] = {
                    "id": id,
                    "version": answer.version,
                    "answers": [[p.label, p.known, p.confidences] for p in answer.predictions],
                }
                await opened.heads.settled("default", id)
            package = b"".join([part async for part in await opened.transfer.export("default", colours)])
            (folder / "package.zip").write_bytes(package)
            await backup(opened.store, opened.blobs, Path(place) / "backup")
        zipped(data, folder / "data.zip")
        zipped(Path(place) / "backup", folder / "backup.zip")
    return told


async def colours_of(opened: Service) -> str:
    """A classifier with pictures, words, and a class that was renamed."""
    classes = (NewClass(name="sky", description="over us", prompts=("blue",)), NewClass(name="yellow"))
    new = NewClassifier(name="colours", domain="paint", classes=classes)
    view = await opened.classifiers.create("default", new)
    shots = [
        NewShot(label=name, image=picture(name), group=f"walk {at}", metadata={"at": at}, pointer="")
        for name in COLOURS
        for at in range(3)
    ]
    await opened.shots.add("default", view.record.id, shots)
    await opened.classes.rename("default", view.record.id, "green", "grass")
    return view.record.id


async def trained_of(opened: Service) -> str:
    """A classifier of embeddings with a trained head, which became stale since."""
    new = NewClassifier(name="trained", method="tip-f", use_text=False)
    id = (await opened.classifiers.create("default", new)).record.id
    shots = [NewShot(label=name, row=rows(1, of=name)[0], pointer="") for name in COLOURS for _ in range(4)]
    await opened.shots.add("default", id, shots)
    job = await opened.jobs.submit("default", "train", id, {"method": "tip-f", "options": {"epochs": 2}})
    async for state in opened.jobs.events("default", job.id):
        if state.over and state.status != "succeeded":
            raise SystemExit(f"training {state.status}: {state.error}")
    await opened.shots.add("default", id, shots[:1])
    return id


def picture(name: str) -> bytes:
    """A PNG of a colour under noise."""
    noise = RNG.normal(0, 40, (12, 12, 3))
    pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def rows(count: int, of: str | None = None) -> np.ndarray:
    """Rows such as the encoder of colours gives."""
    names = [of] * count if of else RNG.choice(list(COLOURS), count).tolist()
    colours = np.array([COLOURS[name] for name in names])
    around = np.tile(colours / 127.5 - 1, 9) + RNG.normal(0, 0.5, (count, 27))
    return np.asarray(unit(np.column_stack([around, np.full(count, 0.5)])), np.float32)


def tiny_encoder() -> Any:  # Any: a class of the tests, which are no package
    sys.path.insert(0, str(TESTS.parent))  # where `tests` is, for what conftest.py imports
    spec = importlib.util.spec_from_file_location("conftest", TESTS / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinyEncoder()


def zipped(folder: Path, file: Path) -> None:
    """A folder as a zip that depends on its files alone."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.parent.name != "uploads":
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
