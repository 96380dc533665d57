"""Operations that change configurations."""

from collections.abc import Mapping
from typing import Any

from pydantic import Secret

from undercroft.config.reading import not_set
from undercroft.config.records import ConfigEntry
from undercroft.config.rules import MOST, check_about, check_key, check_value, check_version, given
from undercroft.config.versions import past, text_of
from undercroft.config.writing import Wanted, check_expected, locked, write
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput


def set_(
    tx: Tx,
    key: str,
    value: Any,
    *,
    category: str | None = None,
    description: str | None = None,
    is_sensitive: bool | None = None,
    expected: int | None = None,
    by: str | None = None,
) -> ConfigEntry:
    """Set a configuration to a JSON value: text, a number, true, false, None, a list or a dict of them.

    What is not given stays as it was; a new one has the category ``general``. A sensitive value is sealed; a value that
    is given as SecretStr or Secret is sensitive, and what was sensitive stays so unless ``is_sensitive=False`` is said,
    its history even then. ``expected`` is the version that it must be at, 0 where it must not exist; ``by`` is who sets
    it. Each call makes a version, written down in the audit trail without the value.

    Raises:
        VersionConflict: it is at another version than ``expected``.
        InvalidInput: a key, a value or a category that cannot be; ``field`` names it.
        KeysMissing: it is sensitive and there is no key to seal it under; it is never stored in clear.
    """
    check_about(category, description)
    text, is_sensitive = check_value(given(value), is_sensitive=is_sensitive)
    wanted = Wanted(check_key(key), text, category, description, is_sensitive)
    return _write(tx, [wanted], {} if expected is None else {key: expected}, by)[0]


def set_many(
    tx: Tx,
    values: Mapping[str, Any],
    *,
    category: str | None = None,
    is_sensitive: bool | None = None,
    expected: Mapping[str, int] | None = None,
    by: str | None = None,
) -> list[ConfigEntry]:
    """Set up to 1,000 configurations, all or none, as `set` does; ``expected`` may name versions of some of them.

    Raises:
        VersionConflict: one is at another version than expected.
        InvalidInput: a key or value cannot be; ``field`` names it.
        KeysMissing: one is sensitive and there is no key to seal it under.
    """
    check_about(category, None)
    hidden = given(values)
    if not isinstance(hidden.get_secret_value(), Mapping) or len(hidden.get_secret_value()) > MOST:
        message = f"At most {MOST:,} keys with their values are set at once."
        raise InvalidInput(message, field="values")
    wanted = []
    for key in hidden.get_secret_value():
        text, sealing = check_value(
            Secret(hidden.get_secret_value()[check_key(key)]), is_sensitive=is_sensitive, field=key
        )
        wanted.append(Wanted(key, text, category, None, sealing))
    return _write(tx, wanted, expected or {}, by)


def delete(tx: Tx, key: str, *, expected: int | None = None, by: str | None = None) -> bool:
    """Delete a configuration, which is a version too; tells whether there was one. Its history stays.

    Raises:
        VersionConflict: it is at another version than ``expected``.
    """
    position, states = locked(tx, [check_key(key)], making=False)
    state = states.get(key)
    check_expected(key, state, expected)
    if state is None or not state.exists:
        return False
    write(tx, [(state, Wanted(key, None))], position=position, by=by)
    return True


def rollback(tx: Tx, key: str, version: int, *, expected: int | None = None, by: str | None = None) -> ConfigEntry:
    """Set a configuration to what it was at a version, category and description included; that is a new version.

    It works after a delete too. What is sensitive now stays so, and what was sensitive then is again.

    Raises:
        NotFound: there is no such version.
        InvalidInput: at that version it was deleted.
        VersionConflict: it is at another version than ``expected``.
    """
    position, states = locked(tx, [check_key(key)], making=False)
    state = states.get(key)
    category, description, was_sensitive, value, sealed = past(tx, key, check_version(version, "version", 1))[version]
    if state is None:  # a version without its row, which no call of ours makes
        raise not_set(key)
    check_expected(key, state, expected)
    if value is None and sealed is None:
        message = "At that version it was deleted."
        raise InvalidInput(message, field="version", hint="delete it, or choose another version")
    text = text_of(tx, key, version, value, sealed)
    wanted = Wanted(key, text, category, description, was_sensitive or state.is_sensitive, version)
    return write(tx, [(state, wanted)], position=position, by=by)[0]


def _write(tx: Tx, wanted: list[Wanted], expected: Mapping[str, int], by: str | None) -> list[ConfigEntry]:
    keys = [one.key for one in wanted]
    if not expected.keys() <= set(keys):
        message = "A version is expected of a key that is not being set."
        raise InvalidInput(message, field="expected")
    if not keys:
        return []
    position, states = locked(tx, keys, making=True)
    for key in keys:
        check_expected(key, states[key], expected.get(key))
    return write(tx, [(states[one.key], one) for one in wanted], position=position, by=by)
