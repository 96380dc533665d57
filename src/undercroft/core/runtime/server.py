"""What a store knows of its PostgreSQL server, whatever its colour."""

import copy
import importlib
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Dialect as SADialect, Engine, create_engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError, TimeoutError as SAPoolTimeout
from sqlalchemy.pool import NullPool

from undercroft.core.dialects.postgresql import PostgresqlDialect
from undercroft.core.runtime import refusals
from undercroft.core.runtime.deadlines import Deadlines
from undercroft.core.runtime.listener import Listener, Source
from undercroft.core.runtime.memory import Memory
from undercroft.core.runtime.place import Facts, History, Replica, names
from undercroft.core.schema import to_json
from undercroft.core.seal.keyring import Keyring
from undercroft.core.slowlog import SlowLog
from undercroft.core.tenant_seal import TenantSeal
from undercroft.errors import ConfigurationError, MissingExtra, PoolTimeout, TenantSealRequired
from undercroft.settings import Settings
from undercroft.settings.urls import DatabaseUrl, Driver

logger = logging.getLogger("undercroft")

_SEAL = text("SELECT undercroft.seal_mode(), extract(epoch FROM clock_timestamp())")
PRIVILEGED = """
SELECT bool_or(r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, n.nspowner, 'MEMBER'))
FROM pg_roles AS r, pg_namespace AS n
WHERE r.rolname = current_user AND n.nspname = 'undercroft'
"""


