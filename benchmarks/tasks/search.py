"""Search in a tenant of an archive of a million messages: `acme.archive.search` against the raw SQL on the same tables.

Both return the twenty hits with their texts, channels and authors; a snippet is ours alone.
"""

import asyncio
import os
import random
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg

import undercroft
from benchmarks.corpus import Corpus
from benchmarks.databases import CONNECTIONS, drop, postgres
from benchmarks.harness import Bench, Contender, Operations, Target
from benchmarks.tasks.point_read import no_reset
from undercroft.core import ids
from undercroft.errors import TenantUnknown

NUMBER, TITLE = 7, "Search over a million messages"
COUNT, QUICK = 1_000_000, 20_000
TENANTS, ASKED, BATCH = 20, (0, 3, 8, 15), 2_000
WORDS = {"rare": (20_000, 50_000), "medium": (1_000, 4_000), "common": (110, 200), "very common": (60, 80)}
PER_KIND = 40
ORDERS = {"newest": 5.0, "rank": 20.0}
"""An order of hits, and the milliseconds that 95 of 100 searches may take."""
OURS = "undercroft"

HITS = """
SELECT m.id, c.native_id, c.name, m.native_id, u.native_id, u.name, m.kind, m.text, m.sent_at
FROM ({found}) AS m
JOIN undercroft.channels AS c ON c.tenant_id = m.tenant_id AND c.id = m.channel_id
LEFT JOIN undercroft.users AS u ON u.tenant_id = m.tenant_id AND u.id = m.author_id
ORDER BY m.place DESC, m.id DESC
"""
FOUND = """
SELECT m.*, {place} AS place FROM undercroft.messages AS m
WHERE m.tenant_id = $1 AND m.search @@ $2::text::tsquery AND m.deleted_at IS NULL
ORDER BY place DESC, m.id DESC LIMIT 20
"""
POSTGRESQL = {
    "newest": HITS.format(found=FOUND.format(place="0")),
    "rank": HITS.format(found=FOUND.format(place="ts_rank(m.search, $2::text::tsquery)")),
}
FOUND_SQLITE = """
SELECT m.id, c.native_id, c.name, m.native_id, u.native_id, u.name, m.kind, m.text, m.sent_at
FROM messages_fts AS f
CROSS JOIN message_search AS s ON s.docid = f.rowid
CROSS JOIN messages AS m ON m.tenant_id = s.tenant_id AND m.id = s.message_id
CROSS JOIN channels AS c ON c.tenant_id = m.tenant_id AND c.id = m.channel_id
LEFT JOIN users AS u ON u.tenant_id = m.tenant_id AND u.id = m.author_id
WHERE f.messages_fts MATCH ? AND s.tenant_id = ? ORDER BY {place} LIMIT 20
"""
SQLITE = {"newest": FOUND_SQLITE.format(place="f.rowid DESC"), "rank": FOUND_SQLITE.format(place="f.rank")}


def questions() -> dict[str, list[str]]:
    """Words by how often they stand in the corpus, and pairs."""
    words, chosen = Corpus().words, random.Random(5)  # noqa: S311 - the same in every run
    asked = {kind: [words[chosen.randrange(*ranks)] for _ in range(PER_KIND)] for kind, ranks in WORDS.items()}
    asked["two words"] = [
        f"{words[chosen.randrange(110, 400)]} {words[chosen.randrange(400, 2_000)]}" for _ in range(PER_KIND)
    ]
    return asked


