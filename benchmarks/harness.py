"""Contenders that take turns: whatever else the machine does, it does to all of them.

All contenders of a case are set up at once and take shuffled turns in each round. A ratio is the median over the rounds
of a contender's rate divided by the limit's rate in the same round. Only successful operations count.
"""

import asyncio
import gc
import inspect
import itertools
import random
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["limit", "reference", "peer", "ours"]
Operation = Callable[[int], Any]
"""One operation, given a number that grows: a coroutine function, or a plain one that runs in threads."""
Operations = Mapping[str, Operation]

TOO_MANY_ERRORS = 50
WARMING_UP = 0.2


@dataclass(frozen=True)
class Contender:
    """Somebody's way to do it; ``limit`` is the driver without isolation, ``reference`` another way of the driver's."""

    name: str
    role: Role
    open: Callable[[], AbstractAsyncContextManager[Operations]] | None = None
    """What sets it up for `Bench.compare`."""


@dataclass(frozen=True)
class Target:
    """How fast a contender ought to be.

    ``at_least`` is its rate divided by another's, the limit's where none is named; ``p95`` are milliseconds at most.
    """

    contender: str
    at_least: float | None = None
    against: str | None = None
    p95: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured of it: a ratio, or milliseconds."""

    target: Target
    measured: float

    @property
    def met(self) -> bool:
        if self.target.at_least is not None:
            return self.measured >= self.target.at_least
        return self.target.p95 is None or self.measured <= self.target.p95


@dataclass
class Turn:
    """One contender's turn in one round; times in seconds, CPU of this process alone."""

    seconds: float = 0.0
    cpu: float = 0.0
    done: int = 0
    errors: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    def failed(self, error: Exception) -> None:
        """Count an error; raise it where nothing else comes."""
        self.errors += 1
        if self.errors > TOO_MANY_ERRORS and not self.latencies:
            raise error


@dataclass(frozen=True)
class Row:
    """One contender in one case: operations a second, ratios to the limit, milliseconds, microseconds of CPU each."""

    contender: str
    role: Role
    rate: float
    ratio: float
    lowest: float
    highest: float
    p50: float
    p95: float
    cpu: float
    errors: int


@dataclass(frozen=True)
class Case:
    """A table of the report."""

    name: str
    rows: list[Row]
    verdicts: list[Verdict]
    latency: bool = True


@dataclass
class Live:
    """A contender that is set up."""

    contender: Contender
    operations: Operations
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)


@dataclass
class Bench:
    """What a task is given: how long to measure, and where its tables and remarks go."""

    rounds: int = 11
    seconds: float = 0.3
    quick: bool = False
    keep: bool = False
    cases: list[Case] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    shuffle: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - an order of turns

    @asynccontextmanager
    async def opened(self, contenders: Sequence[Contender]) -> AsyncIterator[list[Live]]:
        """Set contenders up; one whose package is not installed is left out, and that is remarked."""
        async with AsyncExitStack() as stack:
            live: list[Live] = []
            for contender in contenders:
                assert contender.open is not None
                try:
                    live.append(Live(contender, await stack.enter_async_context(contender.open())))
                except ImportError as error:
                    self.remark(f"left out: {contender.name} ({error})")
            gc.collect()
            gc.freeze()  # what was set up is not looked through again before each turn
            yield live
            gc.unfreeze()

    async def compare(
        self,
        name: str,
        live: Sequence[Live],
        operation: str,
        *,
        concurrency: int = 1,
        targets: Sequence[Target] = (),
    ) -> None:
        """Measure one operation of every contender that has it; the first of role ``limit`` is the limit."""
        able = [one for one in live if operation in one.operations]
        for one in able:
            await _turn(one.operations[operation], one.numbers, concurrency, min(WARMING_UP, self.seconds))
        turns: dict[str, list[Turn]] = {one.contender.name: [] for one in able}
        for _ in range(self.rounds):
            self.shuffle.shuffle(able)
            for one in able:
                gc.collect()
                turn = await _turn(one.operations[operation], one.numbers, concurrency, self.seconds)
                turns[one.contender.name].append(turn)
        self._conclude(name, [one.contender for one in live if one in able], turns, targets)

    async def race(
        self,
        name: str,
        runners: Mapping[Contender, Callable[[], Awaitable[Turn]]],
        *,
        targets: Sequence[Target] = (),
        rounds: int | None = None,
    ) -> None:
        """Let each do the whole of a long piece of work, once a round; a runner tells how long it took."""
        turns: dict[str, list[Turn]] = {contender.name: [] for contender in runners}
        order = list(runners)
        for _ in range(rounds or self.rounds):
            self.shuffle.shuffle(order)
            for contender in order:
                gc.collect()
                turns[contender.name].append(await runners[contender]())
        self._conclude(name, list(runners), turns, targets, latency=False)

    def remark(self, text: str) -> None:
        """Note something that belongs under the tables."""
        if text not in self.remarks:
            self.remarks.append(text)

    def _conclude(
        self,
        name: str,
        contenders: Sequence[Contender],
        turns: Mapping[str, list[Turn]],
        targets: Sequence[Target],
        *,
        latency: bool = True,
    ) -> None:
        limit = next((contender.name for contender in contenders if contender.role == "limit"), None)
        if limit is None:
            sys.exit(f"{name}: what it is measured against did not start, see above")
        rows = [_row(contender, turns[contender.name], turns[limit]) for contender in contenders]
        verdicts = [
            _verdict(target, rows, turns, target.against or limit)
            for target in targets
            if target.contender in turns and (target.against or limit) in turns
        ]
        self.cases.append(Case(name, rows, verdicts, latency))
        for row in rows:
            print(
                f"{name:32} {row.contender:44} {row.rate:10.0f}/s  x{row.ratio:.2f}"
                f" [{row.lowest:.2f}-{row.highest:.2f}]  {row.cpu:6.0f} us"
                + (f"  {row.errors} errors" if row.errors else ""),
                file=sys.stderr,
            )


