"""A sealed database: no context that SQL makes up opens a tenant, which the same SQL does where nothing is sealed."""

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import psycopg
import pytest

from tests import databases, servers
from tests.reliability.forgeries import CHANGE, READ, WAYS, Forger
from tests.reliability.walls import House, house
from undercroft import Settings, Store
from undercroft.core.tenant_seal import TenantSeal
from undercroft.errors import TenantSealRefused, TenantSealRequired, UndercroftError

SEED = 20261124
# It names whoever is entered by its bare id, which a plain database takes; a sealed door is not its way in.
ONLY_SEALED = {"the sealed door", "the fleet's door"}


def keyed(at: House, server: str = "postgresql", **more: Any) -> Settings:
    """A store's settings for a sealed house, behind PgBouncer in transaction mode where that is named."""
    url = at.url
    if server == "pgbouncer":
        url, more["pooler"] = databases.moved(at.url, servers.url(server)), "transaction"
    return Settings.load(url, tenant_seal_key=databases.SEAL_KEY, **more)


@pytest.fixture(scope="module")
def sealed() -> Iterator[House]:
    with house(SEED) as made:
        databases.seal(made.admin_url)
        yield made


def ticket(connection: psycopg.Connection[Any], context: str) -> str:
    connection.execute("BEGIN")
    connection.execute("SELECT undercroft.enter_sealed(%s)", (context,))
    return str(connection.execute("SELECT current_setting('undercroft.tenant')").fetchone()[0])  # type: ignore[index]


def forgeries(at: House, number: int) -> set[str]:
    """The ways in which that many forged contexts led to a row of the victim's, read or changed."""
    random, through = Random(SEED), set()
    seal, late = TenantSeal(databases.SEAL_KEY, 600), TenantSeal(databases.SEAL_KEY, -5)
    with psycopg.connect(at.url, autocommit=True, prepare_threshold=None) as connection:
        before = at.sums()
        for one in range(number):
            way = sorted(WAYS)[one % len(WAYS)]
            old = ticket(connection, seal.context(at.victim.id))
            connection.execute("ROLLBACK")
            own = seal.context(at.attacker.id)
            forger = Forger(
                random,
                at.victim.id,
                own=own,
                ticket=ticket(connection, own),
                expired=late.context(at.victim.id),
                old_ticket=old,
            )
            then = random.choice((READ, CHANGE.format(victim=at.victim.id)))
            answers: list[Any] = []
            with suppress(psycopg.Error):
                for statement in WAYS[way](forger.made_up(), then):
                    cursor = connection.execute(statement)
                    answers.append(cursor.fetchall() if cursor.description else None)
            if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.execute("COMMIT")
            connection.execute("DISCARD ALL")
            if at.leaks(answers) or at.effects(before, before := at.sums(), but=at.attacker.id):
                through.add(way)
    return through


ROWS = ("SELECT", "WITH", "EXECUTE", "FETCH")
"""How a statement begins that gives rows."""


def forgeries_through(store: Any, at: House, number: int) -> set[str]:
    """The same through the facade's ``db``: in a transaction, each statement by itself, and as a script."""
    random, through = Random(SEED), set()
    seal, late = TenantSeal(databases.SEAL_KEY, 600), TenantSeal(databases.SEAL_KEY, -5)
    victim, attacker = store.tenant(at.victim.name), store.tenant(at.attacker.name)
    before, holds, tried = at.sums(), "SELECT current_setting('undercroft.tenant')", 0
    own, expired = seal.context(at.attacker.id), late.context(at.victim.id)
    for one in range(number):
        way = sorted(WAYS)[one % len(WAYS)]
        answers: list[Any] = []
        with suppress(UndercroftError), attacker.transaction() as tx:
            tickets = {"ticket": tx.db.fetchval(holds), "old_ticket": victim.db.fetchval(holds)}
            tried += 1
            forger = Forger(random, at.victim.id, own=own, expired=expired, **tickets)
            statements = WAYS[way](forger.made_up(), random.choice((READ, CHANGE.format(victim=at.victim.id))))
            form = random.choice(("a transaction", "each alone", "a script"))
            if form == "a script":
                attacker.db.execute_script("; ".join(statements))
                continue
            db = tx.db if form == "a transaction" else attacker.db
            answers.extend((db.fetch if one.startswith(ROWS) else db.execute)(one) for one in statements)
        answers.append(attacker.db.fetch(READ))  # nothing is left behind for the next one
        if at.leaks(answers):
            through.add(way)
    assert tried == number
    return through | set(at.effects(before, at.sums(), but=at.attacker.id))


def test_a_thousand_forged_contexts_open_nothing(sealed: House) -> None:
    assert forgeries(sealed, 1000) == set()


def test_control_in_a_plain_database_every_way_leads_in() -> None:
    with house(SEED) as plain:
        assert forgeries(plain, 400) >= set(WAYS) - ONLY_SEALED


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("server", ["postgresql", *servers.names("pgbouncer")])
def test_forged_contexts_through_the_facade_open_nothing(sealed: House, server: str, colour: str, open_store) -> None:
    assert forgeries_through(open_store(colour, settings=keyed(sealed, server)), sealed, 64) == set()


