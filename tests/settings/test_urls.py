"""Addresses: every spelling in use is understood as libpq and SQLAlchemy understand it, and no message quotes one."""

import copy
import ipaddress
import pickle
import string
import traceback
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given, strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.dialects.postgresql import asyncpg, psycopg
from sqlalchemy.dialects.sqlite import pysqlite

from undercroft.errors import ConfigurationError
from undercroft.settings.tls import Tls
from undercroft.settings.urls import DatabaseUrl, RedisUrl

CANARY = "hunter2"
FULL = DatabaseUrl(
    "postgresql", host="db", port=5433, user="bot", password=SecretStr(CANARY), database="bots", connect_timeout=3.0
)

# Whatever can be typed except control characters, which are refused, and lone surrogates, which no URL can hold.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)
TYPED = st.text(st.sampled_from(string.punctuation + "a1 é"), max_size=12)
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)


def refused(url: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as error:
        DatabaseUrl.parse(url)
    return error.value


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "POSTGRESQL"])
@pytest.mark.parametrize("driver", ["", "+asyncpg", "+psycopg", "+psycopg2", "+psycopg_async"])
def test_a_driver_in_the_address_makes_no_difference(scheme: str, driver: str):
    url = DatabaseUrl.parse(f"{scheme}{driver}://bot:{CANARY}@db:5433/bots?connect_timeout=3")
    assert url == FULL
    assert hash(url) == hash(FULL)


def test_an_address_becomes_each_drivers_own():
    assert FULL.sqlalchemy("asyncpg").render_as_string(hide_password=False) == (
        f"postgresql+asyncpg://bot:{CANARY}@db:5433/bots"
    )
    assert FULL.sqlalchemy("psycopg").drivername == "postgresql+psycopg"
    assert FULL.connect_args("asyncpg") == {"ssl": "prefer", "timeout": 3.0}
    assert FULL.connect_args("psycopg") == {"sslmode": "prefer", "connect_timeout": 3}
    impatient = replace(FULL, connect_timeout=0.2)
    assert impatient.connect_args("psycopg")["connect_timeout"] == 2  # the least that libpq takes


def test_other_parameters_reach_the_drivers():
    url = DatabaseUrl.parse(
        "postgres://db/bots?application_name=my+bot&target_session_attrs=read-write&channel_binding=prefer"
    )
    assert (
        url.connect_args("psycopg").items()
        >= {
            "application_name": "my+bot",
            "target_session_attrs": "read-write",
            "channel_binding": "prefer",
        }.items()
    )
    assert url.connect_args("asyncpg") == {
        "ssl": "prefer",
        "timeout": 10.0,
        "server_settings": {"application_name": "my+bot"},
        "target_session_attrs": "read-write",
    }


