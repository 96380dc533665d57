"""An audit event stored durably: gathered and hashed by `acme.audit.log`, against inserts into an equal table."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Operations
from benchmarks.tasks.point_read import no_reset
from undercroft.core import ids

NUMBER, TITLE = 6, "Audit append (its first part: stored and hashed, not yet chained)"
TENANTS = 64
KEYS = [ids.named("tenant", "slack", f"T{tenant}") for tenant in range(TENANTS)]
BARE = (
    "CREATE SCHEMA bare",
    "CREATE TABLE bare.audit_events (LIKE undercroft.audit_events INCLUDING ALL)",
)
INSERT = """
INSERT INTO bare.audit_events (
    tenant_id, id, event_type, category, action, status, actor, data, occurred_at, canonical, event_hash
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
INSERT_SQLITE = INSERT.replace("bare.audit_events", "bare_audit_events").replace("$", "?")


def values(tenant: UUID, number: int) -> tuple[Any, ...]:
    """A row of the table, its bytes and hash too."""
    data, now = {"sql": "SELECT count(*) FROM orders", "number": number}, datetime.now(UTC)
    text = orjson.dumps(data)
    told = [tenant, uuid4(), "query.run", "query", "run", "success", f"U{number % 97}", text.decode(), now]
    return (*told, text, sha256(text).digest())


def operations(append: Any) -> Operations:
    """The same append for one tenant, and for each of many in turn."""

    async def one(number: int) -> Any:
        return await append(0, number)

    async def many(number: int) -> Any:
        return await append(number % TENANTS, number)

    return {"one tenant": one, "64 tenants": many}


@asynccontextmanager
async def asyncpg_pool(db: Postgres) -> AsyncIterator[Operations]:
    async with asyncpg.create_pool(db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset) as pool:

        async def append(tenant: int, number: int) -> Any:
            await pool.execute(INSERT, *values(KEYS[tenant], number))

        yield operations(append)


@asynccontextmanager
async def ours(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        tenants = [store.tenant(f"slack:T{tenant}") for tenant in range(TENANTS)]

        async def append(tenant: int, number: int) -> Any:
            data = {"sql": "SELECT count(*) FROM orders", "number": number}
            return await tenants[tenant].audit.log("query.run", by=f"U{number % 97}", data=data)

        yield operations(append)


@asynccontextmanager
async def sqlite_thread(path: str) -> AsyncIterator[Operations]:
    """A commit each, in a thread: on the event loop a disk would stop everything else."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=FULL")
    turn = asyncio.Lock()

    def insert(row: tuple[Any, ...]) -> None:
        tenant, id_, *told = row
        told[6] = int(told[6].timestamp() * 1_000_000)
        connection.execute(INSERT_SQLITE, (tenant.bytes, id_.bytes, *told))

    async def append(tenant: int, number: int) -> Any:
        async with turn:
            await asyncio.to_thread(insert, values(KEYS[tenant], number))

    yield operations(append)
    connection.close()


def _prepare(store: undercroft.Store) -> None:
    for tenant in range(TENANTS):
        store.tenants.ensure(f"slack:T{tenant}")


async def run(bench: Bench) -> None:
    """Measure alone and together, for one tenant and for many."""
    with postgres() as db:
        db.run(*BARE)
        with undercroft.Store(settings=db.settings()) as store:
            _prepare(store)
        contenders = [
            Contender("asyncpg, an insert each", "limit", partial(asyncpg_pool, db)),
            Contender("undercroft audit.log", "ours", partial(ours, db.settings())),
        ]
        async with bench.opened(contenders) as live:
            for concurrency in (1, 32, 256):
                await bench.compare(
                    f"PostgreSQL, one tenant, c{concurrency}", live, "one tenant", concurrency=concurrency
                )
            await bench.compare("PostgreSQL, 64 tenants, c32", live, "64 tenants", concurrency=32)
    with sqlite_file() as url:
        with undercroft.Store(url) as store:
            store.migrate()
            _prepare(store)
        path = url.removeprefix("sqlite:///")
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE bare_audit_events AS SELECT * FROM audit_events")
            connection.execute("CREATE UNIQUE INDEX bare_key ON bare_audit_events (tenant_id, id)")
        contenders = [
            Contender("sqlite3 in a thread, a commit each", "limit", partial(sqlite_thread, path)),
            Contender("undercroft audit.log", "ours", partial(ours, undercroft.Settings(database_url=url))),
        ]
        async with bench.opened(contenders) as live:
            for concurrency in (1, 32):
                await bench.compare(f"SQLite, one tenant, c{concurrency}", live, "one tenant", concurrency=concurrency)
