"""The command that turns a model of torch into a folder of ONNX files."""

from pathlib import Path
from typing import Annotated

import typer

from handful.cli import options
from handful.cli.pictures import named_pictures
from handful.cli.terminal import answer_json, answer_table, say


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="An architecture of open_clip, hf-hub:org/name for open_clip, org/name for transformers, "
            "or a folder of either.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="The folder to write; it must not be there."),
    ],
    pretrained: Annotated[
        str | None, typer.Option(metavar="TAG", help="Whose weights, or a file of them, for an architecture.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="NAME", help="Licence of the weights, where their card names none.")
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Write 16-bit files too, for graphics cards.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Write 8-bit files too, for CPUs.")] = False,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(metavar="PICTURES", help="Pictures, or folders of them, of the kind to be classified."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Export a model of open_clip or transformers, and check it against torch. Needs handful[export]."""
    from handful.export import export_encoder

    _, sources = named_pictures(calibrate or [])
    found = export_encoder(
        model,
        output,
        pretrained=pretrained,
        licence=licence,
        fp16=fp16,
        int8=int8,
        pictures=sources,
        say=say,
    )
    if json:
        answer_json(
            {
                "folder": str(output),
                "parity": [
                    {"precision": one.precision, "pictures": min(one.pictures), "texts": min(one.texts)}
                    for one in found
                ],
            }
        )
        return
    answer_table(
        ["precision", "pictures", "lowest cosine", "texts", "lowest cosine"],
        [
            [
                one.precision,
                str(len(one.pictures)),
                f"{min(one.pictures):.6f}",
                str(len(one.texts)),
                f"{min(one.texts):.6f}",
            ]
            for one in found
        ],
        right=[1, 2, 3, 4],
    )
    typer.echo(f"{output}: written; use it by its path, as in --encoder {output}")
