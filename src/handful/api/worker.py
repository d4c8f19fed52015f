"""A process that works on jobs, and answers no requests."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import structlog

from handful.api.logs import configure_logs
from handful.api.monitor import monitor
from handful.errors import StorageError, StorageSetupError
from handful.service.service import Service, open_service
from handful.settings import Settings

_PATIENCE = 10.0  # seconds for an answer of the event loop to a probe

_log = structlog.get_logger("handful.worker")


def work(settings: Settings, *, working: Callable[[int | None], None]) -> None:
    """Work on jobs until told to stop by SIGINT or SIGTERM; a job that is under way is given back then.

    working : told the port of the probes, None where they are not asked for, once jobs are taken.
    Raises StorageError where the store cannot be opened or is set up wrong, or the address cannot be
    listened on.
    """
    configure_logs(settings)
    asyncio.run(_work(settings, working))


async def _work(settings: Settings, working: Callable[[int | None], None]) -> None:
    with _asked_to_stop() as stopping:
        async with open_service(settings) as service:
            await _check(service)
            loop = asyncio.get_running_loop()
            port = settings.monitor_port
            shown = nullcontext() if port is None else monitor(settings.host, port, _missing(service, loop))
            with shown as listening:
                working(listening)
                await stopping.wait()


async def _check(service: Service) -> None:
    """A store that is away may come back. Raises StorageSetupError where waiting does not help."""
    try:
        await service.store.check()
    except StorageSetupError:
        raise
    except StorageError as exc:
        _log.warning("the store is away; jobs are done once it is back", error=str(exc))


def _missing(service: Service, loop: asyncio.AbstractEventLoop) -> Callable[[], str | None]:
    """Why it is not ready, for threads."""

    def missing() -> str | None:
        asked = asyncio.run_coroutine_threadsafe(service.readiness.missing(), loop)
        try:
            return asked.result(_PATIENCE)
        except TimeoutError:
            asked.cancel()
            return f"the process did not answer within {_PATIENCE:.0f} s"

    return missing


@contextmanager
def _asked_to_stop() -> Iterator[asyncio.Event]:
    """An event that is set by SIGINT and SIGTERM."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