def test_channel_binding_is_never_silently_dropped():
    url = DatabaseUrl.parse("postgres://u@db/bots?sslmode=require&channel_binding=require")
    assert url.connect_args("psycopg")["channel_binding"] == "require"
    with pytest.raises(ConfigurationError, match="verify-full"):
        url.connect_args("asyncpg")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///bot.db", "bot.db"),
        ("sqlite+aiosqlite:///bot.db", "bot.db"),
        ("SQLITE+pysqlite:///data/bot.db", "data/bot.db"),
        ("sqlite:////srv/bot.db", "/srv/bot.db"),
        ("sqlite:///C:/data/bot.db", "C:/data/bot.db"),
        ("sqlite:///my bot 100%.db", "my bot 100%.db"),
        ("sqlite:///a@b.db", "a@b.db"),
        ("  sqlite:///bot.db\n", "bot.db"),
    ],
)
def test_a_file_is_named_as_sqlalchemy_names_it(url: str, path: str):
    parsed = DatabaseUrl.parse(url)
    assert (parsed.kind, parsed.path, parsed.is_local) == ("sqlite", path, True)
    assert parsed == DatabaseUrl.parse(str(parsed))
    assert parsed.sqlalchemy("pysqlite").database == path
    arguments, _ = pysqlite.dialect().create_connect_args(parsed.sqlalchemy("pysqlite"))
    assert arguments[0].endswith(path)
    assert parsed.connect_args("pysqlite") == {}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://:memory:",
        "sqlite+aiosqlite://",
        "sqlite:///x?mode=memory",
        "sqlite:///file:x?mode=memory&cache=shared&uri=true",
    ],
)
def test_a_database_in_memory_is_refused_with_the_way_out(url: str):
    assert "sqlite:////tmp/bot.db" in str(refused(url))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no address"),
        ("bot.db", "sqlite:///bot.db"),
        ("/srv/bot.db", "is no address"),
        ("mysql://u@h/d", "is no address"),
        ("postgresql:u@h/d", "is no address"),
        ("postgresql+pg8000://u@h/d", "write postgresql:// alone"),
        ("sqlite+sqlcipher:///x", "write sqlite:// alone"),
        ("sqlite://bot.db", "sqlite:///bot.db"),
        ("sqlite:///bot.db?timeout=30", "unknown parameter timeout"),
        ("sqlite:///file:bot.db", "a path and nothing else"),
        ("sqlite:///~/bot.db", "whole path"),
        ("sqlite:///a\0b", "control character"),
        ("postgres://u@h", "names no database"),
        ("postgres://u@h/", "names no database"),
        ("postgres://u@h:0/d", "wrong port"),
        ("postgres://u@h:65536/d", "wrong port"),
        ("postgres://u@h:5432x/d", "wrong port"),
        ("postgres://u@h:\u0665/d", "wrong port"),
        ("postgres://u@h h/d", "wrong host"),
        ("postgres://u@[::z]/d", "wrong host"),
        ("postgres://u@a,b/d", "REPLICA_URL"),
        ("postgres://u:p/w@h/d", "%2F"),
        ("postgres://u:p?w@h/d", "%3F"),
        ("postgres://u:p@h/d?application_name=a@b", "%40"),
        ("postgres://u:%ff@h/d", "UTF-8"),
        ("postgres://u:%00@h/d", "control character"),
        ("postgres://u:p@h/d?sslmode=on", "disable, allow, prefer, require, verify-ca, verify-full"),
        ("postgres://u:p@h/d?sslmode=allow&sslmode=prefer", "says sslmode twice"),
        ("postgres://u:p@h/d?host=other", "says host twice"),
        ("postgres://u:p@h/d?colour=red", "unknown parameter colour"),
        ("postgres://u:p@h/d?pgbouncer=true", "UNDERCROFT_POOLER=transaction"),
        ("postgres://u:p@h/d?target_session_attrs=best", "read-write"),
        ("postgres://u:p@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgres://u:p@h/d?connect_timeout=0", "connect_timeout"),
    ],
)
def test_a_wrong_address_is_refused_with_the_fix(url: str, said: str):
    error = refused(url)
    assert said in str(error)
    assert error.setting == ("ssl_mode" if "sslmode=on" in url else "database_url")
    assert str(error).startswith(error.setting)


def test_the_setting_that_held_the_address_is_named():
    with pytest.raises(ConfigurationError) as error:
        DatabaseUrl.parse("x", "replica_url")
    assert error.value.setting == "replica_url"
    assert str(error.value).startswith("replica_url")


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        ("sslmode=require", "require"),
        ("ssl=allow", "allow"),
        ("ssl=true", "require"),
        ("ssl=False", "disable"),
        ("", "prefer"),
    ],
)
def test_tls_is_read_from_the_address(said: str, mode: str):
    assert DatabaseUrl.parse(f"postgres://u@h/d?{said}").tls == Tls(mode)


def test_certificates_are_read_from_the_address():
    url = DatabaseUrl.parse("postgres://h/d?sslmode=verify-full&sslrootcert=/a%20b.pem&sslcert=c&sslkey=k")
    assert url.tls == Tls("verify-full", "/a b.pem", "c", "k")


