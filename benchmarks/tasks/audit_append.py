"""An audit event stored, chained and durable, against inserts that are not chained; then the whole chain verified."""

import asyncio
import sqlite3
import time
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
from benchmarks.harness import Bench, Contender, Operations, Target, Turn
from benchmarks.tasks.point_read import no_reset
from undercroft.audit.rules import link_hash
from undercroft.core import ids

NUMBER, TITLE = 6, "Audit append, until chained and durable; verification"
OURS = "undercroft audit.log"
TENANTS = 64
KEYS = [ids.named("tenant", "slack", f"T{tenant}") for tenant in range(TENANTS)]
BARE = (
    "CREATE SCHEMA bare",
    "CREATE TABLE bare.audit_events (LIKE undercroft.audit_events INCLUDING ALL)",
    "CREATE TABLE bare.links (LIKE undercroft.audit_links INCLUDING ALL)",
    "CREATE TABLE bare.heads (tenant_id uuid PRIMARY KEY, sequence bigint, hash bytea) WITH (fillfactor = 20)",
)
INSERT = """
INSERT INTO bare.audit_events (
    tenant_id, id, event_type, category, action, status, actor, data, occurred_at, canonical, event_hash
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
LINK = """
INSERT INTO bare.links (tenant_id, sequence, event_id, event_hash, previous, hash) VALUES ($1, $2, $3, $4, $5, $6)
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
async def head_row(db: Postgres) -> AsyncIterator[Operations]:
    """The usual way to chain: the tenant's head is locked until the commit."""
    async with asyncpg.create_pool(db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset) as pool:
        await pool.executemany("INSERT INTO bare.heads VALUES ($1, 0, $2)", [(key, bytes(32)) for key in KEYS])

        async def append(tenant: int, number: int) -> Any:
            row, key = values(KEYS[tenant], number), KEYS[tenant]
            async with pool.acquire() as connection, connection.transaction():
                sequence, previous = await connection.fetchrow(
                    "SELECT sequence, hash FROM bare.heads WHERE tenant_id = $1 FOR UPDATE", key
                )
                linked = link_hash(key.bytes, sequence + 1, row[1].bytes, row[-1], previous)
                await connection.execute(INSERT, *row)
                await connection.execute(LINK, key, sequence + 1, row[1], row[-1], previous, linked)
                await connection.execute(
                    "UPDATE bare.heads SET sequence = $2, hash = $3 WHERE tenant_id = $1", key, sequence + 1, linked
                )

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


async def _verify(bench: Bench, engine: str, settings: undercroft.Settings) -> None:
    """Verify the chain that was written: every link and event; and with the columns that people read."""
    hashing = Contender("SHA-256 of every event and link, in memory", "limit")
    chained, whole = (
        Contender("undercroft audit.verify(columns=False)", "ours"),
        Contender("undercroft audit.verify", "ours"),
    )
    with undercroft.Store(settings=settings) as store:
        audit = store.tenant("slack:T0").audit
        for _ in range(0 if bench.quick else 20):
            async with undercroft.AsyncStore(settings=settings) as filling:
                log = filling.tenant("slack:T0").audit.log
                data = {"sql": "SELECT count(*) FROM orders"}
                await asyncio.gather(*(log("query.run", by="U1", data=data) for _ in range(2000)))

        async def turn(contender: Contender) -> Turn:
            begin, cpu = time.perf_counter(), time.process_time()
            if contender is hashing:
                done, event, link = rows, b"x" * 320, b"y" * 150
                for _ in range(rows):
                    sha256(event).digest()
                    sha256(link).digest()
            else:
                report = audit.verify(columns=contender is whole)
                assert report.intact, report
                done = report.verified
            return Turn(seconds=time.perf_counter() - begin, cpu=time.process_time() - cpu, done=done)

        rows = audit.verify(columns=False).verified
        runners = {contender: partial(turn, contender) for contender in (hashing, chained, whole)}
        await bench.race(f"{engine}, verified, {rows:,} events", runners, rounds=min(bench.rounds, 5))
        bench.remark("verification is meant to pass 200,000 links a second, columns left out")


async def run(bench: Bench) -> None:
    """Measure alone and together, for one tenant and for many."""
    with postgres() as db:
        db.run(*BARE)
        with undercroft.Store(settings=db.settings()) as store:
            _prepare(store)
        contenders = [
            Contender("asyncpg, an insert each", "limit", partial(asyncpg_pool, db)),
            Contender("asyncpg, the head locked", "peer", partial(head_row, db)),
            Contender(OURS, "ours", partial(ours, db.settings())),
        ]
        async with bench.opened(contenders) as live:
            for concurrency, wanted in ((1, 0.8), (32, 2.0), (256, 5.0)):
                name, targets = f"PostgreSQL, one tenant, c{concurrency}", [Target(OURS, wanted)]
                await bench.compare(name, live, "one tenant", concurrency=concurrency, targets=targets)
            targets = [Target(OURS, 0.9)]
            await bench.compare("PostgreSQL, 64 tenants, c32", live, "64 tenants", concurrency=32, targets=targets)
        await _verify(bench, "PostgreSQL", db.settings())
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
            Contender(OURS, "ours", partial(ours, undercroft.Settings(database_url=url))),
        ]
        async with bench.opened(contenders) as live:
            for concurrency, targets in ((1, []), (32, [Target(OURS, 6.0)])):
                name = f"SQLite, one tenant, c{concurrency}"
                await bench.compare(name, live, "one tenant", concurrency=concurrency, targets=targets)
        await _verify(bench, "SQLite", undercroft.Settings(database_url=url))
