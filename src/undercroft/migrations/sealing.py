"""Sealing a PostgreSQL database: its keys and its mode, changed as the owner, each time in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from undercroft.core.tenant_seal import TenantSeal
from undercroft.errors import ConfigurationError, InvalidInput
from undercroft.migrations.engines import engine
from undercroft.migrations.history import check

Mode = Literal["plain", "grace", "sealed"]
PATIENCE = 10
"""Seconds for which sealing waits for the transactions that are under way, while others wait for it."""

_KEYS = sa.text("SELECT key_id FROM undercroft.seal_keys ORDER BY added_at DESC, key_id")
_ADD = sa.text(
    "INSERT INTO undercroft.seal_keys VALUES (:key_id, :inner, :outer, clock_timestamp()) ON CONFLICT DO NOTHING"
)
_RETIRE = sa.text("DELETE FROM undercroft.seal_keys WHERE key_id <> :key_id")
_SET = sa.text("SELECT undercroft.set_seal(:mode)")


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a database is sealed: its mode, and the fingerprints of its keys, the newest first."""

    mode: Mode
    keys: tuple[str, ...]


def seal(connection: sa.Connection, secret: str, *, grace: bool = False, retire: bool = False) -> Sealing:
    """Seal the database with the key made of a secret, beside those that it has; with ``retire`` in their place.

    With ``grace`` both ways in are open, until it is sealed without. Sealing waits for every transaction that is under
    way; where one does not end within `PATIENCE`, PostgreSQL's lock timeout is raised and nothing has changed.

    Raises:
        InvalidInput: ``grace``, and it is sealed already.
        ConfigurationError: it is a file, or it is on Citus, neither of which can be sealed.
        SchemaMissing, SchemaOutdated, SchemaTooNew: it lacks the newest tables.
    """
    by = TenantSeal(secret, lifetime=0)
    with _as_owner(connection):
        if grace and _state(connection).mode == "sealed":
            raise InvalidInput("The database is sealed already", field="grace", hint="open it first with --off")
        inner, outer = by.pads
        connection.execute(_ADD, {"key_id": by.fingerprint, "inner": inner, "outer": outer})
        if retire:
            connection.execute(_RETIRE, {"key_id": by.fingerprint})
        connection.execute(_SET, {"mode": "grace" if grace else "sealed"})
        return _state(connection)


def unseal(connection: sa.Connection) -> Sealing:
    """Let tenants be entered without a seal again, and forget the keys; raises as `seal` does."""
    with _as_owner(connection):
        connection.execute(_SET, {"mode": "plain"})
        connection.execute(_RETIRE, {"key_id": ""})
        return _state(connection)


def sealing(connection: sa.Connection) -> Sealing:
    """Tell how the database is sealed; raises as `seal` does."""
    with _as_owner(connection):
        return _state(connection)


def _state(connection: sa.Connection) -> Sealing:
    mode: Mode = connection.scalar(sa.text("SELECT undercroft.seal_mode()"))
    return Sealing(mode, tuple(connection.scalars(_KEYS)))


@contextmanager
def _as_owner(connection: sa.Connection) -> Iterator[None]:
    here = engine(connection.dialect)
    if here.version_schema is None:
        raise ConfigurationError("A file cannot be sealed", setting="database_url", hint="use PostgreSQL")
    check(connection)
    try:
        with connection.begin():
            here.lock(connection, own=True)
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}s'")
            connection.exec_driver_sql("SET LOCAL ROLE undercroft_owner")
            yield
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "UC008":
            raise
        message = "Citus cannot be sealed: its workers would open a tenant to whoever can run SQL"
        raise ConfigurationError(message, setting="tenant_seal_key", hint="leave the key out") from error
