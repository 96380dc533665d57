"""Room for messages of years that the archive has not seen yet."""

from datetime import datetime

from undercroft.core.clock import require_aware
from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, LockTimeout


def _make_room(tx: Tx, since: datetime, until: datetime) -> int:
    return tx.dialect.ensure_partitions(tx, since, until)


_MAKE_ROOM = operation(_make_room)


def prepare(ports: Ports, since: datetime, until: datetime) -> int:
    """Make ready for messages from one moment to another, and return how many partitions that took.

    Before an import of old messages, so that those of a year lie together; without it they are stored as well. It makes
    none where the tables are not partitioned, where they are too busy at the moment, and for a year that has messages.

    Raises:
        InvalidInput: a moment is naive, or the second is before the first.
    """
    since, until = require_aware(since, "since"), require_aware(until, "until")
    if until < since:
        message = "A period ends after it begins."
        raise InvalidInput(message, field="until")
    try:
        made: int = ports.run(_MAKE_ROOM, since, until)
    except LockTimeout:
        return 0
    return made
