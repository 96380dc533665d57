"""maintain_indexes mends what was broken off, rebuilds what has grown, and teaches the planner."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import databases, servers
from undercroft import Settings
from undercroft.errors import InvalidInput, PermissionDenied
from undercroft.upkeep.indexes import Index, care

BROKEN = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{}'::regclass"


class House:
    def __init__(self, admin_url: str, app_url: str) -> None:
        self.admin_url = admin_url
        self.app_url = app_url

    def run(self, *statements: str) -> Any:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def settings(self, **more: Any) -> Settings:
        return Settings.load(self.app_url, env_file=None, migrate_url=self.admin_url, **more)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    server = servers.url(servers.names("postgresql")[0])
    with databases.created(server) as admin_url:
        yield House(admin_url, databases.migrated(server, admin_url))


def test_broken_indexes_are_rebuilt_and_leftovers_dropped(house: House, open_store, colour: str) -> None:
    house.run(
        "CREATE INDEX ix_users_name_ccnew ON undercroft.users (tenant_id, name)",
        BROKEN.format("undercroft.ix_users_name_ccnew"),
        BROKEN.format("undercroft.ix_users_tenant_id_email"),
    )
    done = open_store(colour, settings=house.settings()).upkeep.maintain_indexes()
    assert (done.rebuilt, done.dropped, done.left) == (
        ["undercroft.ix_users_tenant_id_email"],
        ["undercroft.ix_users_name_ccnew"],
        [],
    )
    assert house.run("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert {"undercroft.messages", "undercroft.users"} <= set(done.analyzed)
    assert open_store(colour, settings=house.settings()).upkeep.maintain_indexes().rebuilt == []


def test_an_index_that_cannot_be_mended_is_left_with_its_reason(house: House, open_store) -> None:
    row = "INSERT INTO undercroft.quarantine VALUES ('{0}', gen_random_uuid(), 's', 'p', 1, 'r', 'x', now())"
    house.run(
        *[row.format("00000000-0000-0000-0000-000000000001")] * 2,
        "CREATE INDEX double ON undercroft.quarantine (tenant_id, source)",
        "UPDATE pg_index SET indisvalid = false, indisunique = true WHERE indexrelid = 'undercroft.double'::regclass",
    )
    done = open_store("sync", settings=house.settings()).upkeep.maintain_indexes()
    [left] = done.left
    assert left.startswith("undercroft.double: ")
    assert done.rebuilt == []
    house.run("DROP INDEX undercroft.double")
    assert open_store("sync", settings=house.settings()).upkeep.maintain_indexes().dropped == [
        "undercroft.double_ccnew"
    ]


def test_the_planner_learns_of_partitioned_tables(house: House, open_store) -> None:
    house.run(
        "INSERT INTO undercroft.mentions SELECT gen_random_uuid(), gen_random_uuid(), 'user', 'U1' FROM"
        " generate_series(1, 100)"
    )
    open_store("sync", settings=house.settings()).upkeep.maintain_indexes()
    assert house.run("SELECT reltuples FROM pg_class WHERE oid = 'undercroft.mentions'::regclass") == [(100.0,)]


def test_an_index_that_has_grown_is_rebuilt(house: House, open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("undercroft.upkeep.indexes._WORTH_IT", 2**18)
    rows = "INSERT INTO undercroft.reactions SELECT gen_random_uuid(), gen_random_uuid(), 'tada', 1 FROM"
    house.run(
        f"{rows} generate_series(1, 20000)",
        "DELETE FROM undercroft.reactions WHERE message_id > '10000000-0000-0000-0000-000000000000'",
        "VACUUM undercroft.reactions",
    )
    size = "SELECT pg_relation_size('undercroft.reactions_default_pkey')"
    [(before,)] = house.run(size)
    done = open_store("sync", settings=house.settings()).upkeep.maintain_indexes()
    assert done.rebuilt == ["undercroft.reactions_default_pkey"]
    assert house.run(size)[0][0] < before / 4


def test_a_second_process_does_nothing_meanwhile(house: House, open_store) -> None:
    with psycopg.connect(house.admin_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('undercroft.maintain_indexes', 0))")
        assert open_store("sync", settings=house.settings()).upkeep.maintain_indexes().analyzed == []
    assert open_store("sync", settings=house.settings()).upkeep.maintain_indexes().analyzed


def test_the_applications_login_may_not(house: House, open_store, colour: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        open_store(colour, house.app_url).upkeep.maintain_indexes()
    assert "UNDERCROFT_MIGRATE_URL" in refused.value.hint


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_file_gets_its_statistics(store: Any, tenant: Any) -> None:
    for number in range(10):
        tenant.users.ensure(f"U{number}")
    assert "users" in store.upkeep.maintain_indexes().analyzed
    assert store.upkeep.maintain_indexes(optimize_search=True).rebuilt == ["messages_fts"]


def test_less_than_its_own_size_is_refused(open_store, colour: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        open_store(colour, f"sqlite:///{tmp_path / 'bot.db'}").upkeep.maintain_indexes(bloat=1.0)


def test_what_is_done_with_which_index() -> None:
    large = 20 * 2**20
    indexes = [
        Index("fine", False, True, False, large, large),
        Index("grown", False, True, False, 3 * large, large),
        Index("grown but small", False, True, False, 2**20, 2**10),
        Index("unknown", False, True, False, 100 * large, None),
        Index("broken", False, False, False, 8192, None),
        Index("broken_ccnew", False, False, True, 8192, None),
        Index("whole", True, True, False, 0, 0),
        Index("not whole", True, False, False, 0, 0),
    ]
    assert [(verb, index.name) for verb, index in care(indexes, 2.0)] == [
        ("rebuild", "grown"),
        ("rebuild", "broken"),
        ("drop", "broken_ccnew"),
        ("leave", "not whole"),
    ]
