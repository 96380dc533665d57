"""PostgreSQL: walls of row-level security, entered in the statement itself or at the head of a transaction."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect as SADialect, Insert, Select, Table, Update, bindparam, func, literal_column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import CompilerElement
from sqlalchemy.types import TypeEngine
from typing_extensions import override

from undercroft.core.dialects import postgresql_search
from undercroft.core.dialects.base import BulkInsert, Description, Dialect, ReturnedRow, TableStats
from undercroft.core.dialects.criteria import Criteria
from undercroft.core.dialects.postgresql_update import upserted
from undercroft.core.scope import Scope
from undercroft.core.statement import Prepared, prepare
from undercroft.core.tx import Port, Tx
from undercroft.core.types import Json, Text, to_json
from undercroft.errors import DatabaseUnavailable, InvalidInput, UndercroftError, from_sqlstate

_SHIFT = re.compile(r"\$(\d+)")
_VALUES = re.compile(r" VALUES \((.*?)\)(?= ON CONFLICT| RETURNING|$)", re.DOTALL)
ENTERED = "(SELECT undercroft.enter({}::uuid) AS tenant OFFSET 0) AS ctx"


class PostgresqlDialect(Dialect):
    """Compiles for one driver, told apart by its parameter style: ``$1`` of asyncpg or ``%s`` of psycopg."""

    name = "postgresql"

    @property
    def _numbered(self) -> bool:
        return self.sa.paramstyle == "numeric_dollar"

    @override
    def _prepare(self, statement: CompilerElement, *, entering: bool) -> Prepared:
        if not entering:
            return prepare(statement, self.sa, schema_map=None)
        if isinstance(statement, Select):
            # The lateral reference makes the planner read ctx, and so enter the tenant, before the rows.
            inner = statement.where(literal_column("ctx.tenant").is_not(None))
            return prepare(inner, self.sa, schema_map=None, wrap=self._wrap_select)
        if isinstance(statement, Insert):
            return prepare(statement, self.sa, schema_map=None, wrap=self._wrap_insert)
        alone = statement.get_execution_options().get("entering") if isinstance(statement, Update) else None
        if alone is not None:
            return prepare(alone, self.sa, schema_map=None)
        message = f"only a SELECT or an INSERT can enter a tenant by itself, declare access='write': {statement}"
        raise TypeError(message)

    def _wrap_select(self, sql: str) -> tuple[str, int]:
        if self._numbered:
            mark, position = self._next_mark(sql)
        else:
            mark, position = "%s", 0
        tail = "" if " OFFSET " in sql.rpartition(")")[2] else " OFFSET 0"
        return f"SELECT q.* FROM {ENTERED.format(mark)} CROSS JOIN LATERAL ({sql}{tail}) AS q", position

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
        return f"{head} SELECT {values} FROM {ENTERED.format(mark)} WHERE ctx.tenant IS NOT NULL{rest}", position

    @staticmethod
    def _next_mark(sql: str) -> tuple[str, int]:
        last = max((int(number) for number in _SHIFT.findall(sql)), default=0)
        return f"${last + 1}", last

    @override
    def _update_by_key(self, table: Table, columns: tuple[str, ...], returned: ReturnedRow) -> Update:
        plain = super()._update_by_key(table, columns, returned)
        return plain.execution_options(entering=upserted(table, columns, returned))

    @override
    def _bulk_insert(self, table: Table, columns: tuple[str, ...], *, ignore: bool) -> BulkInsert:
        return _Unnest(self, table, columns, ignore=ignore)

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
        tables = [TableStats(name, rows, size) for name, rows, size in tx.sql(_TABLES)]
        version, revision, size = tx.sql(_ABOUT)[0]
        return Description(version, revision, size, tables)

    @override
    def insert_searchable(
        self, tx: Tx, messages: Table, rows: Sequence[dict[str, Any]], words: Sequence[Sequence[str]]
    ) -> int:
        return postgresql_search.insert_searchable(tx, messages, rows, words)

    @override
    def reindex(self, tx: Tx, words: Mapping[UUID, Sequence[str]]) -> None:
        postgresql_search.reindex(tx, words)

    @override
    def search_messages(self, tx: Tx, criteria: Criteria) -> list[tuple[UUID, float]]:
        return postgresql_search.search(tx, criteria)

    @override
    def purge_tenant(self, tx: Tx, tenant_id: UUID) -> int:
        return int(tx.sql(f"SELECT undercroft.purge('{tenant_id}')")[0][0])

    @override
    def try_lock(self, tx: Tx, name: str) -> bool:
        return bool(tx.value(_TRY_LOCK, {"name": name}))

    @staticmethod
    def begin(scope: Scope, *, privileged: bool) -> str:
        """Build the message that opens a transaction and enters its scope; a UUID is safe to write as a literal.

        A superuser's or owner's login passes through every wall, so it puts on a role of ours first.
        """
        if scope.tenant_id is not None:
            role, enter = "undercroft_app", f"; SELECT undercroft.enter('{scope.tenant_id}')"
        elif scope.fleet:
            role, enter = "undercroft_fleet", "; SELECT undercroft.enter_fleet()"
        else:
            return "BEGIN"
        return f"BEGIN; SET LOCAL ROLE {role}{enter}" if privileged else f"BEGIN{enter}"


_TRY_LOCK = select(func.pg_try_advisory_xact_lock(func.hashtextextended(bindparam("name", type_=Text), 0)))

_ABOUT = """
SELECT current_setting('server_version'),
       (SELECT version_num FROM undercroft.alembic_version),
       pg_database_size(current_database())
