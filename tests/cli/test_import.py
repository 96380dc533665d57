"""import slack: what it counts, what it refuses, and that it may be repeated, stopped and run twice at once."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cli.conftest import Ended, command
from tests.cli.workspaces import BROKEN, CHANNELS, KEY, USERS, export

Call = Callable[..., Ended]
# When a row was made or seen, not what it says; the trail records acts, and a run that was killed is none.
TIMES = {"created_at", "updated_at", "seen_at", "docid"}
TRAIL = {"audit_events", "audit_links", "undercroft_alembic_version"}


def rows(database: str = "undercroft.db") -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of ours."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%_fts%'")
        for (table,) in tables.fetchall():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in TIMES]
            if table not in TRAIL:
                found[table] = sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)
    connection.close()
    return found


def events(database: str = "undercroft.db") -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM audit_events")
    connection.close()
    return count


def test_it_counts_everything_and_drops_nothing_silently(undercroft: Call, tmp_path: Path):
    ended = undercroft("import", "slack", export(tmp_path / "a.zip", 120), "--json")
    assert (ended.code, ended.err) == (0, "")
    report = ended.json
    assert report["tenant"] == KEY
    assert report["read"] == report["added"] + report["updated"] + report["unchanged"] + report["quarantined"]
    assert (report["added"], report["updated"], report["unchanged"]) == (120, 0, 0)
    assert report["quarantined"] == len(report["examples"]) == BROKEN
    assert report["channels"] == len(CHANNELS)
    assert report["users"] == len(USERS) + 2  # the bots that no list names
    [counted] = undercroft("stats", "--tenant", KEY, "--json").json["tenants"]
    assert (counted["messages"], counted["quarantined"], counted["audit_events"]) == (120, BROKEN, 1)


def test_again_it_adds_nothing_and_leaves_no_trace(undercroft: Call, tmp_path: Path):
    path = export(tmp_path / "a.zip", 120)
    undercroft("import", "slack", path)
    before = rows()
    again = undercroft("import", "slack", path, "--json").json
    assert (again["added"], again["updated"], again["unchanged"], again["quarantined"]) == (0, 0, 120, BROKEN)
    assert rows() == before
    assert events() == 1


def test_a_longer_export_adds_what_is_new(undercroft: Call, tmp_path: Path):
    undercroft("import", "slack", export(tmp_path / "a.zip", 60))
    more = undercroft("import", "slack", export(tmp_path / "b.zip", 90), "--json").json
    assert (more["added"], more["unchanged"]) == (30, 60)
    assert events() == 2


def test_a_shorter_export_takes_nothing_away(undercroft: Call, tmp_path: Path):
    undercroft("import", "slack", export(tmp_path / "a.zip", 90))
    before = rows()["messages"]
    undercroft("import", "slack", export(tmp_path / "b.zip", 60))
    assert rows()["messages"] == before


def test_an_unpacked_export_is_as_good(undercroft: Call, tmp_path: Path):
    with zipfile.ZipFile(export(tmp_path / "a.zip", 30)) as archive:
        archive.extractall(tmp_path / "unpacked")
    undercroft("import", "slack", tmp_path / "a.zip", "-d", "sqlite:///zipped.db")
    undercroft("import", "slack", tmp_path / "unpacked", "-d", "sqlite:///unpacked.db")
    zipped, unpacked = rows("zipped.db"), rows("unpacked.db")
    assert {**zipped, "quarantine": []} == {**unpacked, "quarantine": []}


def test_the_tenant_may_be_named_and_keeps_the_workspaces_name(undercroft: Call, tmp_path: Path):
    path = export(tmp_path / "Acme Slack export Jan 1 2024 - Feb 1 2024.zip", 9)
    assert undercroft("import", "slack", path, "--json").json["tenant"] == KEY
    assert undercroft("tenants", "show", KEY, "--json").json["tenant"]["name"] == "Acme"
    assert undercroft("import", "slack", path, "--tenant", "slack:T2", "--json").json["tenant"] == "slack:T2"
    undercroft("tenants", "ensure", KEY, "--name", "Acme & Sons")
    undercroft("import", "slack", path)
    assert undercroft("tenants", "show", KEY, "--json").json["tenant"]["name"] == "Acme & Sons"


def test_an_export_that_does_not_tell_its_workspace_needs_a_tenant(undercroft: Call, tmp_path: Path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("users.json", "[]")
        archive.writestr("channels.json", '[{"id": "C0GENERAL", "name": "general"}]')
        archive.writestr("general/2024-01-01.json", '[{"type": "message", "ts": "1704067200.000000", "text": "hi"}]')
    ended = undercroft("import", "slack", path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "--tenant slack:T024BE7LD" in ended.err
    assert not Path("undercroft.db").exists()
    assert undercroft("import", "slack", path, "--tenant", "slack:T1").code == 0


def test_a_deleted_tenant_is_not_brought_back_by_an_import(undercroft: Call, tmp_path: Path):
    path = export(tmp_path / "a.zip", 9)
    undercroft("import", "slack", path)
    undercroft("tenants", "delete", KEY)
    ended = undercroft("import", "slack", path)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "undercroft tenants restore" in ended.err


REFUSED = {
    "cut off": lambda whole: whole[: len(whole) // 2],
    "no archive": lambda _: b"not a zip at all",
    "a flipped byte": lambda whole: whole[:90] + bytes([whole[90] ^ 0xFF]) + whole[91:],
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("damage", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("first", [[], ["init"]], ids=["no database", "a database"])
def test_a_damaged_export_leaves_the_database_as_it_was(
    damage: Any, first: list[str], undercroft: Call, tmp_path: Path
):
    whole = export(tmp_path / "a.zip", 30)
    if first:
        undercroft(*first)
    before = Path("undercroft.db").read_bytes() if first else None
    broken = tmp_path / "broken.zip"
    broken.write_bytes(damage(whole.read_bytes()))
    ended = undercroft("import", "slack", broken)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert (Path("undercroft.db").read_bytes() if Path("undercroft.db").exists() else None) == before


def test_behind_a_pipe_there_is_no_bar_and_no_colour(program: Call, tmp_path: Path):
    ended = program("import", "slack", export(tmp_path / "a.zip", 120))
    assert ended.err == ""
    assert "\x1b" not in ended.out
    assert ["added", "120"] in ended.rows


@pytest.fixture(scope="module")
def long_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("export") / "long.zip", 3000)


@pytest.fixture(scope="module")
def undisturbed(long_export: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The rows of an import that nobody stopped, and how many seconds it took from start to end."""
    database = tmp_path_factory.mktemp("undisturbed") / "whole.db"
    start = time.monotonic()
    subprocess.run(importing(long_export, str(database)), check=True, capture_output=True)
    return rows(str(database)), time.monotonic() - start


