"""Errors: one line with the fix, a stable code, and drivers' codes classified without reading a message."""

import copy
import pickle
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg.errors
import pytest
from hypothesis import given, strategies as st

from undercroft import errors
from undercroft.errors import UndercroftError, from_sqlite, from_sqlstate
from undercroft.errors.reference import every_error, markdown

REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "errors.md"
EVERY = every_error()
# Drivers' own lists: what a server or SQLite may send.
SQLSTATES = sorted({state for state in vars(psycopg.errors)["_sqlcodes"] if re.fullmatch("[0-9A-Z]{5}", state)})
FAMILIES = (
    "ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL "
    "EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB NOTICE WARNING"
)
SQLITE_CODES = {  # result codes share their prefix with the authorizer's actions and the limits
    name: code
    for name, code in vars(sqlite3).items()
    if name.startswith("SQLITE_") and name.split("_")[1] in FAMILIES.split()
}


def test_the_reference_is_what_the_classes_say():
    assert REFERENCE.read_text() == markdown(), "write it again: python -m undercroft.errors > docs/reference/errors.md"


def test_the_command_prints_it():
    command = [sys.executable, "-W", "error", "-m", "undercroft.errors"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == markdown()


def test_every_public_class_is_in_the_reference():
    assert {error.__name__ for error in EVERY} == {name for name in errors.__all__ if not name.startswith("from_")}
    assert set(EVERY) == {UndercroftError, *_below(UndercroftError)}


@pytest.mark.parametrize("error", EVERY)
def test_a_class_has_a_code_a_default_message_and_a_fix(error: type[UndercroftError]):
    assert re.fullmatch(r"[a-z]+([.-][a-z]+)*", error.code)
    assert "code" in vars(error)
    assert re.fullmatch(r"[A-Z].*[.]", (error.__doc__ or "").partition("\n")[0])
    shown = str(error())
    assert "\n" not in shown
    assert shown.startswith(error().message.removesuffix("."))
    if error is not UndercroftError:
        assert error().hint
        assert shown.endswith(error().hint)


def test_codes_are_unique():
    assert [code for code, times in Counter(error.code for error in EVERY).items() if times > 1] == []


def test_only_a_lost_race_or_a_lost_server_is_worth_repeating():
    assert {error.__name__ for error in EVERY if error.retryable} == {
        "DatabaseUnavailable",
        "Deadlock",
        "LockTimeout",
        "SerializationFailure",
    }


@pytest.mark.parametrize("error", EVERY)
@pytest.mark.parametrize("clone", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_survives_being_copied_and_sent_to_another_process(error: type[UndercroftError], clone: Any):
    first = error("it broke", hint="mend it", tenant="slack:T1")
    again = clone(first)
    assert type(again) is error
    assert (str(again), again.context, again.hint) == (str(first), first.context, "mend it")


def test_a_message_of_ones_own_keeps_the_fix_of_the_class():
    assert str(errors.TenantUnknown("no tenant", tenant="slack:T9")) == (
        "no tenant (tenant slack:T9): create it first with store.tenants.ensure(...)"
    )
    assert str(errors.NotFound("no quote 7", hint="list them with quotes.list()")) == (
        "no quote 7: list them with quotes.list()"
    )


def test_what_an_error_is_about_is_readable_without_parsing_it():
    assert errors.ConfigurationError("x", setting="pool_size").setting == "pool_size"
    assert errors.InvalidInput("x", field="e-mail").field == "e-mail"
    assert errors.InvalidInput().field is None
    assert errors.MissingExtra(extra="redis").extra == "redis"
    assert str(errors.MissingExtra(extra="redis")).endswith("pip install 'undercroft[redis]'")
    assert errors.DatabaseError(table="t", column=None).context == {"table": "t"}


def test_a_constraint_is_named_and_no_value():
    said = str(errors.UniqueViolation(constraint="uq_users_email", sqlstate="23505", detail="(a@b.c) already exists"))
    assert "uq_users_email" in said
    assert "a@b.c" not in said


@given(st.text(), st.text(), st.text())
def test_an_error_is_one_printable_line_whatever_it_is_told(message: str, hint: str, tenant: str):
    error = errors.TenantUnknown(message, hint=hint, tenant=tenant)
    said = str(error)
    assert said.isprintable()
    said.encode()
    assert str(pickle.loads(pickle.dumps(error))) == said


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("40001", errors.SerializationFailure),
        ("40P01", errors.Deadlock),
        ("40003", errors.CommitUnknown),
        ("08007", errors.CommitUnknown),
        ("08000", errors.DatabaseUnavailable),
        ("08006", errors.DatabaseUnavailable),
        ("57P01", errors.DatabaseUnavailable),
        ("57P03", errors.DatabaseUnavailable),
        ("53300", errors.DatabaseUnavailable),
        ("57P04", errors.CannotOpen),
        ("3D000", errors.CannotOpen),
        ("57014", errors.QueryTimeout),
        ("55P03", errors.LockTimeout),
        ("53100", errors.DatabaseFull),
        ("58030", errors.StorageFailure),
        ("XX001", errors.DatabaseCorrupt),
        ("XX000", errors.DatabaseError),
        ("23505", errors.UniqueViolation),
        ("23503", errors.ForeignKeyViolation),
        ("23502", errors.NotNullViolation),
        ("23514", errors.CheckViolation),
        ("23P01", errors.ConstraintViolation),
        ("22P02", errors.InvalidInput),
        ("22021", errors.InvalidInput),
        ("25006", errors.ReadOnly),
        ("28P01", errors.LoginRefused),
        ("42501", errors.PermissionDenied),
        ("42601", errors.SyntaxRefused),
        ("42P01", errors.SyntaxRefused),
        ("26000", errors.PoolerMismatch),
        ("42P05", errors.PoolerMismatch),
        ("P0001", errors.DatabaseError),
        ("UC001", errors.TenantUnknown),
        ("UC002", errors.TenantDeleted),
        ("UC003", errors.TenantMismatch),
        ("UC004", errors.AccessDenied),
        ("UC005", errors.TenantSealRequired),
        ("UC006", errors.TenantSealRefused),
        ("UC007", errors.TenantSealExpired),
        ("UC999", errors.DatabaseError),
        ("99999", errors.DatabaseError),
        ("08ZZZ", errors.DatabaseUnavailable),
        ("", errors.DatabaseError),
    ],
)
def test_an_sqlstate_has_one_meaning(state: str, error: type[UndercroftError]):
    assert from_sqlstate(state) is error


