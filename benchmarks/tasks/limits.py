"""Check and consume: `acme.limits.consume` by a definition in the database, against an upsert that is told it.

And counted in Redis, against a script of a few lines that is told its definition as well.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import no_reset
from tests import servers

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
BUCKET = """
local cap, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local t = redis.call('TIME'); local now = t[1] + t[2] / 1e6
local b = redis.call('HMGET', KEYS[1], 't', 'a')
local tokens = b[1] and math.min(cap, tonumber(b[1]) + (now - tonumber(b[2])) * rate) or cap
local ok = 0
if tokens >= 1 then tokens = tokens - 1; ok = 1 end
redis.call('HSET', KEYS[1], 't', tokens, 'a', tostring(now)); redis.call('PEXPIRE', KEYS[1], 120000)
return ok"""
BLOCK = 10_000
HOT, MANY = "hot key", "1000 keys"
BARE_BUCKET, OURS_IN_REDIS = "redis-py, Lua token bucket", "undercroft limits.consume, in Redis"
STRATEGIES = ("FixedWindowRateLimiter", "MovingWindowRateLimiter")
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
        name = OURS if settings.redis is None else OURS_IN_REDIS

        async def take(key: str) -> Any:
            return (await limits.consume("api", by=key)).allowed

        async def last(_number: int) -> Any:
            return (await limits.try_consume("last")).allowed

        await limits.define("last", EXACT, per="month")
        await limits.reset("last")  # in Redis it may be there from another run
        exact[name] = await _granted(last)
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


@asynccontextmanager
async def redis_bucket(exact: dict[str, int]) -> AsyncIterator[Operations]:
    import redis.asyncio  # noqa: PLC0415 - a contender whose package is missing is left out

    async with redis.asyncio.from_url(redis_server(), max_connections=EXACT * TAKERS) as client:
        script = client.register_script(BUCKET)
        run = uuid4().hex

        async def take(key: str) -> Any:
            return await script(keys=[f"bench:{run}:{key}"], args=[PLENTY, PLENTY / 60]) == 1

        async def last(_number: int) -> Any:
            return await script(keys=[f"bench:{run}:last"], args=[EXACT, 1e-9]) == 1

        exact[BARE_BUCKET] = await _granted(last)
        yield operations(take)


@asynccontextmanager
async def limits_library(strategy: str) -> AsyncIterator[Operations]:
    from limits import RateLimitItemPerMinute  # noqa: PLC0415
    from limits.aio import storage, strategies  # noqa: PLC0415

    store = storage.RedisStorage(f"async+{redis_server()}", implementation="redispy", key_prefix=f"bench:{uuid4().hex}")
    limiter, item = getattr(strategies, strategy)(store), RateLimitItemPerMinute(PLENTY)

    async def take(key: str) -> Any:
        return await limiter.hit(item, key)

    yield operations(take)
    await store.reset()


@asynccontextmanager
async def pyrate_limiter() -> AsyncIterator[Operations]:
    import redis.asyncio  # noqa: PLC0415
    from pyrate_limiter import BucketFactory, Limiter, Rate, RateItem, RedisBucket  # noqa: PLC0415

    async with redis.asyncio.from_url(redis_server(), max_connections=EXACT * TAKERS) as client:
        rate, run = Rate(PLENTY, 60_000), uuid4().hex
        keys = ["hot", *(f"U{number}" for number in range(USERS))]
        buckets = {key: await RedisBucket.init([rate], client, f"bench:{run}:{key}") for key in keys}

        class Factory(BucketFactory):
            def wrap_item(self, name: str, weight: int = 1) -> Any:
                return RateItem(name, time.time_ns() // 1_000_000, weight=weight)

            def get(self, item: Any) -> Any:
                return buckets[item.name]

        limiter = Limiter(Factory())

        async def take(key: str) -> Any:
            return await limiter.try_acquire_async(key, blocking=False)

        yield operations(take)
        await client.delete(*(f"bench:{run}:{key}" for key in keys))


def redis_server() -> str:
    """The address of a Redis: UNDERCROFT_BENCH_REDIS, else the environment's server, else a throwaway one."""
    return os.environ.get("UNDERCROFT_BENCH_REDIS") or servers.url(servers.names("valkey")[-1])


async def run(bench: Bench) -> None:
    """Measure a hot key alone and together, and many keys, in PostgreSQL and in Redis."""
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
                wanted = [Target(OURS, 0.85), Target(LEASED, 20)]
                await bench.compare(name, live, operation, concurrency=concurrency, targets=wanted)
        counting = db.settings(redis_url=redis_server(), limits_backend="redis")
        in_redis = [
            Contender(BARE_BUCKET, "limit", partial(redis_bucket, exact)),
            Contender(OURS_IN_REDIS, "ours", partial(ours, counting, exact)),
            *(Contender(f"limits {one} (Redis)", "peer", partial(limits_library, one)) for one in STRATEGIES),
            Contender("pyrate-limiter (Redis)", "peer", pyrate_limiter),
        ]
        async with bench.opened(in_redis) as live:
            for operation, concurrency in ((HOT, 1), (HOT, 32), (MANY, 32)):
                name = f"Redis, {operation}, c{concurrency}"
                wanted = [Target(OURS_IN_REDIS, 0.9)]
                await bench.compare(name, live, operation, concurrency=concurrency, targets=wanted)
    for name, granted in exact.items():
        bench.remark(f"{name}: of {EXACT * TAKERS} takes at once {granted} were granted, of {EXACT} units.")
