"""Raw SQL that tries to reach another tenant's rows, written for any table, for a login with the application's rights.

An attack is one or more statements; what they return, raise or notify must never show the victim's secret or rows, and
nothing but the attacker's own rows may have changed. What is known to work, entering the victim by name, is no attack:
raw SQL may enter any tenant it can name (sealed mode closes that).
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.reliability.canaries import EVERYBODY, Canaries, columns

LEAK = "leak-by-number"
"""What an attack answers where the victim's rows can be counted or told to exist."""


@dataclass(frozen=True)
class Aim:
    """Which rows of whom."""

    table: sa.Table
    victim: Canaries
    own: UUID
    random: Random
    partitions: list[str]
    views: list[str]

    @property
    def name(self) -> str:
        return f"undercroft.{self.table.name}"

    @property
    def row(self) -> dict[str, Any]:
        """A row of the victim's as the attacker may guess it: the keys are right, the secret is not."""
        row = self.random.choice(self.victim.rows[self.table.name])
        return {name: _guessed(value, self.victim.secret) for name, value in row.items()}

    @property
    def key(self) -> list[str]:
        return [column.name for column in self.table.primary_key]

    @property
    def columns(self) -> list[str]:
        return [column.name for column in columns(self.table)]

    @property
    def theirs(self) -> str:
        return f"tenant_id = {literal(self.victim.id)}"

    def where_key(self) -> str:
        row = self.row
        return " AND ".join(f"{name} = {literal(row[name])}" for name in self.key)

    def values(self, **other: Any) -> str:
        row = self.row | other
        return ", ".join(literal(row[name]) for name in self.columns)

    def insert(self, **other: Any) -> str:
        return f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({self.values(**other)})"

    def new_key(self) -> dict[str, UUID]:
        """Other ids in place of those of a row."""
        return {name: uuid4() for name in self.key if name != "tenant_id" and isinstance(self.row[name], UUID)}

    @property
    def changed(self) -> str:
        """A column to write to, of a key only where there is no other."""
        return self.random.choice([name for name in self.columns if name not in self.key] or self.key[1:])


def _guessed(value: Any, secret: str) -> Any:
    if isinstance(value, dict):
        return {name: _guessed(inner, secret) for name, inner in value.items()}
    if isinstance(value, bytes):
        return value.replace(secret.encode(), b"guess")
    return value.replace(secret, "guess") if isinstance(value, str) else value


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return json.dumps(value) if isinstance(value, dict) else str(value)


def literal(value: Any) -> str:
    return sql.Literal(Jsonb(value) if isinstance(value, dict) else value).as_string(None)


def read_all(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name}"]


def read_theirs(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name} WHERE {a.theirs}"]


def read_by_key(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name} WHERE {a.where_key()}"]


def count(a: Aim) -> list[str]:
    return [f"SELECT '{LEAK}' FROM {a.name} WHERE {a.theirs} HAVING count(*) > 0"]


def exists(a: Aim) -> list[str]:
    return [f"SELECT '{LEAK}' WHERE EXISTS (SELECT FROM {a.name} WHERE {a.where_key()})"]


def by_any_of_its_columns(a: Aim) -> list[str]:
    name = a.random.choice(a.columns)
    return [f"SELECT '{LEAK}' FROM {a.name} WHERE {name}::text LIKE '%' AND {a.theirs}"]


def join(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name} AS x RIGHT JOIN undercroft.tenants AS y USING (tenant_id)"]


def lateral(a: Aim) -> list[str]:
    theirs = f"SELECT * FROM {a.name} WHERE tenant_id = v.id"
    return [f"SELECT * FROM (VALUES ({literal(a.victim.id)})) AS v(id), LATERAL ({theirs}) AS q"]


def for_update(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name} WHERE {a.theirs} FOR UPDATE"]


def by_place(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name} WHERE ctid = '(0,{a.random.randrange(1, 9)})'"]


def sample(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.name} TABLESAMPLE SYSTEM (100)"]


def copy_out(a: Aim) -> list[str]:
    return [a.random.choice([f"COPY {a.name} TO STDOUT", f"COPY (SELECT * FROM {a.name} WHERE {a.theirs}) TO STDOUT"])]


def partition(a: Aim) -> list[str]:
    where = a.random.choice(a.partitions or [a.name])
    return [a.random.choice([f"SELECT * FROM {where}", f"DELETE FROM {where}", f"COPY {where} TO STDOUT"])]


