"""The transaction an operation is given."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from sqlalchemy import Table
from sqlalchemy.sql.elements import CompilerElement

from undercroft.core import ids
from undercroft.core.clock import utc_now
from undercroft.core.dialects.base import Dialect
from undercroft.core.door.base import Door
from undercroft.core.seal.keyring import Keyring
from undercroft.core.statement import Prepared
from undercroft.errors import TenantNotSet

if TYPE_CHECKING:
    from undercroft.core.operation import gathered
    from undercroft.core.runtime.memory import Memory

Params = Mapping[str, Any]
NOTHING: Params = {}
ChainEnd = tuple[int, bytes]
"""The sequence and hash of a chain's last link."""


class ChainLink(Protocol):
    """A link with the hashes, of 32 bytes each, of its event and of itself."""

    @property
    def event_hash(self) -> bytes:
        """What the link says of its event."""

    @property
    def hash(self) -> bytes:
        """What the next link continues."""


class Port(Protocol):
    """A driver's connection as an operation meets it: blocking words, whatever the driver's colour."""

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        """Run one statement and return its rows."""

    def execute(self, sql: str, arguments: Sequence[Any]) -> int:
        """Run one statement and return the number of rows it touched."""

    def execute_many(self, sql: str, arguments: Sequence[Sequence[Any]]) -> int:
        """Run one statement for many rows and return the number of rows touched, -1 where the driver does not tell."""

    def door(self, tenant_id: UUID | None) -> Door:
        """Offer the connection to a caller's own SQL, as that of a tenant or of nobody."""

    def fetch_prepared(self, prepared: Prepared, arguments: Sequence[Any]) -> Sequence[Any]:
        """Run one statement, maybe with others of its kind, and return its rows."""
        return self.fetch(prepared.sql, arguments)

    def execute_prepared(self, prepared: Prepared, arguments: Sequence[Any]) -> int:
        """Do so, and return the number of rows it touched."""
        return self.execute(prepared.sql, arguments)


