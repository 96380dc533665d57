"""The program: its commands, and how it ends."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from undercroft import UndercroftError, __version__
from undercroft.cli import (
    audit,
    backup,
    config,
    crm,
    db,
    demo,
    doctor,
    flags,
    goals,
    imports,
    init,
    keys,
    limits,
    meetings,
    metrics,
    queries,
    results,
    search,
    sessions,
    settings,
    stats,
    tenants,
    threads,
    upkeep,
    users,
)
from undercroft.cli.failures import INTERRUPTED, PIPE_CLOSED, USER, advised, answer, exit_code
from undercroft.cli.interrupts import keep_interrupts
from undercroft.cli.invocation import Invocation, group, with_options
from undercroft.cli.output import Facts, Output

ABOUT = "The storage floor beneath chat bots and AI assistants: keep what they say, and find it again."


def root(
    call: Invocation,
    *,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version.")] = False,
) -> None:
    """Answer for the program as a whole."""
    if version:
        call.out.show({"version": __version__}, Facts({"Undercroft": __version__}))


app = group(ABOUT)
app.callback(invoke_without_command=True)(with_options(root))
PARTS = (
    *(init, imports, search, stats, threads, queries, results, sessions, users, limits, metrics, goals, settings),
    *(flags, config, crm, meetings, doctor, audit, upkeep, backup, tenants, keys, db, demo),
)
for part in PARTS:
    part.add_to(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and end the process with its code."""
    keep_interrupts()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its code."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # who does not speak UTF-8 still gets an answer
    out = Output(as_json="--json" in arguments, color="--no-color" not in arguments)
    try:
        code = get_command(app).main(list(arguments), prog_name="undercroft", standalone_mode=False)
        sys.stdout.flush()
    except UndercroftError as error:
        code = _failed(out, advised(error))
    except typer.TyperException as error:
        code = _misused(out, error)
    except BrokenPipeError:
        code = PIPE_CLOSED
    except typer.Abort:
        out.fail("nobody answered the question and nothing was done: answer it, or pass --yes")
        code = USER
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        out.fail("stopped; what was written is whole, and the same command may be run again")
    if code == PIPE_CLOSED:  # whoever read us has seen enough; Python would complain of it when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if isinstance(code, int) else 0


def _failed(out: Output, error: UndercroftError) -> int:
    if out.as_json:
        out.json(answer(error))
    out.fail(str(error))
    return exit_code(error)


def _misused(out: Output, error: typer.TyperException) -> int:
    """Report a command line that cannot be read."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    if said:  # typer says nothing where it has shown the help instead
        if out.as_json:
            out.json({"error": {"code": "usage", "message": said, "hint": "", "retryable": False}})
        context = getattr(error, "ctx", None)
        path = "undercroft" if context is None else context.command_path
        out.fail(f"{said[:1].lower()}{said[1:]}: `{path} --help` shows what it takes")
    return USER
