"""Backup and restore: of the whole database, of a tenant or of tables, proven before anything of it is written."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.scope import FLEET
from undercroft.core.tx import Tx
from undercroft.errors import BackupRefused, InvalidInput
from undercroft.tenants import ops as tenants
from undercroft.upkeep.backup import kinds, rows, shelf
from undercroft.upkeep.backup.container import reading, writing
from undercroft.upkeep.backup.keys import BackupKey
from undercroft.upkeep.backup.records import (
    Backup,
    BackupFile,
    BackupProgress,
    BackupTable,
    Progress,
    Rotation,
)

__all__ = ["Backup", "BackupFile", "BackupProgress", "BackupTable", "Rotation"]

T = TypeVar("T")
PathLike = str | Path


def backup(
    ports: Ports,
    path: PathLike,
    *,
    key_file: PathLike | None = None,
    unauthenticated: bool = False,
    encrypt: bool = False,
    tenant: str | None = None,
    tables: Sequence[str] | None = None,
    portable: bool = False,
    programs: PathLike | None = None,
    progress: Progress | None = None,
) -> Backup:
    """Write a backup to a new file, as of one moment, while others go on writing; returns its manifest.

    Whole, it is the SQLite file or an archive of pg_dump; of a ``tenant`` (by key), of some ``tables`` or ``portable``
    it is rows of JSON, which go into any database of the same engine and revision. The key in ``key_file`` (32 bytes or
    more) proves the backup and, with ``encrypt``, hides it. PostgreSQL's programs are looked for in ``programs``, in
    the server version's usual folder and on PATH. ``progress`` is called now and then, from another thread maybe. It
    runs as the login of ``migrate_url``.

    Raises:
        InvalidInput: neither a key nor ``unauthenticated``, or there is no such table.
        AlreadyExists: there is a file at ``path``.
        TenantUnknown: there is no such tenant.
        PermissionDenied: the login is not shown every row.
        BackupToolMissing: pg_dump is missing or older than the server.
        DatabaseCorrupt: the SQLite file is damaged.
    """
    key = _key(key_file, unauthenticated=unauthenticated)
    if encrypt and key is None:
        raise InvalidInput("Only a key can encrypt", field="encrypt", hint="name a key file")
    as_rows = portable or tenant is not None or tables is not None
    engine = ports.facts.engine
    chosen = rows.tables(engine, tables)
    if as_rows:
        ports.run(_LOOK)  # rows are of the newest revision
    told = Backup(
        kind="rows" if as_rows else ("sqlite" if engine == "sqlite" else "postgresql"),
        made_at=datetime.now(UTC),
        library=version("undercroft"),
        revision="",
        engine=engine,
        database="",
        tenant=tenant,
        tenant_id=None if tenant is None else tenants.tenant_id(tenant),
        partial=tables is not None,
        authenticated=key is not None,
        encrypted=encrypt,
    )
    job = kinds.Job(ports, Path(path), kinds.steps(progress, "copying", 0), _folder(programs), chosen)

    def work(connection: Connection) -> Backup:
        with writing(Path(path), key, encrypt=encrypt) as writer:
            described = kinds.described(connection, ports, told)
            return kinds.DUMPS[told.kind](connection, described, writer, job)

    return ports.administer(work)  # type: ignore[no-any-return]  # what work returns


def verify_backup(
    ports: Ports,
    path: PathLike,
    *,
    key_file: PathLike | None = None,
    unauthenticated: bool = False,
    progress: Progress | None = None,
) -> Backup:
    """Read a backup to its end and return its manifest; no database is asked.

    Raises:
        BackupRefused: it is damaged, cut, changed, foreign, or made with another key.
        InvalidInput: neither a key nor ``unauthenticated``.
    """
    key = _key(key_file, unauthenticated=unauthenticated)

    def work() -> Backup:
        with reading(Path(path), key) as reader:
            kinds.verify(reader, progress)
            return reader.backup

    return _in_thread(ports, work)


def restore(
    ports: Ports,
    path: PathLike,
    *,
    key_file: PathLike | None = None,
    unauthenticated: bool = False,
    tenant: str | None = None,
    replace: bool = False,
    programs: PathLike | None = None,
    progress: Progress | None = None,
) -> Backup:
    """Write a backup into a database where nothing is in its way, and compare the tables; returns its manifest.

    All of it is verified before the first write, and it is written at once or not at all. The backup of a tenant is
    restored only where that ``tenant`` is named, with ``replace`` in place of the rows that it has. What pg_dump made
    is code that runs as undercroft_owner.

    Raises:
        BackupRefused: it cannot be trusted, is of another tenant or engine, or does not fit the schema's revision.
        DatabaseNotEmpty: there are rows already.
        UnderLegalHold: what would be replaced is under legal hold.
        BackupToolMissing: pg_restore is missing or too old.
        SchemaMissing, SchemaOutdated: rows need tables of their revision: migrate first.
        InvalidInput: neither a key nor ``unauthenticated``; or ``replace``, and it is not of a tenant.
    """
    key = _key(key_file, unauthenticated=unauthenticated)

    def proven() -> Backup:
        with reading(Path(path), key) as reader:
            _check_target(reader.backup, ports.facts.engine, tenant, replace=replace)
            kinds.verify(reader, progress)
            return reader.backup

    found = _in_thread(ports, proven)
    if found.kind == "rows":
        ports.run(_LOOK)
        if found.revision != ports.facts.head:
            message = f"The backup is of revision {found.revision}, the database of {ports.facts.head}"
            raise BackupRefused(message, reason="revision", hint="bring an empty database to that revision first")
    step = kinds.steps(progress, "restoring", sum(part.raw_bytes for part in found.parts))
    job = kinds.Job(ports, Path(path), step, _folder(programs), replace=replace)

    def work(connection: Connection | None) -> Backup:
        with reading(Path(path), key) as reader:
            if reader.backup != found:
                raise BackupRefused("The file is another one than before", reason="changed")
            kinds.LOADS[found.kind](connection, reader, job)
            return found

    if found.kind == "sqlite":
        return _in_thread(ports, lambda: work(None))
    if not replace:
        return ports.administer(work)  # type: ignore[no-any-return]  # what work returns
    # What is written as rows is announced to nobody. Before it as well: a file's last version must not be an old one
    # again when the tenant's are.
    ports.within(FLEET).run(_TELL)
    restored: Backup = ports.administer(work)
    ports.within(FLEET).run(_TELL)
    return restored


def list_backups(
    ports: Ports, folder: PathLike, *, key_file: PathLike | None = None, unauthenticated: bool = False
) -> list[BackupFile]:
    """List the files of a folder, each with its manifest if that is proven; their parts are not read.

    Raises:
        InvalidInput: the folder cannot be read; or neither a key nor ``unauthenticated``.
    """
    key = _key(key_file, unauthenticated=unauthenticated)
    return _in_thread(ports, lambda: list(shelf.files(Path(folder), key)))


def rotate_backups(
    ports: Ports,
    folder: PathLike,
    *,
    key_file: PathLike | None = None,
    unauthenticated: bool = False,
    keep: int = 0,
    daily: int = 0,
    weekly: int = 0,
    monthly: int = 0,
) -> Rotation:
    """Remove old backups of this database from a folder, each kind of backup (whole, a tenant, tables) for itself.

    Kept are the newest ``keep``, and the newest of each of the last ``daily`` days, ``weekly`` weeks and ``monthly``
    months (UTC) that have one. Only files that verify to their end count, and only such go.

    Raises:
        InvalidInput: nothing is to be kept; or as `list_backups`.
    """
    if keep + daily + weekly + monthly < 1 or min(keep, daily, weekly, monthly) < 0:
        raise InvalidInput("At least one backup has to be kept", field="keep", hint="such as keep=7")
    key = _key(key_file, unauthenticated=unauthenticated)
    database = ports.administer(partial(kinds.database, ports))

    def work() -> Rotation:
        def check(path: Path) -> None:
            with reading(path, key) as reader:
                kinds.verify(reader, None)

        periods = {"daily": daily, "weekly": weekly, "monthly": monthly}
        return shelf.rotated(list(shelf.files(Path(folder), key)), database, check, keep=keep, periods=periods)

    return _in_thread(ports, work)


def _key(path: PathLike | None, *, unauthenticated: bool) -> BackupKey | None:
    if path is not None:
        return BackupKey.read(path)
    if not unauthenticated:
        hint = "name a key file, or ask for an unauthenticated backup, which anybody can change"
        raise InvalidInput("A backup is proven by a key", field="key_file", hint=hint)
    return None


def _check_target(found: Backup, engine: str, tenant: str | None, *, replace: bool) -> None:
    if found.engine != engine:
        raise BackupRefused(f"The backup is of {found.engine}, the database {engine}", reason="engine")
    if found.tenant != tenant or (tenant is not None and found.tenant_id != tenants.tenant_id(tenant)):
        held = "of the whole database" if found.tenant is None else f"of tenant {found.tenant}"
        hint = "name that tenant" if found.tenant is not None else "name no tenant"
        raise BackupRefused(f"The backup is {held}", reason="tenant", hint=hint)
    if replace and tenant is None:
        raise InvalidInput("Only a tenant's rows can be replaced", field="replace", hint="use an empty database")


def _folder(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _in_thread(ports: Ports, work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return ports.wait(pool.submit(work))


def _look(tx: Tx) -> None:
    tx.sql("SELECT 1")


_LOOK = operation(_look, access="read")


def _tell(tx: Tx) -> None:
    tx.announce("tenants")


_TELL = operation(_tell)
