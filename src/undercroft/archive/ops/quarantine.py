"""Records that an importer could not read, kept for a person to look at."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, select

from undercroft.archive.models import Quarantine as Row
from undercroft.archive.results import Quarantined, Refused, Saved
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx

_TABLE: Table = Row.__table__  # type: ignore[assignment]  # declared wider than it is
_COLUMNS: tuple[Any, ...] = (Row.id, Row.source, Row.path, Row.position, Row.reason, Row.record, Row.created_at)
_LIST = Filtered(
    select(*_COLUMNS).where(Row.tenant_id == bindparam("tenant_id")).order_by(Row.id).limit(bindparam("limit")),
    after=Row.id > bindparam("after"),
)


def quarantine(tx: Tx, records: Sequence[Refused], *, source: str = "") -> Saved:
    """Keep records that could not be read, each once however often the import is repeated.

    ``source`` is what was imported, for a person to read.
    """
    rows = {
        id_: {
            "tenant_id": tx.tenant_id,
            "id": id_,
            "source": source,
            "path": record.path,
            "position": record.position,
            "reason": record.reason,
            "record": record.record_text,
            "created_at": tx.now,
        }
        for record in records
        for id_ in (tx.named("quarantine", record.path, str(record.position), record.record_text),)
    }
    added = tx.insert_many(_TABLE, [rows[id_] for id_ in sorted(rows)])
    return Saved(added, 0, len(records) - added)


def quarantined(tx: Tx, *, limit: int = 100, after: UUID | None = None) -> list[Quarantined]:
    """List what was not understood; ``after`` is the id of the last one of the page before."""
    statement, used = _LIST.given(limit=check_limit(limit), after=after)
    return [Quarantined(*row) for row in tx.rows(statement, used)]
