"""crm and meetings: what the operator of a bot that takes meetings in is asked."""

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.cli.conftest import Ended
from undercroft import Store

Call = Callable[..., Ended]
KEY = "slack:T024BE7LD"


@pytest.fixture
def filled(undercroft: Call) -> Call:
    """The program, in a directory with the database of a bot that has taken some meetings in."""
    with Store("sqlite:///undercroft.db") as store:
        store.tenants.ensure(KEY, name="Acme")
        acme = store.tenant(KEY)
        acme.users.ensure("U1", name="ada", display_name="Ada Lovelace", role="owner")
        acme.crm.connect("hubspot", credentials="env:HUBSPOT_KEY", by="U1")
        acme.crm.disconnect(acme.crm.connect("crono", credentials="vault:crono").id)
        acme.crm.map_account("acme.example", "A1", account_name="Acme \x1b[2J", verified=True, by="U1")
        acme.crm.map_account("other.example", "A2")
        for number in range(3):
            acme.meetings.start(f"m{number}", source="zoom", user="U1", title=f"Meeting {number}")
        acme.meetings.fail(acme.meetings.list()[0].id, "no sound")
    return undercroft


def test_connections_and_where_their_secrets_lie(filled: Call):
    [hubspot] = filled("crm", "list").rows
    assert hubspot[:5] == ["hubspot", "", "true", "env:HUBSPOT_KEY", "U1"]
    told = filled("crm", "list", "--all", "--json").json
    assert [(one["provider"], one["is_default"], one["credentials"]) for one in told["connections"]] == [
        ("hubspot", True, "env:HUBSPOT_KEY"),
        ("crono", False, ""),
    ]


def test_accounts_and_those_nobody_has_verified(filled: Call):
    rows = filled("crm", "accounts").rows
    assert [row[:5] for row in rows] == [
        ["acme.example", "A1", "Acme \N{REPLACEMENT CHARACTER}[2J", "true", "U1"],
        ["other.example", "A2", "", "false", ""],
    ]
    assert [row[0] for row in filled("crm", "accounts", "--suggested").rows] == ["other.example"]
    assert filled("crm", "accounts", "--connection", str(UUID(int=0))).rows == []
    assert filled("crm", "accounts", "--connection", "one").code == 2


def test_meetings_and_how_each_came_on(filled: Call):
    told = filled("meetings", "list", "--json").json
    assert told["states"] | {"received": 2, "failed": 1} == told["states"]
    assert [one["title"] for one in told["meetings"]] == ["Meeting 2", "Meeting 1", "Meeting 0"]
    rows = filled("meetings", "list", "--state", "failed", "--since", "1h", "--user", "U1").rows
    assert [row[1:6] for row in rows] == [["Ada Lovelace", "Meeting 2", "failed", "1", "no sound"]]
    shown = filled("meetings", "show", rows[0][6], "--json").json
    assert (shown["meeting"]["failed_from"], [one["state"] for one in shown["history"]]) == (
        "received",
        ["received", "failed"],
    )
    lines = filled("meetings", "show", rows[0][6]).rows
    assert ["state", "failed"] in lines
    assert lines[-1][1:] == ["failed", "no sound"]
    missing = filled("meetings", "show", str(UUID(int=0)))
    assert (missing.code, "no such meeting" in missing.err) == (2, True)
