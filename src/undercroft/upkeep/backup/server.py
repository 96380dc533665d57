"""The whole of our schema on PostgreSQL, by pg_dump and pg_restore.

The tables' checksums are computed in the very snapshot that pg_dump reads. Row-level security must hide no row from
the login: it has to be a superuser or have BYPASSRLS, and others get a typed error. Not even undercroft_owner would do:
pg_dump reads partitions, which have no policy.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import IO, Any

from sqlalchemy import Connection, text

from undercroft.errors import (
    BackupRefused,
    BackupToolMissing,
    DatabaseError,
    DatabaseNotEmpty,
    PermissionDenied,
)
from undercroft.upkeep.backup.container import BLOCK, Reader, Writer
from undercroft.upkeep.backup.records import Backup, BackupTable
from undercroft.upkeep.backup.rows import Step

PART = "schema.dump"
_SHOWN = (
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL row_security = off",
    "SET LOCAL statement_timeout = 0",
)
_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c
WHERE c.relnamespace = to_regnamespace('undercroft') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname COLLATE "C"
"""
_CHECKSUM = """
SELECT count(*),
  coalesce(sum(('x' || left(encode(sha256(convert_to(t::text, 'UTF8')), 'hex'), 15))::bit(60)::bigint), 0)
FROM undercroft.{} AS t
"""
_SEES_ALL = "SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user"
_TAKEN = "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = to_regnamespace('undercroft') LIMIT 1"
_EXTENSIONS = (
    "SELECT extname FROM pg_catalog.pg_extension WHERE extnamespace = to_regnamespace('undercroft') ORDER BY 1"
)
_PLACES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")
_BOOTSTRAP = (files("undercroft.migrations") / "sql" / "bootstrap.sql").read_text(encoding="utf-8")
_KEYWORDS = {  # those that every libpq knows: psycopg's own is newer than many a pg_dump's
    *("host", "hostaddr", "port", "dbname", "user", "passfile", "connect_timeout", "target_session_attrs"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "gssencmode"),
}
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_ENTRY = re.compile(r"\d+; \d+ \d+ (?P<entry>.+)")


def major(connection: Connection) -> int:
    """Return the server's major version."""
    return int(connection.exec_driver_sql("SELECT current_setting('server_version_num')").scalar_one()) // 10000


def tool(name: str, folder: Path | None, wanted: int) -> tuple[str, int]:
    """Find a program of PostgreSQL, at least of a version: in a folder, else that version's own, else on PATH.

    Raises:
        BackupToolMissing: there is none, or it is older.
    """
    places = [str(folder)] if folder is not None else [*(place.format(wanted) for place in _PLACES), None]
    found = next((path for place in places if (path := shutil.which(name, path=place))), None)
    hint = f"install postgresql-client-{wanted}, name its folder (programs=, --programs), or make a portable backup"
    if found is None:
        raise BackupToolMissing(f"{name} is not installed", hint=hint)
    told = subprocess.run([found, "--version"], capture_output=True, check=True, text=True).stdout  # noqa: S603 - ours
    found_version = _VERSION.search(told)
    version = int(found_version[1]) if found_version else 0
    if version < wanted:
        raise BackupToolMissing(f"{name} is of version {version} and the server of {wanted}", hint=hint)
    return found, version


def extensions(connection: Connection) -> tuple[str, ...]:
    """Return the extensions in our schema, which pg_dump leaves out."""
    return tuple(connection.exec_driver_sql(_EXTENSIONS).scalars())


def dump(connection: Connection, program: str, writer: Writer, step: Step) -> list[BackupTable]:
    """Write our schema into a backup, as of one moment.

    Raises:
        PermissionDenied: the login would not be shown every row.
        DatabaseError: pg_dump failed.
    """
    if not connection.exec_driver_sql(_SEES_ALL).scalar():
        message = "Row-level security hides rows from this login, so pg_dump would not have them all"
        hint = "use one with BYPASSRLS and pg_read_all_data as UNDERCROFT_MIGRATE_URL, or make a portable backup"
        raise PermissionDenied(message, hint=hint)
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        for statement in _SHOWN:
            connection.exec_driver_sql(statement)
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        options = ["--format=custom", "--compress=0", "--schema=undercroft", f"--snapshot={snapshot}", "--no-password"]
        with writer.part(PART) as sink, _running(connection, [program, *options], "pg_dump") as process:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            while data := process.stdout.read(BLOCK):
                sink.write(data)
                step(len(data))
        return _contents(connection)
    finally:
        connection.exec_driver_sql("ROLLBACK")


def refuse_taken(connection: Connection) -> None:
    """Raise DatabaseNotEmpty where the schema has anything in it."""
    found = connection.exec_driver_sql(_TAKEN).scalar()
    if found is not None:
        raise DatabaseNotEmpty("The database has a schema undercroft with tables", table=found)


