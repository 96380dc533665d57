"""The rules of a schema that must hold on SQLite, PostgreSQL and Citus at once, checked without a database.

`python -m undercroft.migrations.lint` checks our tables and every statement of our history; `faults` checks tables of
the users' own as well. What only a running server can tell is in `undercroft.migrations.catalogue`.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator

import sqlalchemy as sa

from undercroft.core.types import Uuid
from undercroft.migrations.runner import sql
from undercroft.migrations.tables import OURS, is_on

Rule = Callable[[sa.Table], Iterator[str]]


def faults(tables: Iterable[sa.Table]) -> Iterator[str]:
    """Yield one line for each rule that a table breaks."""
    for table in tables:
        for rule in _RULES:
            yield from (f"{table.name}: {fault}" for fault in rule(table))


def statement_faults(script: str) -> Iterator[str]:
    """Yield one line for each statement of a migration that breaks a rule."""
    for statement in script.split(";\n\n"):
        code = re.sub(r"--[^\n]*|'(?:[^']|'')*'", "", statement)
        for pattern, reason in _FORBIDDEN:
            if found := pattern.search(code):
                yield f"{' '.join(found[0].split())}: {reason}"
        if re.search(r"\bSECURITY DEFINER\b", code) and not re.search(r"\bSET search_path\b", code):
            yield f"{' '.join(code.split())[:60]}: SECURITY DEFINER without SET search_path runs the caller's functions"


def _keys(table: sa.Table) -> Iterator[str]:
    key = [column.name for column in table.primary_key]
    if key[:1] != ["tenant_id"]:
        yield "its primary key does not begin with tenant_id, by which rows are distributed"
    elif not isinstance(table.c.tenant_id.type, Uuid):
        yield "tenant_id is no Uuid"
    for column in table.primary_key:
        if column.autoincrement is True or column.identity or isinstance(column.default, sa.Sequence):
            yield f"{column.name} is counted by the database: ids are UUIDs made by us"


def _uniqueness(table: sa.Table) -> Iterator[str]:
    for constraint in table.constraints:
        columns = [column.name for column in getattr(constraint, "columns", ())]
        if isinstance(constraint, sa.UniqueConstraint) and columns[:1] != ["tenant_id"]:
            yield f"{constraint.name} is unique across tenants, which tells one what another has"


def _indexes(table: sa.Table) -> Iterator[str]:
    for index in table.indexes:
        if [column.name for column in index.columns][:1] != ["tenant_id"]:
            yield f"{index.name} does not begin with tenant_id, by which every query selects"


def _references(table: sa.Table) -> Iterator[str]:
    for key in table.foreign_key_constraints:
        if [element.parent.name for element in key.elements][:1] != ["tenant_id"] or not key.elements[
            0
        ].target_fullname.endswith(".tenant_id"):
            yield f"{key.name} may point into another tenant: begin it with tenant_id on both sides"
        if key.ondelete not in {"CASCADE", "RESTRICT"} or key.onupdate:
            yield f"{key.name} must be ON DELETE CASCADE or RESTRICT, and say nothing ON UPDATE"
        if _partition_key(key.referred_table):
            yield f"{key.name} points into a partitioned table, whose partitions could no longer be dropped"


def _partitions(table: sa.Table) -> Iterator[str]:
    key = _partition_key(table)
    if key and key not in {column.name for column in table.primary_key}:
        yield f"it is partitioned by {key}, which its primary key lacks"


def _names(table: sa.Table) -> Iterator[str]:
    for constraint in table.constraints:
        if not constraint.name and (table.primary_key is not constraint or len(table.primary_key)):
            yield f"a {type(constraint).__name__} has no name"
    for index in table.indexes:
        if not index.name:
            yield "an Index has no name"


def _columns(table: sa.Table) -> Iterator[str]:
    for column in table.columns:
        kind = column.type
        if isinstance(kind, sa.Integer) and not isinstance(kind, sa.BigInteger):
            yield f"{column.name} has fewer than 64 bits"
        if isinstance(kind, sa.DateTime):
            yield f"{column.name} is no UtcDateTime"
        default = getattr(column.server_default, "arg", None)
        if default is not None and re.search(r"\w\s*\(|current_", str(default), re.IGNORECASE):
            yield f"{column.name} has a default that is computed in the database: pass the value"


def _partition_key(table: sa.Table) -> str:
    by = table.dialect_options["postgresql"]["partition_by"] or ""
    return str(by).removeprefix("RANGE (").removesuffix(")")


_RULES: tuple[Rule, ...] = (_keys, _uniqueness, _indexes, _references, _partitions, _names, _columns)

_FORBIDDEN = [
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"\bCREATE\s+(OR\s+REPLACE\s+)?(CONSTRAINT\s+)?TRIGGER\b", "Citus has no triggers: code does it"),
        (r"\bCREATE\s+(OR\s+REPLACE\s+)?RULE\b", "no rules: code does it"),
        (r"\bMATERIALIZED\s+VIEW\b", "it passes row-level security: keep a rollup table"),
        (
            r"\b(CREATE\s+SEQUENCE|(big|small)?serial\b|GENERATED\s+\w+(\s+\w+)?\s+AS\s+IDENTITY)",
            "ids are UUIDs made by us",
        ),
        (r"\bSET\s+(NULL|DEFAULT)\s*(\(|,|$|\))", "CASCADE, RESTRICT, or null it in code"),
        (
            r"\bADD\s+COLUMN\b[^,;]*\b(CHECK|REFERENCES|UNIQUE|PRIMARY)\b",
            "a constraint is added by a statement of its own",
        ),
        (r"\bALTER\s+TABLE\b[^;(]*\b(ADD|DROP|ALTER)\b[^;(]*,\s*(ADD|DROP|ALTER)\b", "one change a statement"),
        (r"\bCREATE\s+(OR\s+REPLACE\s+)?VIEW\b(?![\s\S]*security_invoker)", "a view needs WITH (security_invoker)"),
        (r"\bCREATE\s+(TABLE|VIEW|FUNCTION)\s+(?!undercroft\.)", "its name needs the schema"),
        (r"\bDISABLE\s+ROW\s+LEVEL|\bNO\s+FORCE\s+ROW", "the walls stay"),
        (r"\bGRANT\s+(ALL|TRUNCATE)\b|\bGRANT\b[^;]*\bTO\s+PUBLIC\b", "no right beyond what a call of ours needs"),
    )
]


def main() -> int:
    """Print every fault of ours; 1 where there is one."""
    ours = [table for table in OURS if is_on(table, "postgresql")]
    found = [*faults(ours), *statement_faults(sql("postgresql"))]
    for fault in found:
        print(fault)  # noqa: T201 - a command prints
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
