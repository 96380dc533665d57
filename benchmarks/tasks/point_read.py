"""A row read by its primary key: `acme.users.get` behind row-level security, against drivers without isolation."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import asyncpg
import orjson
import psycopg
from sqlalchemy import bindparam, create_engine, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Operations, Target
from undercroft.core.ids import named
from undercroft.models import User

NUMBER, TITLE = 9, "Primary-key read through the facade"
TENANTS, USERS = 20, 500
BY_KEY = (
    "SELECT id, native_id, name, display_name, real_name, email, role, is_bot, is_stub, timezone, preferences, profile,"
    " created_at, updated_at, deleted_at FROM undercroft.users WHERE tenant_id = $1 AND id = $2"
)
BY_KEY_PSYCOPG = BY_KEY.replace("$1", "%s").replace("$2", "%s")
BY_KEY_SQLITE = BY_KEY.replace("undercroft.", "").replace("$", "?")
SET_TENANT = text("SELECT set_config('undercroft.tenant', :tenant, true)")
GET = select(*(column for column in User.__table__.c if column.name not in {"tenant_id", "platform"})).where(
    User.tenant_id == bindparam("tenant"), User.id == bindparam("id")
)
KEYS = [
    (named("tenant", "slack", f"T{tenant}"), named("user", "slack", f"T{tenant}", f"U{user}"))
    for user in range(USERS)
    for tenant in range(TENANTS)
]
POOL, SHIPPED, SYNC_POOL = "asyncpg, pool without reset", "asyncpg, pool as shipped", "psycopg, pool"
OURS, OURS_SYNC = "undercroft AsyncStore", "undercroft Store"


def key(number: int) -> tuple[Any, Any]:
    """The ids of a tenant and a user: every call another tenant's."""
    return KEYS[number % len(KEYS)]


def native(number: int) -> tuple[int, str]:
    """The same user as the facade knows him: the number of the tenant, and the platform's own id."""
    number %= len(KEYS)
    return number % TENANTS, f"U{number // TENANTS}"


def fill(store: undercroft.Store) -> None:
    """Store the users."""
    for tenant in range(TENANTS):
        store.tenants.ensure(f"slack:T{tenant}")
        with store.tenant(f"slack:T{tenant}").transaction() as tx:
            for user in range(USERS):
                tx.users.ensure(
                    f"U{user}", name=f"user{user}", email=f"u{user}@example.org", profile={"title": "engineer"}
                )


async def no_reset(_: asyncpg.Connection) -> None:
    """asyncpg's pool sends a statement more at each release otherwise."""


async def with_json(connection: asyncpg.Connection) -> None:
    """Decode JSON as we do."""
    await connection.set_type_codec(
        "jsonb", encoder=lambda v: orjson.dumps(v).decode(), decoder=orjson.loads, schema="pg_catalog"
    )


@asynccontextmanager
async def asyncpg_pool(db: Postgres, *, reset: bool) -> AsyncIterator[Operations]:
    options: dict[str, Any] = {} if reset else {"reset": no_reset}
    async with asyncpg.create_pool(
        db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, init=with_json, **options
    ) as pool:

        async def get(number: int) -> Any:
            return await pool.fetchrow(BY_KEY, *key(number))

        yield {"get": get}


@asynccontextmanager
async def sqlalchemy_core(db: Postgres) -> AsyncIterator[Operations]:
    engine = create_async_engine(db.sqlalchemy("asyncpg"), pool_size=CONNECTIONS, max_overflow=0)

    async def get(number: int) -> Any:
        tenant, user = key(number)
        async with engine.begin() as connection:
            await connection.execute(SET_TENANT, {"tenant": str(tenant)})
            return (await connection.execute(GET, {"tenant": tenant, "id": user})).one()

    yield {"get": get}
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_orm(db: Postgres) -> AsyncIterator[Operations]:
    engine = create_async_engine(db.sqlalchemy("asyncpg"), pool_size=CONNECTIONS, max_overflow=0)

    async def get(number: int) -> Any:
        tenant, user = key(number)
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(SET_TENANT, {"tenant": str(tenant)})
            return await session.get_one(User, (tenant, user))

    yield {"get": get}
    await engine.dispose()