@pytest.mark.parametrize(
    ("url", "host", "local"),
    [
        ("postgres://localhost/d", "localhost", True),
        ("postgres://127.0.0.2/d", "127.0.0.2", True),
        ("postgres://[::1]/d", "::1", True),
        ("postgres://[0::1]/d", "::1", True),
        ("postgres:///d?host=/run/postgresql", "/run/postgresql", True),
        ("postgres://%2Frun%2Fpostgresql/d", "/run/postgresql", True),
        ("postgres://db.internal/d", "db.internal", False),
        ("postgres://10.0.0.1/d", "10.0.0.1", False),
        ("postgres://localhost.evil.example/d", "localhost.evil.example", False),
        ("postgres:///d", None, False),  # PGHOST may say anything
    ],
)
def test_what_is_local_is_known(url: str, host: str | None, local: object):
    parsed = DatabaseUrl.parse(url)
    assert (parsed.host, parsed.is_local) == (host, local)


@pytest.mark.parametrize("dialect", [asyncpg.dialect(), psycopg.dialect()], ids=["asyncpg", "psycopg"])
@pytest.mark.parametrize("host", ["/run/postgresql", "::1", "db", None])
def test_sqlalchemy_hands_the_driver_the_host(dialect, host: str | None):
    url = replace(FULL, host=host).sqlalchemy(dialect.driver)
    assert dialect.create_connect_args(url)[1].get("host") == host
    assert dialect.create_connect_args(make_url(url.render_as_string(hide_password=False)))[1].get("host") == host


@given(user=TEXT, password=TEXT, host=HOSTS, port=st.integers(1, 65535), database=TEXT)
@example(user="a b", password="@:/?#[]%&=+ é😀", host="::1", port=1, database="a/b")
def test_an_encoded_address_comes_back_whole_and_as_libpq_reads_it(user, password, host, port, database):
    server = f"[{host}]" if ":" in host else host
    text = f"postgresql://{_enc(user)}:{_enc(password)}@{server}:{port}/{_enc(database)}"
    parsed = DatabaseUrl.parse(text)
    assert (parsed.user, parsed.port, parsed.database) == (user, port, database)
    assert parsed.password is not None
    assert parsed.password.get_secret_value() == password
    assert _host(parsed.host) == _host(host)
    libpq = conninfo_to_dict(text)
    assert (parsed.user, password, database) == (libpq["user"], libpq["password"], libpq["dbname"])
    assert _host(parsed.host) == _host(libpq["host"])
    sa = parsed.sqlalchemy("asyncpg")
    assert (sa.username, sa.password, sa.host, sa.port, sa.database) == (user, password, parsed.host, port, database)


@given(user=TEXT, password=TEXT, host=HOSTS, port=st.integers(1, 65535), database=st.from_regex(r"\w+", fullmatch=True))
def test_what_sqlalchemy_writes_is_read_the_same(user, password, host, port, database):
    written = URL.create("postgresql+psycopg", user, password, host, port, database)
    parsed = DatabaseUrl.parse(written.render_as_string(hide_password=False))
    assert parsed.sqlalchemy("psycopg") == written._replace(host=_host(host))


@given(TYPED, TYPED)
@example("@", "")
@example("/", "?x=")
@example("1/?", "=")
@example("", ":")
def test_a_raw_password_is_either_understood_or_refused_without_a_trace(before: str, after: str):
    assume("%" not in before + after)
    password = before + CANARY + after
    try:
        url = DatabaseUrl.parse(f"postgres://bot:{password}@db:5433/bots?connect_timeout=3")
    except ConfigurationError as error:
        _assert_silent(error)
        assert set(password) & set("/?")
    else:
        assert url == replace(FULL, password=SecretStr(password))
        assert CANARY not in f"{url} {url!r} {url.password}"


@given(st.text())
@example("postgres://u:[@h/d")
@example("postgres://[")
@example("sqlite:///\ud800")
def test_any_text_is_an_address_or_a_typed_refusal(text: str):
    for url in (text, f"postgres://{text}", f"postgres://u@h/d?{text}", f"sqlite://{text}"):
        try:
            outcome = str(DatabaseUrl.parse(url))
        except ConfigurationError as error:
            outcome = str(error)
        assert outcome.encode()  # which a lone surrogate would not survive


