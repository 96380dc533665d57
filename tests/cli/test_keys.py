"""`undercroft keys`: from the first key to the last of the old ones, and no key on any screen but the one asked for."""

import stat
from pathlib import Path

import pytest

from undercroft import Store


@pytest.fixture
def bot(undercroft, tmp_path: Path) -> Path:
    """A database with a key and three secrets."""
    undercroft("init")
    assert undercroft("keys", "init").code == 0
    with Store(f"sqlite:///{tmp_path / 'undercroft.db'}") as store:
        for number in range(3):
            store.default.secrets.set(f"s{number}", "xoxb")
    return tmp_path


def test_the_key_file_is_made_beside_the_file_for_its_owner_alone(undercroft, tmp_path):
    made = undercroft("keys", "init")
    path = tmp_path / "undercroft.db.keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.rows[1] == ["file", "undercroft.db.keys"]
    assert path.read_text().splitlines()[1] not in made.out
    again = undercroft("keys", "init")
    assert again.code == 2
    assert "undercroft keys rotate" in again.err


def test_a_key_is_changed_and_the_old_one_retired(undercroft, bot):
    [[old, role, values]] = undercroft("keys", "list").rows
    assert (role, values) == ("seals", "3")
    changed = undercroft("keys", "rotate", "--json").json
    assert (changed["is_new"], changed["values"], changed["left"]) == (True, 3, {})
    assert undercroft("keys", "list").rows == [[changed["key"], "seals", "3"], [old, "opens", "0"]]
    refused = undercroft("keys", "retire", changed["key"])
    assert (refused.code, "This key seals" in refused.err) == (2, True)
    assert undercroft("keys", "retire", old).code == 0
    assert undercroft("keys", "list").rows == [[changed["key"], "seals", "3"]]
    assert undercroft("keys", "status", "--json").json["older"] == 0


def test_a_lost_key_is_told_and_what_is_left_is_named(undercroft, bot):
    (bot / "undercroft.db.keys").unlink()
    undercroft("keys", "init")
    told = undercroft("keys", "status", "--json")
    assert (told.code, told.json["lost"]) == (3, 3)
    assert [row[1] for row in undercroft("keys", "list").rows] == ["seals", "lost"]
    failed = undercroft("keys", "rotate")
    assert (failed.code, "keys.unknown" in failed.err) == (3, True)


def test_without_a_key_the_fix_is_named(undercroft):
    undercroft("init")
    assert "undercroft keys init" in undercroft("keys", "rotate").err
    assert undercroft("keys", "list").rows == []


def test_a_file_that_others_can_read_is_refused_with_the_command_that_helps(undercroft, bot):
    (bot / "undercroft.db.keys").chmod(0o644)
    refused = undercroft("keys", "list")
    assert refused.code == 2
    assert "chmod 600 undercroft.db.keys" in refused.err


def test_a_new_key_is_printed_to_be_used_elsewhere(undercroft, tmp_path, monkeypatch):
    key = undercroft("keys", "new").out.strip()
    assert list(tmp_path.glob("*.keys")) == []
    monkeypatch.setenv("UNDERCROFT_KEYS", key)
    undercroft("init")
    assert undercroft("keys", "status", "--json").json["primary"]
    assert "UNDERCROFT_KEYS" in undercroft("keys", "rotate").err