def operations(search: Callable[[str, int, str], Any], asked: dict[str, list[str]]) -> Operations:
    """One operation for each kind of word and each order."""

    def operation(order: str, texts: Sequence[str]) -> Callable[[int], Any]:
        async def ask(number: int) -> Any:
            return await search(order, ASKED[number % len(ASKED)], texts[number // len(ASKED) % len(texts)])

        return ask

    return {f"{kind}, {order}": operation(order, texts) for order in ORDERS for kind, texts in asked.items()}


@asynccontextmanager
async def raw_postgresql(url: str, asked: dict[str, list[str]]) -> AsyncIterator[Operations]:
    tenants = [ids.named("tenant", "slack", f"T{tenant}") for tenant in range(TENANTS)]
    plans = {"jit": "off", "plan_cache_mode": "force_custom_plan"}  # without them it is far slower here
    async with asyncpg.create_pool(
        url, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=no_reset, server_settings=plans
    ) as pool:

        async def search(order: str, tenant: int, text: str) -> Any:
            return await pool.fetch(
                POSTGRESQL[order], tenants[tenant], " & ".join(f"'{word}'" for word in text.split())
            )

        yield operations(search, asked)


@asynccontextmanager
async def raw_sqlite(path: Path, asked: dict[str, list[str]]) -> AsyncIterator[Operations]:
    tenants = [ids.named("tenant", "slack", f"T{tenant}") for tenant in range(TENANTS)]
    connection = sqlite3.connect(path, check_same_thread=False)

    def find(order: str, tenant: int, text: str) -> Any:
        wanted = " AND ".join(f'"{word}"' for word in text.split())
        match = f'tenant : "{tenants[tenant].hex}" AND body : ({wanted})'
        return connection.execute(SQLITE[order], (match, tenants[tenant].bytes)).fetchall()

    async def search(order: str, tenant: int, text: str) -> Any:
        return await asyncio.to_thread(find, order, tenant, text)

    yield operations(search, asked)
    connection.close()


@asynccontextmanager
async def ours(settings: undercroft.Settings, asked: dict[str, list[str]]) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        tenants = [store.tenant(f"slack:T{tenant}").archive for tenant in range(TENANTS)]

        async def search(order: Any, tenant: int, text: str) -> Any:
            return await tenants[tenant].search(text, order=order)

        yield operations(search, asked)


async def fill(store: undercroft.AsyncStore, count: int) -> None:
    """Store the messages, unless they are there: a few large tenants, and many small ones."""
    await store.migrate()
    with suppress(TenantUnknown):
        if (await store.tenant("slack:T0").stats()).messages:
            return
    chosen = random.Random(3)  # noqa: S311 - the same in every run
    sources = [Corpus(seed).records(count) for seed in range(TENANTS)]
    for tenant in range(TENANTS):
        await store.tenants.ensure(f"slack:T{tenant}")
    for _ in range(count // BATCH):
        tenant = min(int(chosen.expovariate(4 / TENANTS)), TENANTS - 1)
        await store.tenant(f"slack:T{tenant}").archive.save_messages(list(islice(sources[tenant], BATCH)))


async def run(bench: Bench) -> None:
    """Measure on both engines, one search at a time; ``--keep`` keeps what takes long to fill."""
    count, asked = QUICK if bench.quick else COUNT, questions()
    name = f"undercroft_bench_search_{count}"
    path = Path(os.environ.get("UNDERCROFT_BENCH_DIR", tempfile.gettempdir()), f"{name}.db")
    with ExitStack() as leftovers:
        if not bench.keep:
            leftovers.callback(drop, name)
            leftovers.callback(_remove, path)
        with postgres(name=name) as db:
            async with undercroft.AsyncStore(settings=db.settings()) as store:
                await fill(store, count)
            db.run("VACUUM ANALYZE")
            await _compare(bench, "PostgreSQL", asked, partial(raw_postgresql, db.owner), db.settings())
        settings = undercroft.Settings(database_url=f"sqlite:///{path}")
        async with undercroft.AsyncStore(settings=settings) as store:
            await fill(store, count)
        await _compare(bench, "SQLite", asked, partial(raw_sqlite, path), settings)


async def _compare(
    bench: Bench, engine: str, asked: dict[str, list[str]], raw: Callable[..., Any], settings: undercroft.Settings
) -> None:
    contenders = [
        Contender("the same SQL", "limit", partial(raw, asked)),
        Contender(OURS, "ours", partial(ours, settings, asked)),
    ]
    async with bench.opened(contenders) as live:
        for order, milliseconds in ORDERS.items():
            for kind in asked:
                targets = [Target(OURS, 0.9), Target(OURS, p95=milliseconds)]
                await bench.compare(f"{engine}, {kind}, {order}", live, f"{kind}, {order}", targets=targets)


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
