"""What a text-to-SQL bot does for each question, and its history as it grows from a thousand to a million rows."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import orjson

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import no_reset, with_json
from undercroft.core import ids

NUMBER, TITLE = 12, "A text-to-SQL bot: session, record, cached answer, history"
USERS, SQL, RIGHTS = 500, "SELECT name, price FROM products WHERE price < 10", ("user:reader", "role:")
VALUE = {"columns": ["name", "price"], "rows": [[f"product {number}", number] for number in range(20)]}
LIMIT, OURS = "asyncpg, pool without reset", "undercroft AsyncStore"
MOST = 1.3
GET = (
    "SELECT id, user_native_id, channel, team, current_database, preferences, started_at, last_activity_at, ended_at"
    " FROM undercroft.user_sessions WHERE tenant_id = $1 AND user_native_id = $2 AND channel = $3 AND ended_at IS NULL"
)
TOUCH = (
    "UPDATE undercroft.user_sessions SET last_activity_at = $3 WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL"
    " RETURNING id, user_native_id, channel, team, current_database, preferences, started_at, last_activity_at,"
    " ended_at"
)
BEGIN = (
    "INSERT INTO undercroft.query_history (tenant_id, id, user_native_id, question, sql, sql_hash, database, status,"
    " started_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', $8)"
)
END = (
    "UPDATE undercroft.query_history SET status = 'success', finished_at = $3, execution_time_ms = $4, row_count = $5"
    " WHERE tenant_id = $1 AND id = $2 AND status = 'running'"
)
CACHED = (
    "SELECT value FROM undercroft.query_cache WHERE tenant_id = $1 AND key = $2 AND expires_at > statement_timestamp()"
)
"""What each operation is in SQL, without isolation."""
PARTITIONS = "SELECT undercroft.ensure_partitions(now() - interval '180 days', now())"
HISTORY = """
INSERT INTO undercroft.query_history
  (tenant_id, id, user_native_id, question, sql, sql_hash, database, status, started_at, execution_time_ms)
SELECT '{tenant}', (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8'
    || lpad(to_hex(n), 15, '0'))::uuid, 'U' || n % 10, 'Cheap ones?', asked, sha256(convert_to(asked, 'UTF8')), 'shop',
  CASE WHEN n % 10 = 3 THEN 'failed' ELSE 'success' END, at, n % 1000
FROM generate_series(1, {rows}) n,
  LATERAL (SELECT now() - interval '180 days' * (1 - n::float / {rows})) moment (at),
  LATERAL (SELECT CASE WHEN n % 10 = 7 THEN '{sql}' ELSE 'SELECT ' || n END) statement (asked)
"""


@asynccontextmanager
async def driver(db: Postgres) -> AsyncIterator[Operations]:
    async with asyncpg.create_pool(
        db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, init=with_json, reset=no_reset
    ) as pool:
        tenant = await pool.fetchval("SELECT tenant_id FROM undercroft.query_cache LIMIT 1")
        key = await pool.fetchval("SELECT key FROM undercroft.query_cache LIMIT 1")
        sessions: list[UUID] = [row[0] for row in await pool.fetch("SELECT id FROM undercroft.user_sessions")]

        async def get(number: int) -> Any:
            return await pool.fetchrow(GET, tenant, f"U{number % USERS}", "C1")

        async def touch(number: int) -> Any:
            return await pool.fetchrow(TOUCH, tenant, sessions[number % USERS], datetime.now(UTC))

        async def record(number: int) -> Any:
            query, begun = ids.new(), datetime.now(UTC)
            told = (f"U{number % USERS}", "Cheap ones?", SQL, b"0" * 32, "shop", begun)
            await pool.execute(BEGIN, tenant, query, *told)
            await pool.execute(END, tenant, query, datetime.now(UTC), 0, 20)

        async def cached(_: int) -> Any:
            return orjson.loads(await pool.fetchval(CACHED, tenant, key))

        assert await cached(0) == VALUE
        yield {"session get": get, "session touch": touch, "record a query": record, "cached answer": cached}


@asynccontextmanager
async def ours(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        acme = store.tenant("slack:T0")
        sessions = [session.id for session in await acme.sessions.list(limit=USERS)]

        async def get(number: int) -> Any:
            return await acme.sessions.active(f"U{number % USERS}", channel="C1")

        async def touch(number: int) -> Any:
            return await acme.sessions.touch(sessions[number % USERS])

        async def record(number: int) -> Any:
            async with acme.queries.record("Cheap ones?", sql=SQL, database="shop", user=f"U{number % USERS}") as run:
                run.row_count = 20

        async def cached(_: int) -> Any:
            return await acme.results.get(SQL, database="shop", rights=RIGHTS)

        assert (await cached(0)).value == VALUE
        yield {"session get": get, "session touch": touch, "record a query": record, "cached answer": cached}


@asynccontextmanager
async def pages(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    """The pages of a history that an operator looks at, each of 50."""
    async with undercroft.AsyncStore(settings=settings) as store:
        queries = store.tenant("slack:T0").queries

        async def latest(_: int) -> Any:
            return await queries.history()

        async def of_user(number: int) -> Any:
            return await queries.history(user=f"U{number % 10}")

        async def failed(_: int) -> Any:
            return await queries.history(status="failed")

        async def of_sql(_: int) -> Any:
            return await queries.history(sql=SQL)

        assert len(await latest(0)) == len(await of_user(0)) == len(await failed(0)) == len(await of_sql(0))
        yield {"latest": latest, "of a user": of_user, "failed": failed, "of an SQL": of_sql}


@contextmanager
def _filled(rows: int) -> Iterator[Postgres]:
    """A database with one tenant's sessions, a cached answer, and a history of so many rows over the last half year."""
    with postgres() as db:
        with undercroft.Store(settings=db.settings()) as store:
            store.tenants.ensure("slack:T0")
            acme = store.tenant("slack:T0")
            with acme.transaction() as tx:
                for user in range(USERS):
                    tx.sessions.start(f"U{user}", channel="C1", current_database="shop")
            acme.results.put(SQL, VALUE, database="shop", rights=RIGHTS, ttl=86_400)
            tenant = acme.id
        db.run(PARTITIONS, HISTORY.format(tenant=tenant, rows=rows, sql=SQL), "VACUUM ANALYZE")
        yield db


async def run(bench: Bench) -> None:
    """Measure each operation beside the driver, then the pages of a long history against those of a short one."""
    small, large = (1_000, 10_000) if bench.quick else (1_000, 1_000_000)
    with _filled(small) as one, _filled(large) as other:
        contenders = [
            Contender(LIMIT, "limit", partial(driver, one)),
            Contender(OURS, "ours", partial(ours, one.settings())),
        ]
        async with bench.opened(contenders) as live:
            for operation in live[0].operations:
                for concurrency, least in ((1, 0.75), (32, 0.65)):
                    name, targets = f"{operation}, c{concurrency}", [Target(OURS, least)]
                    await bench.compare(name, live, operation, concurrency=concurrency, targets=targets)
        contenders = [
            Contender(f"{small:,} rows", "limit", partial(pages, one.settings())),
            Contender(f"{large:,} rows", "ours", partial(pages, other.settings())),
        ]
        async with bench.opened(contenders) as live:
            for operation in live[0].operations:
                targets = [Target(f"{large:,} rows", 1 / MOST)]
                await bench.compare(f"history, {operation}", live, operation, targets=targets)
    bench.remark(f"of the history the target is at most {MOST} times the cost, a rate of at least {1 / MOST:.2f}")
