"""Takes the text of an address apart into keywords, the password among them sealed.

Messages never quote the address: what a typing error makes look like a host or a port may be half of a password. For
the same reason the last `@` ends the user's part, and one after the first `/` or `?` is refused.
"""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import unquote

from pydantic import SecretStr

from undercroft.errors import ConfigurationError

Keywords = dict[str, str | SecretStr]  # libpq's names; a SQLite file has the one keyword `path`

DATABASES = "write postgresql://user:password@host:5432/name or sqlite:///bot.db"
CACHES = "write redis://:password@host:6379/0, rediss:// for TLS, or unix:///run/redis.sock"
_POSTGRESQL = {"postgres", "postgresql"}
_DRIVERS = {
    "postgresql": {"", "asyncpg", "psycopg", "psycopg2", "psycopg_async"},  # ours are used whichever is named
    "sqlite": {"", "aiosqlite", "pysqlite"},
}
_CACHES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
CHOICES = {
    "target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
    "channel_binding": {"disable", "prefer", "require"},
}
PASSED_ON = {"application_name", *CHOICES}
_TLS = {"sslmode", "sslrootcert", "sslcert", "sslkey"}
_QUERY = {"host", "port", "user", "password", "dbname", "connect_timeout"} | _TLS | PASSED_ON


def split_database(url: str | SecretStr, setting: str) -> Keywords:
    """Split the address of a SQLite file or PostgreSQL database; raises `ConfigurationError` that names the setting."""
    url = seal(url)
    return _apart(_database, url, setting)


def split_redis(url: str | SecretStr, setting: str) -> Keywords:
    """Split the address of a Redis or Valkey server; raises `ConfigurationError` that names the setting."""
    url = seal(url)
    return _apart(_redis, url, setting)


def seal(url: str | SecretStr) -> SecretStr:
    """Hide an address from error reporters that show the variables of every frame."""
    return SecretStr(url) if isinstance(url, str) else url


def check_host(host: str, setting: str) -> str:
    """Return a host's name, an IP address without brackets, or a socket's path; raises `ConfigurationError`."""
    if host.startswith("/") or re.fullmatch(r"[\w.-]+", host):
        return host
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        pass
    raise wrong(
        setting, "has a wrong host", "write a name, an IP address ([::1] for IPv6) or ?host=/directory/of/socket"
    )


def check_port(port: str, setting: str) -> int:
    """Return a port's number; raises `ConfigurationError`."""
    if re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 2**16:
        return int(port)
    raise wrong(setting, "has a wrong port", "write a number from 1 to 65535; a : in a password is %3A")


def check_seconds(text: str, setting: str) -> float:
    """Return a time in seconds; raises `ConfigurationError`."""
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]*)?", text) and float(text) > 0:
        return float(text)
    raise wrong(setting, "has a wrong connect_timeout", "write a number of seconds above 0")


def wrong(setting: str, what: str, hint: str) -> ConfigurationError:
    """Make the error that an address is refused with."""
    return ConfigurationError(f"{setting} {what}", setting=setting, hint=hint)


def _apart(split: Callable[[str, str], Keywords], url: SecretStr, setting: str) -> Keywords:
    try:
        return split(url.get_secret_value().strip(), setting)
    except ConfigurationError as error:
        refusal = error.with_traceback(None)  # whose frames hold the address
    raise refusal


def _database(text: str, setting: str) -> Keywords:
    scheme, mark, rest = text.partition("://")
    kind, _, driver = scheme.lower().partition("+")
    kind = "postgresql" if kind in _POSTGRESQL else kind
    if not mark or kind not in _DRIVERS:
        raise wrong(setting, "is no address of a SQLite file or a PostgreSQL database", DATABASES)
    if driver not in _DRIVERS[kind]:
        raise wrong(setting, "names a driver that is not used here", f"write {kind}:// alone")
    return _sqlite(rest, setting) if kind == "sqlite" else _postgresql(rest, setting)


def _sqlite(rest: str, setting: str) -> Keywords:
    whole, _, query = rest.partition("?")
    path = whole.removeprefix("/")
    if path in {"", ":memory:"} or "mode=memory" in query:
        raise wrong(
            setting,
            "names a database in memory, which every connection would have to itself",
            "use a file, in a temporary directory if need be: sqlite:////tmp/bot.db",
        )
    if not whole.startswith("/"):
        raise wrong(setting, "has too few slashes", "write sqlite:///bot.db, or sqlite:////srv/bot.db from the root")
    if query or path.startswith("file:"):
        raise wrong(setting, f"has an unknown parameter{_shown(query)}", "a SQLite address is a path and nothing else")
    if path.startswith("~"):
        raise wrong(setting, "starts with ~, which SQLite takes for a name", "write the whole path")
    _refuse_control(path, setting)
    return {"path": path}


