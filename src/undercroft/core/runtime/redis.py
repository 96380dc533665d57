"""A store's connections to its Redis, in both colours: one script a call, within one deadline.

redis-py's connections, without its client and pool: those cost a call as much again as the server takes for it.
"""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha1
from importlib import import_module
from typing import Any

from undercroft.core.runtime.lanes import BlockingLane
from undercroft.errors import ConfigurationError, PoolTimeout, RedisUnavailable, StoreClosed
from undercroft.settings import Settings

IDLE = 0.1
"""Seconds after which a connection is looked at before it is used again: the server may have closed it."""
Arguments = Sequence[str | bytes | int]


class Script:
    """A Lua script, which the server remembers by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def known(self, keys: Arguments, arguments: Arguments) -> tuple[Any, ...]:
        """Return the command that runs it where the server has it."""
        return "EVALSHA", self._sha, len(keys), *keys, *arguments

    def whole(self, keys: Arguments, arguments: Arguments) -> tuple[Any, ...]:
        """Return the command that runs it anywhere."""
        return "EVAL", self.text, len(keys), *keys, *arguments


class Link:
    """What both colours know: the address, which no text of it shows, and what it takes to connect."""

    def __init__(self, settings: Settings, module: str) -> None:
        assert settings.redis is not None  # noqa: S101 - settings that want Redis were refused without its address
        self.address = settings.redis
        self.timeout = float(settings.redis_timeout)
        try:
            redis: Any = import_module(module)
            errors: Any = import_module("redis.exceptions")
            once: Any = import_module(f"{module}.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
        except ImportError as error:
            message = "limits_backend is redis, and the package redis is not installed"
            raise ConfigurationError(
                message, setting="limits_backend", hint="pip install 'undercroft[redis]'"
            ) from error
        self._failures: tuple[type[Exception], ...] = (errors.RedisError, OSError, EOFError, PoolTimeout)
        self._refusal: type[Exception] = errors.ResponseError
        self.forgotten: type[Exception] = errors.NoScriptError
        # It only reads the address. RESP 2, as integers and arrays are all that comes back.
        self._like: Any = redis.ConnectionPool.from_url(self.address.reveal(), protocol=2, retry=once)

    def driver(self, timeout: float | None, connecting: float) -> Any:
        """Make one of redis-py's connections, which is not connected yet."""
        times = {"socket_timeout": timeout, "socket_connect_timeout": connecting}
        return self._like.connection_class(**{**self._like.connection_kwargs, **times})

    def unavailable(self, error: Exception) -> RedisUnavailable:
        """Return what went wrong as ours; of a refusal the first word, such as NOPERM, as the others may name keys."""
        return RedisUnavailable(reason=str(error).split(" ", 1)[0] if isinstance(error, self._refusal) else None)


class _Held:
    """A connection of a Store, in its lane."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.born = self._used = time.monotonic()
        self._process = os.getpid()

    @property
    def usable(self) -> bool:
        if not self.driver.is_connected or self._process != os.getpid():  # a parent's is still the parent's
            return False
        if time.monotonic() - self._used < IDLE:
            return True
        try:
            return not self.driver.can_read(0)  # there is nothing to read but the end
        except Exception:  # noqa: BLE001 - whatever it is, it can be used no more
            return False

    def ask(self, command: tuple[Any, ...]) -> Any:
        self.driver.send_command(*command, check_health=False)
        reply = self.driver.read_response(disable_decoding=True)
        self._used = time.monotonic()
        return reply

    def drop(self) -> None:
        with suppress(Exception):
            self.driver.disconnect()


class BlockingRedis(Link):
    """For a Store; threads share its connections."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "redis")
        self._lane = BlockingLane(self._connect, settings.pool_size, self.timeout, float(settings.pool_recycle))
        self._call = threading.local()

    def _connect(self) -> _Held:
        left = self._call.deadline - time.monotonic()
        if left <= 0:
            raise RedisUnavailable
        driver = self.driver(left, left)
        driver.connect()
        return _Held(driver)

    def run(self, script: Script, keys: Arguments, arguments: Arguments) -> Any:
        """Run a script; raises RedisUnavailable, and then it may have run or not."""
        self._call.deadline = deadline = time.monotonic() + self.timeout
        try:
            held = self._lane.take()
            try:
                held.driver.update_current_socket_timeout(max(0.001, deadline - time.monotonic()))
                try:
                    return held.ask(script.known(keys, arguments))
                except self.forgotten:
                    return held.ask(script.whole(keys, arguments))
            finally:
                if not held.driver.is_connected:
                    self._lane.forget_idle()
                self._lane.give(held)
        except self._failures as error:
            raise self.unavailable(error) from error.with_traceback(None)  # its frames hold the password

    def close(self) -> None:
        """Close every connection."""
        self._lane.close()


