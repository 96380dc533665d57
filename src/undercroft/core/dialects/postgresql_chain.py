"""Events and the links that chain them, inserted in one statement that enters its tenant and checks the chain's end.

Both inserts get their rows from `told`, that from `tip` and `tip` from `ctx`, so nothing is checked against a policy
before the tenant is entered; the end is looked up by a scalar sub-select, which the planner never joins in ahead of
`ctx`. Whoever else appends at the same moment has the same sequence in mind: the primary key of the links lets one of
them through.

Events travel as the lines of one text, the canonical JSON that is hashed and stored anyhow, and the server reads their
columns from it: an array for each column would cost the client, in whose one thread everything else runs, three times
as much. Canonical JSON has no line break in it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Dialect as SADialect, Table

from undercroft.core.dialects.postgresql_shared import leaving
from undercroft.core.statement import RIDER, Prepared, Shared

if TYPE_CHECKING:
    from undercroft.core.tx import ChainEnd, ChainLink, Port

_BESIDE = ("tenant_id", "canonical", "event_hash")
"""Columns of an event that do not stand in its document."""

_STATEMENT = """\
WITH ctx AS MATERIALIZED (
  SELECT {enter} AS tenant, {}::bigint AS sequence, {}::bytea AS hash, {}::text AS lines, {}::bytea AS events,
    {}::bytea AS links
), tip AS MATERIALIZED (
  SELECT * FROM ctx WHERE hash = coalesce(
    (SELECT l.hash FROM {links} l WHERE l.tenant_id = ctx.tenant AND l.sequence = ctx.sequence), '\\x{none}'::bytea)
), told AS MATERIALIZED (
  SELECT tip.tenant, tip.sequence + place AS sequence, convert_to(line, 'UTF8') AS canonical,
    substr(tip.events, 32 * place::int - 31, 32) AS event_hash,
    CASE place WHEN 1 THEN tip.hash ELSE substr(tip.links, 32 * place::int - 63, 32) END AS previous,
    substr(tip.links, 32 * place::int - 31, 32) AS hash, e.*
  FROM tip, unnest(string_to_array(tip.lines, E'\\n')) WITH ORDINALITY AS told(line, place),
    json_to_record(line::json) AS e({types})
), events AS (
  INSERT INTO {events} (tenant_id, canonical, event_hash, {names})
  SELECT tenant, canonical, event_hash, {names} FROM told
)
INSERT INTO {links} (tenant_id, sequence, event_id, event_hash, previous, hash)
SELECT tenant, sequence, id, event_hash, previous, hash FROM told"""


class ChainedInsert:
    """The statement for one pair of tables, written once."""

    def __init__(self, sa: SADialect, events: Table, links: Table, enter: str) -> None:
        """``enter`` is the call that enters what is given for its mark."""
        quote, table = sa.identifier_preparer.quote, sa.identifier_preparer.format_table
        told = {
            quote(column.name): column.type.compile(dialect=sa) for column in events.c if column.name not in _BESIDE
        }
        numbered = sa.paramstyle == "numeric_dollar"
        entered, *marks = [f"${number}" if numbered else "%s" for number in range(1, 7)]
        sql = _STATEMENT.format(
            *marks,
            enter=enter.format(entered),
            events=table(events),
            links=table(links),
            names=", ".join(told),
            types=", ".join(f"{name} {type_}" for name, type_ in told.items()),
            none="00" * 32,
        )
        names = ("tenant_id", "sequence", "hash", "lines", "events", "links")
        self._prepared = own = Prepared(sql, [(name, None, None) for name in names], ())
        if numbered:
            marked = Prepared(f"{sql} RETURNING $7::int", [(name, None, None) for name in (*names, RIDER)], ())
            own.share = lambda: Shared(own, marked, leaving(marked.sql), ("tenant_id",))

    def run(
        self,
        port: "Port",
        entered: UUID | str,
        documents: Sequence[bytes],
        chain: "Sequence[ChainLink]",
        end: "ChainEnd",
    ) -> bool:
        """Insert events and links; returns False where the chain ends elsewhere."""
        lines = b"\n".join(documents).decode()
        events, links = b"".join([link.event_hash for link in chain]), b"".join([link.hash for link in chain])
        return port.execute_prepared(self._prepared, [entered, *end, lines, events, links]) == len(chain)
