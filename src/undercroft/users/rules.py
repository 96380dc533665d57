"""Roles and what they may do."""

from typing import TYPE_CHECKING, Literal, get_args

from undercroft.errors import AccessDenied, InvalidInput

if TYPE_CHECKING:
    from undercroft.users.records import DatabaseMapping

Role = Literal["viewer", "member", "admin", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)


def check_role(role: str) -> Role:
    """Return the role; raises InvalidInput for a word that is none."""
    for known in ROLES:
        if role == known:
            return known
    message = f"A role is one of {', '.join(ROLES)}."
    raise InvalidInput(message, field="role")


def at_least(role: Role, needed: Role) -> bool:
    """Tell whether a role includes another: each includes those before it."""
    return ROLES.index(role) >= ROLES.index(needed)


def check_change(actor: Role | None, old: Role, new: Role, *, owners: int) -> None:
    """Decide whether somebody may change a role; ``actor`` is None for the program, ``owners`` counts them before.

    Admins hand out every role below owner and touch no owner, owners do anything, the last owner stays one.

    Raises:
        AccessDenied: the actor's role is too low, or no owner would be left.
    """
    if actor is not None and not at_least(actor, "admin"):
        message = f"A {actor} may not change roles."
        raise AccessDenied(message)
    if actor == "admin" and "owner" in (old, new):
        message = "Only an owner may make or unmake an owner."
        raise AccessDenied(message)
    if old == "owner" and new != "owner" and owners <= 1:
        message = "The last owner of a tenant stays one."
        raise AccessDenied(message, hint="make somebody else an owner first")


def denial(mapping: "DatabaseMapping | None", database: str, permission: str, *, deleted: bool) -> str | None:
    """Tell why somebody with this mapping may not ask a database, None where he may; ``*`` stands for everything."""
    if deleted:
        return "the user is deleted"
    if mapping is None:
        return "the user has no mapping"
    if not {"*", database}.intersection(mapping.allowed_databases):
        return "the database is not among those allowed"
    if not {"*", permission}.intersection(mapping.permissions):
        return "the permission is missing"
    return None
