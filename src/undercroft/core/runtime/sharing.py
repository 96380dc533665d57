"""Statements of one kind that come at the same time, of whatever tenants, sent in one message.

An append, or the read of one row, is one statement and a transaction of its own. While one of its kind is under way,
those that come wait. Half of them travel together, while the others make ready: the client sends and waits once for all
of them, and the server commits once. Few messages are under way at the same time, for a process of Python keeps no more
backends busy than that.
"""

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.util import await_only
from typing_extensions import override

from undercroft.core.door.base import Door
from undercroft.core.runtime.asyncpg_port import AsyncpgPort
from undercroft.core.runtime.gathering import answer
from undercroft.core.runtime.greenlets import spawn
from undercroft.core.runtime.lanes import AwaitingLane
from undercroft.core.runtime.postgresql_ports import answer_lost
from undercroft.core.statement import Prepared, Shared
from undercroft.core.tx import Port
from undercroft.errors import CommitUnknown, PoolTimeout, StoreClosed, UndercroftError

AT_ONCE = 2
"""Messages of one kind of statement that are under way at the same time."""
MOST = 64
"""Statements in one message."""

_UNDONE: Any = object()
"""The answer to those whose message failed, and undid what it had done."""

R = TypeVar("R")
_Rider = tuple[Sequence[Any], "asyncio.Future[Any]"]


class _Crowd:
    """Those that wait with statements of one kind, and how many messages of it are under way."""

    __slots__ = ("share", "shared", "under_way", "waiting")

    def __init__(self, share: Callable[[], Shared]) -> None:
        self.share = share
        self.shared: Shared | None = None
        self.under_way = 0
        self.waiting: list[_Rider] = []


class SharingPort(Port):
    """The hot lane as those calls meet it whose statements are transactions of their own: each rides or goes alone.

    A message that fails is undone as a whole, and each of its statements is sent again alone: one that breaks a rule,
    or waits for a lock, keeps nobody else.
    """

    def __init__(self, lane: AwaitingLane) -> None:
        self._lane = lane
        self._crowds: dict[Prepared, _Crowd] = {}
        self._carriers: set[asyncio.Task[None]] = set()

    @override
    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        return self._alone(lambda port: port.fetch(sql, arguments))

    @override
    def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        return self._alone(lambda port: port.execute(sql, arguments))

    @override
    def execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> int:
        return self._alone(lambda port: port.execute_many(sql, arguments))

    @override
    def fetch_prepared(self, prepared: Prepared, arguments: Sequence[Any]) -> Sequence[Any]:
        return self._ride(prepared, arguments, lambda port: port.fetch(prepared.sql, arguments), _itself)

    @override
    def execute_prepared(self, prepared: Prepared, arguments: Sequence[Any]) -> int:
        return self._ride(prepared, arguments, lambda port: port.execute(prepared.sql, arguments), len)

    @override
    def door(self, tenant_id: UUID | None) -> Door:
        message = "an operation that opens a door is declared access='write'"
        raise TypeError(message)

    def rollback(self) -> None:
        """Do nothing: every statement was a transaction of its own, and its connection is in order again."""

    def _alone(self, call: Callable[[AsyncpgPort], R]) -> R:
        port = self._lane.spare() or await_only(self._lane.take())
        try:
            return call(port)
        except UndercroftError as error:
            if answer_lost(error):
                port.rollback()  # nothing to roll back, but it ends what may still be under way
            raise
        finally:
            self._lane.give(port)

    def _ride(
        self,
        prepared: Prepared,
        arguments: Sequence[Any],
        call: Callable[[AsyncpgPort], R],
        told: Callable[[Sequence[Any]], R],
    ) -> R:
        if prepared.share is None:
            return self._alone(call)
        crowd = self._crowds.get(prepared)
        if crowd is None:
            crowd = self._crowds[prepared] = _Crowd(prepared.share)
        if not crowd.under_way:
            crowd.under_way = 1
            try:
                return self._alone(call)
            finally:
                crowd.under_way -= 1
                self._send_on(crowd)
        seat: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        crowd.waiting.append((arguments, seat))
        self._send_on(crowd)
        rows = await_only(seat)
        return self._alone(call) if rows is _UNDONE else told(rows)

    def _send_on(self, crowd: _Crowd) -> None:
        """Have those who wait carried, if one more message may be under way; it takes along who comes until it runs."""
        if crowd.under_way < AT_ONCE and any(not seat.done() for _, seat in crowd.waiting):
            crowd.under_way += 1
            carrier = asyncio.get_running_loop().create_task(self._carry(crowd))
            self._carriers.add(carrier)  # the loop keeps only a weak reference
            carrier.add_done_callback(self._carriers.discard)

    async def _carry(self, crowd: _Crowd) -> None:
        size = 1
        try:
            # Who was cancelled stays behind.
            while waiting := [rider for rider in crowd.waiting if not rider[1].done()]:
                size = min(MOST, (len(waiting) + size + 1) // 2)
                riders, crowd.waiting = waiting[:size], waiting[size:]
                await self._send(crowd, riders)
        finally:
            crowd.under_way -= 1

    async def _send(self, crowd: _Crowd, riders: list[_Rider]) -> None:
        try:
            answers = await self._answers(crowd, riders)
        except (PoolTimeout, StoreClosed) as error:
            _refuse(riders, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who ride must hear it
            if isinstance(error, UndercroftError) and answer_lost(error):
                _refuse(riders, error)
            else:
                answer(riders, [_UNDONE] * len(riders))
        except BaseException as error:  # the loop is closing, and nobody knows what became of them
            unknown = CommitUnknown()
            unknown.__cause__ = error
            _refuse(riders, unknown)
            raise
        else:
            answer(riders, answers)

    async def _answers(self, crowd: _Crowd, riders: list[_Rider]) -> list[list[Any]]:
        shared = crowd.shared = crowd.shared or crowd.share()
        riders.sort(key=lambda rider: shared.order(rider[0]))
        arguments = [shared.arguments(own, number) for number, (own, _) in enumerate(riders)]
        answers: list[list[Any]] = [[] for _ in riders]
        for row in await spawn(self._alone, lambda port: port.fetch_each(shared.sql, arguments)):
            answers[row[-1]].append(row[:-1])
        return answers


def _itself(rows: Sequence[Any]) -> Sequence[Any]:
    return rows


def _refuse(riders: list[_Rider], error: UndercroftError) -> None:
    """Raise an error of his own for each: whoever raises one adds to its context whose it is."""
    for _, seat in riders:
        if not seat.done():
            own = copy.copy(error)
            own.__cause__, own.context = error.__cause__, {**error.context}
            seat.set_exception(own)