class Server:
    """Addresses, sizes and rights.

    ``relayed`` tells that a pooler stands before the server, whatever the settings say: it gave us a key of its own.
    ``privileged`` tells that this login passes through the walls by itself; it puts on the application's role first.
    ``direct`` tells that a statement may be a transaction of its own: not for a privileged login, and not behind a
    pooler, which may run the two messages of a prepared statement on two servers.
    """

    def __init__(self, settings: Settings, history: History, slow: SlowLog, keys: Keyring) -> None:
        self._settings = settings
        self.keys = keys
        self.sensitive = names(settings.audit_redact)
        self._history = history
        self._dialect: PostgresqlDialect | None = None
        self.address = settings.database
        self.slow = slow
        self.pooled = settings.pooler == "transaction"
        self.relayed = False
        self.privileged = False
        self.direct = False
        # One connection in four, and at least one, is left to callers' own transactions.
        self.hot_size = max(1, settings.pool_size * 3 // 4)
        self.pool_timeout = float(settings.pool_timeout)
        self.recycle = float(settings.pool_recycle)
        self.deadlines = Deadlines(float(settings.query_timeout))
        key = settings.tenant_seal_key
        self._seal = None if key is None else TenantSeal(key.get_secret_value(), float(settings.tenant_seal_seconds))
        self.max_lag = 0.0
        self.memory = Memory(settings.max_remembered)
        self.listener = Listener(self.memory, self._heard)

    def _heard(self, stopped: threading.Event) -> Source:
        from undercroft.core.runtime.postgresql_notices import source  # noqa: PLC0415 - it builds on this module

        return source(self, self._settings.listen, stopped)

    def replica(self) -> "Server | None":
        """Return the same for the replica, where there is one; its statements have a shorter limit."""
        address = self._settings.replica
        if address is None:
            return None
        other = copy.copy(self)
        patience = self._settings.replica_timeout
        other.address = replace(address, connect_timeout=min(patience, address.connect_timeout))
        other.deadlines = Deadlines(patience)
        other.max_lag = self._settings.replica_max_lag_seconds
        return other

    def learn(self, *, privileged: bool) -> None:
        """Take note of what the login may do; raises ConfigurationError where the settings refuse such a login."""
        self.privileged = privileged
        self.direct = not privileged and not self.pooled
        if privileged and self._settings.refuses_superuser:
            message = "This login passes through the walls between tenants (superuser, BYPASSRLS or owner)."
            raise ConfigurationError(
                message, setting="database_url", hint="use a plain login with the role undercroft_app"
            )

    @property
    def dialect(self) -> PostgresqlDialect:
        """The dialect of the driver in use."""
        assert self._dialect is not None  # noqa: S101 - open() of the runner attached it
        return self._dialect

    def attach(self, sa: SADialect) -> None:
        """Take over SQLAlchemy's dialect once it has seen the server."""
        self._dialect = PostgresqlDialect(sa, self._seal, pooled=self.pooled)
        self._dialect.sensitive = self.sensitive

    def facts(self, pool: dict[str, int], replica: Replica | None = None) -> Facts:
        """Say what is known without asking the server."""
        return Facts(
            "postgresql",
            str(self._settings.database),
            self._history.head,
            pool,
            self.pooled,
            self.relayed,
            self._settings.cache_ttl_seconds,
            self._settings.max_cache_entries,
            replica,
            self._settings.audit_key_file,
        )

    @property
    def open_pool(self) -> dict[str, Any]:
        """The open lane's pool, as SQLAlchemy's arguments."""
        return {
            "pool_size": max(1, self._settings.pool_size - self.hot_size),
            "max_overflow": self._settings.max_overflow,
            "pool_timeout": self.pool_timeout,
            "pool_recycle": int(self.recycle),
            "pool_pre_ping": self._settings.pre_ping,
        }

    def engine_arguments(
        self, driver: Driver, url: DatabaseUrl | None = None, *, watched: bool = False
    ) -> dict[str, Any]:
        """What an engine on a driver is made with; ``watched`` tells that `deadlines` looks after its connections."""
        try:
            importlib.import_module(driver)
        except ImportError as error:
            raise MissingExtra(extra="postgres") from error
        address = self.address if url is None else url
        connect: dict[str, Any] = address.connect_args(driver)
        arguments: dict[str, Any] = {
            "url": address.sqlalchemy(driver),
            "connect_args": connect,
            "json_serializer": to_json,
        }
        if driver == "psycopg":
            arguments["paramstyle"] = "format"  # by position, as the compiled path passes values
        if url is None:  # migrations may take their time
            connect |= self._limits(driver, connect, watched=watched)
        if self.pooled:
            # Prepared statements do not survive a change of the server connection behind the pooler; one without a
            # name is never left behind there, to meet another program's of the same name.
            connect |= (
                {
                    "statement_cache_size": 0,
                    "prepared_statement_cache_size": 0,
                    "prepared_statement_name_func": str,
                }
                if driver == "asyncpg"
                else {"prepare_threshold": None}
            )
        return arguments

    def _limits(self, driver: Driver, connect: dict[str, Any], *, watched: bool) -> dict[str, Any]:
        """Limit what runs past our ports, through SQLAlchemy: psycopg has no clock, and a pooler takes no options."""
        limit = _milliseconds(self.deadlines.limit)
        if driver == "psycopg":
            silence: dict[str, Any] = {"tcp_user_timeout": limit}
            # psycopg hands over moments in the session's zone; a pooler, again, takes no options.
            return silence if self.pooled else silence | {"options": f"-c statement_timeout={limit} -c timezone=UTC"}
        if self.pooled or not watched:
            return {"command_timeout": self.deadlines.limit}
        # asyncpg's clock is a timer for each statement, and costs a point read a tenth of its time.
        return {"server_settings": connect.get("server_settings", {}) | {"statement_timeout": str(limit)}}

    def check(self) -> None:
        """Make sure that the schema is the one this library knows, and learn what this login may do."""
        with self._connected(self._settings.database) as connection:
            driver: Any = connection.connection.driver_connection
            self.relayed = driver.info.backend_pid != connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            connection.rollback()
            if self._settings.auto_migrate:
                self._history.upgrade(connection)
            else:
                self._history.check(connection)
            privileged = bool(connection.exec_driver_sql(PRIVILEGED).scalar())
            self._check_seal(connection)
        self.learn(privileged=privileged)
        if privileged:
            logger.warning(
                "this login is a superuser, has BYPASSRLS or owns the schema: our calls put on the role undercroft_app,"
                " raw SQL on it is not contained; use a plain login in production"
            )

    def _check_seal(self, connection: Connection) -> None:
        """Refuse a sealed database without a key, and take over the server's clock."""
        mode, clock = connection.execute(_SEAL).one()
        if self._seal is None:
            if mode == "sealed":
                raise TenantSealRequired
            return
        self._seal.set_clock(float(clock))
        if mode == "plain":
            logger.warning("a key for sealed tenants is set, but the database is not sealed: run `undercroft db seal`")

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision, through the migrations' own address where there is one."""
        with self._connected(self._settings.migrate) as connection:
            self._history.upgrade(connection, revision)

    def administer(self, work: Callable[[Connection], Any]) -> Any:
        """Run work as the login of the migrations, each statement its own transaction."""
        with self._connected(self._settings.migrate) as connection:
            return work(connection.execution_options(isolation_level="AUTOCOMMIT"))

    @contextmanager
    def _connected(self, url: DatabaseUrl) -> Generator[Connection, None, None]:
        engine: Engine = create_engine(poolclass=NullPool, **self.engine_arguments("psycopg", url))
        with self.translated(PostgresqlDialect(engine.dialect)):
            try:
                connection = engine.connect()
            except OperationalError as error:
                told = None if "Timeout" in type(error.orig).__name__ else refusals.reason(url)  # not to wait twice
                if told is None:
                    raise
                raise told from told.__cause__
            with connection:
                yield connection

    @contextmanager
    def translated(self, dialect: PostgresqlDialect | None = None) -> Generator[None, None, None]:
        """Raise SQLAlchemy's errors as ours."""
        try:
            yield
        except SAPoolTimeout as error:
            raise PoolTimeout from error
        except (SQLAlchemyError, OSError) as error:
            meaning = (dialect or self.dialect).translate(error)
            if meaning is None:
                raise
            raise meaning from error


def _milliseconds(seconds: float) -> int:
    """Round up to what PostgreSQL's timeouts hold; its 0 would mean none."""
    return max(1, min(2**31 - 1, round(seconds * 1000)))
