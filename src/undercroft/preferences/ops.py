"""Operations on preferences: what a user wants stands before what the tenant has set.

They are the user's own and leave with him, so nothing of them is written into the audit trail, which stays.
"""

from typing import Any

from sqlalchemy import bindparam, delete as sa_delete, literal_column, select, union_all
from sqlalchemy.dialects.postgresql import insert

from undercroft.app_settings import ops as settings
from undercroft.app_settings.models import AppSetting
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.schema import BigInt
from undercroft.core.tx import Tx
from undercroft.core.values import Value, check_name, decoded, encoded
from undercroft.preferences.models import UserPreference as Row
from undercroft.preferences.records import Preference

TOPIC = settings.PREFERENCES
_COLUMNS: tuple[Any, ...] = (Row.user_native_id, Row.name, Row.kind, Row.value, Row.updated_at)
_MINE = (Row.tenant_id == bindparam("tenant_id"), Row.user_native_id == bindparam("user"))
_ONE = (*_MINE, Row.name == bindparam("name"))
_OF_TENANT = AppSetting.tenant_id == bindparam("tenant_id")
_ADD = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    user_native_id=bindparam("user"),
    name=bindparam("name"),
    kind=bindparam("kind"),
    value=bindparam("value"),
    updated_at=bindparam("now"),
)
_SET = _ADD.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.user_native_id, Row.name],
    set_={name: _ADD.excluded[name] for name in ("kind", "value", "updated_at")},
)


def _both(mine: Any, of_tenant: Any) -> Any:
    """Return what a user and the tenant have set, `own` telling which: one statement, so it is of one moment."""
    own = literal_column("1", BigInt()).label("own")
    return union_all(
        select(Row.name.label("name"), Row.kind.label("kind"), Row.value.label("value"), own).where(*mine),
        select(AppSetting.name, AppSetting.kind, AppSetting.value, literal_column("0", BigInt())).where(*of_tenant),
    ).subquery()


_EITHER = _both(_ONE, (_OF_TENANT, AppSetting.name == bindparam("name")))
_ALL = _both(_MINE, (_OF_TENANT,))
_GET = select(_EITHER.c.kind, _EITHER.c.value).order_by(_EITHER.c.own.desc()).limit(1)
_EFFECTIVE = select(_ALL.c.name, _ALL.c.kind, _ALL.c.value).order_by(_ALL.c.own, _ALL.c.name)
_DELETE = sa_delete(Row).where(*_ONE)
_CLEAR = sa_delete(Row).where(*_MINE)
_LIST = Filtered(
    select(*_COLUMNS).where(*_MINE).order_by(Row.name).limit(bindparam("limit")),
    after=Row.name > bindparam("after"),
)


def load(tx: Tx, user: str, name: str) -> tuple[str, str] | None:
    """Return the kind and the text of what counts for a user, None where nothing is set."""
    found = tx.row(_GET, {"user": check_name(user, "user"), "name": check_name(name)})
    return None if found is None else (found[0], found[1])


def get(stored: tuple[str, str] | None, user: str, name: str, *, default: Any = None) -> Any:
    """Return what a user prefers, else what the tenant's setting of that name says, else ``default``.

    Raises:
        InvalidInput: an empty user or name, or one of more than 200 characters.
    """
    del user, name  # what was loaded by
    return default if stored is None else decoded(*stored)


def set_(tx: Tx, user: str, name: str, value: Value) -> Preference:
    """Set what a user prefers; ``user`` is the platform's id, and need not be known to `users`.

    Raises:
        InvalidInput: a value that a setting could not have, an empty user or name, or one of more than 200 characters.
    """
    kind, text = encoded(value)
    row = {"user": check_name(user, "user"), "name": check_name(name), "kind": kind, "value": text, "now": tx.now}
    tx.announce(TOPIC)
    tx.run(_SET, row)
    return Preference(user, name, kind, text, tx.now)


def delete(tx: Tx, user: str, name: str) -> bool:
    """Delete a preference, so that the tenant's setting counts again; tells whether there was one."""
    one = {"user": check_name(user, "user"), "name": check_name(name)}
    tx.announce(TOPIC)
    return tx.run(_DELETE, one) > 0


def clear(tx: Tx, user: str) -> int:
    """Delete all preferences of a user; returns how many there were."""
    check_name(user, "user")
    tx.announce(TOPIC)
    return tx.run(_CLEAR, {"user": user})


def list_(tx: Tx, user: str, *, limit: int = 100, after: str | None = None) -> list[Preference]:
    """List what a user prefers, by name; ``after`` is the name of the last one of the page before."""
    statement, used = _LIST.given(after=after, limit=check_limit(limit), user=check_name(user, "user"))
    return [Preference(*row) for row in tx.rows(statement, used)]


def load_all(tx: Tx, user: str) -> tuple[tuple[str, str, str], ...]:
    """Return the name, kind and text of all that counts for a user, by name."""
    rows = tx.rows(_EFFECTIVE, {"user": check_name(user, "user")})
    last = {name: (name, kind, text) for name, kind, text in rows}
    return tuple(last[name] for name in sorted(last))


def effective(stored: tuple[tuple[str, str, str], ...], user: str) -> dict[str, Any]:
    """Return all that counts for a user: the tenant's settings, and before them what he prefers."""
    del user  # what was loaded by
    return {name: decoded(kind, text) for name, kind, text in stored}