@asynccontextmanager
async def ours(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        tenants = [store.tenant(f"slack:T{tenant}") for tenant in range(TENANTS)]

        async def get(number: int) -> Any:
            tenant, user = native(number)
            return await tenants[tenant].users.get(user)

        assert (await get(21)).name == "user1"
        yield {"get": get}


@asynccontextmanager
async def psycopg_pool(db: Postgres) -> AsyncIterator[Operations]:
    from psycopg_pool import ConnectionPool  # noqa: PLC0415 - a contender that may be missing

    options = {"autocommit": True, "prepare_threshold": 0}
    with ConnectionPool(
        db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, configure=_psycopg_json
    ) as pool:

        def get(number: int) -> Any:
            with pool.connection() as connection:
                return connection.execute(BY_KEY_PSYCOPG, key(number)).fetchone()

        yield {"get": get}


def _psycopg_json(connection: psycopg.Connection[Any]) -> None:
    psycopg.types.json.set_json_loads(orjson.loads, connection)


@asynccontextmanager
async def sqlalchemy_orm_sync(db: Postgres) -> AsyncIterator[Operations]:
    engine = create_engine(db.sqlalchemy("psycopg"), pool_size=CONNECTIONS, max_overflow=0)

    def get(number: int) -> Any:
        tenant, user = key(number)
        with Session(engine) as session, session.begin():
            session.execute(SET_TENANT, {"tenant": str(tenant)})
            return session.get_one(User, (tenant, user))

    yield {"get": get}
    engine.dispose()


@asynccontextmanager
async def ours_sync(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    with undercroft.Store(settings=settings) as store:
        tenants = [store.tenant(f"slack:T{tenant}") for tenant in range(TENANTS)]

        def get(number: int) -> Any:
            tenant, user = native(number)
            return tenants[tenant].users.get(user)

        assert get(21).name == "user1"
        yield {"get": get}


@asynccontextmanager
async def sqlite_raw(path: str, *, awaited: bool) -> AsyncIterator[Operations]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def get(number: int) -> Any:
        tenant, user = key(number)
        row = connection.execute(BY_KEY_SQLITE, (tenant.bytes, user.bytes)).fetchone()
        return (*row[:10], orjson.loads(row[10]), orjson.loads(row[11]), *row[12:])

    async def get_awaited(number: int) -> Any:
        return get(number)

    yield {"get": get_awaited if awaited else get}
    connection.close()


@asynccontextmanager
async def aiosqlite_raw(path: str) -> AsyncIterator[Operations]:
    import aiosqlite  # noqa: PLC0415 - a contender that may be missing

    async with aiosqlite.connect(path) as connection:

        async def get(number: int) -> Any:
            tenant, user = key(number)
            return await connection.execute_fetchall(BY_KEY_SQLITE, (tenant.bytes, user.bytes))

        yield {"get": get}


async def run(bench: Bench) -> None:
    """Measure on PostgreSQL and on SQLite, in both colours."""
    with _filled_postgres() as db:
        await _postgres(bench, db)
    with sqlite_file() as url:
        with undercroft.Store(url) as store:
            store.migrate()
            fill(store)
        await _sqlite(bench, url)


@contextmanager
def _filled_postgres() -> Iterator[Postgres]:
    with postgres() as db:
        with undercroft.Store(settings=db.settings()) as store:
            fill(store)
        db.run("VACUUM ANALYZE")
        yield db


async def _postgres(bench: Bench, db: Postgres) -> None:
    awaited = [
        Contender(POOL, "limit", partial(asyncpg_pool, db, reset=False)),
        Contender(SHIPPED, "reference", partial(asyncpg_pool, db, reset=True)),
        Contender("SQLAlchemy Core, set_config", "peer", partial(sqlalchemy_core, db)),
        Contender("SQLAlchemy ORM, set_config", "peer", partial(sqlalchemy_orm, db)),
        Contender(OURS, "ours", partial(ours, db.settings())),
    ]
    blocking = [
        Contender(SYNC_POOL, "limit", partial(psycopg_pool, db)),
        Contender("SQLAlchemy ORM, set_config", "peer", partial(sqlalchemy_orm_sync, db)),
        Contender(OURS_SYNC, "ours", partial(ours_sync, db.settings())),
    ]
    targets = [Target(OURS, 0.9), Target(OURS, 1.5, against=SHIPPED)]
    for contenders, colour, wanted in ((awaited, "async", targets), (blocking, "sync", [Target(OURS_SYNC, 0.9)])):
        async with bench.opened(contenders) as live:
            for concurrency in (1, 32):
                name = f"PostgreSQL, {colour}, c{concurrency}"
                await bench.compare(name, live, "get", concurrency=concurrency, targets=wanted)


async def _sqlite(bench: Bench, url: str) -> None:
    path, settings = url.removeprefix("sqlite:///"), undercroft.Settings(database_url=url)
    awaited = [
        Contender("sqlite3 on the event loop", "limit", partial(sqlite_raw, path, awaited=True)),
        Contender("aiosqlite", "reference", partial(aiosqlite_raw, path)),
        Contender(OURS, "ours", partial(ours, settings)),
    ]
    blocking = [
        Contender("sqlite3", "limit", partial(sqlite_raw, path, awaited=False)),
        Contender(OURS_SYNC, "ours", partial(ours_sync, settings)),
    ]
    for contenders, colour in ((awaited, "async"), (blocking, "sync")):
        async with bench.opened(contenders) as live:
            await bench.compare(f"SQLite, {colour}, c1", live, "get")
