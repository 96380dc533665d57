"""What a migration asks of its engine: where the version is kept, how others are kept out, what must be there first."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import singledispatch
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from undercroft.errors import ConfigurationError, PermissionDenied, SchemaConflict, UndercroftError
from undercroft.migrations.scripts import statements

_QUALIFIER = re.compile(r"'(?:[^']|'')*'|\bundercroft\.(?=[\w\"])")
_STRICT_TABLES = (3, 37)
_LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('undercroft.migrate', 0))"


class Engine(Protocol):
    """One engine's side of a migration."""

    name: str
    version_table: str
    version_schema: str | None

    def lock(self, connection: sa.Connection, *, own: bool) -> None:
        """Wait for other migrations and keep them out; `own` tells that the transaction was begun for this only."""

    def bootstrap(self) -> Iterator[sa.TextClause]:
        """Yield the statements that make what must be there before the first revision."""

    def refuse_taken_names(self, connection: sa.Connection) -> None:
        """Raise SchemaConflict where a table of somebody else has a name of ours, before our first revision."""

    def release(self, connection: sa.Connection) -> None:
        """Undo what the bootstrap did to the session."""

    def text(self, sql: str) -> str:
        """Return statements about schema undercroft as the engine takes them."""

    def meaning(self, error: sa.exc.DBAPIError) -> UndercroftError | None:
        """Tell what an error of our own SQL means."""


class Sqlite:
    """A file: no schemas, one writer, and a version table whose name no other Alembic uses."""

    name = "sqlite"
    version_table = "undercroft_alembic_version"
    version_schema: str | None = None

    def lock(self, connection: sa.Connection, *, own: bool) -> None:
        """Take the write lock at once: who reads first and writes later fails where two do so."""
        driver: Any = connection.connection.driver_connection
        if own and driver.in_transaction:  # a BEGIN of the engine's, which locks nothing
            connection.exec_driver_sql("ROLLBACK")
        if not driver.in_transaction:  # by itself, sqlite3 begins before the first change of a row, not of a schema
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def bootstrap(self) -> Iterator[sa.TextClause]:
        """A file needs nothing."""
        return iter(())

    def refuse_taken_names(self, connection: sa.Connection) -> None:
        """Refuse an old library too: it knows no STRICT tables."""
        from undercroft.migrations.tables import names_on_sqlite  # noqa: PLC0415 - it needs every model

        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        if tuple(map(int, version.split("."))) < _STRICT_TABLES:
            raise ConfigurationError(
                f"SQLite {version} is too old", setting="database_url", hint="3.37 or newer comes with a newer Python"
            )
        here = set(connection.exec_driver_sql("SELECT name FROM sqlite_schema").scalars())
        taken = sorted(here & names_on_sqlite())
        if taken:
            raise SchemaConflict(table=taken[0])

    def release(self, connection: sa.Connection) -> None:
        """Nothing was done."""

    def text(self, sql: str) -> str:
        """Cut the schema's name, except in quoted text."""
        return _QUALIFIER.sub(lambda found: found[0] if found[0][0] == "'" else "", sql)

    def meaning(self, error: sa.exc.DBAPIError) -> UndercroftError | None:
        """None of ours raises by a code."""
        del error
        return None


class Postgresql:
    """A schema of our own, made by whoever migrates and owned by a role that nobody logs in as."""

    name = "postgresql"
    version_table = "alembic_version"
    version_schema: str | None = "undercroft"

    def lock(self, connection: sa.Connection, *, own: bool) -> None:
        """Wait at an advisory lock; what the one before committed must be seen after it."""
        if own:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.exec_driver_sql(_LOCK)

    def bootstrap(self) -> Iterator[sa.TextClause]:
        """Roles and schema; then whoever migrates becomes their owner, so that all he makes is the owner's."""
        yield from statements("bootstrap")
        yield sa.text("SET LOCAL ROLE undercroft_owner")

    def refuse_taken_names(self, connection: sa.Connection) -> None:
        """The bootstrap has refused a schema of somebody else, and whatever is in ours is ours."""

    def release(self, connection: sa.Connection) -> None:
        """Be the login again."""
        connection.exec_driver_sql("SET LOCAL ROLE NONE")

    def text(self, sql: str) -> str:
        """The schema is there."""
        return sql

    def meaning(self, error: sa.exc.DBAPIError) -> UndercroftError | None:
        """Read the codes that bootstrap.sql raises."""
        match getattr(error.orig, "sqlstate", None):
            case "UC010":
                return PermissionDenied(
                    "This login may neither make Undercroft's roles nor act as their owner",
                    hint="as an administrator: CREATE ROLE undercroft_owner; CREATE ROLE undercroft_app; "
                    "CREATE ROLE undercroft_fleet; GRANT undercroft_owner, undercroft_app, undercroft_fleet TO it",
                    sqlstate="UC010",
                )
            case "UC011":
                return SchemaConflict(
                    "The schema undercroft belongs to somebody else",
                    hint="use another database, or ALTER SCHEMA undercroft OWNER TO undercroft_owner where it is empty",
                )
        return None


@singledispatch
def engine(dialect: sa.Dialect) -> Engine:
    """Tell the engine behind a dialect of SQLAlchemy's.

    Raises:
        ConfigurationError: it is neither SQLite nor PostgreSQL.
    """
    raise ConfigurationError(
        "Undercroft keeps its tables in SQLite or PostgreSQL",
        setting="database_url",
        hint=f"a URL that begins with sqlite:/// or postgresql://, not one of {type(dialect).__module__}",
    )


engine.register(SQLiteDialect)(lambda _: Sqlite())
engine.register(PGDialect)(lambda _: Postgresql())


@contextmanager
def fitted(connection: sa.Connection, to: Engine) -> Iterator[None]:
    """Fit every statement that runs on a connection to the engine."""

    def fit(*call: Any) -> tuple[str, Any]:
        _connection, _cursor, statement, parameters, *_ = call
        return to.text(statement), parameters

    event.listen(connection, "before_cursor_execute", fit, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", fit)
