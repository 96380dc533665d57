"""The commands as text: docs/reference/cli.md, printed by `python -m undercroft.cli.reference`."""

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from undercroft.cli.app import app
from undercroft.cli.invocation import GLOBAL

_HEAD = """# Command line

Written by `python -m undercroft.cli.reference`; a test keeps it true.

`undercroft COMMAND --help` says the same at the terminal.

**Which database.** `--database-url`, else `UNDERCROFT_DATABASE_URL` (see [settings](settings.md)), else `undercroft.db`
in the current directory. Only `init`, `import`, `tenants ensure`, `db upgrade`, `backup restore` and `demo` make a
file where there is none.

**Which tenant.** `--tenant`, else the only one there is. An import takes the workspace's id from the export.

**What is printed.** At a terminal, something to read. Behind a pipe, and with `--quiet`, the answer alone: tables as
tab-separated lines without a heading, whole numbers, bytes, seconds, times in UTC. With `--json` one object, whose
`schema_version` is 1 and is raised when a key goes or changes its meaning; on failure it holds `error` with the `code`
of [the list](errors.md). Failures and warnings go to standard error, a failure as one line that ends with the fix.

**Exit codes.** 0 done; 1 you answered no, or a fault of the program, which leaves a traceback; 2 a mistake in the
command, its input or the settings; 3 the database; 4 an audit trail that is not intact; 130 stopped with Ctrl-C.

**Times** are written `2024-05-17`, `2024-05`, `2024`, `2024-05-17T09:30`, `today`, `yesterday`, `36h`, `30d` or `6w`
(ago), in your time zone where they name none. `--until` includes the day, month or year it names.

## Options of every command

They may stand before the command's name as well.

"""


def markdown() -> str:
    """Return the text of docs/reference/cli.md."""
    program = get_command(app)
    shared = [option for option in program.params if option.name in GLOBAL]
    parts = [_HEAD + "\n".join(_table(shared))]
    parts += ["\n".join(_described(path, command)) for path, command in commands()]
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with the words that call it."""
    yield from _below("undercroft", get_command(app))


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _below(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _described(path: str, command: Any) -> Iterator[str]:
    own = [one for one in command.params if one.name not in GLOBAL]
    arguments = [
        one.metavar if one.required else f"[{one.metavar.strip('[]')}]"
        for one in own
        if not one.opts[0].startswith("-")
    ]
    options = [one for one in own if one.opts[0].startswith("-")]
    yield f"## {path}"
    yield ""
    yield f"`{' '.join([path, *arguments, *(['[OPTIONS]'] if options else [])])}`"
    yield ""
    yield command.help.strip()
    if own:
        yield ""
        yield from _table(own)


def _table(parameters: list[Any]) -> Iterator[str]:
    yield "| | | default |"
    yield "|---|---|---|"
    for one in parameters:
        is_option = one.opts[0].startswith("-")
        names = ", ".join(one.opts) if is_option else one.metavar.strip("[]")
        value = f" {_value(one)}" if is_option and one.metavar != "" else ""
        default = "" if one.default in (None, False, ...) or callable(one.default) else f"`{one.default}`"
        yield f"| `{names}{value}` | {(one.help or '').replace('|', chr(92) + '|')} | {default} |"


def _value(option: Any) -> str:
    if option.metavar:
        return str(option.metavar)
    choices = option.type_descriptor.choices
    return r"\|".join(map(str, choices)) if choices else option.name.upper()


if __name__ == "__main__":
    sys.stdout.write(markdown())
