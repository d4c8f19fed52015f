"""Command that serves: everything over HTTP."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from handful.cli.opening import settings_of
from handful.cli.processes import one_thread_of_algebra
from handful.cli.terminal import say
from handful.errors import AccessError, StorageError, StorageSetupError
from handful.settings import Settings

_CURL = """
  Paste into another terminal:

  curl {auth}{base}/v1/zero-shot -H 'Content-Type: application/json' -d '{body}'
"""
_BODY = (  # with a white picture of one pixel
    '{"labels": ["sheet of paper", "banana"], "images": '
    '["data:image/gif;base64,R0lGODdhAQABAIAAAP///////ywAAAAAAQABAAACAkQBADs="]}'
)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0: a free one.", show_default="8000")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of all that is kept.", show_default="a folder of the user")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="Store, as sqlite:///FILE or redis://HOST.", show_default="a file in the data folder"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that answer.", show_default="1")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve others without API keys: anybody may do anything.")
    ] = False,
) -> None:
    """Serve classifiers over HTTP. Options of the environment, HANDFUL_…, are in the documentation."""
    one_thread_of_algebra()
    settings = settings_of(data, store, host=host, port=port, workers=workers, insecure=insecure or None)
    if settings.workers > 1 and settings.encoder_threads is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(1, cores // settings.workers)
        settings = settings.model_copy(update={"encoder_threads": share, "decode_threads": share})
    from handful.api.auth import is_local
    from handful.api.serve import environment_of
    from handful.api.serve import serve as run

    keyed = asyncio.run(_has_keys(settings))
    if keyed is False and not is_local(settings.host) and not settings.insecure:
        raise AccessError(
            f"{settings.host} can be reached by others, and there is no API key; make one with "
            "`handful keys create`, or say --insecure"
        )
    os.environ |= environment_of(settings)

    def listening(at: str, number: int) -> None:
        scheme = "https" if settings.tls_certificate else "http"
        shown = f"[{at}]" if ":" in at else at
        base = f"{scheme}://{shown}:{number}"
        say(f"Handful serves on {base} (data in {settings.data_dir})")
        if keyed is None:
            say("The store is away; requests are answered once it is back.")
        elif keyed:
            say("API keys are needed.")
        else:
            say("No API key is needed; `handful keys create` changes that.")
        if settings.docs:
            say(f"The interface, to read and to try: {base}/docs")
        say(_CURL.format(base=base, body=_BODY, auth='-H "Authorization: Bearer KEY" ' if keyed else ""))

    run(settings, listening=listening)


async def _has_keys(settings: Settings) -> bool | None:
    """None while the store is away: whoever asks then is told so, and that passes.

    Raises StorageSetupError where it would not pass.
    """
    from handful.service.keys import Keys
    from handful.service.service import store_of

    store = store_of(settings)
    try:
        keys = Keys(store, settings.admin_key_file)
        try:
            await store.check()
            return await keys.exist()
        except StorageSetupError:
            raise
        except StorageError as exc:
            say(str(exc))
            return None
    finally:
        await store.close()
