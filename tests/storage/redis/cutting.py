"""A proxy that loses replies, as a network may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Cutting:
    port: int
    left: int  # replies to lose
    cut: int = 0


@asynccontextmanager
async def cutting(port: int, *, replies: int) -> AsyncIterator[Cutting]:
    """Hands on to 127.0.0.1:port; the first replies, handshakes apart, are lost with their connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", port)
        try:
            while data := await reader.read(1 << 16):
                to.write(data)
                answer = await there.read(1 << 16)
                if proxy.left and b"SETINFO" not in data:
                    proxy.left -= 1
                    proxy.cut += 1
                    return
                writer.write(answer)
        finally:
            to.close()
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = Cutting(listening.sockets[0].getsockname()[1], replies)
    async with listening:
        yield proxy