class Tx:
    """One transaction of one tenant, or of the whole fleet where ``tenant_id`` is unset.

    Statements are SQLAlchemy Core objects kept by the caller (module constants): they are compiled once per store and
    run on the driver's connection. ``now`` is the moment the transaction began, aware, UTC; ``keys`` are those that a
    `SealedColumn` seals and opens with. ``alone`` tells that each statement is a transaction of its own.
    """

    __slots__ = ("_port", "_tenant_id", "alone", "announced", "dialect", "keys", "later", "now", "tenant_name")

    def __init__(
        self,
        port: Port,
        dialect: Dialect,
        tenant_id: UUID | None,
        tenant_name: str | None = None,
        *,
        keys: Keyring,
        alone: bool = False,
        later: "list[gathered[[], Any]] | None" = None,
    ) -> None:
        self._port = port
        self._tenant_id = tenant_id
        self.alone = alone
        self.announced: list[tuple[str, int]] = []
        self.later = [] if later is None else later
        self.dialect = dialect
        self.keys = keys
        self.tenant_name = tenant_name
        self.now: datetime = utc_now()

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose data this transaction sees; raises TenantNotSet in a fleet-wide one."""
        if self._tenant_id is None:
            raise TenantNotSet
        return self._tenant_id

    @property
    def platform(self) -> str:
        """The platform of the tenant, such as ``slack``."""
        return self._named_as()[0]

    def named(self, kind: str, *native: str) -> UUID:
        """Compute the id of something that the tenant's platform names."""
        return ids.named(kind, *self._named_as(), *native)

    def _named_as(self) -> tuple[str, str]:
        if self.tenant_name is None:
            raise TenantNotSet
        platform, _, tenant = self.tenant_name.partition(":")
        return platform, tenant

    def rows(self, statement: CompilerElement, params: Params = NOTHING) -> list[tuple[Any, ...]]:
        """Run a statement and return all its rows."""
        prepared = self.dialect.prepared(statement, entering=self.alone)
        return prepared.decode(self._port.fetch_prepared(prepared, prepared.arguments(self._bound(params))))

    def row(self, statement: CompilerElement, params: Params = NOTHING) -> tuple[Any, ...] | None:
        """Run a statement and return its first row, or None."""
        found = self.rows(statement, params)
        return found[0] if found else None

    def value(self, statement: CompilerElement, params: Params = NOTHING) -> Any:
        """Run a statement and return the first column of its first row, or None."""
        found = self.rows(statement, params)
        return found[0][0] if found else None

    def run(self, statement: CompilerElement, params: Params = NOTHING) -> int:
        """Run a statement without rows and return how many rows it touched."""
        prepared = self.dialect.prepared(statement, entering=self.alone)
        return self._port.execute_prepared(prepared, prepared.arguments(self._bound(params)))

    def run_many(self, statement: CompilerElement, many: Sequence[Params]) -> None:
        """Run a statement once for each set of parameters."""
        if many:
            prepared = self.dialect.prepared(statement)
            self._port.execute_many(prepared.sql, prepared.many([self._bound(params) for params in many]))

    def insert_many(
        self, table: Table, rows: Sequence[Params], *, conflict: Literal["ignore", "error"] = "ignore"
    ) -> int:
        """Insert rows that all name the same columns and return how many were really added.

        With ``conflict="ignore"`` a row whose primary key is already there is left as it stands.
        """
        if not rows:
            return 0
        if len(rows) == 1:
            statement = self.dialect.single_insert(table, tuple(rows[0]), ignore=conflict == "ignore")
            return self.run(statement, rows[0])
        bulk = self.dialect.bulk_insert(table, tuple(rows[0]), ignore=conflict == "ignore")
        return bulk.run(self._port, rows)

    def sql(self, text: str, arguments: Sequence[Any] = ()) -> Sequence[Any]:
        """Run the dialect's own SQL text (never a caller's) and return the driver's rows."""
        return self._port.fetch(text, arguments)

    def append_chained(
        self, events: Table, links: Table, documents: Sequence[bytes], chain: Sequence[ChainLink], *, end: ChainEnd
    ) -> bool:
        """Insert events, each the canonical JSON that holds its columns, and their links, all in one statement.

        ``end`` is the sequence and hash of the last link, (0, 32 zero bytes) before there is any. Returns False, and
        has inserted nothing, where the chain does not end with that one. For a transaction that is ``alone``.
        """
        return self.dialect.append_chained(self._port, self.tenant_id, (events, links), documents, chain, end)

    def afterwards(self, append: "gathered[[], Any]") -> None:
        """Have an append run once this transaction is durable, with those of others; its failure is nobody's.

        Only where the dialect's ``one_writer`` is False.
        """
        self.later.append(append)

    def announce(self, topic: str) -> int:
        """Tell every process at the commit that something it may remember has changed; returns the topic's version.

        It is one more than, or on SQLite at least above, that of the tenant's last announced change of the topic, and
        no other transaction gets one before this one has ended: versions are committed in their order. In a fleet-wide
        transaction the change is one of all tenants.
        """
        if self.alone:  # it would commit by itself, before or after what it is about
            message = "an operation that announces a change is declared access='write'"
            raise TypeError(message)
        version = self.dialect.announce(self, self._tenant_id, topic)
        self.announced.append((topic, version))
        return version

    def committed(self, memory: "Memory", *, surely: bool = True) -> None:
        """Have this process forget what was announced, which was committed, or where that is not sure may have been."""
        if self.announced:
            memory.committed(self._tenant_id, self.announced, surely=surely)

    @property
    def door(self) -> Door:
        """The connection as a caller's own SQL meets it."""
        return self._port.door(self._tenant_id)

    def command(self, text: str) -> None:
        """Run one command of ours without parameters or rows."""
        self._port.execute(text, ())

    def _bound(self, params: Params) -> Params:
        if self._tenant_id is None:
            return params
        return {"tenant_id": self._tenant_id, "entered_tenant": self._tenant_id, **params}
