"""People and channels as people call them, and the ids that a search takes."""

from collections.abc import Iterable, Iterator
from typing import Any

from undercroft import TenantScope
from undercroft.errors import InvalidInput, NotFound

_PAGE = 1000


def author_id(scope: TenantScope[Any], who: str, option: str = "--author") -> str:
    """Return the id of a user who is named by it, by a handle, a display name, a full name or an e-mail address.

    Raises:
        InvalidInput: nobody is called so, or several are.
    """
    try:
        return str(scope.users.get(who).native_id)
    except NotFound:
        pass
    wanted = who.removeprefix("@").casefold()
    return _only(
        [
            user.native_id
            for user in _users(scope)
            if wanted
            in {(name or "").casefold() for name in (user.name, user.display_name, user.real_name, user.email)}
        ],
        f"called {who}",
        option,
    )


def asker_id(scope: TenantScope[Any], who: str) -> str:
    """Return the id of a user who asks questions, by it or as `author_id`: a bot need not introduce who asks.

    Raises:
        InvalidInput: nobody is called so, or several are.
    """
    if scope.queries.history(user=who, limit=1) or scope.sessions.list(user=who, limit=1):
        return who
    return author_id(scope, who, "--user")


def shown_names(scope: TenantScope[Any], ids: Iterable[str | None]) -> dict[str | None, str]:
    """Return what people call users; one whom nobody has introduced keeps his id."""
    called: dict[str | None, str] = {None: ""}
    for one in ids:
        if one is not None and one not in called:
            try:
                called[one] = scope.users.get(one).shown_name
            except NotFound:
                called[one] = one
    return called


def channel_id(scope: TenantScope[Any], where: str) -> str:
    """Return the id of a channel that is named by it or by its name.

    Raises:
        InvalidInput: none is called so, or several are.
    """
    channels = scope.archive.channels()
    wanted = where.removeprefix("#").casefold()
    by_id = [channel.native_id for channel in channels if channel.native_id == where]
    return _only(
        by_id or [channel.native_id for channel in channels if channel.name.casefold() == wanted],
        f"called {where}",
        "--channel",
    )


def _only(ids: list[str], called: str, option: str) -> str:
    if not ids:
        raise InvalidInput(f"{option}: there is none {called}", hint="check the spelling, or give the id")
    if len(ids) > 1:
        raise InvalidInput(f"{option}: {len(ids)} are {called}", hint=f"give an id: {', '.join(ids[:5])}")
    return ids[0]


def _users(scope: TenantScope[Any]) -> Iterator[Any]:
    after = None
    while True:
        page = scope.users.list(limit=_PAGE, after=after, include_deleted=True)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].native_id
