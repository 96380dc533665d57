"""Check and consume: `acme.limits.consume` by a definition in the database, against an upsert that is told it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import no_reset

NUMBER, TITLE = 2, "Rate limit: check and consume"
USERS = 1000
PLENTY = 10**9
EXACT, TAKERS = 50, 4
"""So many units, and so many times as many takes at once."""
BARE = (
    "CREATE SCHEMA bare",
    (
        "CREATE TABLE bare.buckets (key text PRIMARY KEY, tokens float8 NOT NULL, at timestamptz NOT NULL)"
        " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)"
    ),
)
UPSERT = """
INSERT INTO bare.buckets AS b (key, tokens, at) VALUES ($1, $2::float8 - 1, clock_timestamp())
ON CONFLICT (key) DO UPDATE SET at = clock_timestamp(),
  tokens = least($2::float8, b.tokens + extract(epoch FROM clock_timestamp() - b.at) * $3::float8) - 1
WHERE least($2::float8, b.tokens + extract(epoch FROM clock_timestamp() - b.at) * $3::float8) >= 1
RETURNING tokens"""
BLOCK = 10_000
HOT, MANY = "hot key", "1000 keys"
LIMIT, OURS, LEASED = "asyncpg upsert, async commit", "undercroft limits.consume", "undercroft limits.lease"


def operations(take: Any) -> Operations:
    """Takes of one key, and of each of many in turn."""

    async def hot(_number: int) -> Any:
        assert await take("hot")

    async def many(number: int) -> Any:
        assert await take(f"U{number % USERS}")

    return {HOT: hot, MANY: many}


@asynccontextmanager
async def asyncpg_pool(db: Postgres, exact: dict[str, int], *, durable: bool) -> AsyncIterator[Operations]:
    settings = {} if durable else {"synchronous_commit": "off"}
    async with asyncpg.create_pool(
        db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset, server_settings=settings
    ) as pool:

        async def take(key: str) -> Any:
            return await pool.fetchval(UPSERT, key, PLENTY, PLENTY / 60) is not None

        async def last(_number: int) -> Any:
            return await pool.fetchval(UPSERT, "last", EXACT, 1e-9) is not None

        if not durable:
            exact[LIMIT] = await _granted(last)
        yield operations(take)


@asynccontextmanager
async def ours(settings: undercroft.Settings, exact: dict[str, int]) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        limits = store.default.limits

        async def take(key: str) -> Any:
            return (await limits.consume("api", by=key)).allowed

        async def last(_number: int) -> Any:
            return (await limits.try_consume("last")).allowed

        await limits.define("last", EXACT, per="month")
        exact[OURS] = await _granted(last)
        yield operations(take)


@asynccontextmanager
async def leased(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    async with (
        undercroft.AsyncStore(settings=settings) as store,
        store.default.limits.lease("api", block=BLOCK, by="leased") as lease,
    ):

        async def hot(_number: int) -> Any:
            assert (await lease.consume()).allowed

        yield {HOT: hot}


async def _granted(last: Any) -> int:
    taken = await asyncio.gather(*(last(number) for number in range(EXACT * TAKERS)))
    return sum(taken)


def _prepare(store: undercroft.Store) -> None:
    store.default.limits.define("api", PLENTY, per="minute", kind="bucket", each="user")


async def run(bench: Bench) -> None:
    """Measure a hot key alone and together, and many keys."""
    exact: dict[str, int] = {}
    with postgres() as db:
        db.run(*BARE)
        with undercroft.Store(settings=db.settings()) as store:
            _prepare(store)
        contenders = [
            Contender(LIMIT, "limit", partial(asyncpg_pool, db, exact, durable=False)),
            Contender("asyncpg upsert, durable", "reference", partial(asyncpg_pool, db, exact, durable=True)),
            Contender(OURS, "ours", partial(ours, db.settings(), exact)),
            Contender(LEASED, "ours", partial(leased, db.settings())),
        ]
        async with bench.opened(contenders) as live:
            for operation, concurrency in ((HOT, 1), (HOT, 32), (MANY, 32)):
                name = f"PostgreSQL, {operation}, c{concurrency}"
                wanted = [Target(OURS, 0.85), Target(LEASED, 20, against=OURS)]
                await bench.compare(name, live, operation, concurrency=concurrency, targets=wanted)
    for name, granted in exact.items():
        bench.remark(f"{name}: of {EXACT * TAKERS} takes at once {granted} were granted, of {EXACT} units.")
