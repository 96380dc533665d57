"""Jobs for pg_cron, the scheduler that runs in the server itself."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from undercroft.core.runtime.base import Ports
from undercroft.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class CronJob:
    """A job of pg_cron: its name, when it runs, as cron says it, and what."""

    name: str
    schedule: str
    command: str

    @property
    def sql(self) -> str:
        """The statement that makes the job, or changes it where there is one of its name."""
        return f"SELECT cron.schedule('{self.name}', '{self.schedule}', $${self.command}$$)"


JOBS = tuple(
    CronJob(f"undercroft-{name}", schedule, f"SET ROLE undercroft_owner; SELECT undercroft.{call}")
    for name, schedule, call in (
        ("cleanup-sessions", "0 2 * * *", "cleanup_expired_sessions(24)"),
        ("cleanup-cache", "30 * * * *", "cleanup_expired_cache()"),
        ("cleanup-keys", "45 * * * *", "cleanup_expired_keys()"),
    )
)


def pg_cron(ports: Ports, *, install: bool = False) -> list[CronJob]:
    """Return the jobs that pg_cron can do, and with ``install`` make them as the login of the migrations.

    SQL alone ends idle sessions and removes what has expired. What policies remove, `run` does: it puts it into the
    audit trail.

    Raises:
        InvalidInput: the database is a file, or the server has no pg_cron.
    """
    _ENGINES[ports.facts.engine](ports, install)
    return list(JOBS)


def _on_server(ports: Ports, install: bool) -> None:  # noqa: FBT001 - one row of _ENGINES
    if install:
        ports.administer(_make)


def _make(connection: Connection) -> None:
    if connection.exec_driver_sql("SELECT to_regnamespace('cron')").scalar() is None:
        message = "This database has no pg_cron."
        raise InvalidInput(
            message, hint="CREATE EXTENSION pg_cron, or run `undercroft upkeep run` from the system's cron"
        )
    for job in JOBS:
        connection.exec_driver_sql(job.sql)


def _in_file(ports: Ports, install: bool) -> None:  # noqa: FBT001 - as above
    del ports, install
    message = "A file has no pg_cron."
    raise InvalidInput(message, hint="run `undercroft upkeep run` from a crontab, or store.upkeep.scheduler()")


_ENGINES: dict[str, Callable[[Ports, bool], None]] = {"postgresql": _on_server, "sqlite": _in_file}
