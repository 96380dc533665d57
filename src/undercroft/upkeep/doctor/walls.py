"""The catalogue's rules as findings: one for each rule that is broken, with what to do about it."""

from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import groupby

from undercroft.upkeep.doctor.report import Finding

# The text is the migrations', which hold every table of ours to it; a slice imports none of their code.
QUERY = (files("undercroft.migrations") / "sql" / "catalogue.sql").read_text(encoding="utf-8").strip().removesuffix(";")

_MOST = 3  # of the objects that break a rule, how many get their statement

# By how the rule begins. An object's own name is {name}, with what it belongs to in {table} where there is that.
_FIXES = (
    (
        "row-level security",
        (
            "ALTER TABLE undercroft.{name} ENABLE ROW LEVEL SECURITY;"
            " ALTER TABLE undercroft.{name} FORCE ROW LEVEL SECURITY"
        ),
    ),
    ("no restrictive policy", 'op.tenant_policy("{name}") in a revision of yours'),
    ("a policy opens every row", "DROP POLICY {name} ON undercroft.{table}"),
    ("it has no tenant_id", "move {name} to another schema, or give it a tenant_id that begins its keys"),
    ("a view without security_invoker", "ALTER VIEW undercroft.{name} SET (security_invoker = true)"),
    ("a materialized view", "DROP MATERIALIZED VIEW undercroft.{name}, and keep a table that a job fills"),
    ("a unique index across tenants", "make tenant_id the first column of {name}"),
    ("a foreign key", "make tenant_id the first column of {name} on both sides"),
    ("a partition can be reached", "REVOKE ALL ON undercroft.{name} FROM undercroft_app, undercroft_fleet, PUBLIC"),
    ("everybody has rights", "REVOKE ALL ON undercroft.{name} FROM PUBLIC"),
    ("it has a trigger", "DROP TRIGGER {name} ON undercroft.{table}, and do it in code"),
    ("it does not belong", "ALTER ... undercroft.{name} OWNER TO undercroft_owner"),
    ("a SECURITY DEFINER function", "ALTER FUNCTION undercroft.{name} SET search_path = pg_catalog, pg_temp"),
    ("everybody may execute", "REVOKE ALL ON FUNCTION undercroft.{name} FROM PUBLIC"),
    ("the keys of sealed tenants", "REVOKE ALL ON undercroft.{name} FROM undercroft_app, undercroft_fleet, PUBLIC"),
    ("what hides whose changes", "REVOKE ALL ON undercroft.{name} FROM undercroft_app, undercroft_fleet, PUBLIC"),
    ("the role passes", "ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS"),
    ("the role is a member", "REVOKE undercroft_owner FROM {name}"),
)


def wall_findings(faults: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Yield a finding for each rule of (rule, object) pairs that come in order."""
    for rule, found in groupby(faults, key=lambda fault: fault[0]):
        objects = [object_ for _, object_ in found]
        yield Finding(
            "walls",
            "severe",
            rule[0].upper() + rule[1:],
            ", ".join(objects),
            "; ".join(fix(rule, object_) for object_ in objects[:_MOST]) + (" ..." if len(objects) > _MOST else ""),
        )


def fix(rule: str, object_: str) -> str:
    """Return what to do about an object that breaks a rule."""
    if " is granted" in rule:
        return f"REVOKE {rule.partition(' ')[0]} ON undercroft.{object_} FROM the role that \\dp shows"
    table, _, name = object_.rpartition(".")
    advice = next((advice for start, advice in _FIXES if rule.startswith(start)), "see docs/postgresql.md")
    return advice.format(table=table, name=name)
