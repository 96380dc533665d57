"""`undercroft config`: what the bot is set to, every version of it, and who changed it."""

import json
import sys
from dataclasses import asdict, replace
from itertools import islice
from typing import Annotated, Any

import typer
from pydantic import Secret, SecretStr
from rich.text import Text

from undercroft import ConfigEntry, ConfigVersion, TenantScope
from undercroft.cli.cells import harmless
from undercroft.cli.differences import HIDDEN, Differences, written
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.errors import InvalidInput

_KINDS = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "list",
    dict: "object",
    type(None): "null",
}

_KEY = Annotated[str, typer.Argument(metavar="KEY", help="Such as slack.retries.")]
_CATEGORY = Annotated[str | None, typer.Option(metavar="NAME", help="Such as slack.")]
_PREFIX = Annotated[str | None, typer.Option(metavar="TEXT", help="What keys begin with, such as slack.")]
_BY = Annotated[str | None, typer.Option(metavar="ID", help="Who changes it, by the platform's id of a user.")]
_EXPECTED = Annotated[
    int | None,
    typer.Option(metavar="VERSION", help="Only at this version, 0 for none: who changed it meanwhile wins."),
]
_REVEAL = Annotated[bool, typer.Option("--reveal", metavar="", help="Show what is sensitive.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    config = group("What the bot is set to, and every version of it.")
    command(config, "list")(list_)
    command(config, "get")(get)
    command(config, "set")(set_)
    command(config, "history")(history)
    command(config, "diff")(diff)
    command(config, "rollback")(rollback)
    command(config, "delete")(delete)
    command(config, "watch")(watch)
    app.add_typer(config, name="config")


def list_(
    call: Invocation,
    *,
    category: _CATEGORY = None,
    prefix: _PREFIX = None,
    after: Annotated[str | None, typer.Option(metavar="KEY", help="The last of the page before.")] = None,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 100,
) -> None:
    """List configurations by key."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.config.list(category=category, prefix=prefix, after=after, limit=limit)
    rows = [
        [one.key, _in_a_line(one), _kind(one), one.category, one.version, one.updated_at, one.updated_by]
        for one in found
    ]
    columns = ["key", "value", "type", "category", "version", "changed", "by"]
    listing = Listing(columns, rows, empty="nothing is set", cut=["key", "value", "category", "by"])
    advice = [] if len(found) < limit else [f"{call.program} config list --after {found[-1].key}  shows the next page"]
    call.out.show({"tenant": scope.key, "config": [asdict(one) for one in found]}, listing, advice=advice)


def get(call: Invocation, key: _KEY, *, reveal: _REVEAL = False) -> None:
    """Show a configuration; behind a pipe its value alone, text as it is and anything else as JSON."""
    with call.store() as store:
        scope = call.scope(store)
        entry = scope.config.entry(key)
        if reveal and entry.is_sensitive:
            entry = replace(entry, value=scope.config.get(key).get_secret_value())
    is_hidden = entry.is_sensitive and not reveal
    if call.out.as_json:
        call.out.json({"tenant": scope.key, "config": asdict(entry)})
    elif call.out.is_for_people:
        call.out.section(Facts(_facts(entry, HIDDEN if is_hidden else written(entry.value))))
        call.out.advise([f"{call.program} config get {key} --reveal  shows it"] if is_hidden else [])
    elif is_hidden:
        raise InvalidInput("The value is sensitive", field=key, hint="add --reveal to print it")
    else:
        sys.stdout.write(written(entry.value) + "\n")


def set_(
    call: Invocation,
    key: _KEY,
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", help="Without it what comes through a pipe; what is sensitive is asked for."),
    ] = None,
    *,
    json_value: Annotated[
        bool, typer.Option("--json-value", "-j", metavar="", help='VALUE is JSON: 3, true, null, "3", [1, 2].')
    ] = False,
    category: _CATEGORY = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    sensitive: Annotated[
        bool | None,
        typer.Option("--sensitive/--not-sensitive", help="Whether it is sealed and hidden; what was stays so."),
    ] = None,
    expected: _EXPECTED = None,
    by: _BY = None,
) -> None:
    """Set a configuration, which is a new version of it."""
    with call.store() as store:
        scope = call.scope(store)
        is_sensitive = _is_sensitive(scope, key) if sensitive is None else sensitive
        if is_sensitive and value is not None:
            message = "A sensitive value is not given on the command line, where every user of the machine can read it"
            raise InvalidInput(message, hint="leave VALUE out to be asked for it, or pipe it in")
        given = _parsed(_given(key, value, is_sensitive=is_sensitive), as_json=json_value)
        made = scope.config.set(
            key,
            given if is_sensitive else given.get_secret_value(),
            category=category,
            description=description,
            is_sensitive=sensitive,
            expected=expected,
            by=by,
        )
    advice = [] if json_value or made.is_sensitive else _another_type(call, key, made.value)
    _show(call, scope, made, advice)


def history(
    call: Invocation,
    key: _KEY,
    *,
    before: Annotated[int | None, typer.Option(metavar="VERSION", help="The last of the page before.")] = None,
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 50,
) -> None:
    """Show the versions of a configuration, the newest first."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.config.history(key, before=before, limit=limit)
    rows = [[one.version, one.at, one.by, _change(one), _in_a_line(one), _kind(one)] for one in found]
    listing = Listing(
        ["version", "when", "by", "change", "value", "type"], rows, empty="never set", cut=["by", "value"]
    )
    advice = [f"{call.program} config diff {key} {found[1].version}  what changed since"] if len(found) > 1 else []
    answer = {"tenant": scope.key, "key": key, "history": [asdict(one) for one in found]}
    call.out.show(answer, listing, advice=advice)


def diff(
    call: Invocation,
    key: _KEY,
    old: Annotated[int, typer.Argument(metavar="VERSION", help="The older one.")],
    new: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="The newer one, the last without.")] = None,
) -> None:
    """Show how two versions of a configuration differ."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.config.diff(key, old, new)
    call.out.show({"tenant": scope.key, "diff": asdict(found)}, Differences(found))


def rollback(
    call: Invocation,
    key: _KEY,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="As `config history` shows it.")],
    *,
    expected: _EXPECTED = None,
    by: _BY = None,
) -> None:
    """Set a configuration to what it was at a version, which is a new version; after a delete too."""
    with call.store() as store:
        scope = call.scope(store)
        made = scope.config.rollback(key, version, expected=expected, by=by)
    _show(call, scope, made, [])


def delete(call: Invocation, key: _KEY, *, expected: _EXPECTED = None, by: _BY = None) -> None:
    """Delete a configuration; its history stays, and a rollback brings it back."""
    with call.store() as store:
        scope = call.scope(store)
        deleted = scope.config.delete(key, expected=expected, by=by)
    advice = [f"{call.program} config history {key}  what it was"] if deleted else []
    told = Facts({key: "deleted" if deleted else "there was none"})
    call.out.show({"tenant": scope.key, "key": key, "deleted": deleted}, told, advice=advice)


def watch(
    call: Invocation,
    *,
    category: _CATEGORY = None,
    prefix: _PREFIX = None,
    count: Annotated[int | None, typer.Option(metavar="COUNT", help="End after so many changes.")] = None,
) -> None:
    """Show each change as it comes, until Ctrl-C; as JSON one object a line."""
    with call.store() as store:
        scope = call.scope(store)
        call.out.say(Text("  waiting for changes; Ctrl-C ends it", style="dim"))
        for change in islice(scope.config.watch(category=category, prefix=prefix), count):
            _tell(call, scope, change)


def _tell(call: Invocation, scope: TenantScope[Any], change: ConfigVersion) -> None:
    if call.out.as_json:
        call.out.json_line({"tenant": scope.key, "change": asdict(change)})
    elif call.out.is_for_people:
        when, by = f"{change.at.astimezone():%H:%M:%S}", f"  by {change.by}" if change.by else ""
        shown = "deleted" if change.change == "delete" else harmless(str(_in_a_line(change)))
        about = f"  version {change.version}{'' if change.rolled_back_to is None else ', ' + _change(change)}{by}"
        call.out.say(Text.assemble((f"  {when}  ", "dim"), (change.key, "cyan"), f"  {shown}", (about, "dim")))
    else:
        call.out.lines([[change.at, change.key, change.version, _change(change), _shown(change), change.by]])
        sys.stdout.flush()


def _is_sensitive(scope: TenantScope[Any], key: str) -> bool:
    """Whether it is sensitive now, or was when it was deleted."""
    return any(one.is_sensitive for one in scope.config.history(key, limit=1))


def _given(key: str, value: str | None, *, is_sensitive: bool) -> SecretStr:
    if value is not None:
        return SecretStr(value)
    if not sys.stdin.isatty():
        read = SecretStr(sys.stdin.read().removesuffix("\n").removesuffix("\r"))
    elif is_sensitive:
        read = SecretStr(typer.prompt(f"Value of {key}", hide_input=True, err=True))
    else:
        raise InvalidInput("There is no value", hint="give VALUE, or pipe it in")
    if is_sensitive and not read:
        raise InvalidInput("Nothing came in", hint="pipe the value in, or call it in a terminal to be asked for it")
    return read


def _parsed(text: SecretStr, *, as_json: bool) -> SecretStr | Secret[Any]:
    if not as_json:
        return text
    try:
        return Secret(json.loads(text.get_secret_value()))
    except (ValueError, RecursionError):
        pass  # the error holds the text
    raise InvalidInput("VALUE is no JSON", hint='text in JSON has quotes: "text"; without --json-value it needs none')


def _another_type(call: Invocation, key: str, value: str) -> list[str]:
    """Advise where a text looks as if something else was meant."""
    try:
        kind = _KINDS[type(json.loads(value))]
    except (ValueError, RecursionError):
        return []
    meant = value if value.isalnum() else f"'{value}'"
    return [f"{call.program} config set {key} {meant} --json-value  stores the {kind}, not the text"]


def _show(call: Invocation, scope: TenantScope[Any], entry: ConfigEntry, advice: list[str]) -> None:
    facts = Facts(_facts(entry, HIDDEN if entry.is_sensitive else written(entry.value)))
    call.out.show({"tenant": scope.key, "config": asdict(entry)}, facts, advice=advice)


def _facts(entry: ConfigEntry, value: str) -> dict[str, Any]:
    return {
        "Key": entry.key,
        "Value": (value, _kind(entry)),
        "Version": entry.version,
        "Category": entry.category,
        "Description": entry.description or None,
        "Changed": (entry.updated_at, *([f"by {entry.updated_by}"] if entry.updated_by else [])),
    }


def _kind(one: ConfigEntry | ConfigVersion) -> str | None:
    if isinstance(one, ConfigVersion) and one.change == "delete":
        return None
    return "sensitive" if one.is_sensitive else _KINDS[type(one.value)]


def _shown(one: ConfigEntry | ConfigVersion) -> str | None:
    if isinstance(one, ConfigVersion) and one.change == "delete":
        return None
    return HIDDEN if one.is_sensitive else written(one.value)


def _change(one: ConfigVersion) -> str:
    return one.change if one.rolled_back_to is None else f"back to {one.rolled_back_to}"


def _in_a_line(one: ConfigEntry | ConfigVersion) -> str | None:
    """Return a value as a table shows it, a long text without its lines."""
    shown = _shown(one)
    return None if shown is None else " ".join(shown.split())
