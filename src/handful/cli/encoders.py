"""Commands about encoders: list, info, profile."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from handful.cli import options
from handful.cli.pictures import named_pictures
from handful.cli.terminal import answer_json, answer_table, progress, say

app = typer.Typer(no_args_is_help=True, help="The encoders: what sees pictures and reads words.")


@app.command(name="list")
def list_encoders(json: options.Json = False) -> None:
    """List the encoders that Handful knows by name."""
    from handful.encoders.catalogue import CATALOGUE

    if json:
        answer_json({"encoders": [asdict(entry) for entry in CATALOGUE.values()]})
        return
    answer_table(
        ["name", "models", "columns", "parameters", "ImageNet top-1", "licence"],
        [
            [
                entry.name,
                entry.title,
                str(entry.dimension),
                f"{(entry.image_parameters + entry.text_parameters) / 1e6:.0f} M",
                f"{entry.imagenet_top1:.1f}%",
                entry.licence,
            ]
            for entry in CATALOGUE.values()
        ],
        right=[2, 3, 4],
    )


@app.command(no_args_is_help=True)
def info(
    name: Annotated[str, typer.Argument(help="Name of an encoder.", show_default=False)],
    json: options.Json = False,
) -> None:
    """Say what is known of an encoder."""
    from handful.encoders import load_encoder
    from handful.encoders.catalogue import CATALOGUE

    encoder = load_encoder(name)
    entry = CATALOGUE[name]
    background = encoder.background
    said = {
        **asdict(entry),
        "fingerprint": encoder.fingerprint,
        "background_pictures": None if background is None else background.count,
    }
    if json:
        answer_json(said)
        return
    answer_table(
        ["", ""],
        [[key.replace("_", " "), "" if value is None else str(value)] for key, value in said.items()],
    )


@app.command(no_args_is_help=True)
def profile(
    pictures: Annotated[
        list[str],
        typer.Argument(help="A folder of many pictures of anything, without labels.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write the background (safetensors)."),
    ],
    encoder: options.EncoderName = "builtin",
) -> None:
    """Compute an encoder's background: how it sees pictures of anything. A thousand is a good number."""
    from handful.encoders import load_encoder
    from handful.encoders import profile as profiled

    _, sources = named_pictures(pictures)
    with progress("Encoding") as told:
        background = profiled(
            load_encoder(encoder),
            sources,
            progress=None if told is None else lambda done: told(done, len(sources)),
        )
    draft = output.with_name(f".{output.name}.part")
    draft.write_bytes(background.to_bytes())
    draft.replace(output)
    typer.echo(f"{output}: background of {background.count} pictures, {background.dimension} columns")
    if background.count < 500:
        say(f"{background.count} pictures are few; a thousand of all kinds make a steadier background")
