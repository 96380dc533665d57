"""A wire between a client and a PostgreSQL server that can be cut where it hurts.

It reads the server's messages (PostgreSQL documentation, "Message Formats"): after the start each is a type of one byte
and a length of four.
"""

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests import databases
from tests.colours import LoopThread

_COMMAND_COMPLETE, _READY = b"C", b"Z"
_IDLE = b"I"


class Proxy:
    """Passes everything on, but for the replies that it loses together with their connection."""

    def __init__(self, behind: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        there = urlsplit(behind)
        self._server = (there.hostname, there.port)
        self._open: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self.lose = 0
        """How many of the next replies that confirm a commit never arrive."""
        self.lost = 0
        self.commits = 0
        """How many commits the server has confirmed, lost or not."""

    def hang(self) -> None:
        """From now on pass nothing on, as a network does that has gone; nobody is told."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def heal(self) -> None:
        """Pass everything on again."""
        self._loop.call_soon_threadsafe(self._passing.set)

    def cut(self) -> None:
        """Break every connection."""
        for writer in list(self._open):
            self._loop.call_soon_threadsafe(writer.transport.abort)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            server_reader, server_writer = await asyncio.open_connection(*self._server)
            both = {writer, server_writer}
            self._open |= both
            tasks = {
                asyncio.ensure_future(self._requests(reader, server_writer)),
                asyncio.ensure_future(self._replies(server_reader, writer)),
            }
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._open -= both
            for one in both:
                one.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._passing.wait()
            writer.write(data)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: list[bytes] = []
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
            kind, message = head[:1], head + body
            await self._passing.wait()
            if held or (kind == _COMMAND_COMPLETE and body.startswith((b"COMMIT", b"INSERT"))):
                held.append(message)
                if kind != _READY:
                    continue
                if body == _IDLE:  # no transaction is open any more: what was confirmed is stored
                    self.commits += 1
                    if self.lose:
                        self.lose -= 1
                        self.lost += 1
                        return
                message, held = b"".join(held), []
            writer.write(message)


@contextmanager
def proxy(behind: str, loop: LoopThread) -> Iterator[tuple[Proxy, str]]:
    """A proxy before a database, and the address of the same database through it."""
    made = Proxy(behind, loop.loop)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(made.serve, "127.0.0.1", 0)

    async def stop() -> None:
        listener.close()
        made.cut()

    listener = loop.run(start)
    port = listener.sockets[0].getsockname()[1]
    address = databases.changed(behind, host="127.0.0.1", port=port)
    yield made, f"{address}?sslmode=disable"
    loop.run(stop)
