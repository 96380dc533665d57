"""Rows and the links that chain them, inserted in one statement that enters its tenant and checks the chain's end.

Both inserts get their rows from `tip`, and that one from `ctx`, so nothing is checked against a policy before the
tenant is entered; the end is looked up by a scalar sub-select, which the planner never joins in ahead of `ctx`. Whoever
else appends at the same moment has the same sequence in mind: the primary key of the links lets one of them through.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Dialect as SADialect, Table

from undercroft.core.dialects.postgresql_bulk import carried, outgoing

if TYPE_CHECKING:
    from undercroft.core.tx import Port, Rows

_NO_END = "'\\x" + "00" * 32 + "'::bytea"


class ChainedInsert:
    """The statement for one pair of tables, compiled once."""

    def __init__(self, sa: SADialect, events: "Rows", links: "Rows", enter: str) -> None:
        """``enter`` is the call that enters what is given for its mark."""
        parts = (events[0], tuple(events[1][0])), (links[0], tuple(links[1][0]))
        self._processes = [
            [(name, outgoing(table.c[name].type, sa)) for name in names if name != "tenant_id"]
            for table, names in parts
        ]
        self._one, self._many = (_statement(sa, parts, enter, several=several) for several in (False, True))

    def run(
        self,
        port: "Port",
        entered: UUID | str,
        events: Sequence[Mapping[str, Any]],
        links: Sequence[Mapping[str, Any]],
        end: tuple[int, bytes],
    ) -> bool:
        """Insert the rows; returns False where the chain ends elsewhere."""
        arguments: list[Any] = [entered, *end]
        for processes, rows in zip(self._processes, (events, links), strict=True):
            if len(rows) == 1:
                row = rows[0]
                arguments += [row[name] if process is None else process(row[name]) for name, process in processes]
            else:
                arguments += [
                    [row[name] for row in rows] if process is None else [process(row[name]) for row in rows]
                    for name, process in processes
                ]
        return port.execute(self._one if len(events) == 1 else self._many, arguments) == len(links)


def _statement(sa: SADialect, parts: Sequence[tuple[Table, Sequence[str]]], enter: str, *, several: bool) -> str:
    numbered = sa.paramstyle == "numeric_dollar"
    marks = (f"${number}" if numbered else "%s" for number in count(1))
    entered, sequence, hash_ = islice(marks, 3)
    found = (
        f"SELECT hash FROM {sa.identifier_preparer.format_table(parts[1][0])} "
        f"WHERE tenant_id = ctx.tenant AND sequence = {sequence}::bigint"
    )
    event, link = (
        _insert(sa, table, [name for name in names if name != "tenant_id"], marks, several=several)
        for table, names in parts
    )
    return (
        f"WITH ctx AS MATERIALIZED (SELECT {enter.format(entered)} AS tenant), "
        f"tip AS MATERIALIZED (SELECT tenant FROM ctx WHERE coalesce(({found}), {_NO_END}) = {hash_}::bytea), "
        f"events AS ({event}) {link}"
    )


def _insert(sa: SADialect, table: Table, names: Sequence[str], marks: Iterator[str], *, several: bool) -> str:
    quote = sa.identifier_preparer.quote
    types = [carried(table.c[name].type, sa) for name in names]
    array = "[]" if several else ""
    values = [f"{next(marks)}::{through}{array}" for through, _ in types]
    columns = [quote(name) for name in names]
    rows = ""
    if several:
        rows = f" CROSS JOIN unnest({', '.join(values)}) AS u({', '.join(columns)})"
        values = [f"u.{column}" for column in columns]
    chosen = ", ".join(f"{value}{cast}" for value, (_, cast) in zip(values, types, strict=True))
    target = sa.identifier_preparer.format_table(table)
    return f"INSERT INTO {target} (tenant_id, {', '.join(columns)}) SELECT tip.tenant, {chosen} FROM tip{rows}"
