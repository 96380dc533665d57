"""asyncpg's connection as an operation meets it: waited for in a greenlet."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.door.postgresql import AsyncpgDoor
from undercroft.core.runtime import deadlines
from undercroft.core.runtime.postgresql_ports import PostgresqlPort


class AsyncpgPort(PostgresqlPort):
    """asyncpg; must be used inside a greenlet of SQLAlchemy's."""

    _door = AsyncpgDoor

    @property
    @override
    def usable(self) -> bool:
        # Asked twice for every operation: in one step instead of five.
        driver = self.driver
        return not (self._broken or self.unsettled or driver.is_closed() or driver.is_in_transaction())

    def fetch_each(self, sql: str, many: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Run one statement with each of many sets of arguments, in one transaction, and return the rows of all."""
        return self.timed(self._fetch_each, sql, many)

    def watch(self, by: deadlines.Deadlines) -> None:
        """Hold the connection to the limit that its server keeps, and to a little more where no server answers."""
        self.limit = by.limit + deadlines.SETTLING
        self._loop = asyncio.get_running_loop()
        by.watch(self)

    def give_up(self, started: float) -> None:
        """Cut the connection if the statement that began then is still under way."""
        with suppress(RuntimeError):  # the loop has ended, and all statements with it
            self._loop.call_soon_threadsafe(self._cut, started)

    def _cut(self, started: float) -> None:
        if self.started == started:
            self.drop()

    @override
    def _is_closed(self) -> bool:
        return bool(self.driver.is_closed())

    @override
    def _in_transaction(self) -> bool:
        return bool(self.driver.is_in_transaction())

    @override
    def _roll_back(self) -> None:
        # It waits for the cancellation of what came before.
        self.timed(lambda sql, _: await_only(self.driver.execute(sql, timeout=deadlines.SETTLING)), "ROLLBACK", ())

    @override
    def drop(self) -> None:
        self.driver.terminate()

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return await_only(self.driver.fetch(sql, *arguments))

    def _fetch_each(self, sql: str, many: Sequence[Sequence[Any]]) -> Sequence[Any]:
        return await_only(self.driver.fetchmany(sql, many))

    def _execute(self, sql: str, arguments: Sequence[Any]) -> str:
        return str(await_only(self.driver.execute(sql, *arguments)))

    def _execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None:
        await_only(self.driver.executemany(sql, arguments))