def _ratios(own: Sequence[Turn], other: Sequence[Turn]) -> list[float]:
    return [a.rate / b.rate for a, b in zip(own, other, strict=True)]


def _verdict(target: Target, rows: Sequence[Row], turns: Mapping[str, list[Turn]], against: str) -> Verdict:
    if target.at_least is None:
        return Verdict(target, next(row.p95 for row in rows if row.contender == target.contender))
    return Verdict(target, statistics.median(_ratios(turns[target.contender], turns[against])))


def _row(contender: Contender, own: Sequence[Turn], limit: Sequence[Turn]) -> Row:
    ratios = _ratios(own, limit)
    latencies = sorted(itertools.chain.from_iterable(turn.latencies for turn in own)) or [0.0]
    return Row(
        contender=contender.name,
        role=contender.role,
        rate=statistics.median(turn.rate for turn in own),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        p50=latencies[len(latencies) // 2] * 1000,
        p95=latencies[len(latencies) * 95 // 100] * 1000,
        cpu=statistics.median(turn.cpu / max(1, turn.done) for turn in own) * 1_000_000,
        errors=sum(turn.errors for turn in own),
    )


async def _turn(operation: Operation, numbers: "itertools.count[int]", concurrency: int, seconds: float) -> Turn:
    turn = Turn()
    begin, cpu = time.perf_counter(), time.process_time()
    end = begin + seconds
    if inspect.iscoroutinefunction(operation):
        await asyncio.gather(*(_await(operation, numbers, turn, end) for _ in range(concurrency)))
    elif concurrency == 1:
        _call(operation, numbers, turn, end)
    else:
        await asyncio.to_thread(_call_in_threads, operation, numbers, turn, end, concurrency)
    turn.seconds, turn.cpu = time.perf_counter() - begin, time.process_time() - cpu
    turn.done = len(turn.latencies)
    return turn


async def _await(operation: Operation, numbers: "itertools.count[int]", turn: Turn, end: float) -> None:
    while True:
        start = time.perf_counter()
        try:
            await operation(next(numbers))
        except Exception as error:  # noqa: BLE001 - counted
            turn.failed(error)
        else:
            turn.latencies.append(time.perf_counter() - start)
        if time.perf_counter() >= end:
            return


def _call(operation: Operation, numbers: "itertools.count[int]", turn: Turn, end: float) -> None:
    while True:
        start = time.perf_counter()
        try:
            operation(next(numbers))
        except Exception as error:  # noqa: BLE001 - counted
            turn.failed(error)
        else:
            turn.latencies.append(time.perf_counter() - start)
        if time.perf_counter() >= end:
            return


def _call_in_threads(
    operation: Operation, numbers: "itertools.count[int]", turn: Turn, end: float, concurrency: int
) -> None:
    threads = [threading.Thread(target=_call, args=(operation, numbers, turn, end)) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
