"""Commands about encoders: list, info, fetch, benchmark, export, profile."""

from typing import Annotated

import typer

from handful.cli import options
from handful.cli.encoder_rows import HEADER, NOTES, NUMBERS, Order, Precision, in_order, rows
from handful.cli.encoder_speed import benchmark
from handful.cli.export import export
from handful.cli.profile import profile
from handful.cli.terminal import answer_json, answer_table, progress, say

app = typer.Typer(no_args_is_help=True, help="The encoders: what sees pictures and reads words.")
app.command(no_args_is_help=True)(benchmark)
app.command(no_args_is_help=True)(export)
app.command(no_args_is_help=True)(profile)


@app.command(name="list")
def list_encoders(
    sort: Annotated[
        Order | None,
        typer.Option(help="The best first; speed as `handful encoders benchmark` has measured it here."),
    ] = None,
    json: options.Json = False,
) -> None:
    """List the encoders that Handful knows by name, to choose one by accuracy, size, speed and licence."""
    listed = in_order(rows(), sort)
    if json:
        answer_json({"encoders": [row.as_dict() for row in listed]})
        return
    answer_table(HEADER, [row.cells() for row in listed], right=NUMBERS)
    say(NOTES)


@app.command(no_args_is_help=True)
def info(
    name: Annotated[
        str,
        typer.Argument(help="Name of an encoder, folder, or org/name of a hub.", show_default=False),
    ],
    json: options.Json = False,
) -> None:
    """Say what is known of an encoder. Nothing is fetched for it."""
    from handful.cli.encoder_facts import facts

    said = facts(name)
    if json:
        answer_json(said)
        return
    answer_table(
        ["", ""],
        [[key.replace("_", " "), _text(value)] for key, value in said.items() if key != "measured"],
    )
    for key, value in (said["measured"] or {}).items():
        typer.echo(f"measured {key.replace('_', ' ')}\t{_text(value)}")
    if said.get("warning"):
        say(f"licence: {said['warning']}", style="yellow")


@app.command(no_args_is_help=True)
def fetch(
    name: Annotated[
        str, typer.Argument(help="Name of an encoder, or org/name[@revision] of a hub.", show_default=False)
    ],
    precision: Annotated[
        Precision | None, typer.Option(help="Which of its files; otherwise HANDFUL_ENCODER_PRECISION.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask the hub for the newest state, and check every file.")
    ] = False,
) -> None:
    """Fetch an encoder's files from a hub, check them, and print their folder. Then it works offline."""
    from handful.encoders.catalogue import CATALOGUE
    from handful.encoders.hub import fetched
    from handful.settings import Settings

    settings = Settings()
    entry = CATALOGUE.get(name)
    if entry is not None and entry.layout == "package":
        say(f"{name} is inside the package; there is nothing to fetch")
        return
    if entry is not None and entry.warning is not None:
        say(f"licence of {name}: {entry.warning}", style="yellow")
    with progress("Fetching (bytes)") as told:
        folder = fetched(
            name if entry is None else entry.hub_id,
            settings=settings,
            precision=settings.encoder_precision if precision is None else precision.value,
            progress=told,
            again=again,
        )
    typer.echo(folder)


def _text(value: object) -> str:
    return "" if value is None else str(value)
