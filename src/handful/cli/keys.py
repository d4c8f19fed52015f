"""Commands about API keys, on the store of this machine."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from handful.cli.opening import settings_of
from handful.cli.options import Data, Json, Store, Yes
from handful.cli.terminal import answer_json, answer_table, confirm, say
from handful.errors import StorageError

if TYPE_CHECKING:
    from handful.service.keys import Keys
    from handful.storage.records import KeyRecord

T = TypeVar("T")
app = typer.Typer(help="API keys: make, list, rotate, revoke.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="As `handful keys list` shows it.", show_default=False)]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.", show_default=False)],
    tenant: Annotated[str, typer.Option(help="Whose classifiers it reaches.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, write (which reads too) or admin (all).", show_default="write"),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until it expires.", show_default="never")
    ] = None,
    data: Data = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Make a key. From the first one on, every request needs one."""
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    scopes: Any = scope or ["write"]  # Any: `create` checks what they are
    record, secret = _with_keys(
        data, store, lambda keys: keys.create(tenant, name, scopes, expires), new=True
    )
    _show_secret(record, secret, as_json)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Of one tenant.", show_default="all")] = None,
    data: Data = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List keys; their secrets are not kept."""
    records = _with_keys(data, store, lambda keys: keys.list(tenant))
    if as_json:
        answer_json({"items": [_as_json(record) for record in records]})
        return
    answer_table(
        ["id", "tenant", "name", "scopes", "created", "expires", "state"],
        [
            [
                record.id,
                record.tenant,
                record.name,
                ",".join(sorted(record.scopes)),
                f"{record.created:%Y-%m-%d %H:%M}",
                "never" if record.expires is None else f"{record.expires:%Y-%m-%d %H:%M}",
                _state(record),
            ]
            for record in records
        ],
    )


@app.command(no_args_is_help=True)
def rotate(key: KeyId, data: Data = None, store: Store = None, as_json: Json = False) -> None:
    """Give a key another secret; the old one stops working within ten seconds."""
    record, secret = _with_keys(data, store, lambda keys: keys.rotate(key))
    _show_secret(record, secret, as_json)


@app.command(no_args_is_help=True)
def revoke(key: KeyId, data: Data = None, store: Store = None, yes: Yes = False) -> None:
    """End a key for good; it stops working within ten seconds."""
    confirm(f"Revoke key {key}?", yes=yes, otherwise="rotate it")
    record = _with_keys(data, store, lambda keys: keys.revoke(key))
    say(f"Key {record.id} ({record.name}) is revoked.")


def _with_keys(
    data: Path | None, store: str | None, work: "Callable[[Keys], Awaitable[T]]", *, new: bool = False
) -> T:
    settings = settings_of(data, store)
    if settings.store_url is None:
        folder = settings.data_dir.absolute()
        if not new and not (folder / "store.sqlite").exists():
            raise StorageError(f"there is no store in {folder}; name the service's data folder by --data")
        say(f"Keys of the service over {folder}:")
    from handful.service.keys import Keys
    from handful.service.service import store_of

    async def run() -> T:
        opened = store_of(settings)
        try:
            return await work(Keys(opened))
        finally:
            await opened.close()

    return asyncio.run(run())


def _show_secret(record: "KeyRecord", secret: str, as_json: bool) -> None:
    if as_json:
        answer_json({**_as_json(record), "secret": secret})
        return
    say(f"Key {record.id} of tenant {record.tenant} may {', '.join(sorted(record.scopes))}.")
    say("This is shown once; keep it safe:")
    typer.echo(secret)


def _as_json(record: "KeyRecord") -> dict[str, Any]:  # Any: JSON
    return {
        "id": record.id,
        "tenant": record.tenant,
        "name": record.name,
        "scopes": sorted(record.scopes),
        "created": record.created.isoformat(),
        "expires": None if record.expires is None else record.expires.isoformat(),
        "state": _state(record),
    }


def _state(record: "KeyRecord") -> str:
    if record.revoked is not None:
        return "revoked"
    if record.expires is not None and record.expires <= datetime.now(UTC):
        return "expired"
    return "active"
