"""Procedures on the keys themselves: made, changed, counted and retired."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.seal.ring import Ring
from undercroft.core.tx import Tx
from undercroft.errors import (
    ConfigurationError,
    InvalidInput,
    KeyInUse,
    KeysMissing,
    KeysUnavailable,
    KeyUnknown,
    PermissionDenied,
)
from undercroft.keys.records import KeyUse, Resealed
from undercroft.keys.resealing import Resealing, counts

_MAY = "SELECT pg_has_role('undercroft_owner', 'MEMBER')"


def create(ports: Ports) -> str:
    """Make the key file with a first key, readable by its owner alone, and return the key's id.

    Raises:
        AlreadyExists: there is one.
        ConfigurationError: none is named, the keys stand in the environment, or the place cannot be written to.
    """
    return ports.keys.create().id.hex()


def path(ports: Ports) -> Path | None:
    """Return where the key file is or would be, None where the keys stand in the environment or no file is named."""
    return ports.keys.path


def new(ports: Ports) -> SecretStr:
    """Return the text of a new key, to be put into UNDERCROFT_KEYS or a key file; it is stored nowhere."""
    return ports.keys.new().text


def reload(ports: Ports) -> None:
    """Read the keys again; a store does so by itself when its key file has changed."""
    ports.keys.reload()


def status(ports: Ports) -> list[KeyUse]:
    """Return the keys that this process has, the primary first, then those that only values name.

    Raises:
        PermissionDenied: the login of ``migrate_url`` may not act as undercroft_owner, who alone sees all values.
    """
    ports.keys.refresh()
    ring, used = ports.keys.ring, _everywhere(ports, counts)
    ids = dict.fromkeys([key.id for key in ring.keys] + sorted(used))
    primary = ring.primary
    return [
        KeyUse(id_.hex(), ring.get(id_) is not None, primary is not None and id_ == primary.id, used.get(id_, 0))
        for id_ in ids
    ]


def rotate(ports: Ports) -> Resealed:
    """Put a new key in front and seal everything anew under it, while the program goes on.

    Where values are under another key than the primary, as after a run that was killed or a key that was put in front
    by hand, no key is made: those values are done. Whoever reads needs the old keys until they are retired.

    Raises:
        KeysMissing: there is no key yet.
        ConfigurationError: a new key is needed and the keys stand in the environment.
        PermissionDenied: the login of ``migrate_url`` may not act as undercroft_owner, who alone sees all values.
    """
    keys = ports.keys
    keys.reload()
    primary = keys.ring.primary
    if primary is None:
        raise _no_primary(keys.ring)
    used = _everywhere(ports, counts)
    is_done = not any(keys.ring.get(id_) for id_ in used if id_ != primary.id)
    key = keys.add(primary.id) if is_done else primary

    def work(connection: Connection) -> Resealed:
        resealing = Resealing(connection, keys, key)
        left = resealing.run()
        told = {id_.hex(): number for id_, number in left.items()}
        return Resealed(key.id.hex(), is_done, resealing.values, told, resealing.broken)

    return _everywhere(ports, work)  # type: ignore[no-any-return]  # what work returns


def retire(ports: Ports, key: str) -> None:
    """Take a key away that nothing is sealed under any more; ``key`` is its id.

    Raises:
        KeyInUse: something still is, or it is the primary.
        KeyUnknown: there is no such key.
        ConfigurationError: the keys stand in the environment, where it may be taken out now.
        PermissionDenied: the login of ``migrate_url`` may not act as undercroft_owner, who alone sees all values.
    """
    try:
        key_id = bytes.fromhex(key)
    except ValueError as error:
        message = "A key's id is 16 hexadecimal digits."
        raise InvalidInput(message, field="key", hint="see `undercroft keys list`") from error
    ports.keys.reload()
    ring = ports.keys.ring
    if ring.get(key_id) is None:
        message = "There is no such key."
        raise KeyUnknown(message, key=key, hint="see `undercroft keys list`")
    if ring.primary is None or ring.primary.id == key_id:
        message = "This key seals what is stored from now on"
        raise KeyInUse(message, key=key)
    values = _everywhere(ports, counts).get(key_id, 0)
    if values:
        message = f"{values} values are still sealed under this key"
        raise KeyInUse(message, key=key)
    if ports.keys.path is None:
        message = "Nothing is sealed under this key any more, and it stands in UNDERCROFT_KEYS"
        raise ConfigurationError(message, setting="keys", hint="take it out there, and start the program again")
    ports.keys.remove(key_id)


def _no_primary(ring: Ring) -> KeysMissing | KeysUnavailable:
    return KeysUnavailable() if ring.lacks_primary else KeysMissing()


def _everywhere(ports: Ports, work: Callable[[Connection], Any]) -> Any:
    """Run work over all tenants' rows, as who may see them."""
    ports.run(_OPEN)

    def run(connection: Connection) -> Any:
        _BECOME[ports.facts.engine](connection)
        return work(connection)

    return ports.administer(run)


def _own(connection: Connection) -> None:
    if not connection.exec_driver_sql(_MAY).scalar():
        message = "Only undercroft_owner sees the sealed values of all tenants"
        raise PermissionDenied(message, hint="set UNDERCROFT_MIGRATE_URL to the login of the migrations")
    connection.exec_driver_sql("SET ROLE undercroft_owner")


def _nobody_asks(connection: Connection) -> None:
    del connection  # a file has no roles


def _open(tx: Tx) -> None:
    del tx  # to run anything opens the store, which makes sure of the schema


_OPEN = operation(_open, access="read")
_BECOME = {"postgresql": _own, "sqlite": _nobody_asks}