def _postgresql(rest: str, setting: str) -> Keywords:
    found, database, query = _authority(rest, setting)
    if database:
        found["dbname"] = database
    for pair, name, given in _parameters(query, setting):
        keyword, value = name, given
        if name == "ssl":  # asyncpg's and JDBC's word
            keyword, value = "sslmode", {"true": "require", "false": "disable"}.get(given.lower(), given)
        if keyword not in _QUERY:
            hint = (
                "set UNDERCROFT_POOLER=transaction" if name == "pgbouncer" else f"known are {', '.join(sorted(_QUERY))}"
            )
            raise wrong(setting, f"has an unknown parameter{_shown(pair)}", hint)
        _add(found, keyword, value, setting)
    return _sealed(found, setting)


def _redis(text: str, setting: str) -> Keywords:
    scheme, mark, rest = text.partition("://")
    kind = _CACHES.get(scheme.lower())
    if not mark or kind is None:
        raise wrong(setting, "is no address of a Redis or Valkey server", CACHES)
    found, path, query = _authority(rest, setting)
    found["scheme"] = kind
    if path:
        found["path" if kind == "unix" else "db"] = f"/{path}" if kind == "unix" else path
    for pair, name, value in _parameters(query, setting):
        if name not in {"db", "ssl_ca_certs"}:
            raise wrong(setting, f"has an unknown parameter{_shown(pair)}", "known are db and ssl_ca_certs")
        _add(found, name, value, setting)
    if "ssl_ca_certs" in found and kind != "rediss":
        raise wrong(setting, "has ssl_ca_certs and no TLS", CACHES)
    if not re.fullmatch(r"[0-9]{1,4}", found.get("db", "0")):
        raise wrong(setting, "has a wrong database number", CACHES)
    return _sealed(found, setting)


def _authority(rest: str, setting: str) -> tuple[dict[str, str], str, str]:
    """Split what follows `://` into user, password, host and port, the path, and the query."""
    head, _, query = rest.partition("?")
    authority, _, path = head.partition("/")
    if "@" in path or "@" in query:
        raise wrong(
            setting, "has an @ in the wrong place", "write @ : / ? # % in a password as %40 %3A %2F %3F %23 %25"
        )
    userinfo, _, server = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    if "," in server:
        raise wrong(setting, "names several hosts", "name one; UNDERCROFT_REPLICA_URL is there for a replica")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", server)
    host, port = (bracketed[1], bracketed[2] or "") if bracketed else server.partition(":")[::2]
    parts = {"user": user, "password": password, "host": host, "port": port}
    found = {name: _decoded(value, setting) for name, value in parts.items() if value}
    if port:
        check_port(found["port"], setting)
    if host:
        found["host"] = check_host(found["host"], setting)
    return found, _decoded(path, setting), query


def _parameters(query: str, setting: str) -> list[tuple[str, str, str]]:
    """Split a query into the pair as written, its name and its value."""
    pairs = [pair for pair in query.split("&") if pair]
    return [(pair, pair.partition("=")[0], _decoded(pair.partition("=")[2], setting)) for pair in pairs]


def _add(found: dict[str, str], name: str, value: str, setting: str) -> None:
    if found.setdefault(name, value) != value:
        raise wrong(setting, f"says {name} twice", "leave one out")


def _sealed(found: dict[str, str], setting: str) -> Keywords:
    for value in found.values():
        _refuse_control(value, setting)
    return {name: SecretStr(value) if name == "password" else value for name, value in found.items()}


def _decoded(text: str, setting: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        pass
    raise wrong(setting, "has a %-escape that is no UTF-8", "escape the UTF-8 bytes of the character")


def _refuse_control(text: str, setting: str) -> None:
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        raise wrong(setting, "holds a control character or one that is no Unicode", "take it out")


def _shown(pair: str) -> str:
    """Name a parameter, if it is surely one and no piece of a secret."""
    known = re.match(r"([A-Za-z][A-Za-z0-9_.-]{0,39})=", pair)
    return f" {known[1]}" if known else ""
