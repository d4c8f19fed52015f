"""Commands about stores as a whole: move one to another, remove what nothing names."""

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli.opening import opened, settings_of
from handful.cli.options import Data, DryRun, Json, Store
from handful.cli.terminal import answer_json, progress, say
from handful.errors import StorageError
from handful.settings import Settings

if TYPE_CHECKING:
    from handful.service.garbage import GarbageReport
    from handful.storage.copying import CopyReport

app = typer.Typer(help="Stores: move one to another.", no_args_is_help=True)

_SHOWN = 20  # names that people are told


@app.callback()
def store() -> None:
    """Stores: move one to another."""


@app.command(no_args_is_help=True)
def migrate(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Store, as sqlite:///FILE.", show_default=False)
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="Empty store, as redis://HOST; or one that a run before this filled.",
            show_default="HANDFUL_STORE_URL",
        ),
    ] = None,
    source_blobs: Annotated[
        str | None, typer.Option(help="Blobs of the source.", show_default="those of the data folder")
    ] = None,
    target_blobs: Annotated[
        str | None,
        typer.Option(help="Blobs of the target; pictures are copied there.", show_default="as the source's"),
    ] = None,
    leave_jobs: Annotated[
        bool, typer.Option("--leave-jobs", help="Copy although jobs are not over; the target gets none.")
    ] = False,
    data: Data = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Copy classifiers, shots, heads and keys into another store, and verify them there.

    Run again, it goes on where it was cut off, and copies only what changed: first beside the service, at
    last with it stopped.

    Jobs and the answers under Idempotency-Keys are not copied.

    [dim]$ handful store migrate sqlite:////data/store.sqlite redis://localhost --data /data[/dim]
    """
    settings = settings_of(data)
    into = target or settings.store_url
    if into is None:
        raise typer.BadParameter("name the store to copy into, or set HANDFUL_STORE_URL")
    here = source_blobs or settings.blobs_place
    report = asyncio.run(
        _migrate((source, into), (here, target_blobs or here), settings, leave_jobs, dry_run)
    )
    _tell_copied(report, dry_run, json)


async def _migrate(
    urls: tuple[str, str], places: tuple[str, str], settings: Settings, leave_jobs: bool, dry_run: bool
) -> "CopyReport":
    """urls, places : of stores and blobs, of the source and of the target."""
    from handful.storage.blobs import Blobs
    from handful.storage.migration import migrate_store, plain_url

    source, target = (plain_url(url) for url in urls)
    if source == target:
        raise StorageError(f"{source} is both source and target; name two stores")
    here, there = (Blobs(place) for place in places)
    async with (
        opened(urls[0], here, settings) as full,
        opened(urls[1], there, settings, made=True, dry_run=dry_run) as empty,
    ):
        with progress("Copying") as told:
            return await migrate_store(
                (source, full),
                (target, empty),
                pictures=None if here.reached() == there.reached() else (here, there),
                leave_jobs=leave_jobs,
                dry_run=dry_run,
                told=told,
            )


def gc(
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what is found; without, it is only counted.")
    ] = False,
    older_than: Annotated[
        float,
        typer.Option(min=1, metavar="HOURS", help="What is younger stays: it may be named in a moment."),
    ] = 24.0,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where the blobs look like those of another store.")
    ] = False,
    data: Data = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Find blobs that nothing names any more: what killed processes and lost stores left behind.

    May run while the service does. Without --delete nothing is removed.

    [dim]$ handful gc --data /data[/dim]
    """
    settings = settings_of(data, store)
    report = asyncio.run(_collect(settings, timedelta(hours=older_than), delete, anyway))
    _tell_garbage(report, delete, json)


async def _collect(settings: Settings, older_than: timedelta, delete: bool, anyway: bool) -> "GarbageReport":
    from handful.service.garbage import collect
    from handful.service.service import blobs_of

    blobs = blobs_of(settings)
    async with opened(settings.store_place, blobs, settings) as store:
        with progress("Looking") as told:
            return await collect(store, blobs, older_than=older_than, delete=delete, anyway=anyway, told=told)


def _tell_copied(report: "CopyReport", dry_run: bool, json: bool) -> None:
    if json:
        answer_json(asdict(report))
    else:
        typer.echo(
            f"{'would copy' if dry_run else 'copied'} {report.classifiers} classifiers, "
            f"{report.shots} shots, {report.heads} heads, {report.keys} keys, {report.pictures} pictures; "
            f"{report.updated} were older, {report.same} there already, {report.removed} gone since"
        )
    _tell_some("is missing or damaged", report.missing)
    _tell_some("", [f"{one.id} of {one.tenant} is not copied: {one.reason}" for one in report.failures])
    if report.missing or report.failures:
        raise typer.Exit(1)


def _tell_garbage(report: "GarbageReport", delete: bool, json: bool) -> None:
    if json:
        answer_json(asdict(report))
        return
    found = report.gone + report.unnamed + report.unfinished
    typer.echo(
        f"{found} of {report.blobs} blobs are garbage, {report.garbage_bytes:,} bytes: {report.gone} of "
        f"classifiers that are gone, {report.unnamed} of others, {report.unfinished} unfinished"
    )
    if delete:
        typer.echo(f"removed {report.removed}, {report.removed_bytes:,} bytes")
    elif found:
        say("Nothing was removed; --delete does that.")
    if report.dangling or report.miscounted:
        say(
            f"{report.dangling} names in lists were no classifiers, and {report.miscounted} tenants were "
            f"miscounted; {'put right' if delete else '--delete puts that right'}."
        )
    if report.young:
        say(f"{report.young} more are named by nothing so far, and too young to tell.")
    if report.unknown:
        say(f"{report.unknown} files, {report.unknown_bytes:,} bytes, are none of Handful's, and stay:")
        _tell_some("", report.unknown_names)


def _tell_some(what: str, names: list[str]) -> None:
    for name in names[:_SHOWN]:
        say(f"{name} {what}".rstrip(), style="")
    if len(names) > _SHOWN:
        say(f"and {len(names) - _SHOWN} more; --json names all", style="")
