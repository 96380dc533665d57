"""Tenants whose every row is recognised wherever it turns up: made for each table from its columns and constraints."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from undercroft import models
from undercroft.core import ids
from undercroft.core.types import Json, Real, Text, TsVector, UtcDateTime, Uuid

ROWS = 3
EVERYBODY = "everybody"
"""A word that every message can be found by."""
CONFIGURED = {"configurations", "config_audit"}
"""Their values are JSON in a text, in clear or sealed and never both."""


def tables() -> list[sa.Table]:
    """Our tables on PostgreSQL that hold tenants' rows, parents first."""
    return [
        table
        for table in models.Base.metadata.sorted_tables
        if table.schema == "undercroft" and table.name != "tenants" and "postgresql" in _engines(table)
    ]


def columns(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that a table has on PostgreSQL."""
    return [column for column in table.columns if "postgresql" in _engines(column)]


def _engines(thing: sa.Table | sa.Column[Any]) -> set[str]:
    return thing.info.get("engines", {"postgresql", "sqlite"})


@dataclass
class Canaries:
    """A tenant and its rows; ``secret`` stands in every text that is no key, and nobody else may ever see it."""

    name: str
    id: UUID
    secret: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def ids(self) -> list[UUID]:
        """The ids of all its rows."""
        every = [value for rows in self.rows.values() for row in rows for value in row.values()]
        return [value for value in every if isinstance(value, UUID) and value != self.id]

    def fill(self, connection: sa.Connection, random: Random) -> None:
        """Insert rows into every table, as a login that passes the walls."""
        for table in tables():
            made = [self._row(table, number, random) for number in range(ROWS)]
            connection.execute(table.insert(), made)
            self.rows[table.name] = made

    def _row(self, table: sa.Table, number: int, random: Random) -> dict[str, Any]:
        row = {column.name: self._value(table, column, number, random) for column in columns(table)}
        for constraint in table.foreign_key_constraints:
            if constraint.referred_table.name in self.rows:
                parent = self.rows[constraint.referred_table.name][number]
                row |= {element.parent.name: parent[element.column.name] for element in constraint.elements}
        if table.name in CONFIGURED:
            row |= {"value": json.dumps(self.secret), "sealed": None}
        return row | {"tenant_id": self.id}

    def _value(self, table: sa.Table, column: sa.Column[Any], number: int, random: Random) -> Any:
        if column.name == "kind" and "value" in table.columns:
            return "str"  # of what is stored as a text with its type, the one that any text is of
        for check in _checks(table):
            if found := re.search(rf"\b{column.name} IN \(([^)]*)\)", check):
                return found[1].split(",")[number % len(found[1].split(","))].strip().strip("'")
            if found := re.search(rf"length\({column.name}\) = (\d+)", check):
                return random.randbytes(int(found[1]))
        values = {
            Uuid: ids.new(),
            Real: number + 0.5,
            Text: f"{self.name if column.primary_key else self.secret} {column.name} {number}",
            UtcDateTime: datetime.now(UTC),
            Json: {"secret": self.secret},
            TsVector: f"'{EVERYBODY}':1 '{self.secret.lower()}':2",
            sa.Boolean: number == 0,  # of what only one row of a tenant may be, one row is
            sa.Integer: number + 1,
            sa.Numeric: number + 0.5,
            sa.LargeBinary: self.secret.encode(),
        }
        for kind, value in values.items():
            if isinstance(column.type, kind):
                return value
        raise TypeError(f"no canary for {table.name}.{column.name} of type {column.type!r}: teach it here")


def _checks(table: sa.Table) -> Iterable[str]:
    return [str(c.sqltext) for c in table.constraints if isinstance(c, sa.CheckConstraint)]
