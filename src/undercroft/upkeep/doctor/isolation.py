"""Proves on the database itself that tenants are walled off: two made-up ones, raw SQL, and nothing is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from uuid import UUID, uuid4

from undercroft.core.tx import Tx
from undercroft.errors import ReadOnly
from undercroft.upkeep.doctor.attempts import Attempts, Proof
from undercroft.upkeep.doctor.server import Server, quoted

_RELATIONS = (files("undercroft.upkeep.doctor") / "relations.sql").read_text(encoding="utf-8").strip().removesuffix(";")
_TENANT = (
    "INSERT INTO undercroft.tenants (tenant_id, platform, native_id, name, created_at, updated_at)"
    " VALUES ('{tenant}', 'doctor', '{tenant}', 'doctor', now(), now())"
)
_ANY = "SELECT FROM undercroft.{table} LIMIT 1"
_FOREIGN = "SELECT FROM undercroft.{table} WHERE tenant_id <> '{own}' LIMIT 1"
_CHANGE = "UPDATE undercroft.{table} SET tenant_id = '{into}' WHERE tenant_id = '{tenant}'"
_DELETE = "DELETE FROM undercroft.{table} WHERE tenant_id = '{tenant}'"
_MARK = "UPDATE undercroft.messages SET search = '''undercroftdoctor'':1' WHERE tenant_id = '{tenant}'"
_SEARCH = (
    "SELECT id FROM undercroft.search_messages"
    "('''undercroftdoctor''', false, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
)
_DEPTH = 3  # how far one table's rows may refer to another's, and those to a third's


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view of schema undercroft, and how to make a row of it: a row of relations.sql."""

    name: str
    is_table: bool
    insert: str

    def on(self, statement: str, **values: UUID) -> str:
        """Fill in a statement about it."""
        return statement.format(table=quoted(self.name), **values)

    def row(self, tenant: UUID, ending: str = "") -> str:
        """Write the INSERT of a row of a tenant's."""
        return self.insert.replace("{tenant}", str(tenant)) + ending


def prove(tx: Tx, server: Server) -> Proof:
    """Try what must not be possible, as the login that the application uses."""
    proof = Proof()
    attempts = Attempts(tx, privileged=server.privileged)
    relations = [Relation(*row) for row in tx.sql(_RELATIONS)]
    acme, bolt = uuid4(), uuid4()
    attempts.restart()
    sealed = attempts.mode == "sealed"
    try:
        if sealed and not server.in_fleet:
            why = "tenants are sealed, and this login is not in undercroft_fleet and so makes none"
            proof.unchecked.append(f"two tenants against each other: {why}")
        else:
            findable = _with_rows(attempts, proof, relations, acme, bolt, seeded=server.in_fleet)
            _from_another(attempts, proof, relations, acme, bolt, findable=findable)
            if sealed:
                _by_forgery(attempts, proof, acme, bolt)
    except ReadOnly:
        proof.unchecked.append("two tenants against each other: nothing can be written through this connection")
        attempts.restart()
    _from_nowhere(attempts, proof, relations, acme)
    _from_before(tx, attempts, proof, acme)
    attempts.restart()
    return proof


def _with_rows(
    attempts: Attempts, proof: Proof, relations: list[Relation], acme: UUID, bolt: UUID, *, seeded: bool
) -> bool:
    """Fill one tenant, try to hand its rows over, and go into the other; tell whether search found a row of its own."""
    if seeded:
        attempts.be("undercroft_fleet")
        attempts.become_fleet()
        for tenant in (acme, bolt):
            attempts.rows(_TENANT.format(tenant=tenant), keep=True)
        attempts.be("undercroft_app")
    tables = _fillable(relations)
    attempts.become(acme, through_door=seeded)
    bare = _plant(attempts, tables, acme)
    if bare:
        why = "" if seeded else ", as this login is not in undercroft_fleet and so makes no tenant"
        proof.unchecked.append(f"foreign rows of {', '.join(bare)}: no row could be made there{why}")
    proof.judge(
        "given",
        "a row cannot be handed to another tenant",
        "A row can be handed to another tenant",
        [one.name for one in tables if attempts.reaches(one.on(_CHANGE, tenant=acme, into=bolt))],
        of=len(tables) - len(bare),
    )
    findable = attempts.rows(_MARK.format(tenant=acme), keep=True) == 1 and attempts.rows(_SEARCH) == 1
    attempts.become(bolt, through_door=seeded)
    return findable


