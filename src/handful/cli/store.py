"""Commands about stores as a whole: move one to another, remove what nothing names."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from handful.cli.options import Data, DryRun, Json, Store
from handful.cli.terminal import answer_json, progress, say
from handful.errors import StorageError
from handful.settings import Settings

if TYPE_CHECKING:
    from handful.service.garbage import GarbageReport
    from handful.storage.copying import CopyReport

app = typer.Typer(help="Stores: move one to another.", no_args_is_help=True)

_SQLITE = "sqlite:///"
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
    settings = _settings(data, None)
    into = target or settings.store_url
    if into is None:
        raise typer.BadParameter("name the store to copy into, or set HANDFUL_STORE_URL")
    here = source_blobs or settings.blobs_url or str(settings.data_dir.absolute() / "blobs")
    report = asyncio.run(_migrate(source, into, here, target_blobs or here, leave_jobs, dry_run))
    _tell_copied(report, dry_run, json)


async def _migrate(
    source: str, target: str, here: str, there: str, leave_jobs: bool, dry_run: bool
) -> "CopyReport":
    from handful.storage.blobs import Blobs
    from handful.storage.migration import migrate_store, plain_url
    from handful.storage.open import open_store

    names = plain_url(source), plain_url(target)
    if names[0] == names[1]:
        raise StorageError(f"{names[0]} is both source and target; name two stores")
    if not _is_there(source):
        raise StorageError(f"there is no store in {names[0]}; name the file of one")
    places = Blobs(here), Blobs(there)
    async with AsyncExitStack() as stack:
        if dry_run and not _is_there(target):  # opening would make it
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            target = f"{_SQLITE}{folder}/none.sqlite"
        stores = []
        for url, blobs in zip((source, target), places, strict=True):
            stores.append(open_store(url, blobs))
            stack.push_async_callback(stores[-1].close)
        with progress("Copying") as told:
            return await migrate_store(
                (names[0], stores[0]),
                (names[1], stores[1]),
                pictures=None if places[0].reached() == places[1].reached() else places,
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
    settings = _settings(data, store)
    url = settings.store_url or f"{_SQLITE}{settings.data_dir.absolute()}/store.sqlite"
    if not _is_there(url):
        raise StorageError(f"there is no store in {url}; name the service's data folder by --data")
    report = asyncio.run(_collect(settings, timedelta(hours=older_than), delete, anyway))
    _tell_garbage(report, delete, json)


async def _collect(settings: Settings, older_than: timedelta, delete: bool, anyway: bool) -> "GarbageReport":
    from handful.service.garbage import collect
    from handful.service.service import blobs_of, store_of

    opened = store_of(settings)
    try:
        with progress("Looking") as told:
            return await collect(
                opened, blobs_of(settings), older_than=older_than, delete=delete, anyway=anyway, told=told
            )
    finally:
        await opened.close()


def _settings(data: Path | None, store: str | None) -> Settings:
    told: dict[str, Any] = {"data_dir": data, "store_url": store}  # Any: each setting has its own type
    return Settings(**{name: value for name, value in told.items() if value is not None})


def _is_there(url: str) -> bool:
    """Whether a file is; of a server one sees by asking."""
    return not url.startswith(_SQLITE) or Path(unquote(url.removeprefix(_SQLITE))).exists()


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
