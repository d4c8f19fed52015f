"""The command that makes an encoder's background: of a folder of pictures, or of a service's traffic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import options
from handful.cli.opening import settings_of
from handful.cli.pictures import named_pictures
from handful.cli.terminal import confirm, progress, say

if TYPE_CHECKING:
    from handful.background import Background
    from handful.encoders import Encoder

_FEW = 500  # pictures


def profile(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(help="A folder of many pictures of anything, without labels.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the background (safetensors).",
            show_default=False,
        ),
    ] = None,
    install: Annotated[
        bool,
        typer.Option("--install", help="Let this machine use it for the encoder, from the next start on."),
    ] = False,
    from_traffic: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Of what the service with this data folder was sent; as often as there are such folders. "
            "See HANDFUL_TRAFFIC_TENANTS.",
            show_default=False,
        ),
    ] = None,
    encoder: options.EncoderName = "builtin",
    data: options.Data = None,
    yes: options.Yes = False,
) -> None:
    """Compute an encoder's background: how it sees pictures of anything. A thousand is a good number.

    It helps most with one to four shots of a class. Pictures of the very things that are told apart make it
    worse than none: it takes away what they differ by.
    """
    if bool(pictures) == bool(from_traffic):
        raise typer.BadParameter("give pictures, or --from-traffic; one of the two")
    if output is None and not install:
        raise typer.BadParameter("say where it goes: -o FILE, --install, or both")
    if from_traffic and install:
        confirm(
            "Traffic of few classifiers shows what they tell apart; a background of that makes them worse, "
            "by 13 points at one shot, as measured. Install it for all?",
            yes=yes,
            otherwise="write a file with -o",
        )
    from handful.encoders import load_encoder
    from handful.encoders.backgrounds import Backgrounds

    settings = settings_of(data)
    seen_by = load_encoder(encoder, settings=settings)
    background = _of_traffic(seen_by, from_traffic) if from_traffic else _of_pictures(seen_by, pictures or [])
    if output is not None:
        draft = output.with_name(f".{output.name}.part")
        draft.write_bytes(background.to_bytes())
        draft.replace(output)
        typer.echo(f"{output}: background of {background.count} pictures, {background.dimension} columns")
    if install:
        path = Backgrounds(settings.data_dir).install(seen_by, background)
        typer.echo(f"{path}: background of {background.count} pictures, {background.dimension} columns")
        say("installed: start services and commands on this data folder again, and they use it")
    if background.count < _FEW:
        say(f"{background.count} pictures are few; a thousand of all kinds make a steadier background")


def _of_pictures(encoder: "Encoder", names: list[str]) -> "Background":
    from handful.encoders import profile as profiled

    _, sources = named_pictures(names)
    with progress("Encoding") as told:
        return profiled(
            encoder, sources, progress=None if told is None else lambda done: told(done, len(sources))
        )


def _of_traffic(encoder: "Encoder", folders: list[Path]) -> "Background":
    from handful.encoders.traffic import background_of_traffic

    background = background_of_traffic(encoder, folders)
    say("a background of what classifiers tell apart makes them worse: compare, as docs/background.md shows")
    return background