def test_of_all_sqlstates_only_these_are_worth_repeating():
    assert len(SQLSTATES) > 200
    transient = {state for state in SQLSTATES if from_sqlstate(state).retryable}
    connection = {"08000", "08001", "08003", "08004", "08006", "08P01", "25P03"}
    server = {"53300", "57000", "57P01", "57P02", "57P03", "57P05"}
    assert transient == connection | server | {"40000", "40001", "40P01", "55P03", "72000"} & set(SQLSTATES)
    assert not any(from_sqlstate(state).retryable for state in SQLSTATES if state[:2] in {"22", "23", "42"})


@pytest.mark.parametrize(("name", "code"), SQLITE_CODES.items())
def test_a_sqlite_code_means_the_same_by_name_and_by_number(name: str, code: int):
    assert from_sqlite(name) is from_sqlite(code)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("SQLITE_BUSY", errors.LockTimeout),
        ("SQLITE_BUSY_RECOVERY", errors.LockTimeout),
        ("SQLITE_BUSY_SNAPSHOT", errors.SerializationFailure),
        ("SQLITE_LOCKED_SHAREDCACHE", errors.LockTimeout),
        ("SQLITE_FULL", errors.DatabaseFull),
        ("SQLITE_IOERR_FSYNC", errors.StorageFailure),
        ("SQLITE_CORRUPT_INDEX", errors.DatabaseCorrupt),
        ("SQLITE_NOTADB", errors.DatabaseCorrupt),
        ("SQLITE_READONLY_DIRECTORY", errors.ReadOnly),
        ("SQLITE_CANTOPEN_ISDIR", errors.CannotOpen),
        ("SQLITE_PERM", errors.PermissionDenied),
        ("SQLITE_AUTH", errors.PermissionDenied),
        ("SQLITE_INTERRUPT", errors.QueryTimeout),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", errors.UniqueViolation),
        ("SQLITE_CONSTRAINT_TRIGGER", errors.ConstraintViolation),
        ("SQLITE_TOOBIG", errors.InvalidInput),
        ("SQLITE_NOMEM", errors.DatabaseError),
        ("SQLITE_MISUSE", errors.DatabaseError),
        ("SQLITE_OF_THE_FUTURE", errors.DatabaseError),
    ],
)
def test_a_sqlite_code_has_one_meaning(name: str, error: type[UndercroftError]):
    assert from_sqlite(name) is error


