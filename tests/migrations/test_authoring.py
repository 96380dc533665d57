"""Revisions of the users' own tables: written from their models, run beside ours, on every engine alike."""

from pathlib import Path
from textwrap import dedent
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.migrations.dump import schema
from undercroft.core.schema import Base
from undercroft.core.types import Text, UtcDateTime, Uuid
from undercroft.errors import InvalidInput, SchemaOutdated, SchemaTooNew
from undercroft.migrations import history, runner
from undercroft.migrations.authoring import revision
from undercroft.migrations.drift import differences
from undercroft.migrations.tables import OURS


def own_tables(*more: sa.schema.SchemaItem) -> sa.MetaData:
    """What a user's models add to the tables of our base, in metadata that no other test sees."""
    metadata = sa.MetaData(schema="undercroft", naming_convention=Base.metadata.naming_convention)
    for table in OURS:
        table.to_metadata(metadata)
    sa.Table(
        "quotes",
        metadata,
        sa.Column("tenant_id", Uuid, primary_key=True),
        sa.Column("id", Uuid, primary_key=True),
        sa.Column("user_id", Uuid, nullable=False),
        sa.Column("said_at", UtcDateTime),
        *more,
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["undercroft.users.tenant_id", "undercroft.users.id"], ondelete="CASCADE"
        ),
        sa.Index(None, "tenant_id", "user_id"),
    )
    return metadata


def test_a_table_of_the_users_own(connection: sa.Connection, engine: str, tmp_path: Path) -> None:
    history.upgrade(connection)
    before = schema(connection)
    path = revision(connection, tmp_path, "Quotes", metadata=own_tables())
    assert path is not None
    assert path.parent == tmp_path
    text = path.read_text()
    assert "op.create_table('quotes'" in text
    assert "op.tenant_policy('quotes')" in text
    assert "undercroft.core.types.UtcDateTime()" in text
    assert "schema='undercroft'" in text
    assert "messages" not in text
    assert schema(connection) == before

    runner.upgrade(connection, locations=[tmp_path])
    after = schema(connection)
    assert history.applied(connection) == {history.head, path.name.partition("_")[0]}
    assert any("ix_quotes_tenant_id_user_id" in line for line in after)
    assert any("policy undercroft.quotes wall" in line for line in after) == (engine != "sqlite")
    history.check(connection)
    assert differences(connection) == []

    assert revision(connection, tmp_path, "Nothing new", metadata=own_tables()) is None
    runner.downgrade(connection, "app@base", locations=[tmp_path])
    assert schema(connection) == before


def test_a_second_revision_follows_the_first(connection: sa.Connection, tmp_path: Path) -> None:
    history.upgrade(connection)
    first = revision(connection, tmp_path, "Quotes", metadata=own_tables())
    with pytest.raises(SchemaOutdated):
        revision(connection, tmp_path, "Too early", metadata=own_tables())
    runner.upgrade(connection, locations=[tmp_path])
    grown = own_tables(sa.Column("note", Text), sa.Index(None, "tenant_id", "note"))
    second = revision(connection, tmp_path, "Notes", metadata=grown)
    text = second.read_text()
    assert "op.add_column('quotes', sa.Column('note', undercroft.core.types.Text(), nullable=True)" in text
    assert f"down_revision = '{first.name.partition('_')[0]}'" in text
    runner.upgrade(connection, locations=[tmp_path])
    assert any("ix_quotes_tenant_id_note" in line for line in schema(connection))
    assert [step.branch for step in runner.history(locations=[tmp_path])].count("app") == 2


def test_a_revision_written_on_one_engine_runs_on_the_other(tmp_path: Path, connection: sa.Connection) -> None:
    written = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    with written.connect() as elsewhere:
        history.upgrade(elsewhere)
        revision(elsewhere, tmp_path, "Quotes", metadata=own_tables())
    written.dispose()
    runner.upgrade(connection, locations=[tmp_path])
    assert any("quotes" in line for line in schema(connection))
    assert revision(connection, tmp_path, "Nothing new", metadata=own_tables()) is None


def test_a_table_outside_of_our_schema_is_not_ours_to_make(connection: sa.Connection, tmp_path: Path) -> None:
    class Own(DeclarativeBase):
        pass

    class Order(Own):
        __tablename__ = "orders"
        id: Mapped[UUID] = mapped_column(primary_key=True)

    history.upgrade(connection)
    with pytest.raises(InvalidInput, match="orders is not in schema undercroft"):
        revision(connection, tmp_path / "new", "Orders", metadata=Own.metadata)
    assert not (tmp_path / "new").exists()


def test_tables_of_others_are_not_looked_at(connection: sa.Connection, engine: str, tmp_path: Path) -> None:
    history.upgrade(connection)
    with connection.begin():
        for name in ("theirs", *([] if engine == "sqlite" else ["undercroft.theirs"])):
            connection.exec_driver_sql(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)")
    assert "theirs" not in revision(connection, tmp_path, "Quotes", metadata=own_tables()).read_text()


def test_an_empty_revision_compares_nothing(connection: sa.Connection, tmp_path: Path) -> None:
    path = revision(connection, tmp_path, "By hand", metadata=own_tables(), autogenerate=False)
    assert "create_table" not in path.read_text()
    runner.upgrade(connection, locations=[tmp_path])
    history.check(connection)


def test_without_his_directory_the_user_is_told(connection: sa.Connection, tmp_path: Path) -> None:
    revision(connection, tmp_path, "By hand", autogenerate=False)
    runner.upgrade(connection, locations=[tmp_path])
    history.upgrade(connection)  # nothing to do for us
    with pytest.raises(SchemaTooNew, match="directory of your own revisions"):
        runner.upgrade(connection)


@pytest.mark.parametrize("message", ["", "  \n"])
def test_a_revision_needs_a_message(connection: sa.Connection, tmp_path: Path, message: str) -> None:
    with pytest.raises(InvalidInput):
        revision(connection, tmp_path / "new", message)
    assert not (tmp_path / "new").exists()


def test_our_words_are_there_for_revisions_by_hand(connection: sa.Connection, engine: str, tmp_path: Path) -> None:
    (tmp_path / "events.py").write_text(
        dedent("""
            import sqlalchemy as sa
            from undercroft.core.types import Uuid
            from undercroft.migrations.operations import op

            revision, down_revision, branch_labels, depends_on = "events", None, ("app",), None

            def upgrade():
                op.create_table(
                    "events",
                    sa.Column("tenant_id", Uuid, nullable=False),
                    sa.Column("id", Uuid, nullable=False),
                    sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_events"),
                    schema="undercroft",
                    postgresql_partition_by="RANGE (id)",
                )
                op.tenant_policy("events")
                op.append_only("events")
                op.partitioned("events")
        """)
    )
    runner.upgrade(connection, locations=[tmp_path])
    made = schema(connection)
    assert any("events" in line for line in made)
    if engine != "sqlite":
        assert any("policy undercroft.events app_append" in line for line in made)
        assert any("r events_default" in line and "bound DEFAULT" in line for line in made)
        grown = connection.exec_driver_sql("SELECT undercroft.ensure_partitions('2020-01-01Z', '2020-01-02Z')").scalar()
        assert grown == 13  # twelve of ours and this one
