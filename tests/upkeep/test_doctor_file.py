"""The doctor on a SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from undercroft import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "bot.db"
    with Store(f"sqlite:///{file}") as store:
        store.tenants.ensure("slack:T1")
        for number in range(200):
            store.tenant("slack:T1").users.ensure(f"U{number}")
    return file


def severe(report) -> set[str]:
    return {finding.code for finding in report.findings if finding.severity == "severe"}


def test_a_file_of_ours_is_healthy(path: Path, open_store, colour: str) -> None:
    report = open_store(colour, f"sqlite:///{path}").doctor()
    assert severe(report) == set()
    assert len(report.proven) == 2
    assert report.hardening == open_store(colour, f"sqlite:///{path}").doctor(harden=True).hardening == []


def test_a_file_that_others_may_open(path: Path, open_store, colour: str) -> None:
    path.chmod(0o644)
    report = open_store(colour, f"sqlite:///{path}").doctor()
    assert severe(report) == {"file.readable"}


def test_rows_that_refer_to_nothing(path: Path, open_store, colour: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE users SET tenant_id = ?", (uuid4().bytes,))
        connection.commit()
    report = open_store(colour, f"sqlite:///{path}").doctor()
    assert severe(report) == {"file.orphans"}
    assert "users" in report.findings[0].detail
    assert "the file is whole" in report.proven


def test_a_damaged_file(path: Path, open_store, colour: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'users'")
        [(size,)] = connection.execute("PRAGMA page_size")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    report = open_store(colour, f"sqlite:///{path}").doctor()
    assert "file.damaged" in severe(report)
