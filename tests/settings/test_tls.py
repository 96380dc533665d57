"""TLS against real servers: every mode, both drivers, right and wrong authorities, names and certificates."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests import tls as tls_servers
from tests.colours import LoopThread
from tests.tls import EITHER_WAY, PLAIN_ONLY, TLS_ONLY, WITH_CERTIFICATE, TlsServer, issue
from undercroft.errors import ConfigurationError
from undercroft.settings.tls import MODES, Tls
from undercroft.settings.urls import DatabaseUrl

# asyncpg leaves the socket of a connection that the server refuses after the handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", params=tls_servers.names())
def server(request: pytest.FixtureRequest, loop_thread: LoopThread) -> Iterator[TlsServer]:
    with tls_servers.run(request.param, loop_thread) as started:
        yield started


@pytest.fixture(params=["asyncpg", "psycopg"])
def encrypted(request: pytest.FixtureRequest) -> Callable[[DatabaseUrl], bool | None]:
    """Connects with a driver and tells whether the connection is encrypted, or None if there is none."""

    def ask(url: DatabaseUrl) -> bool | None:
        try:
            return _with_asyncpg(url) if request.param == "asyncpg" else _with_psycopg(url)
        except ConfigurationError:
            raise
        except Exception:  # noqa: BLE001 - each driver has its own errors, and some are of the ssl module
            return None

    return ask


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("disable", (False, None, False)),
        ("allow", (False, True, False)),
        ("prefer", (True, True, False)),
        ("require", (True, True, None)),
        ("verify-ca", (True, True, None)),
        ("verify-full", (True, True, None)),
    ],
)
def test_a_mode_encrypts_and_refuses_as_libpq_says(server, encrypted, mode, expected):
    tls = Tls(mode, ca=server.ca if mode.startswith("verify") else None)
    doors = (EITHER_WAY, TLS_ONLY, PLAIN_ONLY)
    assert tuple(encrypted(server.url(door, tls)) for door in doors) == expected


def test_all_modes_are_tested():
    assert MODES == ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_of_another_authority_is_refused(server, encrypted, mode):
    assert encrypted(server.url(TLS_ONLY, Tls(mode, ca=server.ca))) is True
    assert encrypted(server.url(TLS_ONLY, Tls(mode, ca=server.other_ca))) is None


def test_without_an_authority_nothing_is_verified(server, encrypted):
    assert encrypted(server.url(TLS_ONLY, Tls("require"), host="127.0.0.1")) is True


def test_only_verify_full_asks_for_the_name(server, encrypted):
    assert encrypted(server.url(TLS_ONLY, Tls("verify-full", ca=server.ca), host="localhost")) is True
    assert encrypted(server.url(TLS_ONLY, Tls("verify-full", ca=server.ca), host="127.0.0.1")) is None
    assert encrypted(server.url(TLS_ONLY, Tls("verify-ca", ca=server.ca), host="127.0.0.1")) is True


def test_the_machines_authorities_do_not_know_this_server(server, encrypted):
    assert encrypted(server.url(TLS_ONLY, Tls("verify-full", ca="system"))) is None


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_ours_is_shown(server, encrypted, mode):
    ca = server.ca if mode.startswith("verify") else None
    with_client = Tls(mode, ca, *server.client)
    assert encrypted(server.url(WITH_CERTIFICATE, with_client)) is True
    assert encrypted(server.url(WITH_CERTIFICATE, Tls(mode, ca))) is None
    assert encrypted(server.url(WITH_CERTIFICATE, Tls(mode, ca, *server.stranger))) is None


@pytest.mark.parametrize("environment", [{"PGSSLMODE": "disable"}, {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/x"}])
def test_libpqs_variables_do_not_change_a_mode(server, encrypted, environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert encrypted(server.url(EITHER_WAY, Tls("require"))) is True
    assert encrypted(server.url(EITHER_WAY, Tls("disable"))) is False


def test_a_key_that_does_not_fit_is_refused_before_anything_is_sent(server, tmp_path):
    certificate, key = server.client
    _, other_key = server.stranger
    assert _refused(Tls("require", cert=certificate, key=other_key)) == "ssl_key"
    encrypted_key = issue("postgres").write(tmp_path, "sealed", passphrase=b"secret")
    assert _refused(Tls("require", cert=encrypted_key[0], key=encrypted_key[1])) == "ssl_key"
    assert _refused(Tls("require", cert=certificate, key=str(tmp_path / "nowhere"))) == "ssl_key"
    assert _refused(Tls("require", cert=key, key=key)) == "ssl_key"
    Tls("require", cert=certificate, key=key).check_files()


def test_a_key_that_others_may_read_is_refused(server, tmp_path):
    certificate, key = issue("postgres").write(tmp_path, "open")
    Path(key).chmod(0o604)
    assert _refused(Tls("require", cert=certificate, key=key)) == "ssl_key"


def test_an_unknown_mode_is_refused():
    with pytest.raises(ConfigurationError, match="verify-full"):
        Tls("verify_full")  # type: ignore[arg-type]


def _refused(tls: Tls) -> str | None:
    with pytest.raises(ConfigurationError) as at_the_start:
        tls.check_files()
    with pytest.raises(ConfigurationError) as at_connecting:
        tls.for_asyncpg()
    assert str(at_the_start.value) == str(at_connecting.value)
    return at_the_start.value.setting


def _with_asyncpg(url: DatabaseUrl) -> bool:
    async def ask() -> bool:
        arguments = url.connect_args("asyncpg")
        engine = create_async_engine(url.sqlalchemy("asyncpg"), connect_args=arguments, poolclass=NullPool)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            driver = (await connection.get_raw_connection()).driver_connection
            return driver._transport.get_extra_info("ssl_object") is not None

    return asyncio.run(ask())


def _with_psycopg(url: DatabaseUrl) -> bool:
    engine = create_engine(url.sqlalchemy("psycopg"), connect_args=url.connect_args("psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        return connection.connection.driver_connection.pgconn.ssl_in_use
