"""What an operation costs as the database grows: ten thousand messages of one tenant, a million of a thousand tenants.

The operations are those of the largest tenant, which has half of the messages.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import undercroft
from benchmarks.corpus import APART, AUTHORS, CHANNELS, START, Corpus
from benchmarks.databases import postgres, sqlite_file
from benchmarks.harness import Bench, Contender, Operations, Target
from undercroft.archive import UserRecord

NUMBER, TITLE = 11, "Growth: the same operations in a small and in a large database"
BATCH, PAGE, SAVED_AT_ONCE = 2_000, 50, 100
MOST = 1.3


class Size:
    """How large a database is."""

    def __init__(self, messages: int, tenants: int) -> None:
        self.messages = messages
        self.tenants = tenants
        self.name = f"{messages:,} messages, {tenants:,} tenant{'s' if tenants > 1 else ''}"
        self.own = messages if tenants == 1 else messages // 2
        """The messages of the tenant that is measured."""

    async def fill(self, store: undercroft.AsyncStore) -> None:
        """Store users and messages."""
        corpus = Corpus()
        for tenant in range(self.tenants):
            count = self.own if tenant == 0 else (self.messages - self.own) // (self.tenants - 1)
            await store.tenants.ensure(f"slack:T{tenant}")
            archive, records = store.tenant(f"slack:T{tenant}").archive, corpus.records(count)
            if tenant == 0:
                await archive.save_users([UserRecord(native_id=f"U{user}") for user in range(AUTHORS)])
            while batch := list(islice(records, BATCH)):
                await archive.save_messages(batch)


@asynccontextmanager
async def operations(settings: undercroft.Settings, size: Size) -> AsyncIterator[Operations]:
    async with undercroft.AsyncStore(settings=settings) as store:
        acme, corpus = store.tenant("slack:T0"), Corpus(seed=11)
        new = corpus.records(10_000_000, start=size.own)
        words = corpus.words[150:250]

        async def point_read(number: int) -> Any:
            return await acme.users.get(f"U{number % AUTHORS}")

        async def upsert(number: int) -> Any:
            return await acme.users.ensure(f"U{number % AUTHORS}", name=f"user{number}")

        async def save(_: int) -> Any:
            saved = await acme.archive.save_messages(list(islice(new, SAVED_AT_ONCE)))
            assert saved.added == SAVED_AT_ONCE

        async def search(number: int) -> Any:
            return await acme.archive.search(words[number % len(words)])

        async def page(number: int) -> Any:
            since, found = START + number * 997 % (size.own - PAGE * CHANNELS * 4) * APART, []
            async for message in acme.archive.messages(f"C{number % CHANNELS}", since=since):
                found.append(message)
                if len(found) == PAGE:
                    return found
            raise AssertionError(f"a page of {len(found)}")

        async def append(number: int) -> Any:
            return await acme.audit.log("query.run", by=f"U{number % AUTHORS}")

        yield {
            "point read": point_read,
            "user upsert": upsert,
            f"save {SAVED_AT_ONCE} messages": save,
            "search, newest first": search,
            "page of a channel": page,
            "audit append": append,
        }


@contextmanager
def _server_database() -> Iterator[undercroft.Settings]:
    with postgres() as db:
        yield db.settings()


@contextmanager
def _file_database() -> Iterator[undercroft.Settings]:
    with sqlite_file() as url:
        yield undercroft.Settings(database_url=url)


async def run(bench: Bench) -> None:
    """Measure the large database against the small one, in the same rounds."""
    small, large = (Size(2_000, 1), Size(20_000, 20)) if bench.quick else (Size(10_000, 1), Size(1_000_000, 1_000))
    for engine, database in (("PostgreSQL", _server_database), ("SQLite", _file_database)):
        with database() as one, database() as other:
            for settings, size in ((one, small), (other, large)):
                async with undercroft.AsyncStore(settings=settings) as store:
                    if engine == "SQLite":
                        await store.migrate()
                    await size.fill(store)
            contenders = [
                Contender(small.name, "limit", partial(operations, one, small)),
                Contender(large.name, "ours", partial(operations, other, large)),
            ]
            async with bench.opened(contenders) as live:
                for operation in live[0].operations:
                    targets = [Target(large.name, 1 / MOST)]
                    await bench.compare(f"{engine}, {operation}", live, operation, targets=targets)
    bench.remark(f"the target is at most {MOST} times the cost, a rate of at least {1 / MOST:.2f}")
