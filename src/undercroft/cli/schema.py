"""A connection for changes of the schema: the migrations' own address, and the database's errors as ours."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from undercroft import Settings
from undercroft.errors import (
    CannotOpen,
    DatabaseError,
    DatabaseUnavailable,
    MissingExtra,
    UndercroftError,
    from_sqlite,
    from_sqlstate,
)


@contextmanager
def connected(settings: Settings) -> Iterator[sa.Connection]:
    """Connect as whoever may change the schema.

    Raises:
        CannotOpen, DatabaseUnavailable, LoginRefused: it cannot.
        MissingExtra: the driver is not installed.
    """
    address = settings.migrate
    driver: Literal["psycopg", "pysqlite"] = "psycopg" if address.path is None else "pysqlite"
    if address.path is not None:
        _make_private(address.path)
    try:
        engine = sa.create_engine(
            address.sqlalchemy(driver), connect_args=address.connect_args(driver), poolclass=NullPool
        )
    except ImportError as error:
        raise MissingExtra(extra="postgres") from error
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise _meaning(error) from error


def _make_private(path: str) -> None:
    """Make the file where there is none, readable by its owner alone."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass  # and never opened: closing a descriptor would drop SQLite's locks on the file
    except OSError as error:
        raise CannotOpen(path=path) from error


def _meaning(error: sa.exc.DBAPIError) -> UndercroftError:
    driver = error.orig
    if isinstance(driver, sqlite3.Error):
        name = getattr(driver, "sqlite_errorname", None)
        return (from_sqlite(name) if name else DatabaseError)()
    state = getattr(driver, "sqlstate", None)
    if state:
        return from_sqlstate(state)(sqlstate=state)
    return DatabaseUnavailable() if isinstance(error, sa.exc.OperationalError) else DatabaseError()