def load(connection: Connection, program: str, reader: Reader, step: Step) -> None:
    """Restore our schema, in one transaction, as undercroft_owner; roles and the empty schema are made before it.

    Raises:
        BackupRefused: the archive has something in it that is not of our schema.
        PermissionDenied: the login may not act as undercroft_owner.
        DatabaseError: pg_restore failed, and nothing of it is there.
    """
    entries = _entries(connection, program, reader)
    refuse_taken(connection)
    for statement in re.split(r";\n\n+", _BOOTSTRAP.strip()):
        connection.execute(
            text(statement.removesuffix(";").replace(":", "\\:"))
        )  # a bare colon would begin a parameter
    for name in reader.backup.extensions:
        connection.exec_driver_sql(f'CREATE EXTENSION IF NOT EXISTS "{name}" SCHEMA undercroft')
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as listed:
        listed.write("\n".join(entries))
        listed.flush()
        options = ["--no-owner", "--role=undercroft_owner", "--single-transaction", "--exit-on-error", "--no-password"]
        line = [program, *options, f"--use-list={listed.name}"]
        with _running(connection, line, "pg_restore", fed=True) as process:
            assert process.stdin is not None  # noqa: S101 - it was asked for
            with suppress(BrokenPipeError):  # it has failed, and says why
                for data in reader.raw(reader.backup.parts[0]):
                    process.stdin.write(data)
                    step(len(data))
                process.stdin.close()


def compare(connection: Connection, backup: Backup) -> None:
    """Raise BackupRefused where the tables are not those of the manifest."""
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        for statement in _SHOWN:
            connection.exec_driver_sql(statement)
        if not connection.exec_driver_sql(_SEES_ALL).scalar():
            connection.exec_driver_sql("SET LOCAL row_security = on")
            connection.exec_driver_sql("SET LOCAL ROLE undercroft_owner")
        found = _contents(connection)
    finally:
        connection.exec_driver_sql("ROLLBACK")
    if tuple(found) != backup.tables:
        raise BackupRefused("The tables are not what was backed up", reason="differs")


def _contents(connection: Connection) -> list[BackupTable]:
    found = []
    for name in connection.exec_driver_sql(_TABLES).scalars().all():
        rows, checksum = connection.exec_driver_sql(_CHECKSUM.format(name)).one()
        found.append(BackupTable(name=name, rows=rows, checksum=f"{int(checksum):x}"))
    return found


def _entries(connection: Connection, program: str, reader: Reader) -> list[str]:
    """Return the archive's table of contents without the schema itself, which the bootstrap makes."""
    listed: list[str] = []
    with _running(connection, [program, "--list"], "pg_restore", fed=True, listed=listed) as process:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(BrokenPipeError):  # it has read enough
            for data in reader.raw(reader.backup.parts[0]):
                process.stdin.write(data)
            process.stdin.close()
    entries = []
    for line in listed:
        found = _ENTRY.fullmatch(line.strip())
        if found is None or found["entry"].startswith("SCHEMA - undercroft"):
            continue
        if " undercroft " not in f" {found['entry']} ":
            raise BackupRefused("The archive holds what is not of our schema", reason="foreign")
        entries.append(line.strip())
    return entries


@contextmanager
def _running(
    connection: Connection, line: list[str], name: str, *, fed: bool = False, listed: list[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of PostgreSQL as the connection's login, whose password it gets by its environment alone."""
    driver: Any = connection.connection.driver_connection
    environment = {**os.environ, "LC_ALL": "C"}
    if driver.info.password:
        environment["PGPASSWORD"] = driver.info.password
    if listed is None:
        from psycopg import conninfo  # noqa: PLC0415 - an extra

        given = {name: value for name, value in driver.info.get_parameters().items() if name in _KEYWORDS}
        line = [*line, f"--dbname={conninfo.make_conninfo(**given)}"]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(  # noqa: S603 - a program that the operator chose
            line,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as process:
            reading = None
            if fed:
                reading = Thread(target=_collect, args=(process.stdout, [] if listed is None else listed))
                reading.start()
            try:
                yield process
            except BaseException:
                process.kill()
                raise
            finally:
                if fed:
                    with suppress(OSError):
                        process.stdin.close()  # type: ignore[union-attr]  # it was asked for
                if reading is not None:
                    reading.join()
        if process.returncode:
            errors.seek(0)
            raise DatabaseError(f"{name} failed: {_reason(errors.read().decode(errors='replace'))}", hint="")


def _collect(stream: IO[bytes], into: list[str]) -> None:
    into.extend(stream.read().decode(errors="replace").splitlines())


def _reason(said: str) -> str:
    """Return the line of an error, and none that might show a row."""
    return next((line for line in said.splitlines() if "error:" in line), "it did not say why")
