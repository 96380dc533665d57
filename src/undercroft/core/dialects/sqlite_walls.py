"""The walls between tenants in a SQLite file, which has none of its own.

A caller's SQL sees the views of `sqlite_views` in the place of tables. While it is prepared an authorizer lets it reach
nothing else of ours: tables only from inside those views and their triggers, whose names cannot be known, no schema, no
setting, no other file. With nobody entered our tables are closed.

The authorizer stands for the length of one call, since our own operations use the same connection. SQLite prepares
every statement anew when one is installed, so that nothing prepared before escapes it.
"""

import functools
import re
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from uuid import UUID

from undercroft.core.dialects import sqlite_views as views
from undercroft.core.dialects.sqlite_names import with_views
from undercroft.core.door import sqltext
from undercroft.errors import PermissionDenied

CLOSED = "The SQL reaches for what is closed to it"
CLOSED_HINT = "tables of ours are open through a tenant, schema changes to your own go through store.db or a migration"

_HARMLESS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE}
_ROWS = {sqlite3.SQLITE_INSERT: "insert", sqlite3.SQLITE_UPDATE: "update", sqlite3.SQLITE_DELETE: "delete"}
_DANGEROUS = {"load_extension", "fts3_tokenizer"}
_SESSION_SAVEPOINT = "sa_savepoint_"
"""SQLAlchemy's sessions join a transaction with savepoints of these names."""

# What the owner of a file may do to tables of his own, where no tenant is entered, and which argument is the table.
_SCHEMA = {
    sqlite3.SQLITE_CREATE_TABLE: 0,
    sqlite3.SQLITE_CREATE_VTABLE: 0,
    sqlite3.SQLITE_CREATE_VIEW: 0,
    sqlite3.SQLITE_CREATE_INDEX: 1,
    sqlite3.SQLITE_CREATE_TRIGGER: 1,
    sqlite3.SQLITE_DROP_TABLE: 0,
    sqlite3.SQLITE_DROP_VTABLE: 0,
    sqlite3.SQLITE_DROP_VIEW: 0,
    sqlite3.SQLITE_DROP_INDEX: 1,
    sqlite3.SQLITE_DROP_TRIGGER: 1,
    sqlite3.SQLITE_ALTER_TABLE: 1,
    sqlite3.SQLITE_ANALYZE: 0,
}
_OWN_BOOKS = {
    "sqlite_master",
    "sqlite_schema",
    "sqlite_temp_master",
    "sqlite_temp_schema",
    "sqlite_sequence",
    "sqlite_stat1",
}
"""Where SQLite itself writes down what he does so; it lets nobody else write there."""
_LOOKS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
_FLAGS = {"data_version", "read_uncommitted"}
"""What FTS5 and SQLAlchemy ask for by themselves."""
_FUNCTION_TABLES = {"json_each", "json_tree"}


