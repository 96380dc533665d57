"""A database with two filled tenants, and what its superuser sees: every leak and every effect of an attack."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy as sa

from tests import databases, servers
from tests.reliability.arguments import shown
from tests.reliability.attacks import LEAK
from tests.reliability.canaries import Canaries, tables
from undercroft import Store

Sums = dict[tuple[str, UUID], tuple[int, int]]


class House:
    """Victim and attacker in a database of their own; ``url`` is the application's, ``admin_url`` a superuser's."""

    def __init__(self, admin_url: str, seed: int) -> None:
        self.random = Random(seed)
        self.admin_url = admin_url
        self.url = databases.migrated(admin_url, admin_url)
        with Store(self.url) as store:
            self.victim = self._tenant(store)
            self.attacker = self._tenant(store)
            self.gone = self._tenant(store)
            store.tenants.soft_delete(self.gone.name)
        engine = sa.create_engine(databases.changed(admin_url, drivername="postgresql+psycopg"))
        with engine.begin() as connection:
            self.victim.fill(connection, self.random)
            self.attacker.fill(connection, self.random)
        engine.dispose()
        self._watching = psycopg.connect(admin_url, autocommit=True)
        self._watching.execute("ANALYZE")
        self.names = [name for (name,) in self._watching.execute(_TABLES)]
        self.views = [f"undercroft.{name}" for (name,) in self._watching.execute(_VIEWS)]
        self.partitions: dict[str, list[str]] = {}
        for parent, child in self._watching.execute(_PARTITIONS):
            self.partitions.setdefault(parent, []).append(f"undercroft.{child}")

    def close(self) -> None:
        self._watching.close()

    def _tenant(self, store: Store) -> Canaries:
        token = f"{self.random.getrandbits(48):012x}"
        name = f"slack:T{uuid4().hex[:12].upper()}"
        return Canaries(name, store.tenants.ensure(name, name=f"secret{token} inc").id, f"secret{token}")

    def run(self, sql: str) -> psycopg.Cursor[Any]:
        """Run a statement as the superuser."""
        return self._watching.execute(sql)

    def sums(self, run: Callable[[str], psycopg.Cursor[Any]] | None = None) -> Sums:
        """A checksum of each tenant's rows in each table; inside a transaction with its own ``run``."""
        total = "count(*), sum(hashtextextended(t::text, 0))"
        each = " UNION ALL ".join(
            f"SELECT '{name}', tenant_id, {total} FROM undercroft.{name} AS t GROUP BY tenant_id" for name in self.names
        )
        return {(name, tenant): (rows, total) for name, tenant, rows, total in (run or self.run)(each)}

    def effects(self, before: Sums, now: Sums, *, but: UUID | None) -> list[str]:
        """Which rows are not as before, the attacker's own left aside."""
        changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key[1] != but}
        return [f"effect: {name} of {self._called(tenant)}" for name, tenant in sorted(changed, key=str)]

    def _called(self, tenant: UUID) -> str:
        known = {self.victim.id: "the victim", self.attacker.id: "the attacker", self.gone.id: "the deleted tenant"}
        return known.get(tenant, "somebody else")

    def leaks(self, *answers: object, of: list[Canaries] | None = None) -> list[str]:
        """What of the victim can be read in rows, errors and notices; case does not hide it."""
        text = " ".join(map(shown, answers)).lower()
        owners = [self.victim] if of is None else of
        found = [f"leak: {self._called(owner.id)}'s secret" for owner in owners if owner.secret in text]
        told = {"leak: by number": LEAK, "leak: by a duplicate key": "duplicate key value"}
        return found + [name for name, sign in told.items() if sign in text]

    def stolen(self) -> list[str]:
        """Rows of the attacker's that hold the victim's secret."""
        return [
            f"stolen: {table.name}"
            for table in tables()
            if self.run(
                f"SELECT FROM undercroft.{table.name} AS t"
                f" WHERE tenant_id = '{self.attacker.id}' AND t::text ILIKE '%{self.victim.secret}%'"
            ).fetchone()
        ]


@contextmanager
def house(seed: int, server: str = "postgresql") -> Iterator[House]:
    """A new database on a server, with everything in it."""
    with databases.created(servers.url(server)) as admin_url:
        made = House(admin_url, seed)
        try:
            yield made
        finally:
            made.close()


_TABLES = """
SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
WHERE c.relnamespace = 'undercroft'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""
_VIEWS = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'undercroft'::regnamespace AND relkind IN ('v', 'm') ORDER BY 1"
)
_PARTITIONS = """
SELECT p.relname, c.relname FROM pg_inherits AS i
JOIN pg_class AS p ON p.oid = i.inhparent JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE p.relnamespace = 'undercroft'::regnamespace AND p.relkind = 'p' ORDER BY 1, 2
"""
