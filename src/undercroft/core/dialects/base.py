"""What differs between databases: a verb where a statement differs, a flag where behaviour does."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Dialect as SADialect, Table, Update, bindparam, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's too
from sqlalchemy.sql.elements import CompilerElement

from undercroft.core.dialects.criteria import Criteria
from undercroft.core.scope import Scope
from undercroft.core.statement import Prepared, prepare
from undercroft.errors import UndercroftError

if TYPE_CHECKING:
    from undercroft.core.tx import ChainEnd, ChainLink, Port, Tx


@dataclass(frozen=True, slots=True)
class TableStats:
    """One table: its rows (PostgreSQL's estimate, SQLite's exact count), and its bytes with indexes where known."""

    name: str
    rows: int
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Description:
    """What a database tells of itself."""

    server_version: str
    revision: str | None
    bytes: int
    tables: list[TableStats]


@dataclass(frozen=True, slots=True, eq=False)
class ReturnedRow:
    """The conditions that find one row, and the columns that are returned of it; each object is another one."""

    is_it: Sequence[ColumnElement[bool]]
    columns: Sequence[Any]


class BulkInsert(abc.ABC):
    """One table and set of columns, ready to take many rows."""

    @abc.abstractmethod
    def run(self, port: "Port", rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert the rows and return how many were really added."""


