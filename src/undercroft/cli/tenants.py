"""`undercroft tenants`: the directory of workspaces, guilds and customers."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from undercroft import Store
from undercroft.cli.confirm import confirm
from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing
from undercroft.errors import InvalidInput

_KEY = Annotated[str | None, typer.Argument(metavar="KEY", help="Platform and id, such as slack:T024BE7LD.")]
_YES = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")]
_PAGE = 1000


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    tenants = group("The workspaces, guilds and customers whose data is kept apart.")
    command(tenants, "list")(list_)
    command(tenants, "show")(show)
    command(tenants, "ensure")(ensure)
    command(tenants, "delete")(delete)
    command(tenants, "restore")(restore)
    command(tenants, "purge")(purge)
    app.add_typer(tenants, name="tenants")


def list_(
    call: Invocation,
    *,
    deleted: Annotated[bool, typer.Option("--deleted", metavar="", help="Deleted ones too.")] = False,
) -> None:
    """List all tenants."""
    with call.store() as store:
        found = list(every_tenant(store, include_deleted=deleted))
    columns = ["key", "name", "plan", "status", "created", *(["deleted"] if deleted else [])]
    rows = [
        [
            one.key,
            one.name,
            one.plan_tier,
            one.subscription_status,
            one.created_at,
            *([one.deleted_at] if deleted else []),
        ]
        for one in found
    ]
    call.out.show({"tenants": [_told(one) for one in found]}, Listing(columns, rows, empty="no tenant yet"))


def show(call: Invocation, key: _KEY = None) -> None:
    """Show one tenant."""
    with call.store() as store:
        _show(call, store.tenants.get(_named(call, key)))


def ensure(
    call: Invocation,
    key: _KEY = None,
    *,
    name: Annotated[str | None, typer.Option(help="As people call it.")] = None,
    plan: Annotated[str | None, typer.Option(help="Its plan, `free` for a new one.")] = None,
    status: Annotated[str | None, typer.Option(help="Of its subscription, `active` for a new one.")] = None,
) -> None:
    """Make a tenant, or change what is given of one that exists."""
    with call.store(create=True) as store:
        made = store.tenants.ensure(_named(call, key), name=name, plan_tier=plan, subscription_status=status)
    _show(call, made)


def delete(call: Invocation, key: _KEY = None) -> None:
    """Put a tenant out of reach; nothing is removed, and `restore` brings it back."""
    with call.store() as store:
        gone = store.tenants.soft_delete(_named(call, key))
    _show(
        call,
        gone,
        advice=[
            f"{call.program} tenants restore {gone.key}  undo it",
            f"{call.program} tenants purge {gone.key}  remove it for good",
        ],
    )


def restore(call: Invocation, key: _KEY = None) -> None:
    """Bring a deleted tenant back."""
    with call.store() as store:
        _show(call, store.tenants.restore(_named(call, key)))


def purge(call: Invocation, key: _KEY = None, *, yes: _YES = False) -> None:
    """Remove a deleted tenant and all it held, for good."""
    with call.store() as store:
        tenant = store.tenants.get(_named(call, key))
        if tenant.deleted_at is None:
            raise InvalidInput(
                "Only a deleted tenant can be purged",
                field="tenant",
                hint=f"first `undercroft tenants delete {tenant.key}`",
            )
        if not yes:
            confirm(call.out, f"Remove {tenant.key} ({tenant.name}) and everything it held, for good?")
        rows = store.tenants.purge(tenant.key)
    call.out.show({"tenant": tenant.key, "rows_removed": rows}, Facts({"Removed": tenant.key, "Rows": rows}))


def every_tenant(store: Store, *, include_deleted: bool = False) -> Iterator[Any]:
    """Yield all tenants, a page at a time."""
    after = None
    while True:
        page = store.tenants.list(include_deleted=include_deleted, limit=_PAGE, after=after)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].key


def _named(call: Invocation, key: str | None) -> str:
    """Return the tenant that is meant, by the argument or by --tenant."""
    if key and call.tenant and key != call.tenant:
        raise InvalidInput("KEY and --tenant disagree", field="tenant", hint="give one of them")
    if not (key or call.tenant):
        raise InvalidInput("No tenant is named", field="tenant", hint="see `undercroft tenants list`")
    return key or call.tenant or ""


def _show(call: Invocation, tenant: Any, advice: list[str] | None = None) -> None:
    facts = {
        "Key": tenant.key,
        "Name": tenant.name,
        "Plan": tenant.plan_tier,
        "Status": tenant.subscription_status,
        "Created": tenant.created_at,
        "Changed": tenant.updated_at,
    }
    if tenant.deleted_at is not None:
        facts["Deleted"] = tenant.deleted_at
    call.out.show({"tenant": _told(tenant)}, Facts(facts), advice=advice or [])


def _told(tenant: Any) -> dict[str, Any]:
    return asdict(tenant)
