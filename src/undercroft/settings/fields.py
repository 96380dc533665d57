"""Every setting, with its default, its limits and the names other programs know it by."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from undercroft.settings.declaration import LOWER, UPPER, setting
from undercroft.settings.tls import SslMode


class Fields(BaseModel):
    """The settings as they are given."""

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
    replica_url: SecretStr | None = setting(
        "Database", "A streaming replica of the PostgreSQL database, for the reads of `tenant.stale()`.", default=None
    )
    replica_max_lag_seconds: float = setting(
        "Database", "How far a replica may be behind and still be read.", ge=1, le=86_400, default=10.0
    )
    replica_timeout: float = setting(
        "Database",
        "How long a replica may take for a read, or to connect, before the primary is asked.",
        ge=0.1,
        le=86_400,
        default=5.0,
    )
    listen_url: SecretStr | None = setting(
        "Database", "The same PostgreSQL database around the pooler, to hear of changes at once.", default=None
    )
    pooler: Annotated[Literal["none", "transaction"], LOWER] = setting(
        "Database", "`transaction` behind PgBouncer or the like in transaction mode.", default="none"
    )
    tenant_seal_key: SecretStr | None = setting(
        "Database",
        "The secret of a PostgreSQL database that `undercroft db seal` has sealed: 32 characters or more, at random.",
        min_length=32,
        default=None,
    )
    tenant_seal_seconds: float = setting(
        "Database",
        "How long a transaction may be inside a tenant of a sealed database.",
        ge=10,
        le=86_400,
        default=600.0,
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

    keys: SecretStr | None = setting(
        "Keys",
        "The keys that secrets are sealed under, separated by commas; the first one seals, all of them open.",
        default=None,
    )
    keys_file: str | None = setting(
        "Keys",
        "In place of `keys`: the file that `undercroft keys init` makes, one key a line, readable by its owner alone.",
        shown="on SQLite the database's path and .keys",
        default=None,
    )
    key_provider: str | None = setting(
        "Keys",
        "`module:name` of what wraps and unwraps keys through a key management service, a `KeyProvider`.",
        default=None,
    )

    audit_key_file: str | None = setting("Audit", "PEM file of the key that signs checkpoints.", default=None)
    audit_redact: str = setting("Audit", "More names of secrets in an event's `data`, with commas.", default="")

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
    max_remembered: int = setting(
        "Cache",
        "Answers that a process keeps in its memory until they change, of all tenants together.",
        ge=1,
        le=10_000_000,
        default=10_000,
    )
    redis_url: SecretStr | None = setting(
        "Cache",
        "A Redis or Valkey server, for what is told to use one; none is needed.",
        "REDIS_URL",
        shown="no server",
        default=None,
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
    redis_timeout: float = setting(
        "Cache", "How long Redis may take for a call, connecting included.", ge=0.01, le=86_400, default=1.0
    )

    limits_backend: Annotated[Literal["database", "redis"], LOWER] = setting(
        "Limits", "Where it is counted what was used of limits; `redis` needs `redis_url`.", default="database"
    )
