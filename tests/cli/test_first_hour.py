"""The first hour of a user on every engine, command after command; and his own tables on the way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import databases, servers
from tests.cli.conftest import Ended
from tests.cli.workspaces import BROKEN, KEY, export

Call = Callable[..., Ended]

MODELS = """
from uuid import UUID
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from undercroft.models import Base

class Quote(Base):
    __tablename__ = "first_hour_quotes"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
"""


def test_from_nothing_to_an_answer(empty_database_url: str, undercroft: Call, tmp_path: Path):
    def call(*arguments: str | Path) -> Ended:
        ended = undercroft("-d", empty_database_url, "--quiet", *arguments)
        assert (ended.code, ended.err) == (0, ""), arguments
        return ended

    call("init")
    call("init")
    path = export(tmp_path / "a.zip", 90)
    assert call("import", "slack", path, "--json").json["added"] == 90
    assert call("import", "slack", path, "--json").json["added"] == 0
    assert len(call("import", "quarantine").rows) == BROKEN
    assert len(call("search", '"refund policy"').rows) == 12
    assert len(call("search", "返金", "--limit", "50").rows) == 30
    assert call("search", "message", "--author", "ada", "--channel", "#general", "--has", "reaction").rows
    assert ["messages", "90"] in call("stats").rows
    assert call("stats", "--json").json["tenants"][0]["most_active"][0]["messages"] > 10
    assert ["status", "healthy"] in call("health").rows
    call("tenants", "delete", KEY)
    assert call("tenants", "purge", KEY, "--yes", "--json").json["rows_removed"] > 90
    assert call("db", "current", "--json").json["is_newest"] is True
    assert call("db", "downgrade", "base", "--yes", "--json").json["after"] == []


@pytest.mark.parametrize("server", servers.names("postgresql"))
def test_a_login_without_the_right_to_change_the_schema(server: str, undercroft: Call, tmp_path: Path):
    with databases.created(servers.url(server)) as owner:
        application = databases.migrated(servers.url(server), owner)
        ended = undercroft("-d", application, "import", "slack", export(tmp_path / "a.zip", 30), "--json")
        assert (ended.code, ended.err) == (0, "")
        assert ended.json["added"] == 30
        refused = undercroft("-d", application, "db", "downgrade", "base", "--yes")
        assert (refused.code, refused.err.count("\n")) == (3, 1)
        assert databases.LOGIN not in refused.err.replace(f"{databases.LOGIN}_", "")


def test_a_server_without_our_tables_says_how_to_make_them(undercroft: Call):
    with databases.created(servers.url(servers.names("postgresql")[0])) as empty:
        ended = undercroft("-d", empty, "stats")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "undercroft db upgrade" in ended.err


def test_the_warning_for_a_superuser_is_one_line_and_quiet_means_quiet(undercroft: Call):
    with databases.created(servers.url(servers.names("postgresql")[0])) as admin:
        assert undercroft("-d", admin, "init", "--quiet").err == ""
        loud = undercroft("-d", admin, "stats")
    assert loud.code == 0
    assert loud.err.startswith("undercroft: warning: ")
    assert loud.err.count("\n") == 1


def test_a_revision_of_ones_own_tables(program: Call, undercroft: Call):
    Path("mybot.py").write_text(MODELS)
    undercroft("init")
    writing = ("db", "revision", "quotes", "--directory", "mine", "--models", "mybot", "--json")
    written = program(*writing)  # in a process of its own: a model belongs to the metadata of all
    assert (written.code, written.err) == (0, "")
    path = Path(written.json["path"])
    assert path.parent.name == "mine"
    assert "first_hour_quotes" in path.read_text()
    assert len(undercroft("db", "upgrade", "--revisions", "mine", "--json").json["after"]) == 2
    steps = undercroft("db", "history", "--revisions", "mine", "--json").json["revisions"]
    assert {step["branch"] for step in steps} == {"undercroft", "app"}
    assert program(*writing).json["path"] is None


@pytest.mark.parametrize(
    "arguments", [["x", "--models", "no.such.module"], [" "], ["x", "--directory", "undercroft.db/below"]]
)
def test_a_revision_that_cannot_be_written(arguments: list[str], undercroft: Call):
    undercroft("init")
    ended = undercroft("db", "revision", *arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
