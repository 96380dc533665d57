"""The kinds of backup: how each is made, read to its end, and put back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace as changed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from undercroft.core.runtime.base import Ports
from undercroft.errors import BackupRefused, SchemaMissing, TenantUnknown
from undercroft.tenants import ops as tenants
from undercroft.tenants.models import Tenant
from undercroft.upkeep.backup import file, rows, server
from undercroft.upkeep.backup.container import Reader, Writer
from undercroft.upkeep.backup.records import Backup, BackupProgress, Kind, Progress


@dataclass(frozen=True, slots=True)
class Job:
    """What somebody asked for: where, of which tables, with whose programs, and who is told of the progress."""

    ports: Ports
    path: Path
    step: rows.Step
    programs: Path | None = None
    tables: Sequence[sa.Table] = ()
    replace: bool = False


def verify(reader: Reader, progress: Progress | None) -> None:
    """Read every part to its end.

    Raises:
        BackupRefused: one is not what the manifest tells.
    """
    step = steps(progress, "checking", sum(part.raw_bytes for part in reader.backup.parts))
    for part in reader.backup.parts:
        if reader.backup.kind == "rows":
            rows.check(reader, part, step)
        else:
            for data in reader.raw(part):
                step(len(data))


def steps(progress: Progress | None, stage: Any, total: int) -> Callable[[int], object]:
    """Return what counts on and tells."""
    done = 0

    def step(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(BackupProgress(stage, done, total))

    return step


def described(connection: Connection, ports: Ports, told: Backup) -> Backup:
    """Add of which database and revision it is; raises SchemaMissing where there is none of ours."""
    if not connection.exec_driver_sql(_HAS_SCHEMA[told.engine]).scalar():
        raise SchemaMissing
    revision = connection.exec_driver_sql(_REVISION[told.engine]).scalars().all()
    return changed(told, database=database(ports, connection), revision=", ".join(sorted(revision)))


def database(ports: Ports, connection: Connection) -> str:
    """Say which database this is: where it is, and when its first tenant was made, which no other has done then."""
    address = ports.facts.address
    if ports.facts.engine == "sqlite":
        where = f"sqlite:///{Path(address.removeprefix('sqlite:///')).resolve()}"
    else:
        url = sa.make_url(address)
        where = f"postgresql://{url.host or ''}:{url.port or 5432}/{url.database}"
    with_rights = _AS_OWNER[ports.facts.engine]
    for statement in with_rights:
        connection.exec_driver_sql(statement)
    try:
        born = connection.execute(_BORN).scalar()
    finally:
        if with_rights:
            connection.exec_driver_sql("ROLLBACK")
    return f"{where} of {'unknown birth' if born is None else born.isoformat()}"


def _dump_rows(connection: Connection, told: Backup, writer: Writer, job: Job) -> Backup:
    with rows.snapshot(connection, told.engine):
        if told.tenant_id is not None and not connection.execute(_KNOWN, {"id": told.tenant_id}).first():
            raise TenantUnknown(tenant=told.tenant)
        return writer.finish(
            changed(told, tables=tuple(rows.dump(connection, told, list(job.tables), writer, job.step)))
        )


def _dump_file(connection: Connection, told: Backup, writer: Writer, job: Job) -> Backup:
    with TemporaryDirectory(prefix=f".{job.path.name}.", dir=job.path.parent) as folder:
        found = file.dump(connection, Path(folder, "copy"), writer, job.step)
    return writer.finish(changed(told, tables=tuple(found)))


def _dump_server(connection: Connection, told: Backup, writer: Writer, job: Job) -> Backup:
    version = server.major(connection)
    program, tool = server.tool("pg_dump", job.programs, version)
    found = server.dump(connection, program, writer, job.step)
    names = server.extensions(connection)
    return writer.finish(changed(told, server=str(version), tool=str(tool), extensions=names, tables=tuple(found)))


def _load_rows(connection: Any, reader: Reader, job: Job) -> None:
    with rows.changing(connection, job.ports.facts.engine):
        rows.load(connection, reader, job.step, replace=job.replace)
        rows.compare(connection, reader.backup, _quiet)


def _load_file(connection: Any, reader: Reader, job: Job) -> None:
    del connection  # of a file that is not there yet
    file.load(Path(job.ports.facts.address.removeprefix("sqlite:///")), reader, job.step)


def _load_server(connection: Any, reader: Reader, job: Job) -> None:
    here = server.major(connection)
    if here < int(reader.backup.server):
        message = f"The backup is of PostgreSQL {reader.backup.server} and the server is {here}"
        raise BackupRefused(message, reason="server", hint="restore it on a server of that version or a newer one")
    program, _ = server.tool("pg_restore", job.programs, max(here, int(reader.backup.tool)))
    server.load(connection, program, reader, job.step)
    server.compare(connection, reader.backup)


def _quiet(_: int) -> None:
    """Tell nobody."""


_BORN = sa.select(Tenant.created_at).where(Tenant.tenant_id == tenants.tenant_id(tenants.DEFAULT))
_KNOWN = sa.select(Tenant.tenant_id).where(Tenant.tenant_id == sa.bindparam("id"))
_HAS_SCHEMA = {
    "postgresql": "SELECT to_regclass('undercroft.alembic_version')",
    "sqlite": "SELECT 1 FROM sqlite_schema WHERE name = 'undercroft_alembic_version'",
}
_REVISION = {
    "postgresql": "SELECT version_num FROM undercroft.alembic_version",
    "sqlite": "SELECT version_num FROM undercroft_alembic_version",
}
_AS_ONE_WHO_SEES_IT = (
    "SELECT set_config('role', 'undercroft_owner', true) WHERE pg_has_role('undercroft_owner', 'MEMBER')"
)
_AS_OWNER: dict[str, tuple[str, ...]] = {"postgresql": ("BEGIN", _AS_ONE_WHO_SEES_IT), "sqlite": ()}
DUMPS: dict[Kind, Callable[[Connection, Backup, Writer, Job], Backup]] = {
    "rows": _dump_rows,
    "sqlite": _dump_file,
    "postgresql": _dump_server,
}
LOADS: dict[Kind, Callable[[Any, Reader, Job], None]] = {
    "rows": _load_rows,
    "sqlite": _load_file,
    "postgresql": _load_server,
}