class Dialect(abc.ABC):
    """One store's view of its database: compiled statements, verbs, flags, and the meaning of the driver's errors."""

    schema_map: ClassVar[Mapping[str | None, str | None] | None] = None
    name: ClassVar[str]
    one_writer: ClassVar[bool] = False
    """Whether a transaction that has written shuts every other writer out until it ends."""
    writes_in_queries: ClassVar[bool] = False
    """Whether a query may begin with writes (`WITH … AS (INSERT …)`), so that both are one message."""

    def __init__(self, sa: SADialect) -> None:
        self.sa = sa
        # The statement is kept beside what it compiled to: an id() must not be reused while its entry lives.
        self._prepared: dict[tuple[int, bool], tuple[CompilerElement, Prepared]] = {}
        self._single: dict[tuple[str, tuple[str, ...], bool], CompilerElement] = {}
        self._updates: dict[tuple[Table, tuple[str, ...], ReturnedRow], Update] = {}
        self._bulk: dict[tuple[str, tuple[str, ...], bool], BulkInsert] = {}
        self.remembered: dict[Any, Any] = {}
        """What slices keep of this database from call to call; nothing in it may be relied upon."""
        self.sensitive: frozenset[str] = frozenset()
        """Names of the user's own, in lower case, of what must never be written down."""

    def prepared(self, statement: CompilerElement, *, entering: bool = False) -> Prepared:
        """Compile a statement, once; with ``entering`` the text itself enters the tenant before it touches a row."""
        key = (id(statement), entering)
        known = self._prepared.get(key)
        if known is None:
            known = self._prepared[key] = (statement, self._prepare(statement, entering=entering))
        return known[1]

    def _prepare(self, statement: CompilerElement, *, entering: bool) -> Prepared:
        del entering  # only a database with walls is entered
        return prepare(statement, self.sa, schema_map=self.schema_map)

    def bulk_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> BulkInsert:
        """Prepare the insertion of many rows with the same columns, once."""
        key = (table.name, columns, ignore)
        known = self._bulk.get(key)
        if known is None:
            known = self._bulk[key] = self._bulk_insert(table, columns, ignore=ignore)
        return known

    def single_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> CompilerElement:
        """Return the INSERT of one row with these columns, always the same object."""
        key = (table.name, columns, ignore)
        known = self._single.get(key)
        if known is None:
            statement = insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
            known = self._single[key] = (statement.on_conflict_do_nothing() if ignore else statement).execution_options(
                shares=()
            )
        return known

    @abc.abstractmethod
    def plan_anew(self, tx: "Tx") -> None:
        """Have what follows in the transaction planned for its own values, as is worth while where those are many."""

    @abc.abstractmethod
    def _bulk_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> BulkInsert: ...

    def update_by_key(self, table: Table, columns: tuple[str, ...], returned: ReturnedRow) -> Update:
        """Prepare the change of some columns of one row, once: ``new_x`` is what column x gets.

        ``returned`` has the conditions that a row is the one, which include its primary key, and what to return of it.
        """
        key = (table, columns, returned)
        known = self._updates.get(key)
        if known is None:
            known = self._updates[key] = self._update_by_key(table, columns, returned)
        return known

    def _update_by_key(self, table: Table, columns: tuple[str, ...], returned: ReturnedRow) -> Update:
        new = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
        return update(table).where(*returned.is_it).values(new).returning(*returned.columns)

    def append_chained(  # noqa: PLR0917 - called by position
        self,
        port: "Port",
        tenant_id: UUID,
        tables: tuple[Table, Table],
        documents: Sequence[bytes],
        chain: "Sequence[ChainLink]",
        end: "ChainEnd",
    ) -> bool:
        """Insert events and their links in a statement that enters its tenant; see `Tx.append_chained`."""
        raise NotImplementedError  # where nothing is entered no transaction is alone

    def check_right(self, table: Table, verb: str) -> None:
        """Raise PermissionDenied where the application may not do that, and the database would not say so itself."""
        del table, verb

    def enter_scope(self, tx: "Tx", scope: Scope) -> None:
        """Enter a scope in a transaction that is in none; a database without walls has nothing to enter."""
        del tx, scope

    @abc.abstractmethod
    def describe(self, tx: "Tx") -> Description:
        """Ask the database for its version, revision and sizes."""

    @abc.abstractmethod
    def purge_tenant(self, tx: "Tx", tenant_id: UUID) -> int:
        """Remove a deleted tenant and every row of it; returns how many there were."""

    @abc.abstractmethod
    def try_lock(self, tx: "Tx", name: str) -> bool:
        """Take a lock until the transaction ends, or tell that another transaction holds it."""

    @abc.abstractmethod
    def announce(self, tx: "Tx", tenant_id: UUID | None, topic: str) -> int:
        """Count a change, hold its counter until the transaction ends, and have it told at the commit."""

    @abc.abstractmethod
    def change_scope(self, tx: "Tx", topic: str) -> str:
        """Return what notices call a topic of the entered tenant."""

    def ensure_partitions(self, tx: "Tx", since: datetime, until: datetime) -> int:
        """Make the partitions of some years that are missing and return how many there were, where there are any."""
        del tx, since, until
        return 0

    @abc.abstractmethod
    def insert_searchable(
        self, tx: "Tx", messages: Table, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]
    ) -> int:
        """Insert messages, each with the words a search finds it by, and return how many were added.

        The rows are this method's to complete; one that is there already is left as it stands.
        """

    @abc.abstractmethod
    def reindex(self, tx: "Tx", words: Mapping[UUID, Sequence[str]]) -> None:
        """Replace the words that a search finds messages by; without any a message is found no more."""

    @abc.abstractmethod
    def unindex(self, tx: "Tx", before: UUID) -> None:
        """Take the tenant's messages with lower ids out of the search index, before they are removed themselves."""

    @abc.abstractmethod
    def drop_expired(self, tx: "Tx", data_class: str, keep: int | None) -> list[tuple[UUID, int]]:
        """Drop what can go as a whole, since no tenant keeps it; returns how many rows of each tenant there were.

        ``keep`` are the seconds for which the data class is kept where no policy says otherwise.
        """

    @abc.abstractmethod
    def give_back(self, tx: "Tx") -> None:
        """Give the space of removed rows back to the machine where that is cheap."""

    @abc.abstractmethod
    def search_messages(self, tx: "Tx", criteria: Criteria) -> list[tuple[UUID, float]]:
        """Return the ids of hits with their ranks, the newest first (rank 0) or the best."""

    @abc.abstractmethod
    def translate(self, error: BaseException) -> UndercroftError | None:
        """Tell what a driver's error means, or None where it is not the driver's."""
