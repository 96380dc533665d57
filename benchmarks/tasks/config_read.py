"""One setting: `config.get` from memory against a dictionary, and where it is not there yet against the driver.

A cold read is one of a store that remembers a single answer, which nobody asks for again.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg

import undercroft
from benchmarks.databases import CONNECTIONS, Postgres, postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import no_reset
from undercroft.core.ids import named

NUMBER, TITLE = 8, "One setting, warm and cold"
SETTINGS = 500
TENANT = "slack:T0"
TENANT_ID = named("tenant", "slack", "T0")
KEYS = [f"section.key_{number}" for number in range(SETTINGS)]
BY_KEY = "SELECT value FROM undercroft.configurations WHERE tenant_id = $1 AND key = $2"
OURS, OURS_SYNC = "undercroft AsyncStore", "undercroft Store"
DICT, DICT_AWAITED = "a function that reads a dict", "awaiting a coroutine that reads a dict"


def fill(store: undercroft.Store) -> None:
    """Store the settings."""
    store.tenants.ensure(TENANT)
    store.tenant(TENANT).config.set_many({key: f"value of {key}" for key in KEYS})


def place(tenant: Any, *, warm: bool) -> Any:
    """The configuration of a tenant, remembered as far as is wanted."""
    memory = tenant._runner.place.memory  # noqa: SLF001 - no setting says that little
    memory.most = SETTINGS if warm else 1
    return tenant.config


def listens(tenant: Any) -> bool:
    """Whether the store hears of changes, and so remembers."""
    alive: bool = tenant._runner.place.memory.alive  # noqa: SLF001
    return alive


@asynccontextmanager
async def ours(settings: undercroft.Settings, *, warm: bool) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        config = place(store.tenant(TENANT), warm=warm)
        while not listens(store.tenant(TENANT)):
            await config.get(KEYS[0])
        for key in KEYS:
            await config.get(key)

        async def get(number: int) -> Any:
            return await config.get(KEYS[number % SETTINGS])

        assert await get(7) == "value of section.key_7"
        yield {"get": get}


def warmed(store: undercroft.Store, *, warm: bool) -> Any:
    """The configuration of a tenant, which has been asked for everything."""
    config = place(store.tenant(TENANT), warm=warm)
    while not listens(store.tenant(TENANT)):
        config.get(KEYS[0])
        time.sleep(0.01)
    for key in KEYS:
        config.get(key)
    return config


@asynccontextmanager
async def ours_sync(settings: undercroft.Settings, *, warm: bool) -> AsyncIterator[Operations]:
    with undercroft.Store(settings=settings) as store:
        config = warmed(store, warm=warm)

        def get(number: int) -> Any:
            return config.get(KEYS[number % SETTINGS])

        assert get(7) == "value of section.key_7"
        yield {"get": get}


@asynccontextmanager
async def dictionary(*, awaited: bool) -> AsyncIterator[Operations]:
    values = {key: f"value of {key}" for key in KEYS}

    def read(key: str) -> str:
        return values[key]

    async def read_awaited(key: str) -> str:
        return values[key]

    def get(number: int) -> Any:
        return read(KEYS[number % SETTINGS])

    async def get_awaited(number: int) -> Any:
        return await read_awaited(KEYS[number % SETTINGS])

    yield {"get": get_awaited if awaited else get}


def _toml(folder: str) -> str:
    file = Path(folder, "settings.toml")
    file.write_text("\n".join(f'{key} = "value of {key}"' for key in KEYS))
    return str(file)


@asynccontextmanager
async def dynaconf() -> AsyncIterator[Operations]:
    from dynaconf import Dynaconf  # type: ignore[import-untyped]  # noqa: PLC0415 - a contender that may be missing

    with TemporaryDirectory() as folder:
        settings = Dynaconf(settings_files=[_toml(folder)])
        get: Callable[[str], Any] = settings.get
        yield {"get": lambda number: get(KEYS[number % SETTINGS])}


@asynccontextmanager
async def driver(db: Postgres) -> AsyncIterator[Operations]:
    async with asyncpg.create_pool(db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset) as pool:

        async def get(number: int) -> Any:
            return await pool.fetchval(BY_KEY, TENANT_ID, KEYS[number % SETTINGS])

        yield {"get": get}


@asynccontextmanager
async def driver_sync(db: Postgres) -> AsyncIterator[Operations]:
    from psycopg_pool import ConnectionPool  # noqa: PLC0415 - a contender that may be missing

    text, options = BY_KEY.replace("$1", "%s").replace("$2", "%s"), {"autocommit": True, "prepare_threshold": 0}
    with ConnectionPool(db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options) as pool:

        def get(number: int) -> Any:
            with pool.connection() as connection:
                return connection.execute(text, (TENANT_ID, KEYS[number % SETTINGS])).fetchone()

        yield {"get": get}


@asynccontextmanager
async def sqlite_raw(path: str, *, awaited: bool) -> AsyncIterator[Operations]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    text = BY_KEY.replace("undercroft.", "").replace("$", "?")

    def get(number: int) -> Any:
        return connection.execute(text, (TENANT_ID.bytes, KEYS[number % SETTINGS])).fetchone()[0]

    async def get_awaited(number: int) -> Any:
        return get(number)

    yield {"get": get_awaited if awaited else get}
    connection.close()


async def run(bench: Bench) -> None:
    """Measure warm reads, which no database sees, and cold ones on both engines."""
    with postgres() as db:
        with undercroft.Store(settings=db.settings()) as store:
            fill(store)
        db.run("VACUUM ANALYZE")
        await _warm(bench, db.settings())
        await _cold(
            bench, "PostgreSQL", db.settings(), partial(driver, db), partial(driver_sync, db), "asyncpg", "psycopg"
        )
    with sqlite_file() as url:
        with undercroft.Store(url) as store:
            store.migrate()
            fill(store)
        raw = partial(sqlite_raw, url.removeprefix("sqlite:///"))
        settings = undercroft.Settings(database_url=url)
        await _cold(
            bench, "SQLite", settings, partial(raw, awaited=True), partial(raw, awaited=False), "sqlite3", "sqlite3"
        )


async def _warm(bench: Bench, settings: undercroft.Settings) -> None:
    awaited = [
        Contender(DICT_AWAITED, "limit", partial(dictionary, awaited=True)),
        Contender(OURS, "ours", partial(ours, settings, warm=True)),
    ]
    blocking = [
        Contender(DICT, "limit", partial(dictionary, awaited=False)),
        Contender("dynaconf", "peer", dynaconf),
        Contender(OURS_SYNC, "ours", partial(ours_sync, settings, warm=True)),
    ]
    for contenders, colour, name in ((awaited, "async", OURS), (blocking, "sync", OURS_SYNC)):
        async with bench.opened(contenders) as live:
            await bench.compare(f"warm, {colour}", live, "get", targets=[Target(name, 0.5)])


async def _cold(
    bench: Bench,
    engine: str,
    settings: undercroft.Settings,
    raw: Callable[[], Any],
    raw_sync: Callable[[], Any],
    *drivers: str,
) -> None:
    awaited = [
        Contender(drivers[0], "limit", raw),
        Contender(OURS, "ours", partial(ours, settings, warm=False)),
    ]
    blocking = [
        Contender(drivers[1], "limit", raw_sync),
        Contender(OURS_SYNC, "ours", partial(ours_sync, settings, warm=False)),
    ]
    for contenders, colour, name in ((awaited, "async", OURS), (blocking, "sync", OURS_SYNC)):
        targets = [Target(name, 0.9)] if engine == "PostgreSQL" else []
        async with bench.opened(contenders) as live:
            await bench.compare(f"cold, {engine}, {colour}", live, "get", targets=targets)
