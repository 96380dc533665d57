"""The versions of configurations: what they were, how they differ, and each as it comes."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import SecretStr
from sqlalchemy import bindparam, func, literal_column, or_, select

from undercroft.config.models import PAST_VALUE, ConfigAudit as Past
from undercroft.config.records import ConfigDiff, ConfigDifference, ConfigVersion
from undercroft.config.rules import check_key, check_prefix, check_version, differences, hidden_json, read
from undercroft.core.operation import Page
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.errors import NotFound

PAGE = 100
_VERSION: tuple[Any, ...] = (
    *(Past.key, Past.version, Past.change, Past.rolled_back_to, Past.value, Past.category, Past.description),
    *(Past.is_sensitive, Past.changed_at, Past.changed_by),
)
_ITS_PAST = (Past.tenant_id == bindparam("tenant_id"), Past.key == bindparam("key"))
_HISTORY = Filtered(
    select(*_VERSION).where(*_ITS_PAST).order_by(Past.version.desc()).limit(bindparam("limit")),
    before=Past.version < bindparam("before"),
)
_PREFIX = bindparam("prefix", type_=Past.__table__.c.key.type)
_LAST: Any = select(func.max(Past.position)).where(Past.tenant_id == bindparam("tenant_id"))
_SINCE = Filtered(
    select(Past.position, *_VERSION)
    .where(
        Past.tenant_id == bindparam("tenant_id"),
        Past.position >= bindparam("position"),
        or_(Past.position > bindparam("position"), Past.key > bindparam("key")),
    )
    .order_by(Past.position, Past.key)
    .limit(bindparam("limit")),
    category=Past.category == bindparam("category"),
    prefix=func.substr(Past.key, literal_column("1"), func.length(_PREFIX)) == _PREFIX,
)
_VERSIONS = select(Past.version, Past.category, Past.description, Past.is_sensitive, Past.value, Past.sealed).where(
    *_ITS_PAST, any_of(Past.version, "versions")
)


def history(tx: Tx, key: str, *, limit: int = 100, before: int | None = None) -> list[ConfigVersion]:
    """Return the versions of a configuration, the newest first; ``before`` is the last version of the page before."""
    statement, used = _HISTORY.given(key=check_key(key), before=before, limit=check_limit(limit))
    return [_version(row) for row in tx.rows(statement, used)]


def changes(tx: Tx, after: Any, *, category: str | None = None, prefix: str | None = None) -> Page[ConfigVersion]:
    """Wait for changes from now on and tell each, in the order in which they were committed; it never ends.

    Of one category or of the keys that begin with ``prefix``, where that is said.
    """
    check_prefix(prefix)
    if after is None:
        return Page([], ((tx.value(_LAST) or 0) + 1, ""))
    position, key = after
    statement, used = _SINCE.given(category=category, prefix=prefix)
    found = tx.rows(statement, used | {"position": position, "key": key, "limit": PAGE})
    return Page([_version(row[1:]) for row in found], found[-1][:2] if found else None)


def diff(tx: Tx, key: str, old: int, new: int | None = None) -> ConfigDiff:
    """Tell how two versions of a configuration differ; without ``new``, how it differs now from an old one.

    Raises:
        NotFound: there is no such version.
    """
    check_version(old, "old", 1)
    if new is None:
        latest = history(tx, key, limit=1)
        new = latest[0].version if latest else old
    found = past(tx, check_key(key), old, check_version(new, "new", 1))
    return ConfigDiff(key, old, new, any(one[2] for one in found.values()), _between(tx, key, found, old, new))


def past(tx: Tx, key: str, *versions: int) -> dict[int, tuple[Any, ...]]:
    """Return versions with what they were: category, description, whether it was sensitive, value, sealed."""
    found = {version: tuple(what) for version, *what in tx.rows(_VERSIONS, {"key": key, "versions": [*versions]})}
    for version in versions:
        if version not in found:
            message = "The configuration has no such version."
            raise NotFound(message, hint="its history shows those that it has", key=key, version=version)
    return found


def text_of(tx: Tx, key: str, version: int, value: str | None, sealed: bytes | None) -> SecretStr | None:
    """Return the JSON of a version's value, hidden; None where it was deleted."""
    if sealed is not None:
        return hidden_json(PAST_VALUE.open(tx, (key,), sealed, version=version))
    return None if value is None else SecretStr(value)


def _between(tx: Tx, key: str, found: Mapping[int, Any], old: int, new: int) -> list[ConfigDifference]:
    (*before, was_sensitive, was, was_sealed), (*after, is_sensitive, value, sealed) = found[old], found[new]
    told = [
        ConfigDifference(path, "changed", *both)
        for path, *both in zip(
            ("category", "description", "is_sensitive"),
            (*before, was_sensitive),
            (*after, is_sensitive),
            strict=True,
        )
        if both[0] != both[1]
    ]
    if was_sensitive or is_sensitive:
        return told + _whether(text_of(tx, key, old, was, was_sealed), text_of(tx, key, new, value, sealed))
    if was is not None and value is not None:
        return [*told, *differences(read(was), read(value))]
    if was is None and value is None:
        return told
    kind: Literal["added", "removed"] = "added" if was is None else "removed"
    return [*told, ConfigDifference("$", kind, was and read(was), value and read(value))]


def _whether(old: SecretStr | None, new: SecretStr | None) -> list[ConfigDifference]:
    """Tell that a sensitive value changed, and nothing of it."""
    if old == new:
        return []
    return [ConfigDifference("$", "added" if old is None else "removed" if new is None else "changed")]


def _version(row: tuple[Any, ...]) -> ConfigVersion:
    key, version, change, rolled_back_to, value, *about = row
    return ConfigVersion(key, version, change, rolled_back_to, None if value is None else read(value), *about)
