"""Search on PostgreSQL: through the index though the walls stand, every filter before the limit, one tenant only."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from tests import servers
from tests.migrations.conftest import LOGIN, House, connected, created, login, run
from undercroft.migrations import history

CHANNEL, AUTHOR, OTHER = (UUID(int=n) for n in (7, 8, 9))
MESSAGES = 3000
_ROWS = """
INSERT INTO undercroft.messages
  (tenant_id, id, channel_id, author_id, native_id, text, sent_at, has_file, deleted_at, search)
SELECT '{tenant}', ('018f0000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
  CASE WHEN mod(n, 2) = 0 THEN '{channel}'::uuid ELSE '{other}' END,
  CASE WHEN mod(n, 3) = 0 THEN '{author}'::uuid ELSE '{other}' END,
  n, n, now(), mod(n, 5) = 0, CASE WHEN n = {count} THEN now() END,
  ($$every:1 word$$ || mod(n, 100) || $$:2$$ || CASE WHEN mod(n, 1000) = 7 THEN $$ rare:3,4,5$$ ELSE '' END)::tsvector
FROM generate_series(1, {count}) n
"""


@pytest.fixture(scope="module", params=servers.names("postgresql"))
def archive(request: pytest.FixtureRequest) -> Iterator[House]:
    """Two tenants with the same messages, numbered from 1; the last one is deleted."""
    with created(request.param) as url:
        with connected(url) as connection:
            history.upgrade(connection)
        login(url, LOGIN, roles="undercroft_app")
        made = House(url, uuid4(), uuid4(), uuid4())
        for tenant in (made.acme, made.bolt):
            run(
                url,
                "INSERT INTO undercroft.tenants (tenant_id, platform, native_id, name, created_at, updated_at) "
                f"VALUES ('{tenant}', 'slack', 'T', 'T', now(), now())",
                _ROWS.format(tenant=tenant, channel=CHANNEL, author=AUTHOR, other=OTHER, count=MESSAGES),
            )
        run(url, "VACUUM ANALYZE undercroft.messages")
        yield made


def number(id_: UUID) -> int:
    return id_.int & 0xFFFF_FFFF_FFFF


def message(n: int) -> UUID:
    return UUID(f"018f0000-0000-8000-8000-{n:012x}")


def search(archive: House, query: str, *, ranked: bool = False, lim: int = 20, **filters: object) -> list[int]:
    given = {"query": query, "ranked": ranked, "lim": lim}
    names = ("before", "author", "channel", "from_id", "to_id", "has_file", "has_link", "has_reaction")
    given |= {name: filters.get(name) for name in names}
    types = {"has_file": "boolean", "has_link": "boolean", "has_reaction": "boolean"}
    arguments = ", ".join(
        ["CAST(:query AS text)", "CAST(:ranked AS boolean)", "CAST(:lim AS integer)"]
        + [f"CAST(:{name} AS {types.get(name, 'uuid')})" for name in names]
    )
    with archive.app() as connection:
        connection.exec_driver_sql(f"SELECT undercroft.enter('{archive.acme}')")
        found = connection.execute(sa.text(f"SELECT id FROM undercroft.search_messages({arguments})"), given)
        return [number(id_) for id_ in found.scalars()]


def test_newest_first_without_the_deleted(archive: House) -> None:
    assert search(archive, "'every'", lim=3) == [MESSAGES - 1, MESSAGES - 2, MESSAGES - 3]
    assert search(archive, "'word7'", lim=2) == [2907, 2807]
    assert search(archive, "'word7' & 'word8'") == []


def test_ranked_first_the_best(archive: House) -> None:
    assert search(archive, "'every' | 'rare'", ranked=True, lim=3) == [2007, 1007, 7]
    assert search(archive, "'wor':*", ranked=True, lim=2) == [MESSAGES - 1, MESSAGES - 2]


@pytest.mark.parametrize("ranked", [False, True])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"channel": CHANNEL}, lambda n: n % 2 == 0),
        ({"author": AUTHOR}, lambda n: n % 3 == 0),
        ({"author": AUTHOR, "channel": OTHER}, lambda n: n % 3 == 0 and n % 2),
        ({"has_file": True}, lambda n: n % 5 == 0),
        ({"has_file": False}, lambda n: n % 5),
        ({"has_link": True}, lambda _: False),
        ({"has_reaction": False}, lambda _: True),
        ({"before": message(500)}, lambda n: n < 500),
        ({"from_id": message(100), "to_id": message(110)}, lambda n: 100 <= n < 110),
    ],
)
def test_filters_come_before_the_limit(archive: House, filters, expected, ranked) -> None:
    wanted = [n for n in range(MESSAGES - 1, 0, -1) if expected(n)][:20]
    assert search(archive, "'every'", ranked=ranked, **filters) == wanted


def test_no_more_than_a_thousand(archive: House) -> None:
    assert len(search(archive, "'every'", lim=1_000_000)) == 1000


def test_it_finds_the_entered_tenants_messages_only(archive: House) -> None:
    with archive.app() as connection:
        for tenant in (archive.acme, archive.bolt):
            connection.exec_driver_sql(f"SELECT undercroft.enter('{tenant}')")
            # Row-level security stands for the join: a foreign hit would be lost in it.
            hits, own = connection.exec_driver_sql(
                "SELECT count(*), count(m.id) FROM undercroft.search_messages"
                "('''rare''', false, 100, null, null, null, null, null, null, null, null) h"
                " LEFT JOIN undercroft.messages m ON m.id = h.id"
            ).one()
            assert (hits, own) == (3, 3)
            connection.rollback()
        with pytest.raises(sa.exc.ProgrammingError, match="no tenant is entered"):
            connection.exec_driver_sql(
                "SELECT * FROM undercroft.search_messages"
                "('''rare''', false, 1, null, null, null, null, null, null, null, null)"
            )


def plans(archive: House, query: str, *, ranked: bool) -> str:
    """What the function itself ran, told by auto_explain."""
    with archive.admin() as connection:
        driver = connection.connection.driver_connection
        told: list[str] = []
        driver.add_notice_handler(lambda notice: told.append(notice.message_primary))
        connection.exec_driver_sql("LOAD 'auto_explain'")
        for setting, value in (
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("auto_explain.log_level", "notice"),
        ):
            connection.exec_driver_sql(f"SET LOCAL {setting} = {value}")
        connection.exec_driver_sql("SET LOCAL ROLE undercroft_app")
        connection.exec_driver_sql(f"SELECT undercroft.enter('{archive.acme}')")
        connection.execute(
            sa.text(
                "SELECT * FROM undercroft.search_messages"
                "(:query, :ranked, 20, null, null, null, null, null, null, null, null)"
            ),
            {"query": query, "ranked": ranked},
        )
        return "\n".join(told)


@pytest.mark.parametrize("ranked", [False, True])
def test_a_rare_word_is_found_through_the_index(archive: House, ranked) -> None:
    told = plans(archive, "'rare'", ranked=ranked)
    assert "Bitmap Index Scan on messages_default_tenant_id_search_idx" in told
    assert "Seq Scan on messages_default" not in told  # the other years are empty


def test_a_word_that_is_everywhere_is_found_by_walking_backwards(archive: House) -> None:
    told = plans(archive, "'every'", ranked=False)
    assert "Index Scan Backward using messages_default_pkey" in told
    assert "Seq Scan on messages_default" not in told


def test_without_the_function_the_walls_hide_the_index(archive: House) -> None:
    """The control: the same question as the application itself may not use it."""
    with archive.app() as connection:
        connection.exec_driver_sql(f"SELECT undercroft.enter('{archive.acme}')")
        plan = "\n".join(
            connection.exec_driver_sql(
                "EXPLAIN SELECT id FROM undercroft.messages"
                " WHERE tenant_id = undercroft.tenant() AND search @@ '''rare'''"
            ).scalars()
        )
        assert "search @@" in plan
        assert "Index Cond: ((tenant_id = undercroft.tenant()) AND (search @@" not in plan
        assert "search_idx" not in plan or "AND (search @@" not in plan.split("Index Cond")[-1]


def test_without_the_extension_the_index_still_serves() -> None:
    """A host that gives no btree_gin: the index has the words only, and the same function finds the same."""
    server = servers.names("postgresql")[0]
    with created(server) as url:
        run(url, "CREATE SCHEMA elsewhere")
        with connected(url) as connection:
            transaction = connection.begin()
            # The migration asks for the extension as the login; this one cannot be made.
            sa.event.listen(connection, "before_cursor_execute", _without_extension, retval=True)
            history.upgrade(connection)
            transaction.commit()
            index = connection.exec_driver_sql(
                "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_messages_search'"
            ).scalar_one()
            assert index.endswith("USING gin (search)")


def _without_extension(*call):
    statement, parameters = call[2], call[3]
    return statement.replace("EXISTS btree_gin", "EXISTS no_such_extension"), parameters
