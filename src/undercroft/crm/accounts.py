"""Whose account in the CRM somebody belongs to who writes from an address."""

from collections.abc import Collection
from dataclasses import fields
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core.canonical import check_text
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.crm import ops
from undercroft.crm.models import AccountMapping as Row, CRMConnection
from undercroft.crm.records import AccountMapping
from undercroft.crm.rules import candidates, mappable
from undercroft.errors import InvalidInput

_COLUMNS = tuple(getattr(Row, field.name) for field in fields(AccountMapping))
_MINE = Row.tenant_id == bindparam("tenant_id")
_IT = (_MINE, Row.connection_id == bindparam("connection"), Row.email_domain == bindparam("domain"))
_GET = select(*_COLUMNS).where(*_IT)


def _of(which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a mapping is of a connected CRM; no join, so that the index gives the order too."""
    mine = CRMConnection.tenant_id == bindparam("tenant_id")
    connected = select(CRMConnection.id).where(mine, CRMConnection.disconnected_at.is_(None), which)
    return Row.connection_id == connected.scalar_subquery()


_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "default": _of(CRMConnection.is_default.expression),
    "connection": _of(CRMConnection.id == bindparam("connection")),
    "verified": Row.verified == bindparam("verified"),
    "after": Row.email_domain > bindparam("after"),
}
# An address is longer than its domain, and a domain than those above it.
_FIND = Filtered(
    select(*_COLUMNS)
    .where(_MINE, any_of(Row.email_domain, "candidates"))
    .order_by(Row.verified.desc(), func.length(Row.email_domain).desc())
    .limit(1),
    **_CONDITIONS,
)
_LIST = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.connection_id, Row.email_domain).limit(bindparam("limit")),
    **_CONDITIONS,
)
_NEW = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    connection_id=bindparam("connection"),
    email_domain=bindparam("domain"),
    account_id=bindparam("account_id"),
    account_name=bindparam("account_name"),
    verified=bindparam("verified"),
    mapped_by=bindparam("by"),
    created_at=bindparam("now"),
    updated_at=bindparam("now"),
)
_PUT = _NEW.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.connection_id, Row.email_domain],
    set_={name: _NEW.excluded[name] for name in ("account_id", "account_name", "verified", "mapped_by", "updated_at")},
    where=or_(~Row.verified, _NEW.excluded.verified),
).returning(*_COLUMNS)
_REMOVE = delete(Row).where(*_IT)


def map_account(
    tx: Tx,
    domain: str,
    account_id: str,
    *,
    account_name: str,
    verified: bool,
    connection: UUID | None,
    public: Collection[str],
    by: str | None,
) -> AccountMapping:
    """Store whose account a domain or an address is; a suggestion leaves what is verified as it stands."""
    if not check_text(account_id, "account_id"):
        message = "A mapping needs the CRM's id of an account."
        raise InvalidInput(message, field="account_id")
    name = mappable(domain, public)
    key = {"connection": ops.get(tx, connection).id, "domain": name}
    given = {"account_id": account_id, "account_name": account_name, "verified": verified}
    row = tx.row(_PUT, {**key, **given, "by": by, "now": tx.now})
    if row is None:
        return AccountMapping(*tx.rows(_GET, key)[0])
    audit.log(tx, "crm.map_account", by=by, resource_type="account_mapping", resource_id=name, data=given)
    return AccountMapping(*row)


def unmap_account(tx: Tx, domain: str, *, connection: UUID | None, by: str | None) -> bool:
    """Remove a mapping."""
    name = mappable(domain, ())
    if not tx.run(_REMOVE, {"connection": ops.get(tx, connection).id, "domain": name}):
        return False
    audit.log(tx, "crm.unmap_account", by=by, resource_type="account_mapping", resource_id=name)
    return True


def find_account(
    tx: Tx, email: str, *, connection: UUID | None = None, verified_only: bool = False
) -> AccountMapping | None:
    """Find the account that somebody belongs to by his address, None where nobody knows; one statement.

    A verified mapping goes before a suggestion, then the closest: of the address itself (without what follows a plus),
    of its domain, of the domains above that. ``connection`` is the default one unless another is given.

    Raises:
        InvalidInput: this is no e-mail address.
    """
    statement, used = _FIND.given(
        default=True if connection is None else None,
        connection=connection,
        verified=True if verified_only else None,
        candidates=candidates(email),
    )
    row = tx.row(statement, used)
    return None if row is None else AccountMapping(*row)


def accounts(
    tx: Tx,
    *,
    connection: UUID | None = None,
    verified: bool | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[AccountMapping]:
    """List the mappings of a connection, of the default one without, in the order of their domains.

    ``after`` is the domain of the last one of the page before.
    """
    statement, used = _LIST.given(
        default=True if connection is None else None,
        connection=connection,
        verified=verified,
        after=after,
        limit=check_limit(limit),
    )
    return [AccountMapping(*row) for row in tx.rows(statement, used)]
