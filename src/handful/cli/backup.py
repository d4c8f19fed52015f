"""Commands that keep a copy of all that a service holds, and bring it back."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from handful.cli.options import Data, DryRun, Json, Store
from handful.cli.terminal import answer_json, progress, say
from handful.errors import StorageError
from handful.settings import Settings

if TYPE_CHECKING:
    from handful.storage.backup import BackupReport


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A new folder for it.", show_default=False)
    ],
    dry_run: DryRun = False,
    data: Data = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Copy store and pictures as of one moment, also while the service runs.

    [dim]$ handful backup /backups/2026-11-24[/dim]
    """
    from handful.service.service import blobs_of, store_of
    from handful.storage.backup import backup as run

    settings = _settings(data, store)
    if not _store_file(settings).exists():
        raise StorageError(f"there is no store in {_store_file(settings)}; name the data folder by --data")

    async def work() -> "BackupReport":
        opened = store_of(settings)
        try:
            with progress("Copying") as told:
                return await run(opened, blobs_of(settings), folder, dry_run=dry_run, told=told)
        finally:
            await opened.close()

    _answer(asyncio.run(work()), f"{folder}: {'would hold ' if dry_run else ''}", json)


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `handful backup` wrote.", show_default=False)
    ],
    dry_run: DryRun = False,
    data: Data = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Verify a backup and put it where no store is yet. Start the service afterwards.

    [dim]$ handful restore /backups/2026-11-24 --data /data[/dim]
    """
    from handful.service.service import blobs_of
    from handful.storage.backup import restore as run

    settings = _settings(data, store)
    file = _store_file(settings)

    async def work() -> "BackupReport":
        with progress("Copying") as told:
            return await run(folder, file, blobs_of(settings), dry_run=dry_run, told=told)

    _answer(asyncio.run(work()), f"{file.parent}: {'would hold ' if dry_run else ''}", json)


def _settings(data: Path | None, store: str | None) -> Settings:
    told: dict[str, Any] = {"data_dir": data, "store_url": store}  # Any: each setting has its own type
    return Settings(**{name: value for name, value in told.items() if value is not None})


def _store_file(settings: Settings) -> Path:
    url = settings.store_url
    if url is None:
        return settings.data_dir.absolute() / "store.sqlite"
    if not url.startswith("sqlite:///"):
        raise StorageError("only a store in a SQLite file is backed up here; copy others by their own means")
    return Path(unquote(url.removeprefix("sqlite:///"))).absolute()


def _answer(report: "BackupReport", start: str, json: bool) -> None:
    if json:
        answer_json(asdict(report))
        return
    typer.echo(f"{start}{report.classifiers} classifiers, {report.shots} shots, {report.blobs} pictures")
    say(f"the store takes {report.store_bytes:,} bytes")