def _from_another(
    attempts: Attempts, proof: Proof, relations: list[Relation], acme: UUID, bolt: UUID, *, findable: bool
) -> None:
    """Try from inside one tenant to reach the rows of another."""
    tables = _fillable(relations)
    ways: list[tuple[str, list[Relation], Callable[[Relation], bool]]] = [
        ("read", relations, lambda one: attempts.reaches(one.on(_FOREIGN, own=bolt))),
        ("changed", tables, lambda one: attempts.reaches(one.on(_CHANGE, tenant=acme, into=acme))),
        ("deleted", tables, lambda one: attempts.reaches(one.on(_DELETE, tenant=acme))),
        ("written", tables, lambda one: attempts.passes(one.row(acme))),
        ("upserted", tables, lambda one: attempts.passes(one.row(acme, " ON CONFLICT DO NOTHING"))),
    ]
    for verb, tried, reached in ways:
        claim, title = f"another tenant's rows cannot be {verb}", f"Another tenant's rows can be {verb}"
        proof.judge(verb, claim, title, [one.name for one in tried if reached(one)], of=len(tried))
    if findable:
        found = ["search_messages"] if attempts.reaches(_SEARCH) else []
        claim, title = "search finds no other tenant's messages", "Search finds another tenant's messages"
        proof.judge("search", claim, title, found)
    else:
        proof.unchecked.append("search across tenants: undercroft.search_messages missed a message that was there")


def _by_forgery(attempts: Attempts, proof: Proof, acme: UUID, bolt: UUID) -> None:
    """Try from inside one tenant to get into another by SQL alone."""
    ticket = attempts.ticket
    attempts.claim("")
    doors = [f"SELECT undercroft.enter('{acme}')", f"SELECT undercroft.enter_sealed('{acme}')"]
    doors.append(f"SELECT undercroft.enter_sealed('{ticket.replace(str(bolt), str(acme))}')")
    passed = [door for door in doors if isinstance(attempts.rows(door), int)]
    for forged in (str(acme), ticket.replace(str(bolt), str(acme)), f"{acme}|9999999999|{'0' * 64}"):
        attempts.claim(forged)
        if attempts.reaches(_FOREIGN.format(table="users", own=bolt)):
            passed.append(f"undercroft.tenant = '{forged.partition('|')[0]}'")
    proof.judge("forged", "SQL alone goes into no other tenant", "SQL can go into another tenant", passed)


def _from_nowhere(attempts: Attempts, proof: Proof, relations: list[Relation], somebody: UUID) -> None:
    """Try without a tenant to reach any row."""
    tables = [one for one in relations if one.is_table]
    attempts.become(None)
    proof.judge(
        "unset.read",
        "without a tenant nothing can be read",
        "Rows can be read without a tenant",
        [one.name for one in relations if attempts.reaches(one.on(_ANY))],
        of=len(relations),
    )
    try:
        written = [one.name for one in tables if attempts.passes(one.row(somebody))]
    except ReadOnly:
        return
    proof.judge(
        "unset.write",
        "without a tenant nothing can be written",
        "Rows can be written without a tenant",
        written,
        of=len(tables),
    )


def _from_before(tx: Tx, attempts: Attempts, proof: Proof, tenant: UUID) -> None:
    """Try whether a connection is still inside a tenant when it is used again."""
    leaks = []
    for end in ("COMMIT", "ROLLBACK"):
        attempts.restart()  # nothing is written before this COMMIT
        attempts.become(tenant)
        tx.command(end)
        left = tx.sql("SELECT coalesce(current_setting('undercroft.tenant', true), '')")[0][0]
        attempts.begin()
        if left or attempts.reaches(_ANY.format(table="messages")):
            leaks.append(f"after {end}")
    proof.judge(
        "reuse",
        "a connection that is used again carries no tenant over",
        "A connection that is used again is still inside a tenant",
        leaks,
    )


def _fillable(relations: list[Relation]) -> list[Relation]:
    """The tables whose rows a tenant writes; undercroft.tenants is the fleet's."""
    return [one for one in relations if one.is_table and one.name != "tenants"]


def _plant(attempts: Attempts, tables: list[Relation], tenant: UUID) -> list[str]:
    """Make a row in every table; return the names of those where none could be made."""
    bare = tables
    for _ in range(_DEPTH):
        bare = [one for one in bare if attempts.rows(one.row(tenant), keep=True) != 1]
    return [one.name for one in bare]
