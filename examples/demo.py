"""Teach a classifier of waste, from words alone to 16 photos of each class: in a service, and measured.

    python examples/demo.py [REPORT]

Starts a service on a free port, teaches and asks it, and stops it; then measures on many draws of photos how
far one gets. Takes a minute or so on two cores. Writes a report to look at, build/demo-report.html unless
another is named. Compares with logistic regression where scikit-learn is installed.
"""

import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

import handful
from handful.datasets import read_dataset
from handful.evaluation import Episode, LearningCurve, Taught, Teach, evaluate, teacher
from handful.prompts import class_prompts, text_prior
from handful.report import write
from handful.rows import Rows
from own_server import own_server

ROOT = Path(__file__).parents[1]
WASTE = ROOT / "examples" / "data" / "trashnet"
OTHER = ROOT / "examples" / "data" / "other"
REPORT = ROOT / "build" / "demo-report.html"
SHOTS = [0, 1, 4, 16]
DRAWS = 10
LINEAR = "logistic regression"
_ENCODED_FASTEST = 1.0  # seconds; below, pictures came from the embedding cache

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=100)


def main(report: Path = REPORT) -> None:
    begun = perf_counter()
    console.rule("[bold]Handful: an image classifier from a handful of pictures")
    data = read_dataset(WASTE)
    names = [str(name) for name in data.class_names]
    console.print(
        f"\n[bold]The task.[/] {len(data)} photos of waste in {len(names)} classes: {', '.join(names)}.\n"
        "The encoder is frozen and works offline on this CPU; it was never shown any of them."
    )

    serve_and_ask(data.images, np.array([names.index(str(label)) for label in data.labels]), names)

    console.print(
        "\n[bold]How far does that go?[/] Every photo that was not shown is asked, again and again."
    )
    encoder = handful.load_encoder("builtin")
    with timed("Encoding", len(data)) as told:
        X = encoder.encode_images(data.images, progress=told)
    y = np.array([names.index(str(label)) for label in data.labels])
    text = text_prior(encoder.encode_texts, class_prompts(names))

    with timed("Teaching and asking", len(SHOTS) * DRAWS) as told:
        found = evaluate(
            X,
            y,
            class_names=names,
            text=text,
            background=encoder.background,
            shots=SHOTS,
            seeds=DRAWS,
            rivals=rivals(X),
            picture_names=[f"{Path(str(p)).parent.name}/{Path(str(p)).name}" for p in data.images],
            settings={"method": "auto", "encoder": "builtin", "data": "TrashNet, 60 photos of each class"},
            progress=lambda done, total: told(done),
        )
    if found.curve is not None:
        show_accuracy(found.curve)

    report.parent.mkdir(exist_ok=True)
    write(report, found, title="How well waste is told apart", pictures=data.images)
    console.print(
        "\n[bold]The report[/] has the learning curve, the confusions, and the photos that went wrong\n"
        "beside those they were taken for. Open it in a browser:\n"
        f"  {report.relative_to(ROOT) if report.is_relative_to(ROOT) else report}"
    )
    console.print(f"\nDone in {perf_counter() - begun:.0f} s.")


def show_accuracy(curve: LearningCurve) -> None:
    """Accuracy of all contenders, with intervals, and what Handful gains."""
    table = Table(
        title=f"\nAccuracy on photos not shown, mean of {DRAWS} draws [95 % interval]",
        title_style="bold",
        title_justify="left",
    )
    table.add_column("photos per class")
    for k in curve.shots:
        table.add_column("words alone" if k == 0 else str(k), justify="right")
    for name in curve.contenders:
        cells = [cell(f"{curve.estimate(name, k):.1%}") for k in curve.shots]
        table.add_row(name, *cells, style="bold" if name == "handful" else "")
    table.add_section()
    for name in curve.contenders[1:]:
        gains = [cell(f"{curve.difference('handful', name, k):+.1%}") for k in curve.shots]
        table.add_row(f"gain over {name}", *gains)
    console.print(table)
    others = "Logistic regression is scikit-learn's, on the same embeddings. " * (LINEAR in curve.contenders)
    console.print(f"{others}Nothing was tuned on these photos.")


def serve_and_ask(pictures: tuple[object, ...], y: np.ndarray, names: list[str]) -> None:
    """The main job over HTTP: start, create, teach, ask, and see which heads answered."""
    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="handful-demo-") as folder, own_server(Path(folder)) as url:
        console.print(
            f"\n[bold]A service.[/] `handful serve` is ready on {url} after {perf_counter() - begun:.1f} s."
        )
        with handful.Client(url) as client:
            waste = client.create_classifier("waste", classes=names)
            asked = [pictures[np.flatnonzero(y == c)[30]] for c in range(len(names))]
            right = sum(
                said.label == name
                for said, name in zip(client.classify(waste.id, asked).predictions, names, strict=True)
            )
            console.print(
                f"Created a classifier of {len(names)} names. By words alone it answers at once: "
                f"{right} of {len(names)} photos right."
            )
            sources: dict[str, Path] = {}
            for first, last in ((0, 4), (4, 16)):
                teach_photos(client, waste.id, pictures, y, names, (first, last), sources)
            show_answers(client, waste.id, asked, sources)
            show_versions(client, waste.id, Path(str(pictures[np.flatnonzero(y == 0)[20]])))


