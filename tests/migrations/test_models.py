"""The models describe the tables that the history makes, and no others."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, selectinload

from tests.migrations.conftest import connected, created
from undercroft import models
from undercroft.errors import InvalidInput
from undercroft.migrations import history
from undercroft.migrations.drift import differences
from undercroft.migrations.tables import OURS, is_on, without_schema


def test_models_and_history_never_differ(connection: sa.Connection) -> None:
    history.upgrade(connection)
    assert differences(connection) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE {}users ADD COLUMN age INTEGER", "age"),
        ("DROP INDEX {}ix_users_tenant_id_email", "ix_users_tenant_id_email"),
        ("CREATE INDEX ix_more ON {}users (tenant_id, name)", "ix_more"),
        ("DROP TABLE {}quarantine", "quarantine"),
    ],
)
def test_a_difference_is_told(connection: sa.Connection, engine: str, change: str, told: str) -> None:
    history.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql(change.format("" if engine == "sqlite" else "undercroft."))
    assert any(told in difference for difference in differences(connection))


def test_checks_are_those_of_the_models(connection: sa.Connection, engine: str) -> None:
    history.upgrade(connection)
    with made_by_the_models(engine) as other:
        assert checks(connection, engine) == checks(other, engine)
    assert any("viewer" in text for _, _, text in checks(connection, engine))


@contextmanager
def made_by_the_models(engine: str) -> Iterator[sa.Connection]:
    tables = [table for table in OURS if is_on(table, engine.removesuffix("-env"))]
    if engine == "sqlite":
        with connected("sqlite://") as connection:
            without_schema(tables).create_all(connection)
            yield connection
    else:
        with created(engine) as url, connected(url) as connection:
            connection.exec_driver_sql("CREATE SCHEMA undercroft")
            models.Base.metadata.create_all(connection, tables=tables)
            yield connection


def checks(connection: sa.Connection, engine: str) -> set[tuple[str, str, str]]:
    schema = None if engine == "sqlite" else "undercroft"
    inspector = sa.inspect(connection)
    return {
        (table.name, check["name"], check["sqltext"])
        for table in OURS
        if is_on(table, engine.removesuffix("-env"))
        for check in inspector.get_check_constraints(table.name, schema=schema)
    }


def test_every_growing_table_is_partitioned_by_its_time_ordered_id() -> None:
    by = {table.name: table.dialect_options["postgresql"]["partition_by"] for table in OURS}
    assert {name for name, key in by.items() if key == "RANGE (id)"} == {
        "messages",
        "audit_events",
        "query_history",
        "metrics",
        "metric_rollups",
        "goal_progress",
    }
    assert {name for name, key in by.items() if key == "RANGE (thread_id)"} == {"thread_messages"}
    assert {name for name, key in by.items() if key == "RANGE (message_id)"} == {
        "message_versions",
        "attachments",
        "reactions",
        "reaction_users",
        "mentions",
    }


def test_rows_come_back_as_they_went_in_with_what_belongs_to_them(connection: sa.Connection, engine: str) -> None:
    history.upgrade(connection)
    if engine == "sqlite":
        connection.execution_options(schema_translate_map={"undercroft": None})
    tenant, user, channel, message = (uuid4() for _ in range(4))
    now = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
    with Session(connection) as session:
        session.add(
            models.Tenant(tenant_id=tenant, platform="slack", native_id="T1", name="A", created_at=now, updated_at=now)
        )
        session.flush()
        session.add_all(
            [
                models.User(
                    tenant_id=tenant,
                    id=user,
                    platform="slack",
                    native_id="U1",
                    profile={"title": "Zeugmeister \u2603", "n": 2**53},
                    created_at=now,
                    updated_at=now,
                ),
                models.Channel(tenant_id=tenant, id=channel, native_id="C1", name="general", kind="public"),
                models.Message(
                    tenant_id=tenant,
                    id=message,
                    channel_id=channel,
                    native_id="1.2",
                    author_id=user,
                    text="hi",
                    sent_at=now,
                ),
            ]
        )
        session.flush()
        session.add_all(
            [
                models.ChannelMember(tenant_id=tenant, channel_id=channel, user_id=user),
                models.Attachment(
                    tenant_id=tenant, message_id=message, position=0, native_id="F1", kind="file", size=2**40
                ),
                models.Reaction(tenant_id=tenant, message_id=message, emoji="tada", count=2),
                models.Mention(tenant_id=tenant, message_id=message, kind="user", native_id="U1", target_id=user),
                models.MessageVersion(tenant_id=tenant, message_id=message, version=1, text="h", seen_at=now),
            ]
        )
        session.commit()
        session.expunge_all()
        found = session.scalars(
            sa.select(models.Message).options(
                selectinload(models.Message.attachments), selectinload(models.Message.author)
            )
        ).one()
        assert (found.tenant_id, found.id, found.sent_at, found.edited_at) == (tenant, message, now, None)
        assert found.sent_at.tzinfo is UTC or found.sent_at.utcoffset() == now.utcoffset()
        assert (found.has_file, found.kind, found.extra) == (False, "message", {})
        assert found.author.profile == {"title": "Zeugmeister \u2603", "n": 2**53}
        assert found.channel.name == "general"
        assert [member.native_id for member in found.channel.members] == ["U1"]
        assert [attachment.size for attachment in found.attachments] == [2**40]
        assert [reaction.count for reaction in found.reactions] == [2]
        assert [mention.target_id for mention in found.mentions] == [user]
        assert [version.text for version in found.versions] == ["h"]
        assert "hi" not in repr(found)


def test_a_naive_moment_is_refused(connection: sa.Connection, engine: str) -> None:
    history.upgrade(connection)
    if engine == "sqlite":
        connection.execution_options(schema_translate_map={"undercroft": None})
    naive = datetime(2024, 1, 1)  # noqa: DTZ001 - the thing under test
    with pytest.raises(sa.exc.StatementError) as refused, connection.begin():
        connection.execute(
            sa.insert(models.Tenant).values(
                tenant_id=uuid4(), platform="slack", native_id="T", name="", created_at=naive, updated_at=naive
            )
        )
    assert isinstance(refused.value.__cause__, InvalidInput)
