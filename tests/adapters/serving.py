"""An ASGI application behind a real server, and what asks it."""

import http.client
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Event, Thread
from typing import Any

import uvicorn

from undercroft import AsyncStore

PATIENCE = 30  # seconds


class Served:
    """A server's address, and single requests to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str = "/", method: str = "GET", body: bytes | None = None, **fields: str) -> Any:
        """Return an answer with its body; a header's name has _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, body, headers)
        answer: Any = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer


@contextmanager
def served(asgi: Any) -> Iterator[Served]:
    """Serve an application until the block ends."""
    server = uvicorn.Server(uvicorn.Config(asgi, port=0, log_config=None, lifespan="on", ws="websockets-sansio"))
    begin, begun = server.startup, Event()

    async def startup(*args: Any, **kwargs: Any) -> None:
        await begin(*args, **kwargs)
        begun.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = Thread(target=server.run)
    thread.start()
    try:
        assert begun.wait(PATIENCE)
        yield Served(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def closing(store: Any) -> Any:
    """The lifespan of an application: an AsyncStore is closed on the loop that used it."""

    @asynccontextmanager
    async def lifespan(_app: Any) -> Any:
        if isinstance(store, AsyncStore):
            async with store:
                yield
        else:
            yield

    return lifespan
