"""The whole of a SQLite file: copied by SQLite's online backup while others write, put back as it was."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from undercroft.errors import BackupRefused, DatabaseCorrupt, DatabaseNotEmpty
from undercroft.upkeep.backup.container import BLOCK, Reader, Writer, placed
from undercroft.upkeep.backup.records import Backup, BackupTable
from undercroft.upkeep.backup.rows import Checksum, Step

PART = "database.sqlite"
PAGES = 2048  # copied in one go, 8 MB
_TABLES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    " AND sql NOT LIKE 'CREATE VIRTUAL%' AND name NOT LIKE 'messages_fts_%' ORDER BY name"
)


def dump(connection: Connection, copy: Path, writer: Writer, step: Step) -> list[BackupTable]:
    """Copy the file of a connection to ``copy``, as of one moment, and write it into a backup.

    Raises:
        DatabaseCorrupt: the database is damaged; a backup of it would be worth nothing.
    """
    source: Any = connection.connection.driver_connection
    with closing(sqlite3.connect(copy)) as target:
        # With a transaction open the snapshot stays the same between the steps: without one, every commit of somebody
        # else would begin the copy anew.
        source.execute("BEGIN")
        try:
            source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
            source.backup(target, pages=PAGES)
        finally:
            source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode = DELETE")
    with _opened(copy) as target:
        found = _contents(target)
    with writer.part(PART) as sink, copy.open("rb") as file:
        while data := file.read(BLOCK):
            sink.write(data)
            step(len(data))
    return found


def refuse_taken(path: Path) -> None:
    """Raise DatabaseNotEmpty where there is a file with tables, or the log of one that is gone."""
    if Path(f"{path}-wal").exists() or (path.exists() and path.stat().st_size):
        raise DatabaseNotEmpty(f"There is a database {path} already", hint="name a file that is not there")


def load(path: Path, reader: Reader, step: Step) -> None:
    """Put the file of a backup at its place, after it was found to be what was backed up.

    Raises:
        DatabaseNotEmpty: there is one.
        BackupRefused: its tables are not those of the manifest.
    """
    refuse_taken(path)
    with placed(path) as temporary:
        with temporary.open("r+b") as out:
            for data in reader.raw(reader.backup.parts[0]):
                out.write(data)
                step(len(data))
        with _opened(temporary) as copy:
            compare(copy, reader.backup)
        refuse_taken(path)


def compare(copy: sqlite3.Connection, backup: Backup) -> None:
    """Raise BackupRefused where a file does not hold what a manifest tells."""
    try:
        found = _contents(copy)
    except (DatabaseCorrupt, sqlite3.Error) as error:
        raise BackupRefused("What is in the backup is no whole database", reason="damaged") from error
    if tuple(found) != backup.tables:
        raise BackupRefused("The tables are not what was backed up", reason="differs")


def _contents(connection: sqlite3.Connection) -> list[BackupTable]:
    damage = [line for (line,) in connection.execute("PRAGMA integrity_check(1)") if line != "ok"]
    if damage:
        raise DatabaseCorrupt
    found = []
    for (name,) in connection.execute(_TABLES).fetchall():
        checksum = Checksum()
        for row in connection.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - a table's own name
            checksum.add(repr(row).encode())
        found.append(checksum.of(name))
    return found


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that nobody else has, to read it; nothing is left beside it."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield connection