def teach_photos(
    client: handful.Client,
    id: str,
    pictures: tuple[object, ...],
    y: np.ndarray,
    names: list[str],
    part: tuple[int, int],
    sources: dict[str, Path],
) -> None:
    """Teach some photos of each class; notes in `sources` which shot is which photo."""
    shown = np.concatenate([np.flatnonzero(y == c)[slice(*part)] for c in range(len(names))])
    paths = [Path(str(pictures[at])) for at in shown]
    begun = perf_counter()
    shots = client.add_shots(id, paths, [names[y[at]] for at in shown])
    client.classify(id, [paths[0]])
    took = perf_counter() - begun
    sources |= {shot.id: path for shot, path in zip(shots, paths, strict=True)}
    console.print(
        f"Taught {len(shots)} more photos; the first answer that counts them came after {took:.1f} s."
    )


def show_answers(client: handful.Client, id: str, asked: list[object], sources: dict[str, Path]) -> None:
    """Ask about a few photos of waste, and about things that are no waste."""
    others = sorted(OTHER.glob("*.jpg"))
    begun = perf_counter()
    answer = client.classify(id, [*asked, *others], explain=True)
    took = perf_counter() - begun
    table = Table(
        title=f"\nVersion {answer.version} answers, {len(answer.predictions)} photos in {took:.2f} s",
        title_style="bold",
        title_justify="left",
    )
    for title in ("photo", "answer", "probability", "known", "because of"):
        table.add_column(title, justify="right" if title in ("probability", "known") else "left")
    for place, said in enumerate(answer.predictions):
        if place == len(asked):
            table.add_section()
        source = Path(str([*asked, *others][place]))
        near = [sources[one.shot] for one in (said.neighbours or ())[:3]]
        because = ", ".join(f"{shot.parent.name} {shot.stem}" for shot in near)
        table.add_row(
            f"{source.parent.name}/{source.name}",
            "[bold]none of these[/]" if said.unknown else str(said.label),
            f"{said.probability:.0%}",
            f"p = {said.known:.2f}",
            "" if said.unknown else because,
        )
    console.print(table)
    console.print(
        "`known` is a p-value: below 0.05 the picture looks like none of the classes. The last three are\n"
        "photos of clothes, which a probability alone would have called some kind of waste."
    )


def show_versions(client: handful.Client, id: str, picture: Path) -> None:
    """Go back to an earlier head, teach while it answers, and let the newest answer again."""
    newest, before = client.versions(id)[:2]
    client.activate(id, before.version)
    client.add_shots(id, [picture], picture.parent.name)
    pinned = client.classifier(id)
    client.update_classifier(id, method="auto")
    again = client.classifier(id)
    console.print(
        f"\n[bold]Versions.[/] {newest.version} answers, {before.version} was before. Let {before.version} "
        f"answer again and teach one photo more: it still is\n{pinned.head_version}, and the classifier says "
        f"stale = {str(pinned.stale).lower()}. Set its method again: {again.head_version} answers, and "
        f"stale = {str(again.stale).lower()}."
    )


def cell(estimate: str) -> Text:
    """An estimate with its interval on a line of its own."""
    value, bracket, interval = estimate.partition(" [")
    return Text.assemble(value, (f"\n[{interval}" if bracket else "", "dim"))


def rivals(X: Rows) -> dict[str, Teach]:
    """Who else is measured: class means, and logistic regression where scikit-learn is installed."""
    found = {"class means": teacher("prototype", X)}
    if importlib.util.find_spec("sklearn"):
        found[LINEAR] = logistic_regression(X)
    return found


def logistic_regression(X: Rows) -> Teach:
    """scikit-learn's, as in CLIP's linear probe: C = 0.316 on rows of length ten, 31.6 on unit rows."""
    from sklearn.linear_model import LogisticRegression

    class Asked:
        def __init__(self, episode: Episode) -> None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The number of unique classes")  # one photo each is meant
                self._model = LogisticRegression(C=31.6, max_iter=1000).fit(
                    X[episode.support], episode.support_labels
                )

        def probabilities(self, Q: Rows) -> np.ndarray:
            return self._model.predict_proba(Q)

        def known(self, Q: Rows) -> np.ndarray:
            return self.probabilities(Q).max(axis=1)

    def teach(episode: Episode) -> Taught:
        return Asked(episode)

    return teach


@contextmanager
def timed(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar in a terminal; afterwards one line with the time it took."""
    begun = perf_counter()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
    took = perf_counter() - begun
    kept = ", kept from an earlier run" if what == "Encoding" and took < _ENCODED_FASTEST else ""
    console.print(f"[dim]{what}: {took:.1f} s{kept}[/]")


if __name__ == "__main__":
    main(*(Path(name).absolute() for name in sys.argv[1:2]))
