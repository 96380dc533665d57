"""docs/reference/cli.md is what the program says of itself."""

from pathlib import Path

from undercroft.cli.invocation import GLOBAL
from undercroft.cli.reference import commands, markdown

REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference" / "cli.md"


def test_the_reference_is_what_the_commands_say():
    assert REFERENCE.read_text() == markdown(), (
        "write it again: python -m undercroft.cli.reference > docs/reference/cli.md"
    )


def test_every_command_and_each_of_its_options_is_described():
    text = REFERENCE.read_text()
    assert len(list(commands())) > 15
    for path, command in commands():
        assert f"## {path}\n" in text
        assert (command.help or "").strip().endswith(".")
        for parameter in command.params:
            assert parameter.help, f"{path} {parameter.name}"
            if parameter.name not in GLOBAL and parameter.opts[0].startswith("-"):
                assert parameter.opts[0] in text


def test_every_command_has_the_options_of_every_command():
    for path, command in commands():
        assert {parameter.name for parameter in command.params} >= GLOBAL, path
