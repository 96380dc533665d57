"""`undercroft flags`: for whom features are on."""

from dataclasses import asdict
from typing import Annotated

import typer

from undercroft import Flag
from undercroft.cli.confirm import confirm
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.errors import NotFound

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Of the flag, such as new_search.")]
_BY = Annotated[str | None, typer.Option("--by", metavar="ID", help="Who does it, by the platform's id.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    flags = group("For whom features are on.")
    command(flags, "list")(list_)
    command(flags, "check")(check)
    command(flags, "set")(set_)
    command(flags, "delete")(delete)
    app.add_typer(flags, name="flags")


def list_(call: Invocation) -> None:
    """List the feature flags."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.settings.flags(limit=1000)
    rows = [
        [one.name, one.enabled, _whom(one), ", ".join(one.except_users) or None, one.updated_at, one.updated_by]
        for one in found
    ]
    columns = ["flag", "on", "for", "but not for", "changed", "by"]
    listing = Listing(columns, rows, empty="no flag yet", wide=["for", "but not for"])
    call.out.show({"tenant": scope.key, "flags": [asdict(one) for one in found]}, listing)


def check(
    call: Invocation,
    name: _NAME,
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="For this user.")] = None,
) -> None:
    """Tell whether a feature is on."""
    with call.store() as store:
        scope = call.scope(store)
        is_on = scope.settings.flag(name, user=user)
        is_known = is_on or not scope.settings.flag(name, user=user, default=True)
    if not is_known:
        message = "There is no such flag"
        raise NotFound(message, hint="`undercroft flags list` shows what there is", name=name)
    call.out.show({"tenant": scope.key, "flag": name, "user": user, "on": is_on}, Facts({name: is_on}))


def set_(
    call: Invocation,
    name: _NAME,
    *,
    on: Annotated[bool, typer.Option("--on/--off", help="Off is off for everybody.")],
    user: Annotated[
        list[str] | None, typer.Option("--user", metavar="ID", help="Who has it; may be repeated, '' names nobody.")
    ] = None,
    but: Annotated[
        list[str] | None, typer.Option("--except", metavar="ID", help="Who never has it; repeated as well.")
    ] = None,
    share: Annotated[float | None, typer.Option(metavar="PERCENT", help="How many of the others have it.")] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.")] = None,
    by: _BY = None,
) -> None:
    """Switch a feature, and say for whom; what is not said stays."""
    with call.store() as store:
        scope = call.scope(store)
        made = scope.settings.set_flag(
            name,
            enabled=on,
            users=_named(user),
            except_users=_named(but),
            share=share,
            description=description,
            by=by,
        )
    facts = {"Flag": made.name, "On": made.enabled, "For": _whom(made)}
    facts |= {"But not for": ", ".join(made.except_users) or None, "Description": made.description or None}
    call.out.show({"tenant": scope.key, "flag": asdict(made)}, Facts(facts))


def delete(
    call: Invocation,
    name: _NAME,
    *,
    by: _BY = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
) -> None:
    """Delete a flag, so that the program's own default counts."""
    if not yes:
        confirm(call.out, f"Delete the flag {name}?")
    with call.store() as store:
        scope = call.scope(store)
        deleted = scope.settings.delete_flag(name, by=by)
    told = {"tenant": scope.key, "flag": name, "deleted": deleted}
    call.out.show(told, Facts({name: "deleted" if deleted else "there was none"}))


def _named(users: list[str] | None) -> list[str] | None:
    return None if not users else [user for user in users if user]


def _whom(flag: Flag) -> str:
    share = None if flag.share is None else f"{flag.share:g} %"
    return ", ".join([*flag.users, *([share] if share else [])]) or "everybody"
