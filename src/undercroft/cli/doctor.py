"""`undercroft doctor`: what is wrong with the database and its walls, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from undercroft.cli.confirm import confirm
from undercroft.cli.failures import DATABASE
from undercroft.cli.invocation import Invocation, command
from undercroft.cli.output import Section

_COLORS = {"severe": "red", "warning": "yellow", "note": "dim"}


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app, "doctor")(doctor)


def doctor(
    call: Invocation,
    *,
    harden: Annotated[
        bool, typer.Option("--harden", metavar="", help="Take from PUBLIC what nobody needs, after asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
) -> None:
    """Examine the database and prove that its tenants are walled off; where something is severe, the exit code is 3."""
    with call.store() as store:
        report = store.doctor()
        hardened = report.hardening if harden else []
        if hardened:
            if not yes:
                _ask(call, hardened)
            report = store.doctor(harden=True)
    answer = {"database": call.database, "severe": report.severe, "hardened": hardened, **asdict(report)}
    call.out.show(answer, *_sections(report, hardened))
    if report.severe:
        raise typer.Exit(DATABASE)


def _ask(call: Invocation, statements: Sequence[str]) -> None:
    call.out.say(Text("The login of the migrations would run:"))
    call.out.say(*(Text(f"  {statement};") for statement in statements))
    confirm(call.out, "Other programs' logins that live on these rights lose them. Go ahead?")


@dataclass(frozen=True, slots=True)
class _Findings:
    """What is to be changed."""

    findings: Sequence[Any]

    def rich(self) -> RenderableType:
        """Return each with its detail and its remedy under it."""
        parts: list[RenderableType] = []
        for one in self.findings:
            head = Text.assemble((f"{one.severity:<8}", _COLORS[one.severity]), (one.title, "bold"))
            parts += [head, Padding(Text.assemble(one.detail, "\n", (one.fix, "cyan")), (0, 0, 1, 8))]
        return Group(*parts) if parts else Text("Nothing is to be changed.")

    def lines(self) -> Iterable[Sequence[Any]]:
        """Return one a line."""
        return [(one.severity, one.code, one.title, one.detail, one.fix) for one in self.findings]


@dataclass(frozen=True, slots=True)
class _Sentences:
    """Sentences under a heading, each with its mark for programs."""

    title: str
    mark: str
    sentences: Sequence[str]

    def rich(self) -> RenderableType:
        """Return a list."""
        return Group(Text(self.title, style="bold"), *(Text(f"  {sentence}") for sentence in self.sentences))

    def lines(self) -> Iterable[Sequence[Any]]:
        """Return one a line."""
        return [(self.mark, sentence) for sentence in self.sentences]


def _sections(report: Any, hardened: Sequence[str]) -> list[Section]:
    lists = [
        _Sentences("Run", "hardened", hardened),
        _Sentences("Proven", "proven", report.proven),
        _Sentences("Not checked", "unchecked", report.unchecked),
    ]
    return [_Findings(report.findings), *(one for one in lists if one.sentences)]
