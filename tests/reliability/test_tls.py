"""A store over TLS, with certificates on both sides: every call of both lanes, and each refusal a typed error."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests import databases, live, servers, tls as tls_servers
from tests.colours import LoopThread
from tests.tls import PLAIN_ONLY, TLS_ONLY, WITH_CERTIFICATE, TlsServer
from undercroft import Settings, Store, errors

# asyncpg leaves the socket of a connection that the server refuses after the handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", params=tls_servers.names())
def server(request: pytest.FixtureRequest, loop_thread: LoopThread) -> Iterator[TlsServer]:
    """A server whose databases are migrated, over TLS too."""
    with tls_servers.run(request.param, loop_thread) as started:
        for door in (WITH_CERTIFICATE, TLS_ONLY):
            with Store(settings=_settings(started, door, "verify-full", client=started.client)) as store:
                store.migrate()
        yield started


def _settings(
    server: TlsServer,
    door: str,
    mode: str,
    *,
    host: str = "localhost",
    ca: str | None = None,
    client: tuple[str, str] | None = None,
    user: str = "postgres",
) -> Settings:
    port, database = server.doors[door]
    given: dict[str, Any] = {"ssl_mode": mode}
    if mode.startswith("verify") or ca:
        given["ssl_ca"] = ca or server.ca
    if client:
        given |= {"ssl_cert": client[0], "ssl_key": client[1]}
    return Settings.load(f"postgresql://{user}@{host}:{port}/{database}", connect_timeout=5, **given)


def use(store: Any) -> None:
    key = f"slack:T{uuid4().hex}"
    store.tenants.ensure(key)
    tenant = store.tenant(key)
    tenant.audit.log("a.b")
    with tenant.transaction() as tx:
        tx.users.ensure("U1")
    assert [user.native_id for user in tenant.users.list()] == ["U1"]
    live.listening(live.names_of(tenant))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_store_with_a_certificate_works(server, colour, open_store, mode):
    use(open_store(colour, settings=_settings(server, WITH_CERTIFICATE, mode, client=server.client)))


@pytest.mark.parametrize("mode", ["allow", "prefer", "require", "verify-ca", "verify-full"])
def test_a_store_without_one_works_where_none_is_asked_for(server, colour, open_store, mode):
    use(open_store(colour, settings=_settings(server, TLS_ONLY, mode)))


def refused(open_store: Callable[..., Any], colour: str, settings: Settings) -> errors.UndercroftError:
    with pytest.raises(errors.UndercroftError) as raised:
        open_store(colour, settings=settings).tenants.list()
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_of_another_authority_is_refused(server, colour, open_store, mode):
    error = refused(open_store, colour, _settings(server, TLS_ONLY, mode, ca=server.other_ca))
    assert isinstance(error, errors.DatabaseUnavailable)
    assert "certificate is not trusted" in str(error)


def test_a_server_of_another_name_is_refused(server, colour, open_store):
    error = refused(open_store, colour, _settings(server, TLS_ONLY, "verify-full", host="127.0.0.1"))
    assert isinstance(error, errors.DatabaseUnavailable)
    assert "certificate names the host" in str(error)


@pytest.mark.parametrize("client", [None, "stranger"])
def test_a_missing_or_foreign_certificate_of_ours_is_refused(server, colour, open_store, client):
    mine = None if client is None else server.stranger
    error = refused(open_store, colour, _settings(server, WITH_CERTIFICATE, "verify-full", client=mine))
    assert isinstance(error, errors.DatabaseError)


def test_a_server_without_tls_is_refused(server, colour, open_store):
    for mode in ("require", "verify-full"):
        assert isinstance(
            refused(open_store, colour, _settings(server, PLAIN_ONLY, mode)),
            errors.DatabaseUnavailable | errors.LoginRefused,
        )


def test_control_without_verification_the_impostor_is_believed(server, colour, open_store):
    use(open_store(colour, settings=_settings(server, TLS_ONLY, "require", host="127.0.0.1")))


@pytest.mark.parametrize(
    ("parts", "error"),
    [({"user": "nobody_of_this_name"}, errors.LoginRefused), ({"database": "no_such"}, errors.CannotOpen)],
    ids=["login", "database"],
)
def test_what_the_server_refuses_has_its_own_error(colour, open_store, parts, error):
    given = {"username" if name == "user" else name: value for name, value in parts.items()}
    url = databases.changed(servers.url("postgresql"), **given)
    assert isinstance(refused(open_store, colour, Settings.load(url)), error)


def test_a_server_that_is_not_there_has_its_own_error(colour, open_store):
    settings = Settings.load("postgresql://postgres@127.0.0.1:9/postgres")
    assert isinstance(refused(open_store, colour, settings), errors.DatabaseUnavailable)