class _Wire:
    """The one connection of an AsyncStore: calls are sent as they come, and answered in their order."""

    def __init__(self, driver: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self._driver = driver
        self._reader: asyncio.StreamReader = driver._reader  # noqa: SLF001 - tells at no cost what a call would find out
        self._transport: asyncio.Transport = driver._writer.transport  # noqa: SLF001 - writes and ends without an await
        self._calls: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._unsent: list[bytes] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._reading = self.loop.create_task(self._read())

    @property
    def usable(self) -> bool:
        """Whether the server has not closed it."""
        return not (self._reading.done() or self._reader.at_eof() or self._transport.is_closing())

    def call(self, command: tuple[Any, ...], deadline: float) -> asyncio.Future[Any]:
        """Send a command; the future has its answer."""
        line: list[bytes] = self._driver.pack_command(*command)
        answer: asyncio.Future[Any] = self.loop.create_future()
        if not self._calls:
            self._transport.write(b"".join(line))
        else:  # those of one turn of the loop share a write
            if not self._unsent:
                self.loop.call_soon(self._send)
            self._unsent += line
        self._calls.append((deadline, answer))
        if self._alarm is None:
            self._alarm = self.loop.call_at(deadline, self._look)
        return answer

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent))

    def _look(self) -> None:
        """Give up when the first has waited too long: one timer for all, and what comes after it is later still."""
        self._alarm = None
        if self._calls:
            deadline, _ = self._calls[0]
            if deadline <= self.loop.time():
                self._transport.abort()
            else:
                self._alarm = self.loop.call_at(deadline, self._look)

    async def _read(self) -> None:
        failure: BaseException | None = None
        try:
            while True:
                try:
                    reply = await self._driver.read_response(disable_decoding=True)
                except Exception as error:  # noqa: BLE001 - whoever waits is to be told
                    if not self._driver.is_connected:
                        failure = error
                        return
                    reply = error
                _, answer = self._calls.popleft()
                if answer.done():
                    pass  # whoever asked was cancelled
                elif isinstance(reply, Exception):
                    answer.set_exception(reply)
                else:
                    answer.set_result(reply)
        finally:
            self._end(failure)

    def _end(self, failure: BaseException | None) -> None:
        while self._calls:
            _, answer = self._calls.popleft()
            if not answer.done():
                lost = ConnectionError("the connection is closed")
                lost.__cause__ = failure
                answer.set_exception(lost)
        if self._alarm is not None:
            self._alarm.cancel()
        self._transport.abort()
        self._driver._close()  # noqa: SLF001 - its other way to close waits

    def close(self) -> None:
        """End it, and what is under way."""
        with suppress(RuntimeError):  # the loop has ended
            self._reading.cancel()


class AwaitingRedis(Link):
    """For an AsyncStore; its calls share one connection, and none waits for another's answer to be sent."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "redis.asyncio")
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None
        self._closed = False

    async def run(self, script: Script, keys: Arguments, arguments: Arguments) -> Any:
        """Run a script; raises RedisUnavailable, and then it may have run or not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout
        try:
            wire = self._wire
            if wire is None or not wire.usable or wire.loop is not loop:
                async with asyncio.timeout_at(deadline):
                    wire = await self._connected()
            try:
                return await wire.call(script.known(keys, arguments), deadline)
            except self.forgotten:
                return await wire.call(script.whole(keys, arguments), deadline)
        except self._failures as error:
            raise self.unavailable(error) from error.with_traceback(None)  # its frames hold the password

    async def _connected(self) -> _Wire:
        """Connect, once for all who ask; whoever gives up waiting leaves it to the others."""
        while not self._closed:
            connecting = self._connecting
            mine = connecting is None or connecting.done()
            if connecting is None or mine:
                connecting = self._connecting = asyncio.create_task(self._connect())
                connecting.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                return await asyncio.shield(connecting)
            except self._failures:
                if mine:  # an older try may have begun while there was no Redis
                    raise
        raise StoreClosed

    async def _connect(self) -> _Wire:
        driver = self.driver(None, self.timeout)
        try:
            async with asyncio.timeout(self.timeout):
                await driver.connect()
        except BaseException:
            driver._close()  # noqa: SLF001 - interrupted between its steps it leaves the socket open
            raise
        self._wire = _Wire(driver)
        if self._closed:
            self.close()
        return self._wire

    def close(self) -> None:
        """Close the connection; what is under way fails."""
        self._closed = True
        if self._wire is not None:
            self._wire.close()