@pytest.mark.parametrize(
    "url",
    [
        f"postgres://bot:{CANARY}@db:port/bots",
        f"postgres://bot:{CANARY}",
        f"postgres://bot:{CANARY}@db",
        f"postgres://bot:{CANARY}@d b/bots",
        f"postgres://bot:{CANARY}@db/bots?colour={CANARY}",
        f"postgres://bot:1?{CANARY}",
        f"postgres://bot:{CANARY}/x@db/bots",
        f"postgres://bot:{CANARY}%ff@db/bots",
        f"postgres://bot@db/bots?password={CANARY}&password=x",
        f"mysql://bot:{CANARY}@db/bots",
        f"bot:{CANARY}@db/bots",
        f"sqlite://bot:{CANARY}@db/bots",
        f"sqlite:///bot?key={CANARY}",
    ],
)
@pytest.mark.parametrize("kind", [str, SecretStr])
def test_no_refusal_shows_a_secret(url: str, kind: type[str] | type[SecretStr]):
    with pytest.raises(ConfigurationError) as error:
        DatabaseUrl.parse(kind(url))
    _assert_silent(error.value)


def test_a_password_may_stand_in_the_query_as_libpq_allows():
    url = DatabaseUrl.parse(f"postgres://db:5433/bots?user=bot&password={CANARY}&connect_timeout=3")
    assert url == FULL


def test_no_text_of_an_address_shows_the_password():
    for shown in (str(FULL), repr(FULL), f"{FULL}", str(FULL.sqlalchemy("asyncpg")), repr(FULL.sqlalchemy("psycopg"))):
        assert CANARY not in shown
        assert "bot" in shown
    assert pickle.loads(pickle.dumps(FULL.tls)) == FULL.tls
    assert copy.copy(FULL) == FULL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6379", RedisUrl()),
        ("redis://localhost:6379/3", RedisUrl(db=3)),
        ("valkey://cache?db=3", RedisUrl(host="cache", db=3)),
        ("valkeys://cache", RedisUrl(scheme="rediss", host="cache")),
        ("rediss://u:a%20b@[::1]:1/0", RedisUrl("rediss", "::1", 1, "u", SecretStr("a b"))),
        ("redis://:pw@cache", RedisUrl(host="cache", password=SecretStr("pw"))),
        ("unix:///run/redis.sock?db=2", RedisUrl("unix", path="/run/redis.sock", db=2)),
        ("rediss://cache/1?ssl_ca_certs=/a%20b.pem", RedisUrl("rediss", "cache", db=1, ssl_ca_certs="/a b.pem")),
    ],
)
def test_a_cache_address_is_normalised(url: str, expected: RedisUrl):
    assert RedisUrl.parse(url) == expected
    assert RedisUrl.parse(expected.reveal()) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://cache",
        "redis://cache/zero",
        "redis://cache/1/2",
        "redis://cache?timeout=1",
        "unix://",
        "redis://cache/1?db=2",
        "redis://cache?ssl_ca_certs=/ca.pem",
        "redis://a b",
    ],
)
def test_a_wrong_cache_address_is_refused(url: str):
    with pytest.raises(ConfigurationError) as error:
        RedisUrl.parse(url)
    assert error.value.setting == "redis_url"


@given(user=TEXT, password=TEXT, host=HOSTS, port=st.integers(1, 65535), db=st.integers(0, 9999))
def test_the_redis_client_reads_what_we_write(user, password, host, port, db):
    import redis

    url = RedisUrl(host=host, port=port, user=user, password=SecretStr(password), db=db)
    assert RedisUrl.parse(url.reveal()) == replace(url, host=_host(host))
    read = redis.connection.parse_url(url.reveal())
    expected = {"username": user, "password": password, "host": host.lower(), "port": port, "db": db}
    assert read.items() >= expected.items()
    assert str(url) == url.reveal().replace(f":{_enc(password)}@", ":***@")


def _assert_silent(error: ConfigurationError) -> None:
    """Neither the error, nor what it came from, nor a traceback that shows the variables of our frames."""
    assert error.__context__ is None
    assert error.__cause__ is None
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(
        [frame for frame in report.stack if "/tests/" not in frame.filename]
    )
    assert report.stack
    for shown in (str(error), repr(error), str(vars(error)), "".join(report.format())):
        assert CANARY not in shown


def _host(host: str | None) -> str | None:
    try:
        return str(ipaddress.ip_address(host or ""))
    except ValueError:
        return host


def _enc(text: str) -> str:
    assert unquote(quote(text, safe="")) == text
    return quote(text, safe="")
