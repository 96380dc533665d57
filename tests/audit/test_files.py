"""Trails in files: verified by the library and by the program in the documentation, from the files alone."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from undercroft import Settings, Store, errors
from undercroft.audit import generate_audit_key, read_checkpoints, verify_audit_files

FORMAT = Path(__file__).parents[2] / "docs" / "audit-format.md"


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "audit.pem"
    generate_audit_key(path)
    return path


@pytest.fixture
def tenant(tmp_path, key):
    with Store(settings=Settings.load(f"sqlite:///{tmp_path / 'bot.db'}", audit_key_file=str(key))) as store:
        yield store.default


@pytest.fixture
def independent(tmp_path, key):
    """Runs the documentation's program, and tells whether the trail is intact and what was said."""
    [program] = re.findall(r"```python\n(.*?)```", FORMAT.read_text(), re.DOTALL)
    script = tmp_path / "verify.py"
    script.write_text(program)

    def verify(checkpoint, *files):
        document = tmp_path / "checkpoint.json"
        document.write_text(str(checkpoint))
        command = [sys.executable, str(script), f"{key}.pub", str(document), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    return verify


def test_the_program_of_the_documentation_verifies_an_export(tenant, tmp_path, independent):
    for n in range(5):
        tenant.audit.log("config.set", by=f"U{n}", data={"n": n, "text": "grüß 😀\u2028\\", "f": 1e21})
    kept = tenant.audit.checkpoint()
    tenant.audit.log("later")
    path = tmp_path / "trail.jsonl"
    made = tenant.audit.export(path)
    assert (made.first, made.last, made.events) == (1, 6, 6)
    assert independent(kept, path) == (True, f"intact: 6 events, {tenant.audit.verify().head.hex()}\n")
    lines = [f"{line}\n" for line in path.read_text().split("\n")[:-1]]  # splitlines() would split at U+2028 as well
    for changed, said in (
        ([*lines[:2], lines[2].replace("U1", "U9"), *lines[3:]], "event 2 was changed"),
        ([*lines[:2], *lines[3:]], "2 is missing"),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], "2 is missing"),
        (lines[:-2], "ends before the checkpoint"),
    ):
        path.write_text("".join(changed))
        intact, told = independent(kept, path)
        assert not intact
        assert said in told
        assert not verify_audit_files([path], [kept]).intact
    forged = tmp_path / "forged.jsonl"
    path.write_text("".join(lines))
    assert not independent(str(kept).replace('"sequence":5', '"sequence":4'), path)[0]
    assert not forged.exists()


def test_files_are_verified_together_in_any_order(tenant, tmp_path):
    for n in range(5):
        tenant.audit.log("a.b", data={"n": n})
    moved = tenant.audit.archive(tmp_path, days=0)
    assert (moved.first, moved.last, moved.events) == (1, 4, 4)
    for n in range(3):
        tenant.audit.log("a.b", data={"n": n})
    second = tenant.audit.archive(tmp_path, days=0)
    assert (second.first, second.last) == (5, 7)
    kept = tenant.audit.checkpoint()
    tenant.audit.export(rest := tmp_path / "rest.jsonl")
    boundary = read_checkpoints([Path(moved.checkpoint).read_bytes()], [])
    report = verify_audit_files([rest, second.path, moved.path], [kept, *boundary])
    assert (report.damage, report.verified, report.first, report.last, report.checkpoints) == (None, 8, 1, 8, 2)
    assert verify_audit_files([rest, moved.path]).damage.kind == "deleted"
    alone = verify_audit_files([rest], [kept])
    assert (alone.damage, alone.anchor, alone.verified) == (None, 7, 1)
    inside = tenant.audit.verify(checkpoints=[kept, *boundary])
    assert (inside.damage, inside.anchor, inside.verified, inside.first) == (None, 7, 1, 8)


def test_an_archive_moves_what_is_old_enough_and_no_more(tenant, tmp_path):
    tenant.audit.log("a.b")
    tenant.audit.log("a.b")
    assert tenant.audit.archive(tmp_path) is None
    assert tenant.audit.verify().verified == 2
    assert tenant.audit.archive(tmp_path, days=0).events == 1
    assert tenant.audit.archive(tmp_path, days=0) is None
    [left] = tenant.audit.recent()
    tenant.audit.log("a.b")
    assert tenant.audit.verify().verified == 2
    assert left.event_type == "a.b"


