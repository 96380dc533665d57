"""What every command is given: its options, the store, the tenant, and where to print."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from undercroft import Settings, Store, TenantScope
from undercroft.cli.failures import PIPE_CLOSED
from undercroft.cli.output import Output, Warnings
from undercroft.errors import CannotOpen, InvalidInput

P = ParamSpec("P")

_PANEL = "Options of every command"
DATABASE_URL = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        "-d",
        metavar="URL",
        help="sqlite:///file.db or postgresql://user@host/name. Without it UNDERCROFT_DATABASE_URL, and without that "
        "undercroft.db in the current directory.",
        rich_help_panel=_PANEL,
    ),
]
TENANT = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="KEY",
        help="The workspace, such as slack:T024BE7LD. Needed where there are several.",
        rich_help_panel=_PANEL,
    ),
]
JSON = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.", rich_help_panel=_PANEL)]
QUIET = Annotated[
    bool,
    typer.Option("--quiet", "-q", metavar="", help="Print the answer alone, as behind a pipe.", rich_help_panel=_PANEL),
]
NO_COLOR = Annotated[
    bool, typer.Option("--no-color", metavar="", help="Print without colours.", rich_help_panel=_PANEL)
]
_OF_EVERY_COMMAND = {
    "database_url": (DATABASE_URL, None),
    "tenant": (TENANT, None),
    "json": (JSON, False),
    "quiet": (QUIET, False),
    "no_color": (NO_COLOR, False),
}
GLOBAL = frozenset(_OF_EVERY_COMMAND)
"""The names of the options that every command has."""


@dataclass
class Invocation:
    """One call of one command."""

    url: str | None = None
    tenant: str | None = None
    out: Output = field(default_factory=Output)

    @cached_property
    def settings(self) -> Settings:
        """The settings; raises ConfigurationError for those that are wrong."""
        settings = Settings.load(self.url)
        logger = logging.getLogger("undercroft")
        logger.handlers = [Warnings(self.out, settings.log_level)]
        logger.setLevel(settings.log_level)
        return settings

    @property
    def is_default(self) -> bool:
        """Whether nobody said which database."""
        return self.settings.database_url is None and self.settings.db_name is None

    @property
    def database(self) -> str:
        """The database as a person calls it: a file's path, or an address without its password."""
        path = self.settings.database.path
        return str(self.settings.database) if path is None else path

    @property
    def program(self) -> str:
        """How to call the program again for the same database and tenant."""
        options = [] if self.url is None else [f"-d {self.settings.database}"]
        return " ".join(["undercroft", *options, *([f"--tenant {self.tenant}"] if self.tenant else [])])

    @property
    def shown_database(self) -> tuple[str, ...]:
        """The database for people, who are told where it is only a default."""
        remark = "the default; -d names another"
        return (self.database, remark) if self.is_default else (self.database,)

    def require_file(self) -> None:
        """Raise CannotOpen where the database is a file that is not there."""
        path = self.settings.database.path
        if path is not None and not Path(path).exists():
            raise CannotOpen(
                f"There is no database {path}" + (" in this directory" if self.is_default else ""),
                hint="make it with `undercroft init`, or name another with --database-url",
            )

    @contextmanager
    def store(self, *, create: bool = False, opened: bool = True) -> Iterator[Store]:
        """Open the database, or only get ready to; a file that is not there is made only where ``create`` says so."""
        if not create:
            self.require_file()
        store = Store(settings=self.settings)
        with store if opened else closing(store):
            yield store

    def scope(self, store: Store) -> TenantScope[Any]:
        """Go into the tenant that was named, else into the only one there is.

        Raises:
            InvalidInput: there are several.
        """
        if self.tenant is not None:
            return store.tenant(self.tenant)
        keys = [tenant.key for tenant in store.tenants.list(limit=3) if tenant.key != store.default.key]
        if len(keys) > 1:
            raise InvalidInput("There are several tenants", hint=f"say which, for example --tenant {keys[0]}")
        return store.tenant(keys[0]) if keys else store.default


def group(about: str) -> typer.Typer:
    """Make a group of commands; a group that is called alone shows its help."""
    made = typer.Typer(
        help=about,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(with_options(_nothing))
    return made


def _nothing(call: "Invocation") -> None:
    """Take the options of every command."""


def command(group: typer.Typer, name: str) -> Callable[[Callable[Concatenate[Invocation, P], None]], None]:
    """Make a function a command of a group, with the options that every command has."""

    def register(function: Callable[Concatenate[Invocation, P], None]) -> None:
        group.command(name)(with_options(function))

    return register


def with_options(function: Callable[Concatenate[Invocation, P], None]) -> Callable[..., None]:
    """Give a function the options of every command, in place of its first parameter.

    An option may stand before the command's name as well as after it: what stands nearest to its end wins.
    """

    @functools.wraps(function)
    def run(*, context: typer.Context, **given: Any) -> None:
        own = {option: value for option, value in given.items() if option not in GLOBAL}
        try:
            function(_invocation(context), **own)  # type: ignore[call-arg]  # typer has checked them
        except BrokenPipeError as error:
            raise typer.Exit(PIPE_CLOSED) from error

    parameters = list(inspect.signature(function).parameters.values())[1:]
    parameters += [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for option, (annotation, default) in _OF_EVERY_COMMAND.items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = inspect.Signature([*parameters, context])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *parameters)}
    return run


def _invocation(context: typer.Context) -> Invocation:
    given: dict[str, Any] = {}
    level: Any = context
    while level is not None:
        given = {name: level.params.get(name) or given.get(name) for name in GLOBAL} | {
            name: value for name, value in given.items() if value
        }
        level = level.parent
    return Invocation(
        given["database_url"],
        given["tenant"],
        Output(as_json=bool(given["json"]), quiet=bool(given["quiet"]), color=not given["no_color"]),
    )
