"""Addresses, normalised: many spellings in, one frozen value out, and no secret in any text of it.

An address becomes keywords first (`address`), where settings that stand beside it are merged in.
"""

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import URL

from undercroft.errors import ConfigurationError
from undercroft.settings import tls
from undercroft.settings.address import (
    CHOICES,
    DATABASES,
    PASSED_ON,
    Keywords,
    check_host,
    check_port,
    check_seconds,
    seal,
    split_database,
    split_redis,
    wrong,
)
from undercroft.settings.tls import Tls

Driver = Literal["asyncpg", "psycopg", "pysqlite"]


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrl:
    """One database: a SQLite file by `path`, or a PostgreSQL database; `repr` and `str` hide the password.

    `host` is a name, an IP address or the directory of a Unix socket; `connect_timeout` is in seconds; `options` are
    libpq's keywords that are passed on as they are.
    """

    kind: Literal["sqlite", "postgresql"]
    path: str | None = None
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: SecretStr | None = None
    database: str | None = None
    tls: Tls = field(default_factory=Tls)
    connect_timeout: float = 10.0
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @classmethod
    def parse(cls, url: str | SecretStr, setting: str = "database_url") -> "DatabaseUrl":
        """Normalise an address; raises `ConfigurationError` that names the setting and never the address."""
        url = seal(url)
        return cls.of(split_database(url, setting), setting)

    @classmethod
    def of(cls, keywords: Keywords, setting: str = "database_url") -> "DatabaseUrl":
        """Build it from keywords; raises `ConfigurationError` for one that is missing or wrong."""
        password = keywords.get("password")
        text = {name: str(value) for name, value in keywords.items() if name != "password"}
        if "path" in text:
            return cls("sqlite", path=text["path"])
        if not text.get("dbname"):
            raise wrong(setting, "names no database", DATABASES)
        for name, choices in CHOICES.items():
            if text.get(name, min(choices)) not in choices:
                raise wrong(setting, f"has a wrong {name}", f"use {', '.join(sorted(choices))}")
        return cls(
            "postgresql",
            host=check_host(text["host"], setting) if text.get("host") else None,
            port=check_port(text["port"], setting) if text.get("port") else None,
            user=text.get("user"),
            password=SecretStr(password) if isinstance(password, str) else password,
            database=text["dbname"],
            tls=tls.from_keywords(text),
            connect_timeout=check_seconds(text.get("connect_timeout", "10"), setting),
            options=MappingProxyType({name: text[name] for name in sorted(PASSED_ON & text.keys())}),
        )

    @property
    def is_local(self) -> bool:
        """Whether no network lies between: a file, a Unix socket or the loopback interface."""
        # Without a host the driver chooses, and PGHOST may tell it anything.
        return self.kind == "sqlite" or (self.host is not None and is_loopback(self.host))

    def sqlalchemy(self, driver: Driver) -> URL:
        """Return SQLAlchemy's URL for a driver; goes together with `connect_args`."""
        if self.kind == "sqlite":
            return URL.create("sqlite+pysqlite", database=self.path)
        socket = self.host is not None and self.host.startswith("/")
        return URL.create(
            f"postgresql+{driver}",
            username=self.user,
            password=self.password.get_secret_value() if self.password is not None else None,
            host=None if socket else self.host,
            port=self.port,
            database=self.database,
            query={"host": self.host} if socket and self.host else {},
        )

    def connect_args(self, driver: Driver) -> dict[str, Any]:
        """Return what the URL does not say, as the driver's own arguments.

        Raises `ConfigurationError` for a TLS file that cannot be used, and for what the driver is not able to do.
        """
        if self.kind == "sqlite":
            return {}
        if driver == "psycopg":
            # libpq takes whole seconds and treats 1 as 2.
            return {
                **self.tls.for_psycopg(),
                "connect_timeout": max(2, math.ceil(self.connect_timeout)),
                **self.options,
            }
        if self.options.get("channel_binding") == "require":
            raise ConfigurationError(
                "asyncpg has no channel_binding",
                setting="database_url",
                hint="leave it out and use sslmode=verify-full, which proves the server's identity too",
            )
        known: dict[str, Any] = {"ssl": self.tls.for_asyncpg(), "timeout": self.connect_timeout}
        if "application_name" in self.options:
            known["server_settings"] = {"application_name": self.options["application_name"]}
        if "target_session_attrs" in self.options:
            known["target_session_attrs"] = self.options["target_session_attrs"]
        return known

    def __str__(self) -> str:
        if self.kind == "sqlite":
            return f"sqlite:///{self.path}"
        return self.sqlalchemy("psycopg").set(drivername="postgresql").render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


@dataclass(frozen=True, slots=True, repr=False)
class RedisUrl:
    """One Redis or Valkey server and database number; `repr` and `str` hide the password.

    ``ssl_ca_certs`` is the file of the authorities that are trusted over TLS, None for those that OpenSSL trusts.
    """

    scheme: str = "redis"
    host: str = "localhost"
    port: int = 6379
    user: str | None = None
    password: SecretStr | None = None
    path: str | None = None
    db: int = 0
    ssl_ca_certs: str | None = None

    @classmethod
    def parse(cls, url: str | SecretStr, setting: str = "redis_url") -> "RedisUrl":
        """Normalise an address; raises `ConfigurationError` that names the setting and never the address."""
        url = seal(url)
        return cls.of(split_redis(url, setting), setting)

    @classmethod
    def of(cls, keywords: Keywords, setting: str = "redis_url") -> "RedisUrl":
        """Build it from keywords; raises `ConfigurationError` for one that is wrong."""
        password = keywords.get("password")
        text = {name: str(value) for name, value in keywords.items() if name != "password"}
        if text.get("scheme") == "unix" and "path" not in text:
            raise wrong(setting, "names no socket", "write unix:///run/redis.sock")
        return cls(
            scheme=text.get("scheme", "redis"),
            host=check_host(text.get("host", "localhost"), setting),
            port=check_port(text.get("port", "6379"), setting),
            user=text.get("user"),
            password=SecretStr(password) if isinstance(password, str) else password,
            path=text.get("path"),
            db=int(text.get("db", "0")),
            ssl_ca_certs=text.get("ssl_ca_certs"),
        )

    def reveal(self) -> str:
        """Return the address with its password, for `redis.from_url`."""
        return self._render(quote(self.password.get_secret_value(), safe="") if self.password is not None else "")

    def _render(self, password: str) -> str:
        user = quote(self.user or "", safe="")
        login = f"{user}:{password}@" if password else f"{user}@" if user else ""
        if self.scheme == "unix":
            return f"unix://{login}{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        trusted = f"?ssl_ca_certs={quote(self.ssl_ca_certs, safe='/')}" if self.ssl_ca_certs else ""
        return f"{self.scheme}://{login}{host}:{self.port}/{self.db}{trusted}"

    def __str__(self) -> str:
        return self._render("***" if self.password is not None else "")

    def __repr__(self) -> str:
        return f"RedisUrl({str(self)!r})"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name, address or socket."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
