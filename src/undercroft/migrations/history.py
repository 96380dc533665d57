"""Where the schema stands, and the way to the newest: what every store asks at its first use.

Alembic is imported only where there is something to do, since it costs as much as everything else together.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files

import sqlalchemy as sa

from undercroft.errors import SchemaMissing, SchemaOutdated, SchemaTooNew
from undercroft.migrations.engines import engine

known = tuple(
    sorted(file.name[:4] for file in (files("undercroft.migrations") / "versions").iterdir() if file.name[:4].isdigit())
)
"""The revisions of this library, oldest first: the first four characters of their files."""

head = known[-1]
"""The newest of them."""


def applied(connection: sa.Connection) -> set[str]:
    """Return the revisions at which the database stands: ours and those of the users' own branches."""
    here = engine(connection.dialect)
    version = sa.table(here.version_table, sa.column("version_num"), schema=here.version_schema)
    with left_as_found(connection):
        if not sa.inspect(connection).has_table(here.version_table, schema=here.version_schema):
            return set()
        return set(connection.scalars(sa.select(version.c.version_num)))


def current(connection: sa.Connection) -> str | None:
    """Return our revision at which the database stands, None where it has no tables of ours.

    Raises:
        SchemaTooNew: it is one that this library does not know.
    """
    found = applied(connection)
    ours = found.intersection(known)
    if found and not ours:
        raise SchemaTooNew
    return max(ours, default=None)


def check(connection: sa.Connection) -> None:
    """Make sure that the schema is the one of this library; two small queries.

    Raises:
        SchemaMissing: there are no tables of ours.
        SchemaOutdated: they are older.
        SchemaTooNew: they are newer.
    """
    revision = current(connection)
    if revision is None:
        raise SchemaMissing
    if revision != head:
        raise SchemaOutdated


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, in one transaction; nothing happens where it is at the newest already.

    See `undercroft.migrations.runner.upgrade`, which also takes the users' own revisions.
    """
    with suppress(sa.exc.DBAPIError):  # a login that must become the owner to read the version
        if revision == "head" and current(connection) == head:
            return
    from undercroft.migrations import runner  # noqa: PLC0415 - see above

    runner.upgrade(connection, revision)


@contextmanager
def left_as_found(connection: sa.Connection) -> Iterator[None]:
    """After reading, end the transaction that SQLAlchemy began by itself, so that a change can begin its own."""
    inside = connection.in_transaction()
    try:
        yield
    finally:
        if not inside:
            connection.rollback()
