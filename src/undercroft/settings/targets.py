"""The addresses that settings lead to: a URL, merged with the settings that name its parts.

Where both say something, the one found earlier wins (`environment.Rank`); found in the same place, they must agree.
"""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pydantic import BaseModel, Secret, SecretStr

from undercroft.errors import ConfigurationError
from undercroft.settings.address import Keywords, check_host, split_database, split_redis
from undercroft.settings.environment import Found
from undercroft.settings.urls import DatabaseUrl, RedisUrl, is_loopback

DEFAULT = "sqlite:///undercroft.db"
LOGIN = {"db_host": "host", "db_port": "port", "db_name": "dbname", "db_user": "user", "db_password": "password"}
REDIS = {
    "redis_host": "host",
    "redis_port": "port",
    "redis_db": "db",
    "redis_user": "user",
    "redis_password": "password",
}
CONNECTION = {
    "ssl_mode": "sslmode",
    "ssl_ca": "sslrootcert",
    "ssl_cert": "sslcert",
    "ssl_key": "sslkey",
    "connect_timeout": "connect_timeout",
}
Given = Mapping[str, Found]


def validated(settings: BaseModel, found: Given) -> dict[str, Found]:
    """Return what was given, with the values as they are after validation."""
    given: dict[str, Found] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            given[name] = replace(found.get(name, Found(Secret(None), origin=name)), value=Secret(plain))
    return given


def database(given: Given) -> DatabaseUrl:
    """Work out the database's address; raises `ConfigurationError` for one that is missing, wrong or contradictory."""
    if "database_url" in given:
        url = split_database(_text(given["database_url"]), "database_url")
        return _complete(_merge(url, given["database_url"], LOGIN, given), "database_url", given)
    if given.keys() & LOGIN.keys():
        if "db_name" not in given:
            raise ConfigurationError(
                "db_name is missing", setting="db_name", hint="set UNDERCROFT_DB_NAME, or UNDERCROFT_DATABASE_URL"
            )
        return _complete({"host": "localhost", **_join(LOGIN, given)}, "db_host", given)
    if _is_production(given):
        raise ConfigurationError(
            "database_url is missing", setting="database_url", hint="production demands it: set UNDERCROFT_DATABASE_URL"
        )
    return DatabaseUrl.parse(DEFAULT)


def beside(main: DatabaseUrl, setting: str, given: Given) -> DatabaseUrl | None:
    """Work out the address of another way to the database; raises `ConfigurationError` if it is of another kind."""
    if setting not in given:
        return None
    url = _complete(split_database(_text(given[setting]), setting), setting, given)
    if url.kind != main.kind:
        raise ConfigurationError(
            f"{setting} and database_url are of different kinds", setting=setting, hint=f"name a {main.kind} database"
        )
    if url.kind == "sqlite" and (setting != "migrate_url" or url != main):
        raise ConfigurationError(f"{setting} has no use on SQLite", setting=setting, hint="leave it out")
    return url


def redis(given: Given) -> RedisUrl | None:
    """Work out the cache server's address; raises `ConfigurationError` as `database` does."""
    if "redis_url" in given:
        url = split_redis(_text(given["redis_url"]), "redis_url")
        found = RedisUrl.of(_merge(url, given["redis_url"], REDIS, given), "redis_url")
        if found.ssl_ca_certs is not None:
            try:
                ssl.create_default_context(cafile=found.ssl_ca_certs)
            except OSError as error:  # SSLError is one: the file holds no certificate
                message = "redis_url names no file of certificates in ssl_ca_certs"
                hint = "name a PEM file that this process may read"
                raise ConfigurationError(message, setting="redis_url", hint=hint) from error
        return found
    return RedisUrl.of(_join(REDIS, given), "redis_host") if given.keys() & REDIS.keys() else None


def check_production(given: Given, urls: Iterable[DatabaseUrl | None]) -> None:
    """Raise `ConfigurationError` for what the production preset does not allow."""
    if "echo_sql" in given and given["echo_sql"].reveal():
        raise ConfigurationError(
            "echo_sql is not for production", setting="echo_sql", hint="turn it off; slow statements are logged anyway"
        )
    for url in urls:
        if url is not None and not url.is_local and not url.tls.required:
            raise ConfigurationError(
                f"ssl_mode {url.tls.mode} is too weak for production beyond this machine",
                setting="ssl_mode",
                hint="set it to verify-full, or at least to require",
            )


def _complete(keywords: Keywords, setting: str, given: Given) -> DatabaseUrl:
    if "path" not in keywords:
        keywords = _merge(keywords, given.get(setting, Found(Secret(None))), CONNECTION, given)
        if "sslmode" not in keywords:
            remote = not is_loopback(str(keywords.get("host", "")))
            keywords["sslmode"] = "require" if remote and _is_production(given) else "prefer"
    url = DatabaseUrl.of(keywords, setting)
    url.tls.check_files()
    return url


def _merge(url: Keywords, url_found: Found, parts: Mapping[str, str], given: Given) -> Keywords:
    result = dict(url)
    for setting, keyword in parts.items():
        if setting not in given:
            continue
        part = given[setting]
        later = part.rank > url_found.rank
        # A login found in a later place belongs to another server; how to connect holds for any.
        if later and (keyword in url or parts is not CONNECTION):
            continue
        value = _keyword(setting, keyword, part)
        if _has_no(keyword, url) or (part.rank == url_found.rank and url.get(keyword, value) != value):
            raise ConfigurationError(
                f"{url_found.origin} and {part.origin} disagree", setting=setting, hint="keep one of the two"
            )
        result[keyword] = value
    return result


def _join(parts: Mapping[str, str], given: Given) -> Keywords:
    return {
        keyword: _keyword(setting, keyword, given[setting]) for setting, keyword in parts.items() if setting in given
    }


def _keyword(setting: str, keyword: str, part: Found) -> str | SecretStr:
    if keyword == "password":
        return SecretStr(str(part.reveal()))
    value = str(part.reveal())
    return check_host(value, setting) if keyword == "host" else value


def _has_no(keyword: str, url: Keywords) -> bool:
    """Tell whether an address of this kind has no place for a keyword: a file has no login, a socket no host."""
    return keyword in {"host", "port"} if url.get("scheme") == "unix" else "path" in url


def _is_production(given: Given) -> bool:
    return "preset" in given and given["preset"].reveal() == "production"


def _text(found: Found) -> SecretStr:
    return SecretStr(str(found.reveal()))