@pytest.mark.soak
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("server", ["postgresql", *servers.names("pgbouncer")])
def test_a_thousand_forged_contexts_through_the_facade_open_nothing(
    sealed: House, server: str, colour: str, open_store, soak_share: float
) -> None:
    store = open_store(colour, settings=keyed(sealed, server))
    assert forgeries_through(store, sealed, round(1000 * soak_share)) == set()


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_control_in_a_plain_database_the_facade_lets_them_in(colour: str, open_store) -> None:
    with house(SEED) as plain:
        found = forgeries_through(open_store(colour, plain.url), plain, 128)
    assert {"set_config", "a function", "effect: users of the victim"} <= found


def test_control_without_the_check_of_the_ticket_the_same_contexts_open_the_tenant(sealed: House) -> None:
    with house(SEED) as unchecked:
        databases.seal(unchecked.admin_url)
        unchecked.run(
            "CREATE OR REPLACE FUNCTION undercroft.opened() RETURNS text LANGUAGE sql STABLE"
            " RETURN nullif(split_part(current_setting('undercroft.tenant', true), '|', 1), '')"
        )
        assert "set_config" in forgeries(unchecked, 200)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_store_works_under_the_seal_and_its_sql_stays_inside(sealed: House, colour: str, open_store) -> None:
    store = open_store(colour, settings=keyed(sealed))
    attacker = store.tenant(sealed.attacker.name)
    for sql in (
        f"SELECT undercroft.enter('{sealed.victim.id}')",
        f"SELECT undercroft.enter_sealed('{sealed.victim.id}')",
    ):
        with pytest.raises((TenantSealRequired, TenantSealRefused)):
            attacker.db.fetch(sql)
    with pytest.raises(TenantSealRequired), attacker.transaction() as tx:
        tx.db.execute(f"SELECT set_config('undercroft.tenant', '{sealed.victim.id}', true)")
        tx.db.fetch(READ)
    assert not sealed.leaks(attacker.db.fetch(READ))
    assert sealed.victim.id not in {tenant for (tenant,) in attacker.db.fetch("SELECT tenant_id FROM undercroft.users")}


def test_a_store_without_the_key_or_with_another_is_refused(sealed: House) -> None:
    with Store(sealed.url) as store, pytest.raises(TenantSealRequired, match="UNDERCROFT_TENANT_SEAL_KEY"):
        store.tenants.list()
    settings = Settings.load(sealed.url, tenant_seal_key="another key, which is long enough too")
    with Store(settings=settings) as store, pytest.raises(TenantSealRefused, match="UNDERCROFT_TENANT_SEAL_KEY"):
        store.tenant(sealed.victim.name).users.get("U1")


SEEN = {
    "pg_stat_activity": "SELECT query FROM pg_stat_activity",
    "pg_prepared_statements": "SELECT statement FROM pg_prepared_statements",
    "pg_cursors": "SELECT statement FROM pg_cursors",
    "pg_stat_statements": "SELECT query FROM public.pg_stat_statements",
}
CONTEXT = re.compile(r"\|\d+\|[0-9a-f]{64}")


@pytest.fixture(scope="module")
def watched() -> Iterator[House]:
    """A sealed house on a server that keeps statistics of every statement."""
    library = {"shared_preload_libraries": "pg_stat_statements"}
    with servers.own_postgresql(**library) as server, databases.created(server.url) as admin_url:
        at = House(admin_url, SEED)
        databases.seal(admin_url)
        at.run("CREATE EXTENSION pg_stat_statements SCHEMA public")
        yield at
        at.close()


def shown_in(db: Any) -> dict[str, str]:
    """What a login sees of the statements of all, by the view in which it does."""
    return {view: "\n".join(str(text) for (text,) in db.fetch(sql)) for view, sql in SEEN.items()}


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_no_view_of_statements_shows_a_context(watched: House, colour: str, open_store, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    store = open_store(colour, settings=keyed(watched, slow_query_ms=0, log_parameters=True))
    attacker, victim = store.tenant(watched.attacker.name), store.tenant(watched.victim.name)
    for _ in range(8):  # so that what is prepared after some uses is prepared
        victim.users.list()
        victim.users.ensure("U1", name="as before")
        victim.archive.channels()
        store.tenants.list()
    with victim.transaction() as tx:
        seen = shown_in(attacker.db)
        seen["its own"] = "\n".join(shown_in(tx.db).values())
    assert "enter_sealed" in seen["pg_stat_activity"]
    assert "enter_sealed" in seen["pg_stat_statements"]
    assert [view for view, text in seen.items() if CONTEXT.search(text)] == []
    assert "enter_sealed" in caplog.text
    assert not CONTEXT.search(caplog.text)


def test_control_a_context_in_a_text_is_shown(watched: House) -> None:
    context = TenantSeal(databases.SEAL_KEY, 600).context(watched.victim.id)
    with psycopg.connect(watched.url) as writing, Store(settings=keyed(watched)) as store:
        writing.execute(f"SELECT undercroft.enter_sealed('{context}')")
        assert CONTEXT.search(shown_in(store.tenant(watched.attacker.name).db)["pg_stat_activity"])
