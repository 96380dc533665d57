"""docs/postgresql.md: its statements run as they stand, and what they make is what the doctor calls healthy."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests import databases, servers
from undercroft import Settings, Store
from undercroft.upkeep.doctor import file, server

PAGE = (Path(__file__).parent.parent.parent / "docs" / "postgresql.md").read_text()
ROLES, BACKUP, PARTITIONS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(params=servers.names("postgresql"))
def made(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """What the first set-up makes, under names of its own: the administrator's address, and what the names end with."""
    admin_url, ending = servers.url(request.param), f"_{uuid4().hex[:8]}"
    with databases.administrator(admin_url) as run:
        run("SELECT pg_advisory_lock(hashtext('undercroft tests'))")  # the roles are everybody's on the server
        for statement in _renamed(ROLES, ending).split(";\n"):
            if statement.strip() and not _exists(run, statement):
                run(statement)
    try:
        yield databases.changed(admin_url, database=f"bots{ending}"), ending
    finally:
        with databases.administrator(admin_url) as run:
            run(f"DROP DATABASE bots{ending} WITH (FORCE)")
            for login in ("bot", "bot_migrator", "bot_backup"):
                run(f"DROP ROLE IF EXISTS {login}{ending}")


def _renamed(text: str, ending: str) -> str:
    return re.sub(r"\b(bots|bot_migrator|bot_backup|bot)\b", rf"\1{ending}", text)


def _exists(run, statement: str) -> bool:
    found = re.search(r"CREATE ROLE (undercroft_\w+) NOLOGIN", statement)
    return bool(found and run("SELECT 1 FROM pg_roles WHERE rolname = %s", [found[1]]).fetchone())


def test_the_first_set_up_ends_with_a_healthy_database(made: tuple[str, str]) -> None:
    admin_url, ending = made
    app_url, migrate_url, backup_url = (
        databases.changed(admin_url, username=f"{login}{ending}", password=password)
        for login, password in (("bot", "change-me-2"), ("bot_migrator", "change-me-1"), ("bot_backup", "change-me-3"))
    )
    settings = Settings.load(app_url, env_file=None, migrate_url=migrate_url, preset="production")
    with Store(settings=settings) as store:
        store.migrate()
        report = store.doctor(harden=True)
        assert report.unchecked == ["foreign rows of audit_archives: no row could be made there"]
        assert not report.severe
        assert {finding.code for finding in report.findings} <= {"login.others-pass", "server.outdated"}
        store.tenants.ensure("slack:T1")
        store.tenant("slack:T1").users.ensure("U1")
        assert store.tenant("slack:T1").db.fetch(PARTITIONS.strip().removesuffix(";"))
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute(_renamed(BACKUP, ending))
        assert not store.doctor().severe
        assert f"bot_backup{ending}" in {
            name
            for one in store.doctor().findings
            if one.code == "login.others-pass"
            for name in one.detail.split(", ")
        }
    with psycopg.connect(backup_url) as connection:
        assert connection.execute("SELECT count(*) FROM undercroft.users").fetchone() == (1,)
        for table in ("messages", "messages_default"):
            assert connection.execute(f"SELECT count(*) FROM undercroft.{table}").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM undercroft.users")


def test_every_finding_is_on_the_page() -> None:
    source = "".join(Path(module.__file__ or "").read_text() for module in (server, file))
    codes = set(re.findall(r'"((?:login|server|network|public|pooler|index|partition)\.[a-z-]+)"', source))
    assert len(codes) > 12
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_every_command_on_the_page_is_one() -> None:
    from undercroft.cli.reference import commands

    known = {path for path, _ in commands()}
    named = {match.split(" -")[0].strip() for match in re.findall(r"`(undercroft(?: [a-z]+)+)", PAGE)}
    assert named
    assert named <= known
