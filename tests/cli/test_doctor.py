"""`undercroft doctor`: its exit code tells whether something is severe, and it changes nothing unasked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import databases, servers
from tests.cli.conftest import Ended

Call = Callable[..., Ended]


def test_a_healthy_file(undercroft: Call) -> None:
    undercroft("init")
    ended = undercroft("doctor")
    assert ended.code == 0
    assert ["proven", "the file is whole"] in ended.rows
    told = undercroft("doctor", "--json").json
    assert told["severe"] is False
    assert {"findings", "proven", "unchecked", "hardening", "hardened", "schema_version", "database"} <= told.keys()


def test_something_severe_ends_with_3(undercroft: Call) -> None:
    undercroft("init")
    Path("undercroft.db").chmod(0o644)
    ended = undercroft("doctor")
    assert ended.code == 3
    [row] = [row for row in ended.rows if row[0] == "severe"]
    assert row[1] == "file.readable"
    assert row[4].startswith("chmod 600")
    told = undercroft("doctor", "--json")
    assert (told.code, told.json["severe"]) == (3, True)


def test_a_file_that_is_not_there_is_the_users_mistake(undercroft: Call) -> None:
    assert undercroft("doctor").code in {2, 3}
    assert not Path("undercroft.db").exists()


@pytest.mark.parametrize("server", servers.names("postgresql"))
def test_hardening_asks_first(undercroft: Call, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with databases.created(servers.url(server)) as admin_url:
        app_url = databases.migrated(servers.url(server), admin_url)
        monkeypatch.setenv("UNDERCROFT_MIGRATE_URL", admin_url)
        refused = undercroft("-d", app_url, "doctor", "--harden")
        assert refused.code == 2
        assert "--yes" in refused.err
        assert undercroft("-d", app_url, "doctor", "--json").json["hardening"]
        done = undercroft("-d", app_url, "doctor", "--harden", "--yes", "--json")
        assert done.code == 0
        assert any(statement.startswith("REVOKE ALL ON DATABASE") for statement in done.json["hardened"])
        assert done.json["hardening"] == []
        again = undercroft("-d", app_url, "doctor", "--harden", "--json").json  # nothing is left to ask about
        assert again["hardened"] == []
