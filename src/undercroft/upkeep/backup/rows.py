"""The portable form: the rows of each table as JSON, one a line, of all tenants or of one.

A row is a list in the order of the part's columns. It is read in one snapshot as undercroft_owner, whom every row is
shown, a thousand rows at a time, and written in one transaction.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import Connection, Table

from undercroft.core.schema import SCHEMA, Binary, UtcDateTime, Uuid, every_table
from undercroft.errors import BackupRefused, DatabaseNotEmpty, InvalidInput, UnderLegalHold
from undercroft.upkeep.backup.container import Reader, Writer
from undercroft.upkeep.backup.records import Backup, BackupPart, BackupTable
from undercroft.upkeep.models import LegalHold

BATCH = 1000
Step = Callable[[int], object]
"""Is told how many rows or bytes more are done."""


class Checksum:
    """Counts rows and adds up their hashes, modulo 2**128, in whatever order they come."""

    def __init__(self) -> None:
        self.rows = self._sum = 0

    def add(self, line: bytes) -> None:
        """Take one row."""
        self.rows += 1
        self._sum += int.from_bytes(sha256(line).digest()[:16])

    def of(self, table: str) -> BackupTable:
        """Return what was counted, as that of a table."""
        return BackupTable(name=table, rows=self.rows, checksum=f"{self._sum % 2**128:032x}")


def tables(engine: str, names: Sequence[str] | None = None) -> list[Table]:
    """Return our tables of an engine, or those of them that are named, in the order in which rows can be inserted.

    Raises:
        InvalidInput: there is no such table.
    """
    ours = [
        table
        for table in every_table().sorted_tables
        if table.schema == SCHEMA and engine in table.info.get("engines", {engine}) and "tenant_id" in table.c
    ]
    if names is None:
        return ours
    unknown = set(names) - {table.name for table in ours}
    if unknown:
        hint = f"there are {', '.join(sorted(table.name for table in ours))}"
        raise InvalidInput(f"There is no table {min(unknown)}", field="tables", hint=hint)
    return [table for table in ours if table.name in names]


def columns(table: Table, engine: str) -> list[sa.Column[Any]]:
    """Return the columns that an engine has of a table."""
    return [column for column in table.c if engine in column.info.get("engines", {engine})]


def dump(connection: Connection, backup: Backup, chosen: list[Table], writer: Writer, step: Step) -> list[BackupTable]:
    """Write the rows of tables into a backup, each table a part; returns what was written of each."""
    written = []
    for table in chosen:
        names = tuple(column.name for column in columns(table, backup.engine))
        checksum = Checksum()
        with writer.part(table.name, names) as sink:
            for lines in _lines(connection, table, backup):
                for line in lines:
                    checksum.add(line)
                sink.write(b"\n".join(lines) + b"\n")
                step(len(lines))
        written.append(checksum.of(table.name))
    return written


def compare(connection: Connection, backup: Backup, step: Step) -> None:
    """Make sure that the database has exactly the rows of a backup.

    Raises:
        BackupRefused: a table differs.
    """
    for table in tables(backup.engine, [part.name for part in backup.parts]):
        checksum = Checksum()
        for lines in _lines(connection, table, backup):
            for line in lines:
                checksum.add(line)
            step(len(lines))
        if checksum.of(table.name) not in backup.tables:
            raise BackupRefused(f"Table {table.name} is not what was backed up", reason="differs")


def check(reader: Reader, part: BackupPart, step: Step) -> None:
    """Read a part to its end: every row is one of its tenant, and there are as many as the manifest tells.

    Raises:
        BackupRefused: it is not so.
    """
    checksum = Checksum()
    for row, line in _rows(reader, part, step):
        _check_tenant(reader.backup, part, row)
        checksum.add(line)
    if checksum.of(part.name) not in reader.backup.tables:
        raise BackupRefused(f"Part {part.name} has not the rows that the manifest tells of", reason="damaged")


def load(connection: Connection, reader: Reader, step: Step, *, replace: bool) -> None:
    """Insert the rows of a backup that was checked before, in the connection's transaction.

    Raises:
        DatabaseNotEmpty: there are rows where it would write, and ``replace`` is not asked for.
        UnderLegalHold: rows that it would replace are under legal hold.
        BackupRefused: the file changed while it was read, or a column is unknown.
    """
    backup = reader.backup
    chosen = tables(backup.engine, [part.name for part in backup.parts])
    _make_room(connection, backup, chosen, replace=replace)
    parts = {part.name: part for part in backup.parts}
    for table in chosen:
        part = parts[table.name]
        if set(part.columns) != {column.name for column in columns(table, backup.engine)}:
            raise BackupRefused(f"Table {table.name} has other columns", reason="revision")
        decoders = [_decoder(table.c[name]) for name in part.columns]
        insertion = table.insert()
        coming = _rows(reader, part, step)
        while batch := list(islice(coming, BATCH)):
            rows = []
            for row, _ in batch:
                _check_tenant(backup, part, row)
                rows.append(
                    {
                        name: None if value is None else decode(value)
                        for name, decode, value in zip(part.columns, decoders, row, strict=True)
                    }
                )
            if table.name == _INDEXED:
                _place(connection, table, rows)
            connection.execute(insertion, rows)
    if _INDEXED in parts:
        connection.exec_driver_sql(_FILL)


@contextmanager
def snapshot(connection: Connection, engine: str) -> Iterator[Connection]:
    """Read all that follows as of one moment, as the owner."""
    for statement in _SNAPSHOT[engine]:
        connection.exec_driver_sql(statement)
    try:
        yield connection
    finally:
        connection.exec_driver_sql("ROLLBACK")


@contextmanager
def changing(connection: Connection, engine: str) -> Iterator[Connection]:
    """Write all that follows in one transaction, as the owner, or nothing of it."""
    for statement in _CHANGE[engine]:
        connection.exec_driver_sql(statement)
    try:
        yield connection
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


_OWNER = "SET LOCAL ROLE undercroft_owner"
_SNAPSHOT = {
    "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", _OWNER),
    "sqlite": ("BEGIN", "SELECT 1 FROM main.tenants LIMIT 1"),
}
_CHANGE = {"postgresql": ("BEGIN", _OWNER), "sqlite": ("BEGIN IMMEDIATE",)}
_INDEXED = "message_search"
_FILL = (
    "INSERT INTO main.messages_fts (rowid, tenant, body) SELECT docid, tenant, body FROM main.message_search"
    " WHERE docid NOT IN (SELECT id FROM main.messages_fts_docsize) ORDER BY docid"
)
_FORGET = (
    "INSERT INTO main.messages_fts (messages_fts, rowid, tenant, body)"
    " SELECT 'delete', docid, tenant, body FROM main.message_search WHERE tenant_id = ? ORDER BY docid"
)


def _lines(connection: Connection, table: Table, backup: Backup) -> Iterator[list[bytes]]:
    shown = columns(table, backup.engine)
    statement = sa.select(*shown).execution_options(stream_results=True, max_row_buffer=BATCH)
    if backup.tenant_id is not None:
        statement = statement.where(table.c.tenant_id == backup.tenant_id)
    placed = [column.name for column in shown].index("docid") if table.name == _INDEXED else None
    with connection.execute(statement) as result:
        for rows in result.partitions(BATCH):
            if placed is None:
                yield [orjson.dumps(list(row), default=_base64) for row in rows]
            else:  # where a message stands in the index depends on its neighbours
                yield [orjson.dumps([*row[:placed], None, *row[placed + 1 :]], default=_base64) for row in rows]


def _base64(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))


def _decoder(column: sa.Column[Any]) -> Callable[[Any], Any]:
    if isinstance(column.type, Uuid):
        return UUID
    if isinstance(column.type, UtcDateTime):
        return datetime.fromisoformat
    if isinstance(column.type, Binary):
        return base64.b64decode
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _rows(reader: Reader, part: BackupPart, step: Step) -> Iterator[tuple[list[Any], bytes]]:
    rest = b""
    for data in reader.raw(part):
        step(len(data))
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield _row(part, line), line
    if rest:
        raise _unread(part)


def _row(part: BackupPart, line: bytes) -> list[Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _unread(part) from error
    if not isinstance(row, list) or len(row) != len(part.columns):
        raise _unread(part)
    return row


def _unread(part: BackupPart) -> BackupRefused:
    return BackupRefused(f"A row of part {part.name} cannot be read", reason="damaged")


def _check_tenant(backup: Backup, part: BackupPart, row: list[Any]) -> None:
    if backup.tenant_id is not None and row[part.columns.index("tenant_id")] != str(backup.tenant_id):
        raise BackupRefused("The backup holds rows of another tenant", reason="tenant")


def _make_room(connection: Connection, backup: Backup, chosen: list[Table], *, replace: bool) -> None:
    """Refuse where there are rows already, or remove them."""
    if not replace:
        for table in chosen:
            found = sa.select(sa.literal(1)).select_from(table).where(*_theirs(table, backup)).limit(1)
            if connection.execute(found).first() is not None:
                raise DatabaseNotEmpty(table=table.name)
    held = sa.select(sa.literal(1)).select_from(LegalHold.__table__)
    if replace and connection.execute(held.where(*_theirs(LegalHold.__table__, backup)).limit(1)).first() is not None:
        raise UnderLegalHold
    if any(table.name == _INDEXED for table in chosen) and backup.tenant_id is not None:
        connection.exec_driver_sql(_FORGET, (backup.tenant_id.bytes,))
    for table in reversed(chosen):
        connection.execute(table.delete().where(*_all_theirs(table, backup)))


def _theirs(table: Any, backup: Backup) -> Iterator[sa.ColumnElement[bool]]:
    """The rows that keep a backup out: those of its tenant, or any but what a migration writes."""
    if backup.tenant_id is not None:
        yield table.c.tenant_id == backup.tenant_id
    if table.name == "tenants":
        yield sa.not_(sa.and_(table.c.platform == "local", table.c.native_id == "default"))


def _all_theirs(table: Table, backup: Backup) -> Iterator[sa.ColumnElement[bool]]:
    if backup.tenant_id is not None:
        yield table.c.tenant_id == backup.tenant_id


def _place(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Give each row of the search index a free place near its message's time."""
    from undercroft.core.dialects.sqlite_search import docid  # noqa: PLC0415 - of one engine

    taken = sa.select(table.c.docid).where(table.c.docid == sa.bindparam("place"))
    wanted: dict[int, dict[str, Any]] = {}
    for row in rows:
        place = docid(row["message_id"])
        while place in wanted or connection.execute(taken, {"place": place}).first() is not None:
            place += 1
        wanted[place] = row
        row["docid"] = place
