"""Contexts that SQL can make up without the key, and the ways in which SQL can bring one in and use it."""

import hmac
from collections.abc import Callable
from random import Random
from uuid import UUID

from tests.reliability.attacks import literal


class Forger:
    """Knows what an attacker may know: ids, the format, and every context and ticket but the victim's valid ones."""

    def __init__(self, random: Random, victim: UUID, *, own: str, ticket: str, expired: str, old_ticket: str) -> None:
        self.random = random
        self.victim = str(victim)
        self.own = own  # a context of the attacker's own tenant
        self.ticket = ticket  # what his own transaction holds
        self.expired = expired  # the victim's, sealed with the key, too late
        self.old_ticket = old_ticket  # the victim's, of an earlier transaction on the same connection

    def _mac(self, key: bytes, message: str) -> str:
        return f"{message}|{hmac.digest(key, f'enter|{message}'.encode(), 'sha256').hex()}"

    def made_up(self) -> str | None:
        """One forged context, or None for SQL's NULL."""
        return self.random.choice(_FORMS)(self)


def _swapped(text: str, victim: str) -> str:
    return "|".join([victim, *text.split("|")[1:]])


def _flipped(text: str, random: Random) -> str:
    place = random.randrange(len(text))
    return f"{text[:place]}{random.choice('0123456789abcdef|')}{text[place + 1 :]}"


_FORMS: tuple[Callable[[Forger], str | None], ...] = (
    lambda f: f.victim,
    lambda f: f.victim.upper(),
    lambda f: f._mac(b"", f"{f.victim}|9999999999"),
    lambda f: f._mac(f.random.randbytes(32), f"{f.victim}|9999999999"),
    lambda f: f"{f.victim}|9999999999|{f.random.randbytes(32).hex()}",
    lambda f: f"{f.victim}|9999999999|{'0' * 64}",
    lambda f: f"{f.victim}|9999999999|",
    lambda f: f"{f.victim}|9999999999",
    lambda f: _swapped(f.own, f.victim),
    lambda f: _swapped(f.ticket, f.victim),
    lambda f: f.expired,
    lambda f: f.expired.replace(f.expired.split("|")[1], "9999999999"),
    lambda f: f.old_ticket,
    lambda f: _flipped(f.old_ticket, f.random),
    lambda f: _flipped(f.expired, f.random),
    lambda f: f.expired[: f.random.randrange(36, len(f.expired))],
    lambda f: "|".join(reversed(f.expired.split("|"))),
    lambda f: f"{f.victim}|{f.own}",
    lambda f: f"{f.ticket}|{f.victim}",
    lambda f: f.expired.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
    lambda f: f" {f.expired}",
    lambda f: f"fleet|9999999999|{'f' * 64}",
    lambda f: "fleet",
    lambda f: "",
    lambda f: None,
    lambda f: "|" * f.random.randrange(1, 200),
)

READ = "SELECT u::text FROM undercroft.users AS u"
CHANGE = "UPDATE undercroft.users SET name = 'taken' WHERE tenant_id = '{victim}'"


def _set(context: str | None, *, local: str = "true") -> str:
    return f"set_config('undercroft.tenant', {literal(context)}, {local})"


def _function(context: str | None, more: str = "") -> str:
    body = f"BEGIN PERFORM {_set(context)}; RETURN QUERY {READ}; END"
    return f"CREATE FUNCTION pg_temp.f() RETURNS SETOF text LANGUAGE plpgsql {more} AS $f$ {body} $f$"


WAYS: dict[str, Callable[[str | None, str], list[str]]] = {
    "set_config": lambda c, then: [f"SELECT {_set(c)}", then],
    "set_config for the session": lambda c, then: [f"SELECT {_set(c, local='false')}", then],
    "set local": lambda c, then: [f"SET LOCAL undercroft.tenant = {literal(c or '')}", then],
    "a CTE": lambda c, then: [
        f"WITH s AS MATERIALIZED (SELECT {_set(c)}) SELECT u::text FROM s, LATERAL ({READ}) AS u",
        then,
    ],
    "a DO block": lambda c, then: [f"DO $do$ BEGIN PERFORM {_set(c)}; END $do$", then],
    "a function": lambda c, then: [_function(c), "SELECT pg_temp.f()", then],
    "a definer's function": lambda c, then: [_function(c, "SECURITY DEFINER"), "SELECT pg_temp.f()", then],
    "a prepared statement": lambda c, then: [f"PREPARE p AS {READ}", f"SELECT {_set(c)}", "EXECUTE p", then],
    "a cursor": lambda c, then: [f"DECLARE d CURSOR FOR {READ}", f"SELECT {_set(c)}", "FETCH ALL FROM d", then],
    "a savepoint": lambda c, then: [
        "SAVEPOINT s",
        f"SELECT {_set(c)}",
        "RELEASE SAVEPOINT s",
        then,
        "SAVEPOINT t",
        then,
        "ROLLBACK TO SAVEPOINT t",
        then,
    ],
    "the door": lambda c, then: [
        f"SELECT {_set('')}",
        f"SELECT undercroft.enter({literal((c or '').partition('|')[0])})",
        then,
    ],
    "the sealed door": lambda c, then: [f"SELECT {_set('')}", f"SELECT undercroft.enter_sealed({literal(c)})", then],
    "the fleet's door": lambda c, then: [
        f"SELECT {_set('')}",
        f"SELECT undercroft.enter_fleet_sealed({literal(c)})",
        then,
    ],
    "another role": lambda c, then: ["SET LOCAL ROLE undercroft_app", f"SELECT {_set(c)}", then],
    "a shadowed function": lambda c, then: [
        "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS $f$ SELECT ''::bytea $f$",
        "SET LOCAL search_path = pg_temp, pg_catalog",
        f"SELECT {_set(c)}",
        then,
    ],
    "another transaction": lambda c, then: ["COMMIT", "BEGIN", f"SELECT {_set(c)}", then],
}
"""How a context is brought in; the statement that uses it is given."""
