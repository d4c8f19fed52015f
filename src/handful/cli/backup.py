"""Commands that keep a copy of all that a service holds, and bring it back."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli.opening import opened, settings_of
from handful.cli.options import Data, DryRun, Json, Store
from handful.cli.terminal import answer_json, progress, say

if TYPE_CHECKING:
    from handful.storage.backup import BackupReport

_SHOWN = 20  # names that people are told


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A new folder for it.", show_default=False)
    ],
    dry_run: DryRun = False,
    data: Data = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Copy store and pictures, also while the service runs.

    What cannot be read is named, and the exit code is 1; all else is in the backup.

    [dim]$ handful backup /backups/2026-11-24[/dim]
    """
    from handful.service.service import blobs_of
    from handful.storage.backup import backup as run

    settings = settings_of(data, store)
    blobs = blobs_of(settings)

    async def work() -> "BackupReport":
        async with opened(settings.store_place, blobs, settings) as kept:
            with progress("Copying") as told:
                return await run(kept, blobs, folder, dry_run=dry_run, told=told)

    _answer(asyncio.run(work()), f"{folder}: {'would hold ' if dry_run else ''}", json, written=True)


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `handful backup` wrote.", show_default=False)
    ],
    dry_run: DryRun = False,
    data: Data = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Verify a backup and put it where no store is yet, of any kind. Start the service afterwards.

    [dim]$ handful restore /backups/2026-11-24 --data /data[/dim]
    """
    from handful.service.service import blobs_of
    from handful.storage.backup import restore as run
    from handful.storage.backup import restore_into
    from handful.storage.migration import plain_url
    from handful.storage.open import sqlite_file

    settings = settings_of(data, store)
    url = settings.store_place
    file = sqlite_file(url)
    name = plain_url(url) if file is None else str(file.absolute().parent)

    async def work() -> "BackupReport":
        blobs = blobs_of(settings)
        with progress("Copying") as told:
            if file is not None:
                return await run(folder, file, blobs, dry_run=dry_run, told=told)
            async with opened(url, blobs, settings, made=True, dry_run=dry_run) as empty:
                return await restore_into(folder, (name, empty), blobs, dry_run=dry_run, told=told)

    _answer(asyncio.run(work()), f"{name}: {'would hold ' if dry_run else ''}", json)


def _answer(report: "BackupReport", start: str, json: bool, *, written: bool = False) -> None:
    """written : by this command, whose exit code then says whether it is whole."""
    if json:
        answer_json(asdict(report))
    else:
        typer.echo(f"{start}{report.classifiers} classifiers, {report.shots} shots, {report.blobs} pictures")
        say(f"the store takes {report.store_bytes:,} bytes")
        told = [f"{name} is missing or damaged" for name in report.missing]
        told += [f"not copied: {one}" for one in report.lost]
        for line in told[:_SHOWN]:
            say(line, style="")
        if len(told) > _SHOWN:
            say(f"and {len(told) - _SHOWN} more; --json names all", style="")
    if written and not report.whole:
        raise typer.Exit(1)