def documented_view(a: Aim) -> list[str]:
    return [f"SELECT * FROM {a.random.choice(a.views or [a.name])}"]


def prepared(a: Aim) -> list[str]:
    return [f"PREPARE p AS SELECT * FROM {a.name}", "EXECUTE p", "DEALLOCATE p"]


def cursor(a: Aim) -> list[str]:
    return [f"DECLARE c CURSOR FOR SELECT * FROM {a.name}", "FETCH ALL FROM c", "CLOSE c"]


def view(a: Aim) -> list[str]:
    return [f"CREATE TEMP VIEW v AS SELECT * FROM {a.name}", "SELECT * FROM v", "DROP VIEW v"]


def rule_view(a: Aim) -> list[str]:
    return [f"CREATE TEMP VIEW v WITH (security_barrier) AS SELECT * FROM {a.name}", "DELETE FROM v", "DROP VIEW v"]


def own_definer(a: Aim) -> list[str]:
    body = f"SELECT to_jsonb(t)::text FROM {a.name} AS t"
    return [
        f"CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS $${body}$$",
        "SELECT pg_temp.f()",
        "DROP FUNCTION pg_temp.f()",
    ]


def talking_condition(a: Aim) -> list[str]:
    """A cheap function of one's own that tells each row it is asked about, before the wall's condition is asked."""
    body = "BEGIN RAISE NOTICE '%', $1; RETURN true; END"
    return [
        f"CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $${body}$$",
        f"SELECT 1 FROM {a.name} AS t WHERE pg_temp.tell(t::text)",
        "DROP FUNCTION pg_temp.tell(text)",
    ]


def talking_error(a: Aim) -> list[str]:
    return [f"SELECT 1 FROM {a.name} AS t WHERE {a.theirs} AND t::text::integer = 1"]


def query_as_text(a: Aim) -> list[str]:
    return [f"SELECT * FROM ts_stat($$SELECT to_tsvector('simple', t::text) FROM {a.name} AS t$$)"]


def statistics(a: Aim) -> list[str]:
    return [f"SELECT * FROM pg_stats WHERE schemaname = 'undercroft' AND tablename = '{a.table.name}'"]


def row_security_off(a: Aim) -> list[str]:
    return ["SET LOCAL row_security = off", f"SELECT * FROM {a.name}"]


def other_role(a: Aim) -> list[str]:
    role = a.random.choice(
        ["SET LOCAL ROLE undercroft_owner", "SET LOCAL ROLE postgres", "SET SESSION AUTHORIZATION postgres"]
    )
    return [role, f"SELECT * FROM {a.name}"]


def enter_as_well(a: Aim) -> list[str]:
    other = a.random.choice([f"SELECT undercroft.enter({literal(a.victim.id)})", "SELECT undercroft.enter_fleet()"])
    return ["SELECT undercroft.tenant()", other, f"SELECT * FROM {a.name}"]


def purge(a: Aim) -> list[str]:
    return [f"SELECT undercroft.purge({literal(a.victim.id)})"]


def search(a: Aim) -> list[str]:
    messages = a.victim.rows["messages"]
    query = a.random.choice([EVERYBODY, a.victim.secret.lower()])
    ranked, author = a.random.random() < 0.5, a.random.choice([None, messages[0]["author_id"]])
    given = [f"'{query}'", ranked, 1000, None, author, None, None, None, None, None, None]
    found = f"undercroft.search_messages({', '.join(map(literal, given))})"
    return [f"SELECT '{LEAK}' FROM {found} WHERE id = ANY ({literal([row['id'] for row in messages])})"]


def insert(a: Aim) -> list[str]:
    return [a.insert(**a.new_key())]


def insert_again(a: Aim) -> list[str]:
    return [a.insert()]


def existence_oracle(a: Aim) -> list[str]:
    """The victim's key under one's own name: whether there is such a row must not be told by success or failure."""
    if "sequence" in a.key:
        return ["SELECT 1"]  # each tenant counts for himself: the attacker has a row of that number too
    own: dict[str, Any] = {"tenant_id": a.own}
    if "is_default" in a.table.columns:
        own["is_default"] = False  # he has a default of his own
    return ["SAVEPOINT oracle", a.insert(**own), "ROLLBACK TO SAVEPOINT oracle"]


def upsert(a: Aim) -> list[str]:
    conflict = f"ON CONFLICT ({', '.join(a.key)}) DO UPDATE SET {a.changed} = excluded.{a.changed}"
    return [f"{a.insert()} {conflict} RETURNING *"]


