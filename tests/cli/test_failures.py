"""A mistake gives one line that names the fix and a code a script can read; a traceback is for our own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, command
from undercroft import errors
from undercroft.cli.failures import advised, exit_code
from undercroft.errors.reference import every_error

Call = Callable[..., Ended]

MISTAKES = {
    "an unknown command": ["nonsense"],
    "an unknown option": ["stats", "--nonsense"],
    "an option without its value": ["stats", "-d"],
    "an argument that is missing": ["search"],
    "an argument too many": ["stats", "now"],
    "a wrong choice": ["search", "x", "--order", "random"],
    "no number": ["search", "x", "--limit", "many"],
    "no address": ["-d", "nonsense", "stats"],
    "an address of another kind": ["-d", "mysql://localhost/x", "stats"],
    "a directory that is not there": ["-d", "sqlite:///no/such/place/x.db", "init"],
    "a directory in place of a file": ["-d", "sqlite:///.", "stats"],
    "two addresses": ["init", "sqlite:///a.db", "-d", "sqlite:///b.db"],
    "a tenant without its platform": ["tenants", "ensure", "T1"],
    "a tenant that is not there": ["tenants", "show", "slack:T9"],
    "no tenant": ["tenants", "show"],
    "two tenants": ["tenants", "show", "slack:T1", "--tenant", "slack:T2"],
    "no such revision": ["db", "upgrade", "nonsense"],
    "no such revision to take back to": ["db", "downgrade", "nonsense", "--yes"],
    "no such statements": ["db", "sql", "a:b"],
    "no key to seal with": ["db", "seal", "--yes"],
    "no way to seal and open at once": ["db", "seal", "--off", "--retire", "--yes"],
    "nobody to ask before opening": ["db", "seal", "--off"],
    "a file to open": ["db", "seal", "--off", "--yes"],
    "an export that is not there": ["import", "slack", "nowhere.zip"],
    "an export that is none": ["import", "slack", "undercroft.db"],
}


@pytest.mark.parametrize("arguments", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_gives_one_line_and_the_code_2(arguments: list[str], undercroft: Call):
    undercroft("init")
    ended = undercroft(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("undercroft: ")
    assert ended.err.count("\n") == 1
    assert ": " in ended.err.removeprefix("undercroft: ")  # what is wrong, then the fix
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", MISTAKES.values(), ids=MISTAKES.keys())
def test_with_json_the_mistake_is_an_object_as_well(arguments: list[str], undercroft: Call):
    undercroft("init")
    ended = undercroft(*arguments, "--json")
    assert ended.code == 2
    assert ended.json["schema_version"] == 1
    assert set(ended.json["error"]) == {"code", "message", "hint", "retryable"}
    assert ended.err.count("\n") == 1


def test_a_mistake_in_a_process_of_its_own(program: Call):
    ended = program("-d", "sqlite:///no/such/place/x.db", "init")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)


def test_a_wrong_setting_is_named_and_its_value_is_not(undercroft: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNDERCROFT_DATABASE_URL", "postgres//u:hunter2@h/x")
    ended = undercroft("health")
    assert ended.code == 2
    assert "UNDERCROFT_DATABASE_URL" in ended.err
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("name", ["stats", "init", "db upgrade", "db current", "tenants list", "search x"])
def test_a_server_that_does_not_answer_is_3_and_the_password_is_not_told(name: str, undercroft: Call):
    ended = undercroft(*name.split(), "-d", "postgresql://u:hunter2@127.0.0.1:1/x")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("name", ["stats", "db current"])
def test_a_driver_that_is_not_installed_is_named(name: str, undercroft: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ended = undercroft(*name.split(), "-d", "postgresql://u@127.0.0.1:1/x")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "pip install 'undercroft[postgres]'" in ended.err


def test_a_damaged_file_is_3(undercroft: Call):
    Path("undercroft.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for arguments in (["stats"], ["db", "current"], ["init"], ["tenants", "list"]):
        ended = undercroft(*arguments)
        assert (ended.code, ended.err.count("\n")) == (3, 1), arguments


@pytest.mark.parametrize("error", every_error())
def test_every_error_is_the_users_or_the_databases(error: type[errors.UndercroftError]):
    is_databases = issubclass(error, errors.DatabaseError | errors.CommitUnknown)
    is_address = issubclass(error, errors.CannotOpen | errors.LoginRefused)
    expected = 4 if error is errors.AuditDamaged else 3 if is_databases and not is_address else 2
    assert exit_code(error()) == expected


@pytest.mark.parametrize("error", every_error())
def test_no_advice_at_the_terminal_is_a_line_of_python(error: type[errors.UndercroftError]):
    if error not in {errors.TenantNotSet, errors.WrongColour, errors.StoreClosed}:  # no command can be wrong like that
        assert "store." not in advised(error()).hint.replace("store.migrate()", "")


def test_advice_given_by_hand_is_left_alone():
    assert advised(errors.TenantUnknown(hint="look there")).hint == "look there"


def test_a_reader_that_leaves_early_is_no_failure():
    with subprocess.Popen(command("db", "sql"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141
