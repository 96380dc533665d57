"""A conversation's turn, `acme.threads.turn`: append one message, load the last 20; does it grow with the length?

Threads are filled to the stated length, and each turn goes to another one, so that lengths stay near the label. The
limit keeps its messages in one table without tenants, without owners, titles, times of activity and expiry.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg
import orjson

import undercroft
from benchmarks import memories
from benchmarks.databases import CONNECTIONS, Postgres, postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import no_reset
from undercroft.threads import NewMessage

NUMBER, TITLE = 1, "Conversation turn: append one message, load the last 20"
TENANT = "slack:T1"
LENGTHS = {10: 256, 100: 64, 1000: 8, 10_000: 2}
"""How many threads there are of each length."""
LONGEST_OF_PEERS = 1000
"""Where most of them load all of a conversation to answer with its end."""
LAST = 20
TEXT = (
    "Could you compare last month's revenue by region with the same month a year ago, leave out the test accounts, and "
    "tell me which three customers moved the most? "
)
TABLE = """
CREATE TABLE bare_messages (
    thread_id uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, message text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (thread_id, id)
)
"""
FILL = """
INSERT INTO bare_messages (thread_id, message) SELECT $1, $2 || n || '"}' FROM generate_series(1, $3::int) AS n
"""
ONE_STATEMENT = """
WITH ins AS (INSERT INTO bare_messages (thread_id, message) VALUES ($1, $2) RETURNING id, message)
SELECT id, message FROM ins
UNION ALL (SELECT id, message FROM bare_messages WHERE thread_id = $1 ORDER BY id DESC LIMIT 19) ORDER BY id
"""
ADD = "INSERT INTO bare_messages (thread_id, message) VALUES ($1, $2)"
LOAD = "SELECT id, message FROM bare_messages WHERE thread_id = $1 ORDER BY id DESC LIMIT 20"
SQLITE_TABLE = """
CREATE TABLE bare_messages (
    id INTEGER PRIMARY KEY, thread_id BLOB NOT NULL, message TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX bare_of_thread ON bare_messages (thread_id, id);
"""

Turn = Callable[[str, int], Any]


def _names(length: int) -> list[str]:
    return [f"C{length}:{number}" for number in range(LENGTHS[length])]


def _id(name: str) -> UUID:
    return uuid5(NAMESPACE_OID, name)


def _said(number: int) -> dict[str, str]:
    return {"role": "user" if number % 2 else "assistant", "content": f"{TEXT}#{number}"}


def _text(number: int) -> str:
    return orjson.dumps(_said(number)).decode()


def _operations(turn: Turn, longest: int = max(LENGTHS)) -> Operations:
    """The same turn at every length, of a coroutine function or of a plain one."""

    def awaited(names: list[str]) -> Callable[[int], Awaitable[None]]:
        async def one(number: int) -> None:
            found = await turn(names[number % len(names)], number)
            assert len(found) >= min(LENGTHS)

        return one

    def plain(names: list[str]) -> Callable[[int], None]:
        def one(number: int) -> None:
            found = turn(names[number % len(names)], number)
            assert len(found) >= min(LENGTHS)

        return one

    kind = awaited if asyncio.iscoroutinefunction(turn) else plain
    return {str(length): kind(_names(length)) for length in LENGTHS if length <= longest}


@asynccontextmanager
async def _peer(open_: Callable[..., AbstractAsyncContextManager[Turn]]) -> AsyncIterator[Operations]:
    lengths = {name: length for length in LENGTHS if length <= LONGEST_OF_PEERS for name in _names(length)}
    async with open_(lengths, _said, LAST) as turn:

        async def one(name: str, number: int) -> Any:
            return await turn(name, number)

        yield _operations(one, LONGEST_OF_PEERS)


def _peers(**named: Callable[..., AbstractAsyncContextManager[Turn]]) -> list[Contender]:
    return [Contender(name.replace("_", " "), "peer", partial(_peer, open_)) for name, open_ in named.items()]


@asynccontextmanager
async def asyncpg_pool(db: Postgres, *, statements: int) -> AsyncIterator[Operations]:
    async with asyncpg.create_pool(db.owner, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset) as pool:

        async def in_one(name: str, number: int) -> list[Any]:
            return [orjson.loads(row[1]) for row in await pool.fetch(ONE_STATEMENT, _id(name), _text(number))]

        async def in_two(name: str, number: int) -> list[Any]:
            async with pool.acquire() as connection:
                await connection.execute(ADD, _id(name), _text(number))
                rows = await connection.fetch(LOAD, _id(name))
            return [orjson.loads(row[1]) for row in reversed(rows)]

        yield _operations(in_one if statements == 1 else in_two)


@asynccontextmanager
async def ours(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        threads = store.tenant(TENANT).threads

        async def turn(name: str, number: int) -> list[Any]:
            return await threads.turn(name, **_said(number), last=LAST)  # type: ignore[arg-type]  # a role is a literal

        yield _operations(turn)


@asynccontextmanager
async def ours_sync(settings: undercroft.Settings) -> AsyncIterator[Operations]:
    with undercroft.Store(settings=settings) as store:
        threads = store.tenant(TENANT).threads

        def turn(name: str, number: int) -> list[Any]:
            return threads.turn(name, **_said(number), last=LAST)  # type: ignore[arg-type]  # a role is a literal

        yield _operations(turn)


@asynccontextmanager
async def sqlite_driver(path: str, *, synchronous: str, hop: bool = False) -> AsyncIterator[Operations]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")

        def turn(name: str, number: int) -> list[Any]:
            key = _id(name).bytes
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bare_messages (thread_id, message) VALUES (?, ?)", (key, _text(number)))
            rows = connection.execute(
                "SELECT message FROM bare_messages WHERE thread_id = ? ORDER BY id DESC LIMIT 20", (key,)
            ).fetchall()
            connection.execute("COMMIT")
            return [orjson.loads(message) for (message,) in reversed(rows)]

        async def in_thread(name: str, number: int) -> list[Any]:
            async with turns:
                return await asyncio.to_thread(turn, name, number)

        turns = asyncio.Lock()
        yield _operations(in_thread if hop else turn)


def _fill(store: undercroft.Store) -> None:
    store.tenants.ensure(TENANT)
    threads = store.tenant(TENANT).threads
    for length in LENGTHS:
        messages = [NewMessage(**_said(number)) for number in range(length)]  # type: ignore[arg-type]  # same
        for name in _names(length):
            threads.save(name, messages)


async def _fill_bare(db: Postgres) -> None:
    db.run(TABLE)
    connection = await asyncpg.connect(db.owner)
    prefix = _text(0).rpartition("0")[0]
    for length in LENGTHS:
        for name in _names(length):
            await connection.execute(FILL, _id(name), prefix, length)
    await connection.execute("ANALYZE")
    await connection.close()


def _fill_bare_file(path: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SQLITE_TABLE)
        for length in LENGTHS:
            for name in _names(length):
                rows = [(_id(name).bytes, _text(number)) for number in range(length)]
                connection.executemany("INSERT INTO bare_messages (thread_id, message) VALUES (?, ?)", rows)


async def run(bench: Bench) -> None:
    """Measure at every length alone, then many at once; the last row is durable."""
    with postgres() as db:
        await _fill_bare(db)
        with undercroft.Store(settings=db.settings()) as store:
            _fill(store)
        name = "undercroft threads.turn"
        contenders = [
            Contender("asyncpg, one statement", "limit", partial(asyncpg_pool, db, statements=1)),
            Contender("asyncpg, INSERT, then SELECT", "reference", partial(asyncpg_pool, db, statements=2)),
            Contender(name, "ours", partial(ours, db.settings())),
        ]
        peers = _peers(
            openai_agents_SQLAlchemySession=partial(
                memories.agents_sqlalchemy,
                db.owner.replace("postgresql:", "postgresql+asyncpg:"),
                pool_size=CONNECTIONS,
            ),
            langchain_PostgresChatMessageHistory=partial(memories.langchain_postgres, db),
            langgraph_AsyncPostgresSaver=partial(memories.langgraph_postgres, db),
        )
        wanted = [Target(name, 5, against=peer.name) for peer in peers]
        db.run(*(f"ALTER DATABASE {_quoted(db)} SET synchronous_commit = {state}" for state in ("off",)), "ANALYZE")
        async with bench.opened([*contenders, *peers]) as live:
            db.run("VACUUM ANALYZE")
            for length in LENGTHS:
                targets = [Target(name, 0.75), *wanted]
                await bench.compare(f"PostgreSQL, length {length}, c1", live, str(length), targets=targets)
            targets = [Target(name, 0.7), *wanted]
            await bench.compare("PostgreSQL, length 100, c32", live, "100", concurrency=32, targets=targets)
        db.run(f"ALTER DATABASE {_quoted(db)} SET synchronous_commit = on")
        async with bench.opened(contenders) as live:
            await bench.compare("PostgreSQL, durable, length 100, c1", live, "100")
            await bench.compare("PostgreSQL, durable, length 100, c32", live, "100", concurrency=32)
    with sqlite_file() as url:
        with undercroft.Store(url) as store:
            store.migrate()
            _fill(store)
        path = url.removeprefix("sqlite:///")
        bare = path + ".bare"
        _fill_bare_file(bare)
        settings = undercroft.Settings(database_url=url)
        contenders = [
            Contender("sqlite3", "limit", partial(sqlite_driver, bare, synchronous="FULL")),
            Contender("sqlite3, in a thread", "reference", partial(sqlite_driver, bare, synchronous="FULL", hop=True)),
            Contender("undercroft Store", "ours", partial(ours_sync, settings)),
            Contender("undercroft AsyncStore", "ours", partial(ours, settings)),
            *_peers(
                openai_agents_SQLiteSession=partial(memories.agents_sqlite, path + ".agents"),
                openai_agents_SQLAlchemySession=partial(
                    memories.agents_sqlalchemy, f"sqlite+aiosqlite:///{path}.sqlalchemy"
                ),
                langgraph_AsyncSqliteSaver=partial(memories.langgraph_sqlite, path + ".langgraph"),
            ),
        ]
        targets = [Target("undercroft Store", at_least=0.7), Target("undercroft AsyncStore", at_least=0.4)]
        async with bench.opened(contenders) as live:
            for length in LENGTHS:
                await bench.compare(f"SQLite, length {length}", live, str(length), targets=targets)
            await bench.compare("SQLite, length 100, c32", live, "100", concurrency=32)


def _quoted(db: Postgres) -> str:
    return f'"{db.owner.rpartition("/")[2]}"'
