"""The scripts of docs/backup.md do what the page says: a night, the nights after it, and the drill."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.upkeep.shelves import T1, T2, fill
from undercroft import Store

PAGE = Path(__file__).parent.parent.parent / "docs/backup.md"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The page's scripts by name, in a directory as they expect it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BACKUPS", str(tmp_path / "backups"))
    (tmp_path / "backups").mkdir()
    (tmp_path / "backup.key").write_text("k" * 40)
    with Store("sqlite:///undercroft.db") as store:
        store.migrate()
        fill(store, T1, T2, messages=3)
    found = re.findall(r"```sh\n(#!/bin/sh\n# (\w+): .*?)```", PAGE.read_text(), re.DOTALL)
    return {name: text for text, name in found}


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)


def test_a_night_makes_a_backup_and_the_drill_restores_it(scripts: dict[str, str], tmp_path: Path):
    assert scripts.keys() == {"nightly", "drill"}
    night = run(scripts["nightly"])
    assert night.returncode == 0, night.stderr
    [backup] = (tmp_path / "backups").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o600
    drill = run(scripts["drill"])
    assert drill.returncode == 0, drill.stderr
    assert "messages" in drill.stdout
    # The control: the drill fails where the backup is damaged.
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 1
    backup.write_bytes(content)
    assert run(scripts["drill"]).returncode == 2
