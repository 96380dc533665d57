"""Messages stored in bulk: `acme.archive.save_messages` against one plain COPY, and the same messages stored again.

The COPY's table has the columns, the primary key and two indexes of ours, and a generated search vector under GIN.
"""

import asyncio
import gc
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg

import undercroft
from benchmarks.corpus import Corpus
from benchmarks.databases import Postgres, postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Target, Turn
from undercroft.archive import MessageRecord
from undercroft.core import ids

NUMBER, TITLE = 4, "Bulk ingest into primary key, two indexes and full text"
COUNT, QUICK = 40_000, 5_000
BATCH, AT_ONCE = 5_000, 2
TENANT = ids.named("tenant", "slack", "T0")
TABLE = """
CREATE TABLE bare.messages (
    tenant_id uuid NOT NULL, id uuid NOT NULL, channel_id uuid NOT NULL, native_id text NOT NULL, author_id uuid,
    text text NOT NULL, thread_id uuid, sent_at timestamptz NOT NULL,
    search tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
    PRIMARY KEY (tenant_id, id)
)
"""
BARE = (
    "DROP SCHEMA IF EXISTS bare CASCADE",
    "CREATE SCHEMA bare",
    TABLE,
    "CREATE INDEX ON bare.messages (tenant_id, channel_id, id)",
    "CREATE INDEX ON bare.messages (tenant_id, author_id, id)",
    "CREATE INDEX ON bare.messages USING gin (search)",
    "CHECKPOINT",
)
COLUMNS = ("tenant_id", "id", "channel_id", "native_id", "author_id", "text", "thread_id", "sent_at")
STAGE = "CREATE TEMPORARY TABLE stage ON COMMIT DROP AS SELECT {} FROM bare.messages WITH NO DATA"
INSERT_STAGED = "INSERT INTO bare.messages ({columns}) SELECT {columns} FROM stage ON CONFLICT DO NOTHING"
INSERT_MISSING = (
    "INSERT INTO bare.messages ({columns}) SELECT {columns} FROM stage AS s WHERE NOT EXISTS"
    " (SELECT FROM bare.messages AS m WHERE m.tenant_id = s.tenant_id AND m.id = s.id) ON CONFLICT DO NOTHING"
)
SQLITE = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE messages (
    docid INTEGER PRIMARY KEY, tenant_id BLOB NOT NULL, id BLOB NOT NULL, channel_id BLOB NOT NULL,
    native_id TEXT NOT NULL, author_id BLOB, text TEXT NOT NULL, thread_id BLOB, sent_at INTEGER NOT NULL,
    UNIQUE (tenant_id, id)
) STRICT;
CREATE INDEX by_channel ON messages (tenant_id, channel_id, id);
CREATE INDEX by_author ON messages (tenant_id, author_id, id);
CREATE VIRTUAL TABLE fts USING fts5(text, content='messages', content_rowid='docid', tokenize='porter unicode61');
"""

Row = tuple[UUID, UUID, UUID, str, UUID, str, None, Any]
Prepare = Callable[[], Awaitable[None]]


def rows(records: Sequence[MessageRecord]) -> list[Row]:
    """What a program with the bare driver has in its hands: rows with their ids."""
    found: list[Row] = []
    for one in records:
        channel = ids.named("channel", "slack", "T0", one.channel)
        author = ids.named("user", "slack", "T0", one.author or "")
        id_ = ids.message(channel, one.native_id, one.sent_at)
        found.append((TENANT, id_, channel, one.native_id, author, one.text, None, one.sent_at))
    return found


async def copied(db: Postgres, made: Sequence[Row]) -> None:
    connection = await asyncpg.connect(db.owner)
    await connection.copy_records_to_table("messages", schema_name="bare", records=made, columns=COLUMNS)
    await connection.close()


async def staged(db: Postgres, made: Sequence[Row], insert: str) -> None:
    columns = ", ".join(COLUMNS)
    connection = await asyncpg.connect(db.owner)
    async with connection.transaction():
        await connection.execute(STAGE.format(columns))
        await connection.copy_records_to_table("stage", records=made, columns=COLUMNS)
        await connection.execute("ANALYZE stage")
        await connection.execute(insert.format(columns=columns))
    await connection.close()


async def saved(settings: undercroft.Settings, records: Sequence[MessageRecord], *, added: int, at_once: int) -> None:
    """Save in batches, a few at the same time, and make sure that what was counted is what was meant."""
    batches, counted = iter(_batches(records)), 0
    async with undercroft.AsyncStore(settings=settings) as store:
        archive = store.tenant("slack:T0").archive

        async def work() -> None:
            nonlocal counted
            for batch in batches:
                outcome = await archive.save_messages(batch)
                counted += outcome.added

        await asyncio.gather(*(work() for _ in range(at_once)))
    assert counted == added, f"{counted} messages added instead of {added}"


def _batches(records: Sequence[MessageRecord]) -> Sequence[Sequence[MessageRecord]]:
    return [records[start : start + BATCH] for start in range(0, len(records), BATCH)]


async def emptied(db: Postgres) -> None:
    """An empty archive, and an empty table beside it."""
    db.run("TRUNCATE undercroft.messages", "TRUNCATE undercroft.users, undercroft.channels CASCADE", *BARE)


async def timed(count: int, prepare: Prepare, work: Callable[[], Awaitable[None]]) -> Turn:
    await prepare()
    gc.collect()
    gc.freeze()  # an importer reads its records from a file, and has not all of them before its garbage collector
    start, cpu = time.perf_counter(), time.process_time()
    await work()
    turn = Turn(seconds=time.perf_counter() - start, cpu=time.process_time() - cpu, done=count)
    gc.unfreeze()
    return turn


async def run(bench: Bench) -> None:
    """Measure a first import, one of what is known, and one of which half is known; on both engines."""
    count = QUICK if bench.quick else COUNT
    records = list(islice(Corpus().records(count), count))
    rounds = min(bench.rounds, 3)
    bench.remark(f"{count:,} messages, in batches of {BATCH:,}, {rounds} rounds")
    with postgres() as db:
        async with undercroft.AsyncStore(settings=db.settings()) as store:
            await store.tenants.ensure("slack:T0")
        await _postgres(bench, db, records, rounds)
    await _sqlite(bench, records, rounds)


async def _postgres(bench: Bench, db: Postgres, records: Sequence[MessageRecord], rounds: int) -> None:
    made, count, settings = rows(records), len(records), db.settings()
    copy, ours, alone = "one COPY", "undercroft, two connections", "undercroft, one connection"
    await bench.race(
        "PostgreSQL, first import",
        {
            Contender(copy, "limit"): partial(timed, count, partial(emptied, db), partial(copied, db, made)),
            Contender(ours, "ours"): partial(
                timed, count, partial(emptied, db), partial(saved, settings, records, added=count, at_once=AT_ONCE)
            ),
            Contender(alone, "ours"): partial(
                timed, count, partial(emptied, db), partial(saved, settings, records, added=count, at_once=1)
            ),
        },
        targets=[Target(ours, 1.0)],
        rounds=rounds,
    )
    for name, known in (("all known", count), ("half known", count // 2)):

        async def prepared(known: int = known) -> None:
            await emptied(db)
            await copied(db, made[:known])
            await saved(settings, records[:known], added=known, at_once=AT_ONCE)
            db.run("VACUUM ANALYZE bare.messages", "VACUUM ANALYZE undercroft.messages", "CHECKPOINT")

        missing = "COPY into a stage, insert what an anti-join finds missing"
        await bench.race(
            f"PostgreSQL, again, {name}",
            {
                Contender(missing, "limit"): partial(timed, count, prepared, partial(staged, db, made, INSERT_MISSING)),
                Contender("COPY into a stage, ON CONFLICT", "reference"): partial(
                    timed, count, prepared, partial(staged, db, made, INSERT_STAGED)
                ),
                Contender(ours, "ours"): partial(
                    timed, count, prepared, partial(saved, settings, records, added=count - known, at_once=AT_ONCE)
                ),
            },
            targets=[Target(ours, 0.9)],
            rounds=rounds,
        )


async def _sqlite(bench: Bench, records: Sequence[MessageRecord], rounds: int) -> None:
    made, count = rows(records), len(records)
    limit, ours = "sqlite3 executemany, FTS filled per batch", "undercroft"

    async def bare() -> Turn:
        with sqlite_file() as url:
            connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)

            async def prepared() -> None:
                connection.executescript(SQLITE)

            async def insert() -> None:
                for first in range(0, count, BATCH):
                    _insert(connection, made[first : first + BATCH])

            try:
                return await timed(count, prepared, insert)
            finally:
                connection.close()

    async def through_us() -> Turn:
        with sqlite_file() as url:
            settings = undercroft.Settings(database_url=url)

            async def prepared() -> None:
                async with undercroft.AsyncStore(settings=settings) as store:
                    await store.migrate()
                    await store.tenants.ensure("slack:T0")

            return await timed(count, prepared, partial(saved, settings, records, added=count, at_once=1))

    runners = {Contender(limit, "limit"): bare, Contender(ours, "ours"): through_us}
    await bench.race("SQLite, first import", runners, targets=[Target(ours, 0.9)], rounds=rounds)


def _insert(connection: sqlite3.Connection, made: Sequence[Row]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    last = connection.execute("SELECT coalesce(max(docid), 0) FROM messages").fetchone()[0]
    connection.executemany(
        "INSERT INTO messages (tenant_id, id, channel_id, native_id, author_id, text, thread_id, sent_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                row[0].bytes,
                row[1].bytes,
                row[2].bytes,
                row[3],
                row[4].bytes,
                row[5],
                None,
                int(row[7].timestamp() * 1e6),
            )
            for row in made
        ),
    )
    connection.execute("INSERT INTO fts (rowid, text) SELECT docid, text FROM messages WHERE docid > ?", [last])
    connection.execute("COMMIT")