def test_a_number_that_sqlite_does_not_have_is_still_a_database_error():
    assert from_sqlite(255) is errors.DatabaseError
    assert from_sqlite(5 | 99 << 8) is errors.LockTimeout  # an extended code of the future


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO t VALUES (1, 1, 1)", errors.UniqueViolation),
        ("INSERT INTO t VALUES (2, 9, 1)", errors.ForeignKeyViolation),
        ("INSERT INTO t VALUES (2, 1, NULL)", errors.NotNullViolation),
        ("INSERT INTO t VALUES (2, 1, -1)", errors.CheckViolation),
        ("INSERT INTO t VALUES (2, 1, 'word')", errors.CheckViolation),
        ("SELEKT 1", errors.SyntaxRefused),
        ("SELECT * FROM nowhere", errors.SyntaxRefused),
    ],
)
def test_what_sqlite_really_raises_is_understood(statement: str, error: type[UndercroftError]):
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        """
        PRAGMA foreign_keys = ON;
        CREATE TABLE t (id INTEGER PRIMARY KEY, t_id INTEGER REFERENCES t, n INTEGER NOT NULL CHECK (n > 0)) STRICT;
        INSERT INTO t VALUES (1, 1, 1);
        """
    )
    assert _raised(connection, statement) is error
    connection.close()


def test_a_full_a_busy_and_a_damaged_sqlite_file_are_told_apart(tmp_path: Path):
    path = tmp_path / "bot.db"
    first, second = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    first.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (b BLOB); INSERT INTO t VALUES (1)")
    first.execute("BEGIN IMMEDIATE")
    assert _raised(second, "BEGIN IMMEDIATE") is errors.LockTimeout
    second.execute("BEGIN")
    second.execute("SELECT * FROM t").fetchall()
    first.execute("INSERT INTO t VALUES (2)")
    first.execute("COMMIT")
    assert _raised(second, "INSERT INTO t VALUES (3)") is errors.SerializationFailure
    second.execute("ROLLBACK")
    first.execute("PRAGMA max_page_count = 3")
    assert _raised(first, "INSERT INTO t VALUES (zeroblob(100000))") is errors.DatabaseFull
    second.execute("PRAGMA query_only = ON")
    assert _raised(second, "DELETE FROM t") is errors.ReadOnly
    first.close()
    second.close()

    (tmp_path / "notes.txt").write_text("no database " * 1000)
    damaged = sqlite3.connect(tmp_path / "notes.txt")
    assert _raised(damaged, "SELECT * FROM sqlite_schema") is errors.DatabaseCorrupt
    damaged.close()
    with pytest.raises(sqlite3.OperationalError) as refused:
        sqlite3.connect(tmp_path / "nowhere" / "bot.db")
    assert from_sqlite(refused.value.sqlite_errorcode) is errors.CannotOpen


def _raised(connection: sqlite3.Connection, statement: str) -> type[UndercroftError]:
    with pytest.raises(sqlite3.Error) as refused:
        connection.execute(statement)
    return from_sqlite(refused.value.sqlite_errorcode)


def _below(error: type[UndercroftError]) -> set[type[UndercroftError]]:
    return {one for child in error.__subclasses__() for one in (child, *_below(child)) if _is_ours(one)}


def _is_ours(error: type[UndercroftError]) -> bool:
    return error.__module__.startswith("undercroft.errors")
