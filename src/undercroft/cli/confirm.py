"""Asking before what cannot be undone."""

import sys

import typer

from undercroft.cli.output import Output
from undercroft.errors import InvalidInput


def confirm(out: Output, question: str) -> None:
    """Ask, and end the command where the answer is no.

    Raises:
        InvalidInput: nobody is there to be asked.
    """
    if not sys.stdin.isatty() or out.as_json:
        raise InvalidInput("This cannot be undone, and nobody is here to be asked", hint="add --yes to go ahead")
    if not typer.confirm(question, err=True):
        out.fail("nothing was changed")
        raise typer.Exit(1)
