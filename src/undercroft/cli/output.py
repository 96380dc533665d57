"""What a command prints: for a person at a terminal, for another program behind a pipe, or as JSON.

Only a terminal gets colours, headings, progress and advice. Behind a pipe, and with --quiet, tables become
tab-separated lines without a heading. Errors and warnings go to standard error.
"""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from undercroft.cli.cells import Duration, Share, Size, harmless, plain, shown

SCHEMA_VERSION = 1
"""Of the JSON: raised when a key goes or changes its meaning, not when one is added."""


class Section(Protocol):
    """A part of a command's answer."""

    def rich(self) -> RenderableType:
        """Return it for a person."""

    def lines(self) -> Iterable[Sequence[Any]]:
        """Return it for a program, a list of fields a line."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values; where a value is a tuple, the rest of it is a remark for people."""

    values: Mapping[str, Any]
    title: str | None = None

    def rich(self) -> RenderableType:
        """Return two columns."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), title_justify="left", pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in self.values.items():
            first, *remarks = value if isinstance(value, tuple) else (value,)
            cell = Text.assemble(shown(first), *((f"  {remark}", "dim") for remark in remarks))
            table.add_row(f"  {name}", cell)
        return _titled(self.title, table)

    def lines(self) -> Iterable[Sequence[Any]]:
        """Return a name and a value a line."""
        for name, value in self.values.items():
            yield name.lower().replace(" ", "_"), value[0] if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows under headings."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str | None = None
    empty: str = "none"
    """What a person reads where there is no row."""
    wide: Sequence[str] = field(default=())
    """The columns that may be broken over several lines."""
    cut: Sequence[str] = field(default=())
    """The columns that give way in a narrow terminal; where none is named, all do."""

    def rich(self) -> RenderableType:
        """Return a table whose numbers stand to the right."""
        if not self.rows:
            return _titled(self.title, Text(f"  {self.empty}", style="dim"))
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim", pad_edge=False, padding=(0, 1, 0, 1))
        for number, column in enumerate(self.columns):
            is_number = all(isinstance(row[number], int | Size | Duration | Share | None) for row in self.rows)
            table.add_column(
                column,
                justify="right" if is_number else "left",
                overflow="fold" if column in self.wide else "ellipsis",
                no_wrap=column not in {*self.wide, *self.cut},  # what may be broken is what rich makes narrower
            )
        for row in self.rows:
            table.add_row(*map(self._cell, self.columns, row))
        return _titled(self.title, Padding(table, (0, 0, 0, 1)))

    def lines(self) -> Iterable[Sequence[Any]]:
        """Return a row a line."""
        return self.rows

    def _cell(self, column: str, value: Any) -> str | Text:
        return Text(str(shown(value)), no_wrap=True, overflow="ellipsis") if column in self.cut else shown(value)


def _titled(title: str | None, body: RenderableType) -> RenderableType:
    if title is None:
        return body
    grid = Table.grid()
    grid.add_row(Text(harmless(title), style="bold"))
    grid.add_row(body)
    return grid


class Output:
    """Where a command's answer goes, and in which of the three forms."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, color: bool = True) -> None:
        no_color = None if color else True  # None: the environment's NO_COLOR decides
        self.console = Console(no_color=no_color, highlight=False, soft_wrap=False, emoji=False)
        self.errors = Console(no_color=no_color, highlight=False, soft_wrap=True, emoji=False, stderr=True)
        self.as_json = as_json
        self.quiet = quiet
        self.is_story = False
        """Whether it is for people even behind a pipe."""

    @property
    def is_for_people(self) -> bool:
        """Whether somebody reads along who has not asked for less."""
        return (self.is_story or self.console.is_terminal) and not self.as_json and not self.quiet

    def show(self, answer: Mapping[str, Any], *sections: Section, advice: Sequence[str] = ()) -> None:
        """Print an answer in the form asked for; ``advice`` are commands to type next."""
        if self.as_json:
            self.json(answer)
            return
        for number, section in enumerate(sections):
            if number:
                self.say("")
            self.section(section)
        self.advise(advice)

    def section(self, section: Section) -> None:
        """Print a part of an answer, which is nothing where the whole of it is printed as JSON."""
        if self.is_for_people:
            self.say(section.rich())
        elif not self.as_json:
            self.lines(section.lines())

    def json(self, answer: Mapping[str, Any]) -> None:
        """Print one JSON object, in UTF-8 whatever the terminal speaks."""
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
        options |= orjson.OPT_INDENT_2 if self.console.is_terminal else 0
        written = orjson.dumps({"schema_version": SCHEMA_VERSION, **answer}, option=options)
        sys.stdout.flush()
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()

    def json_line(self, answer: Mapping[str, Any]) -> None:
        """Print one JSON object of many on a line of its own, at once."""
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
        sys.stdout.flush()
        sys.stdout.buffer.write(orjson.dumps({"schema_version": SCHEMA_VERSION, **answer}, option=options))
        sys.stdout.buffer.flush()

    def lines(self, lines: Iterable[Sequence[Any]]) -> None:
        """Print tab-separated lines."""
        for line in lines:
            sys.stdout.write("\t".join(map(plain, line)) + "\n")

    def say(self, *sentences: RenderableType) -> None:
        """Tell a person something that is no part of the answer."""
        if self.is_for_people:
            for sentence in sentences:
                self._print(sentence)

    def advise(self, commands: Sequence[str]) -> None:
        """Tell a person what to type next."""
        if commands and self.is_for_people:
            self.say("")
            for number, line in enumerate(commands):
                command, _, remark = line.partition("  ")
                label = "Next" if number == 0 else ""
                text = Text.assemble(
                    (f"  {label:<6}", "dim"), (command, "cyan"), (f"  {remark.strip()}" if remark else "", "dim")
                )
                self.console.print(text, soft_wrap=True)

    def _print(self, part: RenderableType) -> None:
        if self.console.is_terminal:
            self.console.print(part)
            return
        with self.console.capture() as drawn:
            self.console.print(part)
        for line in drawn.get().splitlines():  # a table fills its lines with blanks
            sys.stdout.write(line.rstrip() + "\n")

    def warn(self, sentence: str) -> None:
        """Print a warning, in one line."""
        if not self.quiet:
            self.errors.print(Text.assemble(("undercroft: ", "yellow"), sentence))

    def fail(self, sentence: str) -> None:
        """Print why the command failed, in one line."""
        self.errors.print(Text.assemble(("undercroft: ", "red"), sentence))


class Warnings(logging.Handler):
    """Prints what the library logs beside a running progress bar instead of through it."""

    def __init__(self, out: Output, level: str) -> None:
        super().__init__(level)
        self._out = out

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._out.warn(f"{record.levelname.lower()}: {' '.join(record.getMessage().split())}")
