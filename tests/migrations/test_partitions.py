"""Yearly partitions: made when an import needs them, by whoever needs them, and reached through their table only."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
import sqlalchemy as sa

from tests import servers
from tests.migrations.conftest import LOGIN, House, connected, created, fill, login, run
from undercroft.core import ids
from undercroft.migrations import history
from undercroft.migrations.catalogue import faults

OF_MESSAGES = {"message_versions", "attachments", "reactions", "reaction_users", "mentions"}
PARTITIONED = {"messages", "audit_events", "query_history"} | OF_MESSAGES
PARTITIONED |= {"thread_messages", "metrics", "metric_rollups", "goal_progress"}
_LIST = """
SELECT p.relname, c.relname
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
WHERE c.relkind = 'r' AND c.relnamespace = 'undercroft'::regnamespace
"""
THIS_YEAR = datetime.now(UTC).year


@pytest.fixture(params=servers.names("postgresql"))
def fresh(request: pytest.FixtureRequest) -> Iterator[House]:
    with created(request.param) as url:
        with connected(url) as connection:
            history.upgrade(connection)
        login(url, LOGIN, roles="undercroft_app")
        made = House(url, *(UUID(int=n) for n in (1, 2, 3)))
        run(url, *fill(made.acme))
        yield made


def partitions(connection: sa.Connection, table: str = "messages") -> set[str]:
    return {child.removeprefix(f"{table}_") for parent, child in connection.exec_driver_sql(_LIST) if parent == table}


def ensure(connection: sa.Connection, start: str, end: str) -> int:
    made = connection.exec_driver_sql("SELECT undercroft.ensure_partitions(%s, %s)", (start, end)).scalar_one()
    connection.commit()
    return made


def test_at_first_there_are_this_year_the_next_and_default(fresh: House) -> None:
    with fresh.admin() as connection:
        assert {parent for parent, _ in connection.exec_driver_sql(_LIST)} == PARTITIONED
        for table in PARTITIONED:
            assert partitions(connection, table) == {"default", str(THIS_YEAR), str(THIS_YEAR + 1)}


def test_an_importer_makes_the_years_it_needs(fresh: House) -> None:
    with fresh.app() as connection:
        assert ensure(connection, "2015-06-06T00:00Z", "2016-07-27T00:00Z") == 2 * len(PARTITIONED)
        assert ensure(connection, "2015-06-06T00:00Z", "2016-07-27T00:00Z") == 0
        connection.exec_driver_sql(f"SELECT undercroft.enter('{fresh.acme}')")
        at = ids.message(fresh.acme, "1433548800.000000", datetime(2015, 12, 31, 23, 59, 59, 999000, tzinfo=UTC))
        after = ids.message(fresh.acme, "1", datetime(2016, 1, 1, tzinfo=UTC))
        for message in (at, after):
            connection.exec_driver_sql(
                "INSERT INTO undercroft.messages (tenant_id, id, channel_id, native_id, text, sent_at)"
                f" VALUES ('{fresh.acme}', '{message}', '{fresh.acme}', 'x', '', now())"
            )
        where = dict(connection.exec_driver_sql("SELECT id, tableoid::regclass::text FROM undercroft.messages").all())
        assert where[at] == "undercroft.messages_2015"
        assert where[after] == "undercroft.messages_2016"
        connection.commit()
    with fresh.admin() as connection:
        assert faults(connection) == []


def test_a_partition_is_reached_through_its_table_only(fresh: House) -> None:
    with fresh.app() as connection:
        ensure(connection, "2015-01-01Z", "2015-01-02Z")
        for table in PARTITIONED:
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), connection.begin_nested():
                connection.exec_driver_sql(f"SELECT * FROM undercroft.{table}_2015")
    run(fresh.url, "GRANT SELECT ON undercroft.messages_2015 TO undercroft_app")  # a mistake, and still nothing is seen
    with fresh.app() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM undercroft.messages_2015").scalar_one() == 0


def test_a_year_whose_rows_lie_in_default_is_left_there(fresh: House) -> None:
    with fresh.app() as connection:
        # The row of every table lies in 2024, in DEFAULT: see `fill`.
        assert ensure(connection, "2023-01-01Z", "2024-12-31Z") == len(PARTITIONED)
    with fresh.admin() as connection:
        assert {"2023"} == {year for year in partitions(connection) if year in {"2023", "2024"}}
        assert connection.exec_driver_sql("SELECT count(*) FROM undercroft.messages_default").scalar_one() == 1


@pytest.mark.parametrize(
    ("start", "end", "years"),
    [
        ("1970-01-01Z", "2000-12-31Z", {"2000"}),
        (f"{THIS_YEAR + 2}-01-01Z", "9999-12-31Z", set()),
        ("2010-12-31T23:59:59Z", "2011-01-01T00:00:00Z", {"2010", "2011"}),
        ("2011-01-01Z", "2010-01-01Z", set()),
    ],
)
def test_the_range_is_cut_to_what_makes_sense(fresh: House, start: str, end: str, years: set[str]) -> None:
    with fresh.app() as connection:
        connection.exec_driver_sql("SET TIME ZONE 'Asia/Tokyo'")
        ensure(connection, start, end)
    with fresh.admin() as connection:
        assert partitions(connection) - {"default", str(THIS_YEAR), str(THIS_YEAR + 1)} == years


def test_several_importers_at_once(fresh: House) -> None:
    made: list[int] = []

    def work() -> None:
        with fresh.app() as connection:
            made.append(ensure(connection, "2014-01-01Z", "2018-12-31Z"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert sum(made) == 5 * len(PARTITIONED)


def test_a_point_read_touches_one_partition(fresh: House) -> None:
    with fresh.app() as connection:
        ensure(connection, "2015-01-01Z", "2020-12-31Z")
        connection.exec_driver_sql(f"SELECT undercroft.enter('{fresh.acme}')")
        message = ids.message(fresh.acme, "1", datetime(2017, 5, 1, tzinfo=UTC))
        plan = connection.exec_driver_sql(
            f"EXPLAIN SELECT text FROM undercroft.messages WHERE tenant_id = '{fresh.acme}' AND id = '{message}'"
        ).scalars()
        scans = [line for line in plan if "Scan" in line]
        assert len(scans) == 1
        assert "on messages_2017" in scans[0]
