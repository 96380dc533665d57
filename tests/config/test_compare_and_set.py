"""Many writers in several processes, one configuration: each version once, none left out, no write lost."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WRITERS = Path(__file__).with_name("writers.py")
EACH = pytest.mark.parametrize(
    ("engine", "colour"), [("sqlite", "sync"), ("postgresql", "sync")], ids=["sqlite", "postgresql"], indirect=True
)


def written(url: str, tenant: Any, way: str, *, processes: int, threads: int, writes: int) -> dict[str, Any]:
    """Let them write at once; what each was told."""
    command = [sys.executable, str(WRITERS), url, tenant.key, way]
    running = [
        subprocess.Popen(
            [*command, str(number), str(threads), str(writes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for one in running:
        assert one.stdout
        assert one.stdout.readline() == "ready\n"
    for one in running:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [json.loads(one.communicate()[0]) for one in running]
    return {
        "done": sorted(tuple(write) for one in told for write in one["done"]),
        "conflicts": sum(one["conflicts"] for one in told),
        "failures": [failure for one in told for failure in one["failures"]],
    }


def history(tenant: Any) -> list[Any]:
    """Every version, the oldest first."""
    found: list[Any] = []
    while page := tenant.config.history("counter", limit=1000, before=found[-1].version if found else None):
        found += page
    return found[::-1]


def check(url: str, tenant: Any, *, processes: int, threads: int, writes: int) -> None:
    total = processes * threads * writes
    told = written(url, tenant, "cas", processes=processes, threads=threads, writes=writes)
    assert told["failures"] == []
    assert told["conflicts"] > 0  # they did meet
    # Each write was told the version after the one that it had read, and nobody else was told the same.
    assert [(version, n) for version, n, _ in told["done"]] == [(number, number) for number in range(1, total + 1)]
    assert [(one.version, one.value["n"], one.value["by"]) for one in history(tenant)] == told["done"]
    assert tenant.config.get("counter")["n"] == total
    assert tenant.config.entry("counter").version == total


@EACH
def test_no_write_is_lost_and_no_version_left_out(database_url, tenant):
    check(database_url, tenant, processes=2, threads=4, writes=12)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@EACH
def test_no_write_is_lost_and_no_version_left_out_at_length(database_url, tenant, soak_share):
    check(database_url, tenant, processes=4, threads=16, writes=int(157 * soak_share))


@EACH
def test_control_without_an_expected_version_writes_are_lost(database_url, tenant):
    told = written(database_url, tenant, "blind", processes=2, threads=4, writes=12)
    assert told["failures"] == []
    assert tenant.config.entry("counter").version == 96
    assert tenant.config.get("counter")["n"] < 96
