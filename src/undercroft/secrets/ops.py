"""Operations on secrets: a value is sealed before a statement carries it, and shown by no result's repr."""

from typing import Any

from pydantic import SecretBytes, SecretStr
from sqlalchemy import bindparam, delete as sa_delete, select, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.audit import ops as audit
from undercroft.core import ids
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.seal import hidden
from undercroft.core.tx import Tx
from undercroft.errors import NotFound, SerializationFailure
from undercroft.secrets.models import VALUE, Secret as Row
from undercroft.secrets.records import StoredSecret
from undercroft.secrets.rules import check_name, check_value

_COLUMNS: tuple[Any, ...] = (Row.name, Row.version, Row.created_at, Row.updated_at, Row.updated_by)
_MINE = (Row.tenant_id == bindparam("tenant_id"), Row.name == bindparam("name"))
_SEALED = select(Row.id, Row.version, Row.value).where(*_MINE)
_LOCKED = select(Row.id, Row.version, Row.created_at).where(*_MINE).with_for_update()
_ADD = (
    insert(Row)
    .values(
        tenant_id=bindparam("tenant_id"),
        name=bindparam("name"),
        id=bindparam("id"),
        version=bindparam("version"),
        value=bindparam("value"),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
        updated_by=bindparam("by"),
    )
    .on_conflict_do_nothing()
)
_REPLACE = (
    update(Row)
    .where(*_MINE)
    .values(
        version=bindparam("version"), value=bindparam("value"), updated_at=bindparam("now"), updated_by=bindparam("by")
    )
)
_DELETE = sa_delete(Row).where(*_MINE)
_LIST = Filtered(
    select(*_COLUMNS).where(Row.tenant_id == bindparam("tenant_id")).order_by(Row.name).limit(bindparam("limit")),
    after=Row.name > bindparam("after"),
)


def set_(tx: Tx, name: str, value: str | bytes | SecretStr | SecretBytes, *, by: str | None = None) -> StoredSecret:
    """Seal and store a secret, in place of the one of this name; written down in the audit trail without its value.

    ``by`` is who sets it, None for the program itself. Under an idempotency key the value is not compared.

    Raises:
        InvalidInput: an empty name or value, or one that is too long (255 and 65,536 characters or bytes).
        KeysMissing: there is no key to seal it under; it is never stored in clear.
        KeysUnavailable: the key could not be unwrapped.
    """
    value = check_value(hidden(value))
    old = tx.row(_LOCKED, {"name": check_name(name)})
    id_, version, created_at = (ids.new(), 0, tx.now) if old is None else old
    row = {"name": name, "version": version + 1, "now": tx.now, "by": by}
    row["value"] = VALUE.seal(tx, (name, id_), value, version=version + 1)
    if old is not None:
        tx.run(_REPLACE, row)
    elif not tx.run(_ADD, {**row, "id": id_}):
        message = "Somebody else set this secret for the first time at the same moment."
        raise SerializationFailure(message)
    audit.log(tx, "secret.set", by=by, resource_type="secret", resource_id=name, data={"version": version + 1})
    return StoredSecret(name, version + 1, created_at, tx.now, by)


def get(tx: Tx, name: str) -> SecretStr | SecretBytes:
    """Open a secret: `get_secret_value()` of the result is the text or the bytes that were set, its repr hides them.

    Raises:
        NotFound: there is none of this name.
        KeyUnknown: this process lacks the key that it is sealed under; other secrets open.
        SealBroken: it was changed, or moved from elsewhere, past our calls.
    """
    row = tx.row(_SEALED, {"name": name})
    if row is None:
        message = "The tenant has no secret of this name."
        raise NotFound(message, hint="set it with secrets.set(...)", name=name)
    id_, version, sealed = row
    return VALUE.open(tx, (name, id_), sealed, version=version)


def list_(tx: Tx, *, limit: int = 100, after: str | None = None) -> list[StoredSecret]:
    """List secrets by name, without their values; ``after`` is the name of the last one of the page before."""
    statement, used = _LIST.given(after=after, limit=check_limit(limit))
    return [StoredSecret(*row) for row in tx.rows(statement, used)]


def delete(tx: Tx, name: str, *, by: str | None = None) -> bool:
    """Delete a secret; tells whether there was one. Written down in the audit trail."""
    if not tx.run(_DELETE, {"name": name}):
        return False
    audit.log(tx, "secret.delete", by=by, resource_type="secret", resource_id=name)
    return True
