"""Streams that have no end of their own end when the process is asked to stop."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def asked_to_stop() -> Iterator[asyncio.Event]:
    """An event that is set at the first SIGINT or SIGTERM, beside what the server does then.

    A server waits for answers that are under way before it ends the application, so that this is too late to
    end them. Nothing sets the event outside of the main thread, which gets no signals.
    """
    stopping = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    loop = asyncio.get_running_loop()
    servers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def tell(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        of_server = servers[signal.Signals(number)]
        if callable(of_server):
            of_server(number, frame)

    for number, of_server in servers.items():
        if callable(of_server):
            signal.signal(number, tell)
    try:
        yield stopping
    finally:
        for number, of_server in servers.items():
            if signal.getsignal(number) is tell:
                signal.signal(number, of_server)
