"""What a person sees: the program on a pseudo-terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, command
from tests.cli.workspaces import export

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
Screen = Callable[..., tuple[int, str]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Runs a command on a terminal of 80 columns, typing an answer; returns its code and all it drew."""
    monkeypatch.setenv("TERM", "xterm-256color")

    def show(*arguments: str | Path, answer: str = "") -> tuple[int, str]:
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(command(*arguments), stdin=its, stdout=its, stderr=its, start_new_session=True)
        os.close(its)
        os.write(ours, answer.encode())
        drawn = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            drawn += piece
        os.close(ours)
        return process.wait(), drawn.decode()

    return show


def test_there_are_colours_headings_and_advice(terminal: Screen):
    code, drawn = terminal("init")
    assert code == 0
    assert ANSI.search(drawn)
    seen = ANSI.sub("", drawn)
    assert "Ready" in seen
    assert "-rw-------  you alone" in seen
    assert "undercroft import slack export.zip" in seen


@pytest.mark.parametrize("how", ["option", "environment"])
def test_without_colours_when_asked(how: str, terminal: Screen, monkeypatch: pytest.MonkeyPatch):
    if how == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    _, drawn = terminal("init", *(["--no-color"] if how == "option" else []))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", drawn)


def test_quiet_is_as_behind_a_pipe(terminal: Screen):
    _, drawn = terminal("init", "--quiet")
    assert not ANSI.search(drawn)
    assert "rights\t" in drawn.replace("\r\n", "\n")


def test_json_is_indented_for_people(terminal: Screen):
    _, drawn = terminal("--version", "--json")
    assert drawn.replace("\r\n", "\n").startswith('{\n  "schema_version": 1,')


def test_an_import_draws_a_bar_with_its_rate_and_the_time_left_and_takes_it_away(terminal: Screen, tmp_path: Path):
    code, drawn = terminal("import", "slack", export(tmp_path / "a.zip", 3000))
    assert code == 0
    seen = ANSI.sub("", drawn)
    assert "Checking" in seen
    assert "Importing" in seen
    assert re.search(r"[\d,]+ messages/s", seen)
    assert re.search(r"\d+:\d\d", seen)
    assert "Already there" in seen
    assert "Not understood" in seen
    assert "undercroft import quarantine" in seen
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h")  # the cursor is shown again


def test_the_words_that_were_asked_for_are_set_off(terminal: Screen, undercroft: Callable[..., Ended], tmp_path: Path):
    undercroft("import", "slack", export(tmp_path / "a.zip", 90))
    code, drawn = terminal("search", "返金", "--limit", "2")
    assert code == 0
    assert re.search(r"\x1b\[1;33m返金\x1b\[0m", drawn)
    assert "2 messages for 返金" in ANSI.sub("", drawn)
    assert "--limit shows more" in ANSI.sub("", drawn)


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 0), ("n\n", 1, 1)])
def test_what_cannot_be_undone_is_asked_for(
    answer: str, code: int, left: int, terminal: Screen, undercroft: Callable[..., Ended]
):
    undercroft("tenants", "ensure", "slack:T1")
    undercroft("tenants", "delete", "slack:T1")
    ended, drawn = terminal("tenants", "purge", "slack:T1", answer=answer)
    assert ended == code
    assert "Remove slack:T1" in drawn
    assert len([row for row in undercroft("tenants", "list", "--deleted").rows if row[0] == "slack:T1"]) == left


def test_a_mistake_is_one_line_there_too(terminal: Screen):
    code, drawn = terminal("stats")
    assert code == 2
    assert ANSI.sub("", drawn).count("\n") == 1