def test_an_archive_that_nobody_made_is_found(tenant, tmp_path):
    """Whoever removes the beginning of a trail cannot say that it was archived: he has no key to sign that with."""
    for n in range(5):
        tenant.audit.log("a.b", data={"n": n})
    tenant.audit.archive(tmp_path, days=0)
    assert tenant.audit.verify().intact
    for n in range(3):
        tenant.audit.log("a.b", data={"n": n})
    with sqlite3.connect(tmp_path / "bot.db") as root:
        root.execute(
            "INSERT INTO audit_archives SELECT tenant_id, 6, (SELECT hash FROM audit_links WHERE sequence = 6), 2,"
            " file, file_hash, checkpoint, archived_at FROM audit_archives"
        )
        root.execute("DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_links WHERE sequence <= 6)")
        root.execute("DELETE FROM audit_links WHERE sequence <= 6")
    report = tenant.audit.verify()
    assert (report.damage.kind, report.damage.sequence) == ("foreign", 6)
    with Store(f"sqlite:///{tmp_path / 'bot.db'}") as without:
        assert without.default.audit.verify().intact  # the control: without a key nobody can tell


def test_an_archive_of_a_damaged_trail_is_refused_and_nothing_is_moved(tenant, tmp_path):
    for n in range(3):
        tenant.audit.log("a.b", data={"n": n})
    with sqlite3.connect(tmp_path / "bot.db") as root:
        root.execute("UPDATE audit_events SET actor = 'U9' WHERE id = (SELECT min(id) FROM audit_events)")
    with pytest.raises(errors.AuditDamaged, match="edited at 1"):
        tenant.audit.archive(tmp_path, days=0)
    assert len(tenant.audit.recent()) == 3
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_file_is_never_overwritten_and_none_is_left_of_one_that_failed(tenant, tmp_path):
    tenant.audit.log("a.b")
    there = tmp_path / "there.jsonl"
    there.write_text("mine")
    for path in (there, tmp_path / "missing" / "trail.jsonl"):
        with pytest.raises(errors.InvalidInput):
            tenant.audit.export(path)
    assert there.read_text() == "mine"
    tenant.audit.export(made := tmp_path / "trail.jsonl")
    assert made.stat().st_mode & 0o777 == 0o600


def test_what_is_no_export_is_told(tmp_path):
    for content in ("", "{}", "[]", "not JSON", '{"format": "undercroft/audit-export/1", "tenant": 1, "first": 1}'):
        path = tmp_path / "file.jsonl"
        path.write_text(content)
        with pytest.raises(errors.InvalidInput):
            verify_audit_files([path])
    for files in ([], [tmp_path / "missing"]):
        with pytest.raises(errors.InvalidInput):
            verify_audit_files(files)


def test_a_line_that_cannot_be_read_is_named(tenant, tmp_path):
    tenant.audit.log("a.b")
    tenant.audit.export(path := tmp_path / "trail.jsonl")
    with path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(errors.InvalidInput, match="Line 3"):
        verify_audit_files([path])


def test_keys_and_checkpoints_that_are_none_are_told(tmp_path, key):
    with pytest.raises(errors.InvalidInput):
        generate_audit_key(key)
    assert key.stat().st_mode & 0o777 == 0o600
    good = {"format": "undercroft/audit-checkpoint/1", "tenant": "0" * 32, "sequence": 1, "hash": "0" * 64}
    good |= {"at": "2026-01-01T00:00:00Z", "key": "k", "signature": "0" * 128}
    assert read_checkpoints([json.dumps(good)], [])[0].sequence == 1
    for name, value in (("sequence", 0), ("sequence", True), ("hash", "x"), ("signature", 1), ("tenant", None)):
        with pytest.raises(errors.InvalidInput):
            read_checkpoints([json.dumps({**good, name: value})], [])
    for settings in ({"audit_key_file": str(tmp_path / "missing")}, {"audit_key_file": f"{key}.pub"}):
        with Store(settings=Settings.load(f"sqlite:///{tmp_path / 'other.db'}", **settings)) as store:
            store.default.audit.log("a.b")
            with pytest.raises(errors.ConfigurationError):
                store.default.audit.checkpoint()
