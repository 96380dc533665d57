"""undercroft backup: made, verified, restored, listed and rotated from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended
from tests.upkeep.shelves import T1, T2, contents, fill
from undercroft import Store

Call = Callable[..., Ended]
KEY = ("--key-file", "k")


@pytest.fixture(autouse=True)
def _filled(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("k" * 40)
    (tmp_path / "shelf").mkdir()
    with Store("sqlite:///undercroft.db") as store:
        store.migrate()
        fill(store, T1, T2, messages=3)


def test_from_one_database_to_another(undercroft: Call):
    made = undercroft("backup", "create", "shelf/a", *KEY, "--encrypt", "--json")
    assert made.code == 0, made.err
    assert (made.json["encrypted"], made.json["authenticated"], made.json["kind"]) == (True, True, "sqlite")
    assert undercroft("backup", "verify", "shelf/a", *KEY).code == 0
    restored = undercroft("-d", "sqlite:///new.db", "backup", "restore", "shelf/a", *KEY)
    assert restored.code == 0, restored.err
    assert ["messages", "6"] in [row[:2] for row in restored.rows]
    assert contents("sqlite:///new.db") == contents("sqlite:///undercroft.db")
    again = undercroft("-d", "sqlite:///new.db", "backup", "restore", "shelf/a", *KEY)
    assert (again.code, "already" in again.err) == (2, True)


def test_a_tenant_with_its_name_and_replacing_only_after_a_question(undercroft: Call):
    assert undercroft("backup", "create", "shelf/t1", *KEY, "--tenant", T1).code == 0
    other = ("-d", "sqlite:///new.db")
    assert undercroft(*other, "db", "upgrade").code == 0
    for wrong in ((), ("--tenant", T2)):
        refused = undercroft(*other, "backup", "restore", "shelf/t1", *KEY, *wrong, "--json")
        assert (refused.code, refused.json["error"]["code"]) == (2, "backup.refused")
    assert undercroft(*other, "backup", "restore", "shelf/t1", *KEY, "--tenant", T1).code == 0
    unasked = undercroft(*other, "backup", "restore", "shelf/t1", *KEY, "--tenant", T1, "--replace")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert undercroft(*other, "backup", "restore", "shelf/t1", *KEY, "--tenant", T1, "--replace", "--yes").code == 0


def test_a_shelf_is_listed_and_rotated(undercroft: Call):
    for name in ("a", "b"):
        assert undercroft("backup", "create", f"shelf/{name}", *KEY, "--table", "users").code == 0
    Path("shelf/notes").write_text("mine")
    listed = undercroft("backup", "list", "shelf", *KEY).rows
    assert [(row[0], row[3]) for row in listed] == [("a", "tables"), ("b", "tables"), ("notes", "")]
    assert undercroft("backup", "rotate", "shelf", *KEY).code == 2
    rotated = undercroft("backup", "rotate", "shelf", *KEY, "--keep", "1", "--json").json
    assert (rotated["kept"], rotated["removed"]) == (["shelf/b"], ["shelf/a"])
    assert sorted(path.name for path in Path("shelf").iterdir()) == ["b", "notes"]


def test_without_a_key_it_says_what_to_do(undercroft: Call):
    refused = undercroft("backup", "create", "shelf/a")
    assert (refused.code, "key file" in refused.err) == (2, True)
    assert undercroft("backup", "create", "shelf/a", "--unauthenticated").code == 0
    assert undercroft("backup", "verify", "shelf/a", *KEY).code == 2
    assert undercroft("backup", "verify", "shelf/a", "--unauthenticated").code == 0