def importing(path: Path, database: str) -> list[str]:
    return command("import", "slack", path, "-d", f"sqlite:///{database}")


def killed(path: Path, database: str, after: float) -> int:
    """Start an import and kill it after so many seconds; returns how it ended."""
    process = subprocess.Popen(importing(path, database), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def check_kills(times: int, path: Path, whole: tuple[dict[str, Any], float], seed: int) -> None:
    """Kill an import at random moments, again and again on the same file, then run it to its end."""
    expected, seconds = whole
    chance = Random(seed)
    kills = 0
    while kills < times:
        if killed(path, "killed.db", chance.uniform(0.2, 1.0) * seconds) == -signal.SIGKILL:
            kills += 1
        else:  # it was faster than the one that was measured: begin anew, and kill earlier
            seconds *= 0.8
            for file in Path().glob("killed.db*"):
                file.unlink()
    ended = subprocess.run(importing(path, "killed.db"), check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, ""), seed
    assert rows("killed.db") == expected, seed


@pytest.mark.parametrize("seed", [1])
def test_killed_five_times_it_ends_with_the_same_rows(seed: int, long_export: Path, undisturbed: Any):
    check_kills(5, long_export, undisturbed, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 110))
def test_killed_fifty_times_it_ends_with_the_same_rows(
    seed: int, soak_share: float, long_export: Path, undisturbed: Any
):
    check_kills(max(1, round(5 * soak_share)), long_export, undisturbed, seed)


def test_two_at_once_on_no_file_both_succeed(started: Any, long_export: Path, undisturbed: Any):
    both = [started("import", "slack", long_export, "-d", "sqlite:///twice.db", "--json") for _ in range(2)]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in both]
    assert [code for *_, code in ended] == [0, 0], ended
    reports = [Ended(code, out, err).json for out, err, code in ended]
    assert sum(report["added"] for report in reports) == 3000
    assert rows("twice.db") == undisturbed[0]


def test_two_at_once_make_one_database(started: Any):
    both = [started("init", "--json") for _ in range(2)]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for *_, code in ended] == [0, 0], ended


def test_stopped_with_ctrl_c_it_says_that_it_may_be_run_again(started: Any, long_export: Path):
    process = started("import", "slack", long_export)
    deadline = time.monotonic() + 60
    while not Path("undercroft.db").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert re.fullmatch(r"undercroft: stopped; .* may be run again\n", err)


PEAK = """
import resource, sys
from undercroft.cli.app import run
code = run(["import", "slack", sys.argv[1], "-d", "sqlite:///" + sys.argv[2], "--quiet"])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""


def peak(messages: int) -> int:
    """The most memory that the import of so many messages takes, in megabytes."""
    path = export(Path(f"{messages}.zip"), messages)
    ended = subprocess.run(
        [sys.executable, "-c", PEAK, path, f"{messages}.db"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    code, megabytes = map(int, ended.stderr.split())
    assert code == 0
    return megabytes


def test_memory_stays_flat():
    assert peak(12_000) - peak(3_000) < 12


@pytest.mark.soak
def test_memory_stays_flat_to_a_million(soak_share: float):
    assert peak(round(1_000_000 * soak_share)) - peak(10_000) < 32
