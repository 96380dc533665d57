"""Every setting, with its default, its limits and the names other programs know it by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, Secret, SecretStr, ValidationError

from undercroft.errors import ConfigurationError
from undercroft.settings import targets
from undercroft.settings.declaration import LOWER, UPPER, lower, setting
from undercroft.settings.environment import DEFAULT_FILE, Found, Rank, find, sealed
from undercroft.settings.refusal import name_origin, refusal
from undercroft.settings.tls import SslMode
from undercroft.settings.urls import DatabaseUrl, RedisUrl

PRESETS: dict[str, dict[str, object]] = {
    "development": {},
    "testing": {"pool_size": 5, "max_overflow": 0, "pool_timeout": 5.0, "query_timeout": 30.0, "cache_ttl_seconds": 60},
    "production": {"pool_size": 20, "max_overflow": 10},
}


class Settings(BaseModel):
    """All settings of a store; immutable, and safe to print: secrets are hidden.

    `Settings.load()` reads them; `Settings(...)` takes what it is given and reads nothing. Times are in seconds unless
    the name says otherwise. `database`, `migrate`, `replica`, `listen` and `redis` are the addresses they lead to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    preset: Annotated[Literal["development", "testing", "production"], LOWER] = setting(
        "Preset",
        "Defaults for a purpose. `production` also demands a named database, and TLS beyond this machine; it refuses "
        "`echo_sql` and a superuser's login.",
        default="development",
    )

    database_url: SecretStr | None = setting(
        "Database",
        "The database: `sqlite:///bot.db` or `postgresql://user:password@host:5432/name`.",
        "DATABASE_URL",
        shown="sqlite:///undercroft.db",
        default=None,
    )
    db_host: str | None = setting(
        "Database", "In place of a URL: the server.", "DB_HOST", "DATABASE_HOST", shown="localhost", default=None
    )
    db_port: int | None = setting(
        "Database",
        "In place of a URL: its port.",
        "DB_PORT",
        "DATABASE_PORT",
        shown="5432",
        ge=1,
        le=65535,
        default=None,
    )
    db_name: str | None = setting(
        "Database", "In place of a URL: the database.", "DB_NAME", "DATABASE_NAME", default=None
    )
    db_user: str | None = setting("Database", "In place of a URL: the login.", "DB_USER", "DATABASE_USER", default=None)
    db_password: SecretStr | None = setting(
        "Database",
        "The login's password, also for a URL without one.",
        "DB_PASSWORD",
        "DATABASE_PASSWORD",
        default=None,
    )
    migrate_url: SecretStr | None = setting(
        "Database",
        "The same database through a login that may change the schema.",
        shown="the database's URL",
        default=None,
    )
    replica_url: SecretStr | None = setting("Database", "A PostgreSQL replica that reads may go to.", default=None)
    listen_url: SecretStr | None = setting(
        "Database", "The same PostgreSQL database around the pooler, to hear of changes at once.", default=None
    )
    pooler: Annotated[Literal["none", "transaction"], LOWER] = setting(
        "Database", "`transaction` behind PgBouncer or the like in transaction mode.", default="none"
    )
    auto_migrate: bool | None = setting(
        "Database",
        "Whether opening a store brings the schema up to date.",
        shown="true on SQLite, else false",
        default=None,
    )

    pool_size: int = setting(
        "Connections",
        "Connections to keep.",
        "DB_POOL_SIZE",
        "DATABASE_POOL_SIZE",
        "POOL_SIZE",
        ge=1,
        le=10_000,
        default=10,
    )
    max_overflow: int = setting(
        "Connections",
        "Further connections for callers' own transactions when all are busy.",
        "DB_MAX_OVERFLOW",
        "DATABASE_MAX_OVERFLOW",
        "MAX_OVERFLOW",
        ge=0,
        le=10_000,
        default=20,
    )
    pool_timeout: float = setting(
        "Connections",
        "How long to wait for a free connection.",
        "DB_POOL_TIMEOUT",
        "DATABASE_POOL_TIMEOUT",
        "POOL_TIMEOUT",
        gt=0,
        le=86_400,
        default=30.0,
    )
    pool_recycle: float = setting(
        "Connections",
        "The age at which a connection is replaced.",
        "DB_POOL_RECYCLE",
        "DATABASE_POOL_RECYCLE",
        "POOL_RECYCLE",
        gt=0,
        default=3600.0,
    )
    pre_ping: bool = setting(
        "Connections",
        "Whether an idle connection is tried before it is used.",
        "DB_POOL_PRE_PING",
        "DATABASE_POOL_PRE_PING",
        "POOL_PRE_PING",
        default=True,
    )
    connect_timeout: float = setting(
        "Connections", "How long connecting may take.", "DB_CONNECT_TIMEOUT", ge=0.1, le=86_400, default=10.0
    )
    query_timeout: float = setting(
        "Connections",
        "How long a statement may take.",
        "DB_QUERY_TIMEOUT",
        "DATABASE_QUERY_TIMEOUT",
        gt=0,
        default=300.0,
    )

    ssl_mode: Annotated[SslMode | None, LOWER] = setting(
        "TLS",
        "libpq's modes: disable, allow, prefer, require, verify-ca, verify-full.",
        "DB_SSL_MODE",
        "DATABASE_SSL_MODE",
        shown="prefer; require in production beyond this machine",
        default=None,
    )
    ssl_ca: str | None = setting(
        "TLS",
        "PEM file of the authorities to trust; `system` for this machine's.",
        "DB_SSL_CA",
        "DATABASE_SSL_CA",
        default=None,
    )
    ssl_cert: str | None = setting(
        "TLS", "PEM file of our certificate.", "DB_SSL_CERT", "DATABASE_SSL_CERT", default=None
    )
    ssl_key: str | None = setting(
        "TLS", "PEM file of its key, without a passphrase.", "DB_SSL_KEY", "DATABASE_SSL_KEY", default=None
    )

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], UPPER] = setting(
        "Logs", "The least severe level that is logged.", "DB_LOG_LEVEL", "DATABASE_LOG_LEVEL", default="INFO"
    )
    echo_sql: bool = setting(
        "Logs", "Whether every statement is logged.", "DB_ECHO_SQL", "DB_ECHO", "DATABASE_ECHO", default=False
    )
    slow_query_ms: int = setting(
        "Logs", "Milliseconds from which a statement is logged as slow.", "DB_SLOW_QUERY_MS", ge=0, default=500
    )
    log_parameters: bool = setting(
        "Logs", "Whether logged statements show their parameters, users' words and secrets among them.", default=False
    )

    cache_ttl_seconds: int = setting(
        "Cache", "How long a cached result is valid.", "DB_CACHE_TTL_SECONDS", "CACHE_TTL_SECONDS", ge=1, default=3600
    )
    max_cache_entries: int = setting(
        "Cache", "Cached results a tenant may have.", "DB_MAX_CACHE_ENTRIES", "MAX_CACHE_ENTRIES", ge=1, default=1000
    )
    redis_url: SecretStr | None = setting(
        "Cache", "A Redis or Valkey server to cache in; none is needed.", "REDIS_URL", shown="no server", default=None
    )
    redis_host: str | None = setting("Cache", "In place of a URL: the server.", "REDIS_HOST", default=None)
    redis_port: int | None = setting(
        "Cache", "In place of a URL: its port.", "REDIS_PORT", shown="6379", ge=1, le=65535, default=None
    )
    redis_db: int | None = setting(
        "Cache", "In place of a URL: the database's number.", "REDIS_DB", shown="0", ge=0, le=9999, default=None
    )
    redis_user: str | None = setting(
        "Cache", "In place of a URL: the login.", "REDIS_USER", "REDIS_USERNAME", default=None
    )
    redis_password: SecretStr | None = setting(
        "Cache", "The login's password, also for a URL without one.", "REDIS_PASSWORD", default=None
    )

    _database: DatabaseUrl = PrivateAttr()
    _migrate: DatabaseUrl = PrivateAttr()
    _replica: DatabaseUrl | None = PrivateAttr()
    _listen: DatabaseUrl | None = PrivateAttr()
    _redis: RedisUrl | None = PrivateAttr()

    @classmethod
    def load(
        cls, url: str | SecretStr | None = None, *, env_file: str | Path | None = DEFAULT_FILE, **overrides: object
    ) -> Self:
        """Read the call's arguments, the environment, the .env file and the preset, the first that says it winning.

        Raises `ConfigurationError` for whatever is wrong, naming the setting and never its value.
        """
        # Some error reporters show the variables of every frame.
        explicit = sealed(overrides if url is None else {**overrides, "database_url": url})
        url, overrides = None, {}
        found = _with_preset(find(ALIASES, explicit, env_file))
        try:
            return cls.model_validate({name: value.reveal() for name, value in found.items()}, context=found)
        except ConfigurationError as error:
            name_origin(error, found)
            refused = error.with_traceback(None)
        except ValidationError as error:
            refused = refusal(error, found)
        raise refused  # outside: pydantic's frames and its error hold the values

    def model_post_init(self, context: Mapping[str, Found] | None, /) -> None:
        """Work out the addresses; raises `ConfigurationError` for those that cannot be."""
        given = targets.validated(self, context or {})
        self._database = targets.database(given)
        self._migrate = targets.beside(self._database, "migrate_url", given) or self._database
        self._replica = targets.beside(self._database, "replica_url", given)
        around = targets.beside(self._database, "listen_url", given)
        direct = self._database.kind == "postgresql" and self.pooler == "none"
        self._listen = around or (self._database if direct else None)
        self._redis = targets.redis(given)
        if self.auto_migrate is None:
            object.__setattr__(self, "auto_migrate", self._database.kind == "sqlite")
        if self.ssl_mode is None:
            object.__setattr__(self, "ssl_mode", self._database.tls.mode)
        if self.preset == "production":
            targets.check_production(given, [self._database, self._migrate, self._replica, self._listen])

    @property
    def database(self) -> DatabaseUrl:
        """The database."""
        return self._database

    @property
    def migrate(self) -> DatabaseUrl:
        """The database as migrations reach it."""
        return self._migrate

    @property
    def replica(self) -> DatabaseUrl | None:
        """The replica for reads, if there is one."""
        return self._replica

    @property
    def listen(self) -> DatabaseUrl | None:
        """Where LISTEN works: None on SQLite, and behind a pooler without `listen_url`."""
        return self._listen

    @property
    def redis(self) -> RedisUrl | None:
        """The cache's server, if there is one."""
        return self._redis

    @property
    def refuses_superuser(self) -> bool:
        """Whether a login that the walls do not hold is refused."""
        return self.preset == "production"


def _with_preset(found: dict[str, Found]) -> dict[str, Found]:
    name = str(lower(found["preset"].reveal())) if "preset" in found else ""
    preset = {key: Found(Secret(value), Rank.PRESET, f"preset {name}") for key, value in PRESETS.get(name, {}).items()}
    return preset | found


def _aliases(name: str) -> tuple[str, ...]:
    more = Settings.model_fields[name].json_schema_extra
    return tuple(more["aliases"]) if isinstance(more, dict) else ()  # type: ignore[arg-type]  # _setting wrote it


ALIASES = {name: _aliases(name) for name in Settings.model_fields}
