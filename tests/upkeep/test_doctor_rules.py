"""What the doctor makes of facts: versions, rights and files that no test server has."""

from dataclasses import replace

import pytest

from undercroft.upkeep.doctor.file import File, file_findings, loses_commits
from undercroft.upkeep.doctor.report import Finding, Report
from undercroft.upkeep.doctor.server import Server, hardening, pooler_findings, server_findings

HEALTHY = Server(
    database="bots",
    login="bot",
    superuser=False,
    bypasses_walls=False,
    owner=False,
    in_app=True,
    in_fleet=True,
    version_number=150020,
    version="15.20",
    remote=False,
    encrypted=False,
    standby=False,
    public_on_database=[],
    public_on_schema=[],
    public_schema_in_use=False,
    passing_logins=["bot"],
    search_without_tenant=False,
    invalid_indexes=[],
    without_this_year=[],
    writes_safely=True,
    waits_for_disk=True,
    citus=False,
)
FILE = File("bot.db", 0o600, (3, 51, 3), "wal", [], [])


def told(server: Server) -> dict[str, str]:
    return {finding.code: finding.severity for finding in server_findings(server)}


def test_a_healthy_server_has_no_findings() -> None:
    assert told(HEALTHY) == {}
    assert hardening(HEALTHY) == []


@pytest.mark.parametrize(
    ("number", "version", "severity"),
    [
        (130022, "13.22", "severe"),
        (140024, "14.24", "severe"),
        (150013, "15.13", "severe"),
        (150014, "15.14", "warning"),
        (150018, "15.18", "warning"),
        (150019, "15.19", None),
        (160009, "16.9", "severe"),
        (160015, "16.15", None),
        (170005, "17.5", "severe"),
        (170010, "17.10", "warning"),
        (180000, "18.0", "warning"),
        (180006, "18.6", None),
        (190000, "19.0", None),
    ],
)
def test_servers_that_lack_corrections(number: int, version: str, severity: str | None) -> None:
    assert told(replace(HEALTHY, version_number=number, version=version)).get("server.outdated") == severity


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"superuser": True}, {"login.passes-walls": "severe"}),
        ({"bypasses_walls": True}, {"login.passes-walls": "severe"}),
        ({"owner": True}, {"login.passes-walls": "severe"}),
        ({"in_app": False}, {"login.no-role": "severe"}),
        ({"bypasses_walls": True, "in_app": False}, {"login.passes-walls": "severe", "login.no-role": "severe"}),
        ({"in_fleet": False}, {"login.no-fleet": "note"}),
        ({"passing_logins": ["bot", "root"]}, {"login.others-pass": "note"}),
        ({"remote": True}, {"network.plain": "warning"}),
        ({"remote": True, "encrypted": True}, {}),
        ({"public_on_database": ["TEMPORARY"]}, {"public.database": "warning"}),
        ({"public_on_schema": ["USAGE"]}, {"public.schema": "warning"}),
        ({"public_on_schema": ["USAGE"], "public_schema_in_use": True}, {}),
        ({"public_on_schema": ["CREATE"], "public_schema_in_use": True}, {"public.schema": "warning"}),
        ({"writes_safely": False}, {"server.unsafe": "severe"}),
        ({"waits_for_disk": False}, {"server.async-commit": "warning"}),
    ],
)
def test_what_a_server_is_told_to_change(change: dict[str, object], expected: dict[str, str]) -> None:
    assert told(replace(HEALTHY, **change)) == expected  # type: ignore[arg-type]  # names and types stand above


def test_names_are_quoted_in_statements() -> None:
    odd = replace(HEALTHY, database='my"db', login="b o t", public_on_database=["CONNECT"])
    grant, revoke = hardening(odd)
    assert '"my""db"' in revoke
    assert '"b o t"' in grant


def test_a_pooler_is_worse_where_nothing_works() -> None:
    assert [finding.severity for finding in pooler_findings(said=False, works=True)] == ["warning"]
    assert [finding.severity for finding in pooler_findings(said=False, works=False)] == ["severe"]
    assert list(pooler_findings(said=True, works=True)) == []


@pytest.mark.parametrize(
    ("version", "loses"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_versions_of_sqlite_that_may_lose_commits(version, loses) -> None:
    assert loses_commits(version) is loses


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mode": 0o640}, "file.readable"),
        ({"mode": 0o604}, "file.readable"),
        ({"damage": ["row 3 missing from index"]}, "file.damaged"),
        ({"orphans": ["users"]}, "file.orphans"),
        ({"journal": "delete"}, "file.journal"),
        ({"version": (3, 40, 1)}, "sqlite.wal-reset"),
    ],
)
def test_what_a_file_is_told_to_change(change: dict[str, object], code: str) -> None:
    assert list(file_findings(FILE)) == []
    assert [finding.code for finding in file_findings(replace(FILE, **change))] == [code]  # type: ignore[arg-type]  # as above


def test_a_report_is_severe_by_its_worst_finding() -> None:
    def one(severity: str) -> Finding:
        return Finding("code", severity, "", "", "")  # type: ignore[arg-type]  # one of the three

    assert not Report([one("note"), one("warning")]).severe
    assert Report([one("note"), one("severe")]).severe