def insert_or_nothing(a: Aim) -> list[str]:
    return [f"{a.insert(**a.new_key())} ON CONFLICT DO NOTHING RETURNING *"]


def update(a: Aim) -> list[str]:
    row, column = a.row, a.changed
    return [
        f"UPDATE {a.name} SET {column} = {literal(row[column])}, tenant_id = tenant_id WHERE {a.theirs} RETURNING *"
    ]


def update_everything(a: Aim) -> list[str]:
    column = a.changed
    return [f"UPDATE {a.name} SET {column} = {column} RETURNING *"]


def give_away(a: Aim) -> list[str]:
    return [f"UPDATE {a.name} SET tenant_id = {literal(a.victim.id)}"]


def steal(a: Aim) -> list[str]:
    others = ", ".join(name for name in a.columns if name != "tenant_id")
    into = f"INSERT INTO {a.name} (tenant_id, {others}) SELECT {literal(a.own)}, {others} FROM {a.name}"
    return [f"{into} WHERE {a.theirs} ON CONFLICT DO NOTHING RETURNING *"]


def update_from(a: Aim) -> list[str]:
    column = a.changed
    return [f"UPDATE {a.name} AS x SET {column} = y.{column} FROM {a.name} AS y WHERE y.{a.theirs} RETURNING x.*, y.*"]


def delete(a: Aim) -> list[str]:
    return [f"DELETE FROM {a.name} WHERE {a.theirs} RETURNING *"]


def delete_by_key(a: Aim) -> list[str]:
    return [f"DELETE FROM {a.name} WHERE {a.where_key()}"]


def delete_using(a: Aim) -> list[str]:
    return [f"DELETE FROM {a.name} AS x USING {a.name} AS y WHERE x.{a.theirs} AND y.{a.theirs} RETURNING *"]


def write_while_reading(a: Aim) -> list[str]:
    return [f"WITH gone AS (DELETE FROM {a.name} WHERE {a.theirs} RETURNING *) SELECT * FROM gone"]


def merge(a: Aim) -> list[str]:
    on = " AND ".join(f"t.{name} = {literal(a.row[name])}" for name in a.key)
    then = a.random.choice(["DELETE", f"UPDATE SET {a.changed} = {literal(a.row[a.changed])}"])
    return [f"MERGE INTO {a.name} AS t USING (SELECT 1) AS s ON {on} WHEN MATCHED THEN {then}"]


def merge_new(a: Aim) -> list[str]:
    add = f"INSERT ({', '.join(a.columns)}) VALUES ({a.values(**a.new_key())})"
    return [f"MERGE INTO {a.name} AS t USING (SELECT 1) AS s ON false WHEN NOT MATCHED THEN {add}"]


def copy_in(a: Aim) -> list[str]:
    row = a.row | a.new_key()
    text = io.StringIO()
    csv.writer(text).writerow([_as_text(row[name]) for name in a.columns])
    return [f"COPY {a.name} ({', '.join(a.columns)}) FROM STDIN (FORMAT csv)", text.getvalue()]


def truncate(a: Aim) -> list[str]:
    return [f"TRUNCATE {a.name} CASCADE"]


def take_the_wall_down(a: Aim) -> list[str]:
    change = a.random.choice(
        [
            f"ALTER TABLE {a.name} DISABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {a.name} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {a.name} OWNER TO CURRENT_USER",
            f"CREATE POLICY mine ON {a.name} USING (true)",
            f"DROP POLICY wall ON {a.name}",
            f"CREATE RULE mine AS ON SELECT TO {a.name} DO ALSO NOTHING",
            f"CREATE TRIGGER mine BEFORE INSERT ON {a.name} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            f"CREATE INDEX mine ON {a.name} (tenant_id)",
            f"CREATE TEMP TABLE mine () INHERITS ({a.name})",
            f"GRANT ALL ON {a.name} TO PUBLIC",
            f"COMMENT ON TABLE {a.name} IS 'mine'",
            "CREATE OR REPLACE FUNCTION undercroft.tenant() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
            "GRANT undercroft_owner TO CURRENT_USER",
            "ALTER ROLE CURRENT_USER BYPASSRLS",
        ]
    )
    return [change, f"SELECT * FROM {a.name} WHERE {a.theirs}"]


Attack = Callable[[Aim], list[str]]
ATTACKS: list[Attack] = [
    value for value in list(globals().values()) if getattr(value, "__annotations__", {}).get("a") is Aim
]
