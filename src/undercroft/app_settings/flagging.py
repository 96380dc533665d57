"""Operations on feature flags; each change is announced first, so that those of a tenant take turns."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete as sa_delete, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.app_settings.models import FeatureFlag as Row
from undercroft.app_settings.records import Flag
from undercroft.app_settings.rules import check_enabled, check_share, check_users, is_on, per_cent
from undercroft.audit import ops as audit
from undercroft.core.canonical import check_text
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.core.values import check_name

TOPIC = "flags"
_COLUMNS: tuple[Any, ...] = (
    Row.name,
    Row.enabled,
    Row.users,
    Row.except_users,
    Row.share,
    Row.description,
    Row.created_at,
    Row.updated_at,
    Row.updated_by,
)
_MINE = (Row.tenant_id == bindparam("tenant_id"), Row.name == bindparam("name"))
_RULE = select(Row.enabled, Row.users, Row.except_users, Row.share).where(*_MINE)
_OLD = select(*_COLUMNS).where(*_MINE)
_ADD = insert(Row).values(
    tenant_id=bindparam("tenant_id"), **{column.key: bindparam(column.key) for column in _COLUMNS}
)
_SET = _ADD.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.name],
    set_={column.key: _ADD.excluded[column.key] for column in _COLUMNS if column.key not in {"name", "created_at"}},
)
_DELETE = sa_delete(Row).where(*_MINE)
_LIST = Filtered(
    select(*_COLUMNS).where(Row.tenant_id == bindparam("tenant_id")).order_by(Row.name).limit(bindparam("limit")),
    after=Row.name > bindparam("after"),
)


Rule = tuple[bool, frozenset[str], frozenset[str], int | None]


def load(tx: Tx, name: str) -> Rule | None:
    """Return the rule of a flag, None where there is none."""
    row = tx.row(_RULE, {"name": check_name(name)})
    return None if row is None else (row[0], frozenset(row[1]), frozenset(row[2]), row[3])


def flag(rule: Rule | None, name: str, *, user: str | None = None, default: bool = False) -> bool:
    """Tell whether a feature is on, for a user by the platform's id; ``default`` where there is no such flag.

    The same user always gets the same answer while the rule stands, and a share that is raised takes nobody's away.
    Without a user a flag that is on for some of them only is off.

    Raises:
        InvalidInput: an empty name or user, or one of more than 200 characters.
    """
    who = None if user is None else check_name(user, "user")
    if rule is None:
        return default
    enabled, users, except_users, share = rule
    return is_on(name, who, enabled=enabled, users=users, except_users=except_users, share=share)


def set_flag(
    tx: Tx,
    name: str,
    *,
    enabled: bool,
    users: Collection[str] | None = None,
    except_users: Collection[str] | None = None,
    share: float | None = None,
    description: str | None = None,
    by: str | None = None,
) -> Flag:
    """Switch a feature, and say for whom; written down in the audit trail. What is not given of a flag stays.

    ``users`` have it, whoever else does; ``except_users`` never do; ``share`` is the per cent of the others that do, in
    steps of 0.0001, 100 for everybody. With users alone nobody else has it, with none of these everybody does; an empty
    list takes one back. At most 1,000 users are named.

    Raises:
        InvalidInput: ``enabled`` is no bool, a share is out of its range, users are no list of ids.
    """
    check_name(name)
    given: dict[str, Any] = {"enabled": check_enabled(enabled)}
    for field, listed in (("users", users), ("except_users", except_users)):
        if listed is not None:
            given[field] = tuple(check_users(listed, field))
    if share is not None:
        given["share"] = per_cent(check_share(share))
    if description is not None:
        given["description"] = check_text(description, "description")
    tx.announce(TOPIC)
    row = tx.row(_OLD, {"name": name})
    old = None if row is None else _flag(row)
    new = replace(old or Flag(name, enabled, (), (), None, "", tx.now, tx.now, by), **given)
    if old == new:
        return new
    new = replace(new, updated_at=tx.now, updated_by=by)
    tx.run(_SET, _row(new))
    _log(tx, "set", name, by, {"old": None if old is None else _rule(old), "new": _rule(new)})
    return new


def flags(tx: Tx, *, limit: int = 100, after: str | None = None) -> list[Flag]:
    """List feature flags by name; ``after`` is the name of the last one of the page before."""
    statement, used = _LIST.given(after=after, limit=check_limit(limit))
    return [_flag(row) for row in tx.rows(statement, used)]


def delete_flag(tx: Tx, name: str, *, by: str | None = None) -> bool:
    """Delete a flag, so that the caller's default decides; tells whether there was one. Written down in the audit."""
    check_name(name)
    tx.announce(TOPIC)
    row = tx.row(_OLD, {"name": name})
    if row is None:
        return False
    tx.run(_DELETE, {"name": name})
    _log(tx, "delete", name, by, {"old": _rule(_flag(row))})
    return True


def _flag(row: tuple[Any, ...]) -> Flag:
    name, enabled, users, except_users, share, *rest = row
    return Flag(name, enabled, tuple(users), tuple(except_users), per_cent(share), *rest)


def _row(flag: Flag) -> dict[str, Any]:
    told = {column.key: getattr(flag, column.key) for column in _COLUMNS}
    lists = {"users": list(flag.users), "except_users": list(flag.except_users)}
    return told | lists | {"share": None if flag.share is None else check_share(flag.share)}


def _rule(flag: Flag) -> dict[str, Any]:
    lists = {"users": list(flag.users), "except_users": list(flag.except_users)}
    return {"enabled": flag.enabled, **lists, "share": flag.share}


def _log(tx: Tx, verb: str, name: str, by: str | None, data: dict[str, Any]) -> None:
    audit.log(tx, f"flag.{verb}", by=by, resource_type="flag", resource_id=name, data=data)
