"""`undercroft audit`, as a person and as a script call it."""

import json
import sqlite3

import pytest

from undercroft import Store


@pytest.fixture
def filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store("sqlite:///undercroft.db") as store:
        for n in range(4):
            status = "denied" if n == 2 else "success"
            store.default.audit.log("config.set", by=f"U{n}", status=status, resource_type="key", resource_id=str(n))
    return tmp_path


def test_events_are_listed_and_found(undercroft, filled):
    assert len(undercroft("audit", "recent", "-n", "3").out.splitlines()) == 3
    assert undercroft("audit", "failures").out.split("\t")[2] == "U2"
    found = json.loads(undercroft("audit", "search", "--by", "U1", "--resource", "key:1", "--json").out)
    assert [event["actor"] for event in found["events"]] == ["U1"]
    assert undercroft("audit", "search", "--since", "2020", "--until", "2021").out == ""


def test_a_trail_goes_out_and_is_verified_without_the_database(undercroft, filled, monkeypatch):
    assert undercroft("audit", "checkpoint").code == 2
    assert undercroft("audit", "keygen", "audit.pem").code == 0
    monkeypatch.setenv("UNDERCROFT_AUDIT_KEY_FILE", "audit.pem")
    kept = undercroft("audit", "checkpoint")
    assert json.loads(kept.out)["sequence"] == 4
    assert undercroft("audit", "checkpoint", "-o", "kept.json").code == 0
    assert undercroft("audit", "export", "trail.jsonl").code == 0
    trusted = ("--checkpoint", "kept.json", "--public-key", "audit.pem.pub")
    assert undercroft("audit", "verify", *trusted).code == 0
    moved = json.loads(undercroft("audit", "archive", ".", "--days", "0", "--json").out)["archive"]
    assert moved["events"] == 3
    assert undercroft("audit", "export", "rest.jsonl").code == 0
    (filled / "undercroft.db").unlink()
    whole = json.loads(undercroft("audit", "verify", "trail.jsonl", *trusted, "--json").out)["report"]
    assert (whole["intact"], whole["verified"], whole["signed"]) == (True, 4, True)
    assert undercroft("audit", "verify", moved["path"], "rest.jsonl", *trusted).code == 0


def test_damage_has_a_code_of_its_own(undercroft, filled):
    assert undercroft("audit", "verify").code == 0
    with sqlite3.connect("undercroft.db") as root:
        root.execute("UPDATE audit_events SET actor = 'U9' WHERE actor = 'U1'")
    damaged = undercroft("audit", "verify", "--json")
    assert damaged.code == 4
    assert json.loads(damaged.out)["report"]["damage"]["sequence"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "missing.jsonl"),
        ("verify", "--checkpoint", "missing.json"),
        ("verify", "--public-key", "missing.pub"),
        ("export", "missing/trail.jsonl"),
        ("search", "--since", "whenever"),
    ],
    ids=" ".join,
)
def test_mistakes_are_told_in_one_line(undercroft, filled, arguments):
    told = undercroft("audit", *arguments)
    assert told.code == 2
    assert len(told.err.splitlines()) == 1