class Walls:
    """The walls on one connection; they are built when they are first needed, and again when the schema changes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._token = f"undercroft_{token_hex(8)}_"
        self._lock = threading.RLock()
        self._read: tuple[int, int] | None = None
        self._built: tuple[int, int] | None = None
        self._catalogue = views.Catalogue(frozenset(), frozenset(), frozenset(), frozenset())
        self._tables: list[str] = []
        self._views: dict[str, str] = {}
        self._schemas: frozenset[str] = frozenset()
        self._inside: set[str] = set()
        self._new: set[str] = set()
        self._tenant: bytes | None = None
        self._text = ""
        self._foreign = False
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()
        self.changed = self.last_rowid = 0
        self._rewritten = functools.lru_cache(maxsize=1024)(self._rewrite)
        connection.create_function(views.TENANT, 0, lambda: self._tenant, deterministic=True)
        connection.create_function(views.CHANGED, 2, self._count)
        connection.create_function(views.FOREIGN, 0, self._note_foreign)

    @contextmanager
    def raised(self, tenant_id: UUID | None, sql: str) -> Iterator[str]:
        """Run the block with the walls up and give it the text to run in the place of ``sql``."""
        if self._token in sql:
            raise PermissionDenied(CLOSED, hint=CLOSED_HINT)
        with self._lock:
            self._build(with_views=tenant_id is not None)
            self._tenant = None if tenant_id is None else tenant_id.bytes
            self._text = self._rewritten(sql, tenant_id is not None)
            self._new = set()
            self._foreign = False
            self.changed = self.last_rowid = 0
            self._connection.set_authorizer(self._authorize)
            try:
                yield self._text
            except sqlite3.DatabaseError as error:
                refusal = self._refusal(error)
                if refusal is None:
                    raise
                raise refusal from error
            finally:
                self._connection.set_authorizer(None)

    def hold(self, cursor: sqlite3.Cursor) -> None:
        """Remember a cursor that reads what its tenant may, so that it ends with his transaction."""
        self._cursors.add(cursor)

    def leave(self) -> None:
        """Forget the tenant at the end of his transaction; what he still reads from ends here."""
        for cursor in list(self._cursors):
            cursor.close()
        self._tenant = None

    def spoken(self, name: str) -> str:
        """Return a column's name as the caller wrote it, where a view's name came into it."""
        if self._token not in name:
            return name
        return re.sub(f"{self._token}(\\d+)", lambda found: self._tables[int(found[1])], name)

    def _rewrite(self, sql: str, has_tenant: bool) -> str:  # noqa: FBT001 - part of a cache's key
        text = sqltext.read(sql, sqlite=True)
        numbered = sqltext.read(text.numbered(), sqlite=True) if text.parameters else text
        return with_views(numbered.tokens, self._views if has_tenant else {}, self._schemas)

    def _build(self, *, with_views: bool) -> None:
        """Read what tables there are, and make the views; a rollback takes those away, which the versions tell."""
        versions = self._versions()
        known = (
            versions[0],
            views.models(),
        )  # a model that is imported later may turn a table of anybody's into a tenant's
        if known != self._read:
            self._catalogue = views.catalogue(self._connection)
            self._tables = sorted(self._catalogue.walled)
            self._views = {table: f"{self._token}{place}" for place, table in enumerate(self._tables)}
            self._schemas = views.schemas()
            self._rewritten.cache_clear()
            self._read, self._built = known, None
        if with_views and versions != self._built:
            run = self._connection.execute
            is_read_only = run("PRAGMA query_only").fetchone()[0]
            run("PRAGMA query_only=OFF")  # it forbids temporary views too
            try:
                self._make_views()
            finally:
                run(f"PRAGMA query_only={is_read_only}")
            self._built = self._versions()

    def _make_views(self) -> None:
        run = self._connection.execute
        for (name,) in run("SELECT name FROM temp.sqlite_master WHERE type = 'view'").fetchall():
            run(f"DROP VIEW temp.{name}")
        for table, view in self._views.items():
            for statement in list(self._of(table, view)):
                run(statement)
        verbs = _ROWS.values()
        self._inside = {name for view in self._views.values() for name in (view, *(f"{view}_{verb}" for verb in verbs))}
        run("SELECT 1 FROM json_each('[]'), json_tree('[]')")  # their first use writes to the schema, inside SQLite

    def _of(self, table: str, view: str) -> Iterator[str]:
        if table not in views.VIEWS:
            return views.statements(self._connection, table, view)
        query = sqltext.read(views.definition(self._connection, table), sqlite=True)
        return views.of_view(with_views(query.tokens, self._views, self._schemas), view)

    def _versions(self) -> tuple[int, int]:
        run = self._connection.execute
        return run("PRAGMA main.schema_version").fetchone()[0], run("PRAGMA temp.schema_version").fetchone()[0]

    def _refusal(self, error: sqlite3.DatabaseError) -> PermissionDenied | None:
        """Tell whether an error is one of these walls."""
        if self._foreign:
            return PermissionDenied("The row belongs to another tenant", hint="leave tenant_id out")
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_AUTH:
            return PermissionDenied(CLOSED, hint=CLOSED_HINT)
        return None

    def _count(self, rows: int, rowid: int) -> None:
        self.changed += rows
        self.last_rowid = rowid

    def _note_foreign(self) -> None:
        self._foreign = True

    def _authorize(self, action: int, *about: str | None) -> int:
        # What is not named here is refused: ATTACH, DETACH, transactions, temporary tables, actions of the future.
        first, second, database, source = (about[0] or "").lower(), about[1] or "", about[2], about[3]
        if action in _HARMLESS:
            allowed = True
        elif action == sqlite3.SQLITE_FUNCTION:
            allowed = second.lower() not in _DANGEROUS
        elif action == sqlite3.SQLITE_READ:
            allowed = self._may_read(first, second, source)
        elif action in _ROWS:
            allowed = self._may_write(_ROWS[action], first, source)
        elif action == sqlite3.SQLITE_SAVEPOINT:
            allowed = second.startswith(_SESSION_SAVEPOINT)
        elif action == sqlite3.SQLITE_PRAGMA and not second and first in _FLAGS:
            allowed = True
        elif self._tenant is not None or database == "temp":
            allowed = False
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = first in _LOOKS
        else:
            allowed = self._may_alter(action, first, second.lower())
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _may_read(self, table: str, column: str, source: str | None) -> bool:
        if self._is_open(table) or (table in self._inside and self._tenant is not None):
            return True
        if column:
            return source in self._inside or self._is_consequence(table, source)
        # No column is read where rows are only counted: our views never do that, a common table expression may.
        return table not in self._catalogue.named and not table.startswith(("sqlite_", "pragma_"))

    def _may_write(self, verb: str, table: str, source: str | None) -> bool:
        if table in self._inside:
            return verb in self._verbs(table)
        if verb != "insert" and self._is_consequence(table, source):
            return True
        return source in self._inside or self._is_open(table)

    def _may_alter(self, action: int, first: str, second: str) -> bool:
        if action not in _SCHEMA:
            return action == sqlite3.SQLITE_REINDEX  # which changes nothing that anybody sees
        if action == sqlite3.SQLITE_CREATE_VTABLE and second not in views.MODULES:
            return False
        table = (first, second)[_SCHEMA[action]]
        if table in self._catalogue.walled | self._catalogue.closed:
            return False
        self._new.add(first)
        return True

    def _is_open(self, table: str) -> bool:
        """Whether a table is anybody's, as far as these walls go."""
        if table in self._catalogue.free or table in self._new or table in _FUNCTION_TABLES:
            return True
        return self._tenant is None and table in _OWN_BOOKS

    def _is_consequence(self, table: str, source: str | None) -> bool:
        """Whether SQLite itself reaches a table, to follow a foreign key.

        It tells no more of that than of a table that the statement names; but what no text names, no text can mean.
        """
        if self._tenant is None or source is not None or table not in self._catalogue.walled:
            return False
        return not re.search(
            rf"(?<![A-Za-z0-9_$]){re.escape(table)}(?![A-Za-z0-9_$])", self._text, re.ASCII | re.IGNORECASE
        )

    def _verbs(self, view: str) -> frozenset[str]:
        return views.rights(self._tables[int(view.removeprefix(self._token))])
