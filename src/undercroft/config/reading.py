"""What configurations are set to."""

from typing import Any, TypeAlias

from pydantic import SecretStr
from sqlalchemy import bindparam, func, literal_column, or_, select

from undercroft.config.models import VALUE, Configuration as Row
from undercroft.config.records import ConfigEntry
from undercroft.config.rules import check_about, check_key, check_prefix, hidden_json, read, read_hidden
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.errors import NotFound

Held: TypeAlias = str | SecretStr
"""A value's JSON as a process remembers it."""

_ENTRY: tuple[Any, ...] = (
    *(Row.key, Row.value, Row.version, Row.category, Row.description, Row.is_sensitive),
    *(Row.created_at, Row.updated_at, Row.updated_by),
)
_MINE = Row.tenant_id == bindparam("tenant_id")
_THERE = (_MINE, or_(Row.value.is_not(None), Row.sealed.is_not(None)))
_THIS = (*_THERE, Row.key == bindparam("key"))
_GET = select(Row.version, Row.value, Row.sealed).where(*_THIS)
_ABOUT = select(*_ENTRY).where(*_THIS)
_PREFIX = bindparam("prefix", type_=Row.__table__.c.key.type)
_LIST = Filtered(
    select(*_ENTRY).where(*_THERE).order_by(Row.key).limit(bindparam("limit")),
    category=Row.category == bindparam("category"),
    prefix=func.substr(Row.key, literal_column("1"), func.length(_PREFIX)) == _PREFIX,
    after=Row.key > bindparam("after"),
)
_OF_CATEGORY = (
    select(Row.key, Row.version, Row.value, Row.sealed)
    .where(*_THERE, Row.category == bindparam("category"))
    .order_by(Row.key)
)


def load(tx: Tx, key: str) -> Held | None:
    """Return the JSON of a configuration, which a process may remember: what is sensitive is opened, and hidden."""
    found = tx.row(_GET, {"key": check_key(key)})
    return None if found is None else _held(tx, key, *found)


def get(held: Held | None, key: str, default: Any = None) -> Any:
    """Return what a configuration is set to, of the very type that was given, or the default where it is not set.

    A sensitive value comes hidden, text as SecretStr and anything else as pydantic's Secret; `get_secret_value()` tells
    it. A process remembers what it has read, what is not set as well, until it is told of a change.

    Raises:
        InvalidInput: there is no such key.
        KeyUnknown: it is sensitive, and this process lacks the key that it is sealed under.
        SealBroken: it was changed, or moved from elsewhere, past our calls.
    """
    del key
    return default if held is None else _read(held)


def load_category(tx: Tx, category: str) -> tuple[tuple[str, Held], ...]:
    """Return the JSON of all configurations of a category."""
    check_about(category, None)
    return tuple((key, _held(tx, key, *found)) for key, *found in tx.rows(_OF_CATEGORY, {"category": category}))


def by_category(held: tuple[tuple[str, Held], ...], category: str) -> dict[str, Any]:
    """Return all configurations of a category by their keys, each as `get` does; remembered as well."""
    del category
    return {key: _read(one) for key, one in held}


def entry(tx: Tx, key: str) -> ConfigEntry:
    """Return what is known of a configuration beside its value, and that too where it is not sensitive.

    Raises:
        NotFound: it is not set.
    """
    found = tx.row(_ABOUT, {"key": check_key(key)})
    if found is None:
        raise not_set(key)
    return _entry(found)


def list_(
    tx: Tx,
    *,
    category: str | None = None,
    prefix: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[ConfigEntry]:
    """List configurations by key, those whose key begins with ``prefix``; ``after`` is the last of the page before."""
    statement, used = _LIST.given(category=category, prefix=check_prefix(prefix), after=after, limit=check_limit(limit))
    return [_entry(row) for row in tx.rows(statement, used)]


def _held(tx: Tx, key: str, version: int, value: str, sealed: bytes | None) -> Held:
    return value if sealed is None else hidden_json(VALUE.open(tx, (key,), sealed, version=version))


def _read(held: Held) -> Any:
    return read_hidden(held) if isinstance(held, SecretStr) else read(held)


def _entry(row: tuple[Any, ...]) -> ConfigEntry:
    key, value, *about = row
    return ConfigEntry(key, None if value is None else read(value), *about)


def not_set(key: str) -> NotFound:
    """Return what is raised where there is nothing."""
    message = "The configuration is not set."
    return NotFound(message, hint="set it first; a list shows what is set", key=key)
