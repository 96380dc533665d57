"""PostgreSQL: walls of row-level security, entered in the statement itself or at the head of a transaction."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Dialect as SADialect,
    Executable,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import CompilerElement
from typing_extensions import override

from undercroft.core.dialects import postgresql_about, postgresql_search
from undercroft.core.dialects.base import BulkInsert, Description, Dialect, ReturnedRow
from undercroft.core.dialects.criteria import Criteria
from undercroft.core.dialects.postgresql_bulk import Unnest
from undercroft.core.dialects.postgresql_chain import ChainedInsert
from undercroft.core.dialects.postgresql_shared import shared
from undercroft.core.dialects.postgresql_update import Context, key_names, under_seal, upserted
from undercroft.core.scope import Scope
from undercroft.core.statement import Prepared, prepare
from undercroft.core.tenant_seal import TenantSeal
from undercroft.core.tx import ChainEnd, ChainLink, Port, Tx
from undercroft.core.types import BigInt, Text, UtcDateTime, Uuid
from undercroft.errors import DatabaseUnavailable, InvalidInput, UndercroftError, from_sqlstate

_SHIFT = re.compile(r"\$(\d+)")
_VALUES = re.compile(r" VALUES \((.*?)\)(?= ON CONFLICT| RETURNING|$)", re.DOTALL)
ENTERED = "(SELECT {} AS tenant OFFSET 0) AS ctx"


class PostgresqlDialect(Dialect):
    """Compiles for one driver, told apart by its parameter style: ``$1`` of asyncpg or ``%s`` of psycopg.

    With a ``seal`` tenants are entered under it, always as a parameter: pg_stat_activity shows what stands in a text to
    every connection of the same login. ``pooled`` tells of a pooler, behind which nobody clears a session.
    """

    name = "postgresql"
    writes_in_queries = True

    def __init__(self, sa: SADialect, seal: TenantSeal | None = None, *, pooled: bool = False) -> None:
        super().__init__(sa)
        # A caller's own SQL may have written the setting for the session, and another is served in it.
        self._begin = "BEGIN; SET LOCAL undercroft.tenant = ''" if pooled else "BEGIN"
        self._seal = seal
        self._context = None if seal is None else Context(seal)
        self._enter = "undercroft.enter({}::uuid)" if seal is None else "undercroft.enter_sealed({}::text)"
        self._entered = ENTERED.format(self._enter)

    @property
    def _numbered(self) -> bool:
        return self.sa.paramstyle == "numeric_dollar"

    @override
    def _prepare(self, statement: CompilerElement, *, entering: bool) -> Prepared:
        if not entering:
            return prepare(statement, self.sa, schema_map=None)
        options = statement.get_execution_options() if isinstance(statement, Executable) else {}
        if (written := options.get("entering")) is None:
            alone, enter = statement, self._made_to_enter
        else:
            alone, enter = written, self._as_written
        own = enter(alone)
        locks = options.get("shares", () if isinstance(alone, Select) else None)
        if locks is not None and self._numbered:  # psycopg sends one statement a message
            own.share = partial(shared, own, alone, enter, locks)
        own.binary = options.get("binary", False)
        return own

    def _made_to_enter(self, statement: CompilerElement) -> Prepared:
        if isinstance(statement, Select):
            # The lateral reference makes the planner read ctx, and so enter the tenant, before the rows.
            inner = statement.where(literal_column("ctx.tenant").is_not(None))
            return self._wrapped(inner, self._wrap_select)
        if isinstance(statement, Insert) and statement.select is not None:
            relaxed = statement.get_execution_options().get("relaxed", False)
            return self._wrapped(statement, partial(self._wrap_insert_from, relaxed=relaxed))
        if isinstance(statement, Insert):
            return self._wrapped(statement, self._wrap_insert)
        message = f"only a SELECT or an INSERT can enter a tenant by itself, declare access='write': {statement}"
        raise TypeError(message)

    def _as_written(self, statement: Any) -> Prepared:
        """Compile what was written with `enter`."""
        sealed = statement if self._context is None else under_seal(statement, self._context)
        return prepare(sealed, self.sa, schema_map=None)

    def _wrapped(self, statement: CompilerElement, wrap: Callable[[str], tuple[str, int]]) -> Prepared:
        process = None if self._seal is None else self._seal.context
        return prepare(statement, self.sa, schema_map=None, wrap=wrap, wrapped_process=process)

    def _wrap_select(self, sql: str) -> tuple[str, int]:
        if self._numbered:
            mark, position = self._next_mark(sql)
        else:
            mark, position = "%s", 0
        tail = "" if " OFFSET " in sql.rpartition(")")[2] else " OFFSET 0"
        return f"SELECT q.* FROM {self._entered.format(mark)} CROSS JOIN LATERAL ({sql}{tail}) AS q", position

    def _wrap_insert(self, sql: str) -> tuple[str, int]:
        found = _VALUES.search(sql)
        if found is None:
            message = f"only INSERT … VALUES of one row can enter a tenant by itself: {sql}"
            raise TypeError(message)
        if self._numbered:
            mark, position = self._next_mark(sql)
        else:
            mark, position = "%s", sql[: found.end()].count("%s")
        head, values, rest = sql[: found.start()], found[1], sql[found.end() :]
        return f"{head} SELECT {values} FROM {self._entered.format(mark)} WHERE ctx.tenant IS NOT NULL{rest}", position

    def _wrap_insert_from(self, sql: str, *, relaxed: bool) -> tuple[str, int]:
        """Enter beside the SELECT; ``relaxed`` does not wait for the disk, where losing a moment is no harm."""
        head, select, asked = sql.partition(" SELECT ")
        asked, conflict, rest = asked.partition(" ON CONFLICT ")
        mark, position = self._next_mark(sql) if self._numbered else ("%s", 0)
        ctx = self._entered.format(mark)
        if relaxed:
            ctx = ctx.replace(" OFFSET 0", ", set_config('synchronous_commit', 'off', true) OFFSET 0")
        lateral = f"(SELECT r.* FROM ({select}{asked}) AS r WHERE ctx.tenant IS NOT NULL OFFSET 0) AS q"
        return f"{head} SELECT q.* FROM {ctx} CROSS JOIN LATERAL {lateral}{conflict}{rest}", position

    @staticmethod
    def _next_mark(sql: str) -> tuple[str, int]:
        last = max((int(number) for number in _SHIFT.findall(sql)), default=0)
        return f"${last + 1}", last

    @override
    def _update_by_key(self, table: Table, columns: tuple[str, ...], returned: ReturnedRow) -> Update:
        plain, written = super()._update_by_key(table, columns, returned), upserted(table, columns, returned)
        return plain.execution_options(entering=written, shares=key_names(returned))

    @override
    def _bulk_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> BulkInsert:
        return Unnest(self.sa, table, columns, ignore=ignore)

    @override
    def plan_anew(self, tx: Tx) -> None:
        # A plan that is kept may be of a time when the table was so small that it was best read whole.
        tx.command("SET LOCAL plan_cache_mode = force_custom_plan")

    @override
    def append_chained(
        self,
        port: Port,
        tenant_id: UUID,
        tables: tuple[Table, Table],
        documents: Sequence[bytes],
        chain: Sequence[ChainLink],
        end: ChainEnd,
    ) -> bool:
        insert: ChainedInsert | None = self.remembered.get(tables)
        if insert is None:
            insert = self.remembered[tables] = ChainedInsert(self.sa, *tables, self._enter)
        entered = tenant_id if self._seal is None else self._seal.context(tenant_id)
        return insert.run(port, entered, documents, chain, end)

    @override
    def translate(self, error: BaseException) -> UndercroftError | None:
        if isinstance(error, UndercroftError):
            return error
        if isinstance(error, DBAPIError) and error.orig is not None:
            return self.translate(error.orig) or (DatabaseUnavailable() if error.connection_invalidated else None)
        state = getattr(error, "sqlstate", None)
        if isinstance(state, str):
            about = getattr(error, "diag", error)
            return from_sqlstate(state)(
                constraint=getattr(about, "constraint_name", None),
                table=getattr(about, "table_name", None),
                column=getattr(about, "column_name", None),
                sqlstate=state,
            )
        if isinstance(error, OSError):
            return DatabaseUnavailable()
        known = (_WITHOUT_STATE.get(kind.__name__) for kind in type(error).__mro__)
        meaning = next((one for one in known if one is not None), None)
        return None if meaning is None else meaning()

    @override
    def describe(self, tx: Tx) -> Description:
        return postgresql_about.describe(tx)

    @override
    def ensure_partitions(self, tx: Tx, since: datetime, until: datetime) -> int:
        return int(tx.value(_ENSURE_PARTITIONS, {"since": since, "until": until}))

    @override
    def insert_searchable(
        self, tx: Tx, messages: Table, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]
    ) -> int:
        return postgresql_search.insert_searchable(tx, messages, rows, words)

    @override
    def reindex(self, tx: Tx, words: Mapping[UUID, Sequence[str]]) -> None:
        postgresql_search.reindex(tx, words)

    @override
    def unindex(self, tx: Tx, before: UUID) -> None:
        """The words stand in the row itself."""

    @override
    def drop_expired(self, tx: Tx, data_class: str, keep: int | None) -> list[tuple[UUID, int]]:
        return [(tenant, rows) for tenant, rows in tx.rows(_DROP_EXPIRED, {"data_class": data_class, "keep": keep})]

    @override
    def give_back(self, tx: Tx) -> None:
        """Autovacuum does."""

    @override
    def search_messages(self, tx: Tx, criteria: Criteria) -> list[tuple[UUID, float]]:
        return postgresql_search.search(tx, criteria)

    @override
    def purge_tenant(self, tx: Tx, tenant_id: UUID) -> int:
        return int(tx.sql(f"SELECT undercroft.purge('{tenant_id}')")[0][0])

    @override
    def try_lock(self, tx: Tx, name: str) -> bool:
        return bool(tx.value(_TRY_LOCK, {"name": name}))

    @override
    def announce(self, tx: Tx, tenant_id: UUID | None, topic: str) -> int:
        return int(tx.value(_ANNOUNCE, {"topic": topic}))

    @override
    def change_scope(self, tx: Tx, topic: str) -> str:
        return str(tx.value(_CHANGE_SCOPE, {"topic": topic}))

    def begin(self, scope: Scope, *, privileged: bool) -> str:
        """Build the message that opens a transaction and enters its scope; a UUID is safe to write as a literal.

        A superuser's or owner's login passes through every wall, so it puts on a role of ours first. Under a seal the
        scope is entered by `sealed` after that.
        """
        if scope.tenant_id is not None:
            role, enter = "undercroft_app", f"; SELECT undercroft.enter('{scope.tenant_id}')"
        elif scope.fleet:
            role, enter = "undercroft_fleet", "; SELECT undercroft.enter_fleet()"
        else:
            return self._begin
        if self._seal is not None:
            enter = ""
        return f"{self._begin}; SET LOCAL ROLE {role}{enter}" if privileged else f"{self._begin}{enter}"

    def sealed(self, scope: Scope) -> tuple[str, tuple[str, ...]] | None:
        """Build the statement that enters a scope under the seal, and its parameters; None where nothing is sealed."""
        if self._seal is None or (scope.tenant_id is None and not scope.fleet):
            return None
        enter = "enter_sealed" if scope.tenant_id is not None else "enter_fleet_sealed"
        mark = "$1" if self._numbered else "%s"
        return f"SELECT undercroft.{enter}({mark})", (self._seal.context(scope.tenant_id or "fleet"),)

    @override
    def enter_scope(self, tx: Tx, scope: Scope) -> None:
        tx.sql(*(self.sealed(scope) or (self.begin(scope, privileged=False).rpartition("; ")[2], ())))


_ENSURE_PARTITIONS = select(
    func.undercroft.ensure_partitions(bindparam("since", type_=UtcDateTime()), bindparam("until", type_=UtcDateTime()))
)
_DROPPED = func.undercroft.drop_expired_partitions(
    bindparam("data_class", type_=Text), bindparam("keep", type_=BigInt)
).table_valued(column("tenant", Uuid()), column("removed", BigInt()))
_DROP_EXPIRED = select(_DROPPED.c.tenant, cast(func.sum(_DROPPED.c.removed), BigInt)).group_by(_DROPPED.c.tenant)
_TRY_LOCK = select(func.pg_try_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), 0)))

_ANNOUNCE = select(func.undercroft.announce(bindparam("topic", type_=Text)))
_CHANGE_SCOPE = select(func.undercroft.change_scope(bindparam("topic", type_=Text)))

# By name, not imported: asyncpg and psycopg are optional. Both raise these on the client's side, without an SQLSTATE.
_WITHOUT_STATE: dict[str, type[UndercroftError]] = {
    "OperationalError": DatabaseUnavailable,
    "InternalClientError": DatabaseUnavailable,
    "DataError": InvalidInput,
    "ProgrammingError": InvalidInput,  # psycopg's, for a value of a type that it cannot send
}
