"""`undercroft keys`: the keys that secrets are sealed under."""

from typing import Annotated, Any

import typer

from undercroft import KeyUse, Resealed
from undercroft.cli.failures import DATABASE
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing

_ID = Annotated[str, typer.Argument(metavar="KEYID", help="As `undercroft keys list` shows it.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    keys = group("The keys that secrets are sealed under; docs/sealing.md tells how to change them.")
    command(keys, "init")(init)
    command(keys, "new")(new)
    command(keys, "list")(list_)
    command(keys, "status")(status)
    command(keys, "rotate")(rotate)
    command(keys, "retire")(retire)
    app.add_typer(keys, name="keys")


def init(call: Invocation) -> None:
    """Make the key file with a first key, readable by you alone; keep a copy of it where the database's are not."""
    with call.store(create=True, opened=False) as store:
        made = store.keys.create()
        path = store.keys.path()
    call.out.show({"key": made, "file": str(path)}, Facts({"Key": made, "File": str(path)}, title="Ready"))


def new(call: Invocation) -> None:
    """Print a new key, for UNDERCROFT_KEYS or the key files of several machines; it is stored nowhere."""
    with call.store(create=True, opened=False) as store:
        text = store.keys.new().get_secret_value()
    call.out.show({"text": text}, Listing(["key"], [[text]]))


def list_(call: Invocation) -> None:
    """List the keys by their ids, the one that seals first, with how many values are under each."""
    with call.store() as store:
        found = store.keys.status()
    rows = [[one.id, _role(one), one.values] for one in found]
    told = [{"key": one.id, "role": _role(one), "values": one.values} for one in found]
    call.out.show({"keys": told}, Listing(["key", "role", "values"], rows, empty="no key yet: undercroft keys init"))


def status(call: Invocation) -> None:
    """Tell whether everything is sealed under the key that seals, and can be opened; 3 where a key is lost."""
    with call.store() as store:
        found = store.keys.status()
    primary = next((one.id for one in found if one.is_primary), None)
    older = sum(one.values for one in found if one.is_here and not one.is_primary)
    lost = sum(one.values for one in found if not one.is_here)
    answer = {"primary": primary, "older": older, "lost": lost}
    facts = {
        "Seals": primary or ("none", "undercroft keys init"),
        "Under older keys": (older, "undercroft keys rotate") if older else 0,
        "Under lost keys": (lost, "give the key back, or set these values anew") if lost else 0,
    }
    call.out.show(answer, Facts(facts))
    if lost:
        raise typer.Exit(DATABASE)


def rotate(call: Invocation) -> None:
    """Make a new key and seal everything anew under it, while the program goes on; run it again if it was stopped."""
    with call.store() as store:
        done = store.keys.rotate()
    facts: dict[str, Any] = {
        "Seals": (done.key, "new") if done.is_new else done.key,
        "Sealed anew": done.values,
        "Left under other keys": sum(done.left.values()),
    }
    call.out.show(_told(done), Facts(facts), advice=_advice(call, done))
    if done.left:
        call.out.fail(f"{sum(done.left.values())} values could not be opened: {', '.join(_reasons(done))}")
        raise typer.Exit(DATABASE)


def retire(call: Invocation, key: _ID) -> None:
    """Take a key away that nothing is sealed under any more."""
    with call.store() as store:
        store.keys.retire(key)
    call.out.show({"retired": key}, Facts({"Retired": key}))


def _role(key: KeyUse) -> str:
    if not key.is_here:
        return "lost"
    return "seals" if key.is_primary else "opens"


def _reasons(done: Resealed) -> list[str]:
    return sorted({one.code for one in done.broken}) or ["see `undercroft keys list`"]


def _told(done: Resealed) -> dict[str, Any]:
    broken = [
        {"table": one.table, "tenant_id": str(one.tenant_id), "key": list(one.key), "code": one.code}
        for one in done.broken
    ]
    return {"key": done.key, "is_new": done.is_new, "values": done.values, "left": done.left, "broken": broken}


def _advice(call: Invocation, done: Resealed) -> list[str]:
    return [] if done.left else [f"{call.program} keys list  the old key may be retired where nothing needs it"]
