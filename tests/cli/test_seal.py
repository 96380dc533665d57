"""`undercroft db seal`: from a plain database through grace to a sealed one, to another key, and back."""

from collections.abc import Callable, Iterator

import pytest

from tests import databases, servers
from tests.cli.conftest import Ended

Call = Callable[..., Ended]

KEY, NEXT = databases.SEAL_KEY, "staple battery horse correct, at random"
VARIABLE = "UNDERCROFT_TENANT_SEAL_KEY"


@pytest.fixture(params=servers.names("postgresql"))
def addresses(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The administrator's and the application's address of a migrated database."""
    with databases.created(servers.url(request.param)) as admin:
        yield admin, databases.migrated(servers.url(request.param), admin)


def test_to_sealed_to_another_key_and_back(
    undercroft: Call, addresses: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, app = addresses
    told = []

    def seal(*options: str, address: str = admin) -> Ended:
        told.append(undercroft("-d", address, "db", "seal", *options, "--json"))
        return told[-1]

    def lists() -> int:
        return undercroft("-d", app, "tenants", "list").code

    missing = seal("--grace")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert VARIABLE in missing.err

    monkeypatch.setenv(VARIABLE, KEY)
    assert seal("--grace").json["mode"] == "grace"
    assert lists() == 0
    monkeypatch.delenv(VARIABLE)
    assert lists() == 0

    monkeypatch.setenv(VARIABLE, KEY)
    unasked = seal()
    assert unasked.code == 2
    assert "--yes" in unasked.err
    sealed = seal("--yes").json
    assert (sealed["mode"], len(sealed["keys"])) == ("sealed", 1)
    again = seal("--grace")
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert lists() == 0
    monkeypatch.delenv(VARIABLE)
    bare = undercroft("-d", app, "tenants", "list")
    assert (bare.code, bare.err.count("\n")) == (2, 1)
    assert VARIABLE in bare.err

    monkeypatch.setenv(VARIABLE, NEXT)
    assert lists() != 0
    assert seal("--yes").json["keys"][1:] == sealed["keys"]
    assert lists() == 0
    assert len(seal("--retire", "--yes").json["keys"]) == 1
    monkeypatch.setenv(VARIABLE, KEY)
    assert lists() != 0

    refused = seal("--off", "--yes", address=app)
    assert (refused.code, refused.err.count("\n")) == (3, 1)
    opened = seal("--off", "--yes").json
    assert (opened["mode"], opened["keys"]) == ("plain", [])
    monkeypatch.delenv(VARIABLE)
    assert lists() == 0
    assert not any(key in ended.out + ended.err for key in (KEY, NEXT) for ended in told)


def test_the_doctor_tries_to_forge_its_way_in(
    undercroft: Call, addresses: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, app = addresses
    monkeypatch.setenv(VARIABLE, KEY)
    databases.seal(admin)
    ended = undercroft("-d", app, "doctor")
    assert ended.code == 0
    assert ["proven", "SQL alone goes into no other tenant"] in ended.rows


def test_a_key_that_is_too_short_is_not_told(undercroft: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hunter2")
    ended = undercroft("db", "seal", "--yes")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert VARIABLE in ended.err
    assert "hunter2" not in ended.out + ended.err
