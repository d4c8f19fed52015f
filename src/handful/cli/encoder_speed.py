"""The command that measures encoders on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import options
from handful.cli.encoder_rows import Precision
from handful.cli.terminal import answer_json, answer_table, progress, say

if TYPE_CHECKING:
    from handful.encoders.speed import Speed

_HEADER = [
    "name",
    "precision",
    "ImageNet top-1",
    "pictures/s",
    "one at a time",
    "texts/s",
    "MB of memory",
    "load s",
]


def benchmark(
    names: Annotated[
        list[str],
        typer.Argument(help="Encoders: names, folders, or org/name of a hub.", show_default=False),
    ],
    pictures: Annotated[int, typer.Option(min=1, max=1000, help="Pictures to encode at once.")] = 32,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; otherwise HANDFUL_ENCODER_THREADS, or one per core.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Which files; otherwise HANDFUL_ENCODER_PRECISION.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Draw size, accuracy and speed into this file."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure encoders on this machine: pictures and texts per second, memory, time to load.

    Each in a process of its own, so that memory is its own. Pictures are 640 × 480 and decoded already.
    What was measured is kept for `handful encoders list --sort speed`.
    """
    from handful.encoders import speeds
    from handful.encoders.catalogue import CATALOGUE
    from handful.encoders.speed import measured
    from handful.settings import Settings

    given = {"encoder_threads": threads, "encoder_precision": None if precision is None else precision.value}
    settings = Settings().model_copy(update={key: value for key, value in given.items() if value is not None})
    found: dict[str, Speed] = {}
    with progress("Measuring") as told:
        for done, name in enumerate(dict.fromkeys(names)):
            if told is not None:
                told(done, len(names))
            found[name] = measured(name, settings=settings, pictures=pictures)
    speeds.keep(settings.cache_dir, {speeds.key(name, one.precision): one for name, one in found.items()})
    entries = {name: CATALOGUE.get(name) for name in found}
    if plot is not None:
        _draw(plot, found)
    if json:
        answer_json({"encoders": [{**one.as_dict(), "name": name} for name, one in found.items()]})
        return
    answer_table(
        _HEADER,
        [
            [
                name,
                one.precision,
                ""
                if (entry := entries[name]) is None or entry.imagenet_top1 is None
                else f"{entry.imagenet_top1:.1f}%",
                f"{one.pictures_per_second:.1f}",
                f"{one.pictures_per_second_alone:.1f}",
                f"{one.texts_per_second:.0f}",
                "" if one.memory_bytes is None else f"{one.memory_bytes / 1e6:.0f}",
                f"{one.load_seconds:.2f}",
            ]
            for name, one in found.items()
        ],
        right=range(2, len(_HEADER)),
    )


def _draw(path: Path, found: "dict[str, Speed]") -> None:
    from handful.encoders.catalogue import CATALOGUE
    from handful.report.encoders import Dot, drawn

    dots = []
    for name, one in found.items():
        entry = CATALOGUE.get(name)
        dots.append(
            Dot(
                name=Path(name).name or name,
                across=one.pictures_per_second,
                accuracy=None if entry is None else entry.imagenet_top1,
                zero_shot=entry is None or entry.zero_shot,
                size=(None if entry is None else entry.about_bytes(one.precision)) or one.memory_bytes or 0,
            )
        )
    path.write_text(drawn(dots, across="pictures per second on this machine"), "utf-8")
    say(f"{path}: accuracy against speed; a larger circle is a larger encoder")
