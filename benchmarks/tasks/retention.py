"""How long writers wait while upkeep removes old rows beside them, against the same writers alone."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial

import undercroft
from benchmarks.databases import postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Target, Turn
from undercroft import models
from undercroft.core import ids

NUMBER, TITLE = 13, "Retention: writers while old rows are removed"
WRITERS, OLD, QUICK, CHUNK = 8, 20_000, 2_000, 1_000
LONGER = 2.0
THEN = datetime(2020, 1, 1, tzinfo=UTC)


class Place:
    """Two stores on one database: the bot's, which writes, and upkeep's."""

    def __init__(self, bot: undercroft.AsyncStore, keeper: undercroft.AsyncStore, old: int) -> None:
        self._bot = bot.tenant("slack:T0")
        self._keeper = keeper.tenant("slack:T0")
        self._old = old
        self._numbers = itertools.count()
        self.removed: list[tuple[int, float]] = []

    async def fill(self) -> None:
        """Store what the next run removes."""
        rows = self._bot.repository(models.QueryRun)
        for _ in range(self._old // CHUNK):
            await rows.create_many(
                [
                    {"id": ids.new(THEN), "question": "Sales in May?", "status": "success", "started_at": THEN}
                    for _ in range(CHUNK)
                ]
            )

    async def write(self, latencies: list[float], done: asyncio.Event) -> None:
        """Do what a bot does with each message."""
        while not done.is_set():
            start, user = time.perf_counter(), f"U{next(self._numbers) % 97}"
            await self._bot.sessions.start(user)
            await self._bot.queries.log("Sales in May?", user=user, sql="SELECT 1", database="SALES")
            latencies.append(time.perf_counter() - start)

    async def wait_of_writers(self, during: Callable[[], Awaitable[None]]) -> Turn:
        """Let writers write while something goes on; the turn's time is what one in a hundred waits longer than."""
        latencies: list[float] = []
        done = asyncio.Event()
        writers = [asyncio.create_task(self.write(latencies, done)) for _ in range(WRITERS)]
        await during()
        done.set()
        await asyncio.gather(*writers)
        return Turn(seconds=sorted(latencies)[len(latencies) * 99 // 100], done=1)

    async def alone(self, seconds: float) -> Turn:
        return await self.wait_of_writers(partial(asyncio.sleep, seconds))

    async def beside_upkeep(self) -> Turn:
        await self.fill()
        return await self.wait_of_writers(self.remove)

    async def remove(self) -> None:
        """Run upkeep once."""
        start = time.perf_counter()
        run = await self._keeper.upkeep.run()
        self.removed.append((run.rows, time.perf_counter() - start))
        assert run.rows == self._old, f"{run.rows} rows removed instead of {self._old}"


@asynccontextmanager
async def placed(settings: undercroft.Settings, old: int) -> AsyncIterator[Place]:
    async with undercroft.AsyncStore(settings=settings) as bot, undercroft.AsyncStore(settings=settings) as keeper:
        await bot.tenants.ensure("slack:T0")
        yield Place(bot, keeper, old)


@contextmanager
def _server_database() -> Iterator[undercroft.Settings]:
    with postgres() as db:
        yield db.settings()


@contextmanager
def _file_database() -> Iterator[undercroft.Settings]:
    with sqlite_file() as url:
        yield undercroft.Settings(database_url=url)


async def run(bench: Bench) -> None:
    """Measure both in the same rounds; a rate is one divided by the time that one writer in a hundred waits longer."""
    old = QUICK if bench.quick else OLD
    for engine, database in (("PostgreSQL", _server_database), ("SQLite", _file_database)):
        with database() as settings:
            async with placed(settings, old) as place:
                alone, beside = Contender("writers alone", "limit"), Contender("writers beside upkeep", "ours")
                await bench.race(
                    f"{engine}, p99 of {WRITERS} writers",
                    {alone: partial(place.alone, bench.seconds * 5), beside: place.beside_upkeep},
                    targets=[Target(beside.name, 1 / LONGER)],
                )
                rows, seconds = map(sum, zip(*place.removed, strict=True))
                bench.remark(f"{engine}: {rows / seconds:,.0f} rows removed a second, beside the writers")
    bench.remark(f"the target is a p99 of at most {LONGER:g} times, a rate of at least {1 / LONGER:.2f}")
