"""`undercroft settings` and `preferences`: what an assistant is set to, and what single users want otherwise."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
import typer

from undercroft import Preference, Setting
from undercroft.cli.confirm import confirm
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.errors import InvalidInput, NotFound

_Kind = Literal["bool", "int", "float", "str", "json", "datetime"]
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Such as max_retries.")]
_WHO = Annotated[str, typer.Argument(metavar="USER", help="By the platform's id.")]
_VALUE = Annotated[str, typer.Argument(metavar="VALUE", help="Such as 3, true, 0.5, hello or '[1, 2]'.")]
_KIND = Annotated[
    _Kind | None,
    typer.Option("--type", help="Of the value; without it that which it has, and of a new one what it looks like."),
]
_BY = Annotated[str | None, typer.Option("--by", metavar="ID", help="Who does it, by the platform's id.")]
_TYPES: dict[type, _Kind] = {bool: "bool", int: "int", float: "float", str: "str", datetime: "datetime"}
_MOST = 1000
_MISSING = object()


def add_to(app: typer.Typer) -> None:
    """Add the groups to the program."""
    settings = group("What the assistant is set to.")
    command(settings, "list")(list_settings)
    command(settings, "get")(get_setting)
    command(settings, "set")(set_setting)
    command(settings, "delete")(delete_setting)
    app.add_typer(settings, name="settings")
    preferences = group("What single users want otherwise than the settings say.")
    command(preferences, "list")(list_preferences)
    command(preferences, "get")(get_preference)
    command(preferences, "set")(set_preference)
    command(preferences, "delete")(delete_preference)
    app.add_typer(preferences, name="preferences")


def list_settings(call: Invocation) -> None:
    """List the settings."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.settings.list(limit=_MOST)
    rows = [[one.name, one.text, one.kind, one.updated_at, one.updated_by, one.description] for one in found]
    columns = ["setting", "value", "type", "changed", "by", "description"]
    listing = Listing(columns, rows, empty="nothing is set", wide=["value", "description"])
    call.out.show({"tenant": scope.key, "settings": [_record(one) for one in found]}, listing)


def get_setting(call: Invocation, name: _NAME) -> None:
    """Show the value of a setting."""
    with call.store() as store:
        scope = call.scope(store)
        value = scope.settings.get(name, default=_MISSING)
    _show(call, {"tenant": scope.key}, name, value)


def set_setting(
    call: Invocation,
    name: _NAME,
    value: _VALUE,
    *,
    kind: _KIND = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    by: _BY = None,
) -> None:
    """Set a setting, which programs that run see at their next call."""
    with call.store() as store:
        scope = call.scope(store)
        read = _read(value, kind or _kind(scope.settings.get(name, default=_MISSING)))
        made = scope.settings.set(name, read, description=description, by=by)
    _show(call, {"tenant": scope.key}, name, made.value)


def delete_setting(
    call: Invocation,
    name: _NAME,
    *,
    by: _BY = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
) -> None:
    """Delete a setting, so that the program's own default counts."""
    if not yes:
        confirm(call.out, f"Delete the setting {name}?")
    with call.store() as store:
        scope = call.scope(store)
        deleted = scope.settings.delete(name, by=by)
    told = {"tenant": scope.key, "name": name, "deleted": deleted}
    call.out.show(told, Facts({name: "deleted" if deleted else "there was none"}))


def list_preferences(call: Invocation, user: _WHO) -> None:
    """List what a user wants otherwise than the settings say."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.preferences.list(user, limit=_MOST)
    rows = [[one.name, one.text, one.kind, one.updated_at] for one in found]
    listing = Listing(["preference", "value", "type", "changed"], rows, empty="the settings count", wide=["value"])
    call.out.show({"tenant": scope.key, "preferences": [_record(one) for one in found]}, listing)


def get_preference(call: Invocation, user: _WHO, name: _NAME) -> None:
    """Show what counts for a user: what he prefers, else the setting of that name."""
    with call.store() as store:
        scope = call.scope(store)
        value = scope.preferences.get(user, name, default=_MISSING)
    _show(call, {"tenant": scope.key, "user": user}, name, value)


def set_preference(call: Invocation, user: _WHO, name: _NAME, value: _VALUE, *, kind: _KIND = None) -> None:
    """Set what a user prefers."""
    with call.store() as store:
        scope = call.scope(store)
        read = _read(value, kind or _kind(scope.preferences.get(user, name, default=_MISSING)))
        made = scope.preferences.set(user, name, read)
    _show(call, {"tenant": scope.key, "user": user}, name, made.value)


def delete_preference(call: Invocation, user: _WHO, name: _NAME) -> None:
    """Delete what a user prefers, so that the setting counts again."""
    with call.store() as store:
        scope = call.scope(store)
        deleted = scope.preferences.delete(user, name)
    told = {"tenant": scope.key, "user": user, "name": name, "deleted": deleted}
    call.out.show(told, Facts({name: "deleted" if deleted else "there was none"}))


def _kind(value: Any) -> _Kind | None:
    return None if value is _MISSING else _TYPES.get(type(value), "json")


def _read(text: str, kind: _Kind | None) -> Any:
    """Return a text as a value of a kind; where none is known, as the JSON that it is, and else as it stands."""
    if kind == "str":
        return text
    try:
        if kind == "datetime":
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.astimezone()
        value = json.loads(text)
    except (ValueError, OverflowError, RecursionError) as error:
        if kind is None:
            return text
        raise _no(kind) from error
    if kind == "float" and type(value) is int:
        return float(value)
    if kind not in {None, "json", _kind(value)}:
        raise _no(str(kind))
    return value


def _no(kind: str) -> InvalidInput:
    message = f"The value is no {kind}"
    return InvalidInput(message, field="value", hint="correct it, or say with --type what it is")


def _show(call: Invocation, told: dict[str, Any], name: str, value: Any) -> None:
    if value is _MISSING:
        message = "Nothing of this name is set"
        raise NotFound(message, hint="`undercroft settings list` shows what is", name=name)
    kind = _kind(value)
    match value:
        case str():
            text = value
        case datetime():
            text = value.isoformat()
        case _:
            text = json.dumps(value, ensure_ascii=False)
    call.out.show({**told, "name": name, "type": kind, "value": _json(str(kind), text)}, Facts({name: (text, kind)}))


def _record(one: Setting | Preference) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(one).items() if name not in {"kind", "text"}}
    return fields | {"type": one.kind, "value": _json(one.kind, one.text)}


def _json(kind: str, text: str) -> Any:
    """Return what JSON has for a stored text: the very digits, which JSON's own numbers may be too small for."""
    return text if kind in {"str", "datetime"} else orjson.Fragment(text)