"""
_TABLES = """
SELECT c.relname,
       coalesce(sum(greatest(part.reltuples, 0)), 0)::bigint,
       coalesce(sum(pg_total_relation_size(part.oid)), 0)::bigint
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT leaf.oid, leaf.reltuples FROM pg_partition_tree(c.oid) AS tree JOIN pg_class AS leaf ON leaf.oid = tree.relid
    WHERE tree.isleaf
    UNION
    SELECT c.oid, c.reltuples WHERE c.relkind = 'r'
) AS part
WHERE n.nspname = 'undercroft' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname ORDER BY c.relname
"""

# By name, not imported: asyncpg and psycopg are optional. Both raise these on the client's side, without an SQLSTATE.
_WITHOUT_STATE: dict[str, type[UndercroftError]] = {
    "OperationalError": DatabaseUnavailable,
    "InternalClientError": DatabaseUnavailable,
    "DataError": InvalidInput,
    "ProgrammingError": InvalidInput,  # psycopg's, for a value of a type that it cannot send
}


class _Unnest(BulkInsert):
    """``INSERT … SELECT unnest(…)``: one statement and one array a column, for any number of rows.

    Rows already there are taken out before ON CONFLICT sees them: it would compute the text-search vector first. COPY
    is refused by PostgreSQL on tables under row-level security.
    """

    def __init__(self, dialect: PostgresqlDialect, table: Table, columns: tuple[str, ...], *, ignore: bool) -> None:
        types = [table.c[name].type for name in columns]
        self._columns = [(name, _outgoing(type_, dialect.sa)) for name, type_ in zip(columns, types, strict=True)]
        quote = dialect.sa.identifier_preparer.quote
        names = [quote(name) for name in columns]
        marks = [f"${n}" if dialect.sa.paramstyle == "numeric_dollar" else "%s" for n in range(1, len(columns) + 1)]
        carried = [_carried(type_, dialect.sa) for type_ in types]
        arrays = ", ".join(f"{mark}::{through}[]" for mark, (through, _) in zip(marks, carried, strict=True))
        values = ", ".join(f"u.{name}{cast}" for name, (_, cast) in zip(names, carried, strict=True))
        target = dialect.sa.identifier_preparer.format_table(table)
        self._sql = (
            f"INSERT INTO {target} ({', '.join(names)}) SELECT {values} FROM unnest({arrays}) AS u({', '.join(names)})"
        )
        if ignore:
            key = " AND ".join(f"t.{quote(c.name)} = u.{quote(c.name)}" for c in table.primary_key.columns)
            self._sql += f" WHERE NOT EXISTS (SELECT FROM {target} AS t WHERE {key}) ON CONFLICT DO NOTHING"

    @override
    def run(self, port: Port, rows: Sequence[Mapping[str, Any]]) -> int:
        arrays = [
            [row[name] if process is None else process(row[name]) for row in rows] for name, process in self._columns
        ]
        return port.execute(self._sql, arrays)


def _outgoing(type_: TypeEngine[Any], sa: SADialect) -> Callable[[Any], Any] | None:
    """Choose how a column's values are made ready to travel in an array: JSON as text, on both drivers."""
    if isinstance(type_, Json):
        return lambda value: None if value is None else to_json(value)
    return type_.dialect_impl(sa).bind_processor(sa)


def _carried(type_: TypeEngine[Any], sa: SADialect) -> tuple[str, str]:
    """Tell as what type a column's values travel in an array, and the cast each then needs."""
    name = type_.compile(dialect=sa)
    return ("text", f"::{name}") if name in {"JSONB", "TSVECTOR"} else (name, "")
