"""A user's own models beside ours: his schema and his tables, our calls, the ORM and the door in one transaction."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tests import databases, servers
from undercroft import Store, errors, models

SCHEMA = "bot"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Base(models.Base):
    """Models with our types, in a schema and a metadata of the user's own, which his own Alembic would compare."""

    __abstract__ = True
    metadata = sa.MetaData(schema=SCHEMA)


class Author(Base):
    __tablename__ = "own_authors"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, default=None)
    id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=uuid4)
    name: Mapped[str]
    quotes: Mapped[list["Quote"]] = relationship(back_populates="author", default_factory=list)


class Quote(Base):
    __tablename__ = "own_quotes"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "author_id"], [Author.tenant_id, Author.id], ondelete="CASCADE"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, default=None)
    id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=uuid4)
    author_id: Mapped[UUID] = mapped_column(default=None)
    text: Mapped[str]
    score: Mapped[int] = mapped_column(default=0)
    said_at: Mapped[datetime] = mapped_column(default_factory=lambda: NOW)
    tags: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    author: Mapped[Author | None] = relationship(back_populates="quotes", default=None)


class Ticket(Base):
    __tablename__ = "own_tickets"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, default=None)
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(sa.Identity(always=True), init=False)
    note: Mapped[str | None] = mapped_column(default=None)


class Plain(DeclarativeBase):
    """Nothing of ours."""

    metadata = sa.MetaData(schema=SCHEMA)


class Counter(Plain):
    __tablename__ = "own_counters"

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.Text, unique=True)
    hits: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    seen: Mapped[datetime | None] = mapped_column(sa.DateTime, onupdate=lambda: NOW.replace(tzinfo=None))


def create_all(engine, url):
    """What his migrations would do."""
    if engine == "sqlite":
        with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
            flat = connection.execution_options(schema_translate_map={SCHEMA: None})
            Base.metadata.create_all(flat)
            Plain.metadata.create_all(flat)
            flat.commit()
        return
    same = databases.changed(servers.url(engine), database=sa.make_url(url).database)
    admin = sa.create_engine(databases.changed(same, drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with admin.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        Base.metadata.create_all(connection)
        Plain.metadata.create_all(connection)
        connection.execute(sa.text(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {databases.LOGIN}"))
        connection.execute(sa.text(f"GRANT ALL ON ALL TABLES IN SCHEMA {SCHEMA} TO {databases.LOGIN}"))
        connection.execute(sa.text(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {databases.LOGIN}"))


@pytest.fixture
def store(store, engine, database_url):
    store.health()  # opens a file, and so makes our tables in it before his
    create_all(engine, database_url)
    return store


def test_a_repository_of_his_own_model(tenant):
    authors, quotes = tenant.repository(Author), tenant.repository(Quote)
    ada = authors.create(name="Ada")
    made = quotes.create(author_id=ada.id, text="Let us calculate", tags={"topic": ["maths"]})
    assert (made.score, made.said_at, made.tenant_id) == (0, NOW, tenant.id)
    assert quotes.get(made.id) == made
    assert quotes.update(made.id, score=2**62).score == 2**62
    assert quotes.create_many([{"author_id": ada.id, "text": f"{n}", "score": n} for n in range(10)]) == 10
    assert [quote.text for quote in quotes.list({"score >=": 8}, order_by="score")] == ["8", "9", "Let us calculate"]
    assert quotes.page(order_by="-score", limit=1).items[0].text == "Let us calculate"
    with pytest.raises(errors.ForeignKeyViolation):
        quotes.create(author_id=uuid4(), text="x")
    with pytest.raises(errors.UniqueViolation):
        authors.create(id=ada.id, name="again")
    assert authors.delete(ada.id) is True
    assert quotes.count() == 0  # his key cascades


def test_a_repository_of_a_model_that_has_nothing_of_ours(store, tenant):
    counters = store.repository(Counter)
    name = uuid4().hex
    made = counters.create(name=name)
    assert (made.name, made.hits, made.seen) == (name, 0, None)
    changed = counters.update(made.id, hits=2**63 - 1)
    assert (changed.hits, changed.seen) == (2**63 - 1, NOW.replace(tzinfo=None))
    assert tenant.repository(Counter).get(made.id) == changed
    assert store.repository(Counter, as_orm=True).get(made.id).hits == 2**63 - 1
    with pytest.raises(errors.UniqueViolation):
        counters.create(name=name)
    assert counters.list({"name": name}) == [changed]
    assert counters.delete(made.id) is True


@pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)
def test_a_column_that_only_the_database_fills(tenant):
    tickets = tenant.repository(Ticket)
    made = tickets.create(name="a")
    changed = tickets.update("a", note="n")
    assert (changed.number, changed.note) == (made.number, "n")
    assert tickets.get("a") == changed


def test_his_tenants_are_kept_apart_too(store, new_tenant):
    acme, other = new_tenant(), new_tenant()
    for scope in (acme, other):
        author = scope.repository(Author).create(name=scope.key)
        scope.repository(Quote).create(author_id=author.id, text=scope.key)
    [foreign] = other.repository(Quote).list()
    assert [quote.text for quote in acme.repository(Quote).list()] == [acme.key]
    assert acme.repository(Quote).get_or_none(foreign.id) is None
    with pytest.raises(errors.TenantMismatch):
        acme.repository(Quote).create(author_id=foreign.author_id, text="x", tenant_id=other.id)
    with pytest.raises(errors.TenantNotSet):
        store.repository(Quote).list()

    with acme.session() as session:
        assert [quote.text for quote in session.scalars(sa.select(Quote))] == [acme.key]
        assert session.scalars(sa.select(Quote).where(Quote.tenant_id == other.id)).all() == []
        assert session.get(Quote, (other.id, foreign.id)) is None
        joined = sa.select(Quote.text, Author.name).join(Author, Author.id != Quote.id)
        assert session.execute(joined).all() == [(acme.key, acme.key)]
        assert session.scalar(sa.select(sa.func.count()).select_from(Quote)) == 1
        assert session.execute(sa.update(Quote).values(score=5)).rowcount == 1
        assert session.execute(sa.delete(Quote).where(Quote.id == foreign.id)).rowcount == 0
    for write in (
        lambda session: session.add(Quote(tenant_id=other.id, author_id=foreign.author_id, text="x")),
        lambda session: session.execute(
            sa.insert(Quote), [{"tenant_id": other.id, "author_id": foreign.author_id, "text": "x"}]
        ),
        lambda session: session.execute(
            sa.insert(Quote).values(tenant_id=other.id, author_id=foreign.author_id, text="x")
        ),
        lambda session: session.execute(
            sa.insert(Quote).values([{"tenant_id": other.id, "author_id": foreign.author_id, "text": "x"}])
        ),
        lambda session: session.execute(
            sa.insert(Quote).from_select(["tenant_id", "id"], sa.select(Author.tenant_id, Author.id))
        ),
        lambda session: setattr(session.scalars(sa.select(Quote)).one(), "tenant_id", other.id),
    ):
        with pytest.raises((errors.TenantMismatch, errors.PermissionDenied)), acme.session() as session:
            write(session)
            session.flush()
    assert other.repository(Quote).list() == [foreign]
    assert acme.repository(Quote).list()[0].score == 5


def test_relations_stay_within_the_tenant(tenant):
    with tenant.session() as session:
        session.add(Author(name="Ada", quotes=[Quote(text="one"), Quote(text="two")]))
    with tenant.session() as session:
        ada = session.scalars(sa.select(Author).options(sa.orm.selectinload(Author.quotes))).one()
        assert (ada.tenant_id, {quote.text for quote in ada.quotes}) == (tenant.id, {"one", "two"})
        session.delete(ada.quotes[0])
    assert tenant.repository(Quote).count() == 1


def test_everything_in_one_transaction(tenant, engine):
    def work(tx):
        user = tx.users.ensure("U1", name="Ada")
        author = tx.repository(Author).create(name=user.name)
        with tx.session() as session:
            session.add(Quote(author_id=author.id, text="from the session"))
            assert session.scalars(sa.select(models.User.name)).all() == ["Ada"]
        insert = f"""
            INSERT INTO {SCHEMA}.own_quotes (tenant_id, id, author_id, text, score, said_at, tags)
            SELECT tenant_id, $1, id, $2, 1, $3, $4 FROM {SCHEMA}.own_authors WHERE tenant_id = $5
        """
        assert tx.db.execute(insert, uuid4(), "through the door", NOW, {}, tenant.id) == 1
        tx.audit.log("quote.add", by="U1")
        assert [quote.text for quote in tx.repository(Quote).list(order_by="text")] == [
            "from the session",
            "through the door",
        ]
        joined = (
            f"SELECT count(*) FROM {SCHEMA}.own_quotes AS q JOIN undercroft.users AS u ON u.tenant_id = q.tenant_id"
        )
        assert tx.db.fetchval(joined) == 2

    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        work(tx)
        raise ZeroDivisionError
    assert (tenant.repository(Quote).count(), tenant.stats().users, tenant.audit.recent()) == (0, 0, [])
    with tenant.transaction() as tx:
        work(tx)
    assert (tenant.repository(Quote).count(), tenant.stats().users, len(tenant.audit.recent())) == (2, 1, 1)


def test_a_transaction_in_no_tenant_is_for_his_tables(store, tenant):
    one, two, three = uuid4().hex, uuid4().hex, uuid4().hex
    names = f"SELECT name FROM {SCHEMA}.own_counters WHERE name IN ($1, $2, $3) ORDER BY hits"

    def work(tx):
        tx.repository(Counter).create(name=one, hits=1)
        tx.db.execute(f"INSERT INTO {SCHEMA}.own_counters (name, hits) VALUES ($1, 2)", two)
        with tx.session() as session:
            session.add(Counter(name=three, hits=3))
        with pytest.raises(KeyError), tx.transaction() as inner:
            inner.repository(Counter).create(name=uuid4().hex)
            raise KeyError
        assert [row["name"] for row in tx.db.fetch(names, one, two, three)] == [one, two, three]

    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        work(tx)
        raise ZeroDivisionError
    assert store.db.fetch(names, one, two, three) == []
    with store.transaction() as tx:
        work(tx)
    assert len(store.db.fetch(names, one, two, three)) == 3


def test_a_session_in_no_tenant_sees_no_tenants_rows(store, tenant):
    tenant.repository(Author).create(name="Ada")
    tenant.users.ensure("U1", name="Ada")
    name = uuid4().hex
    with store.session() as session:
        session.add(Counter(name=name))
    assert store.repository(Counter).list({"name": name})[0].hits == 0
    with pytest.raises(errors.UndercroftError), store.session() as session:
        session.add(Author(name="nobody's"))
        session.flush()
    for model in (Author, models.User):
        try:
            with store.session() as session:
                seen = session.scalars(sa.select(model)).all()
        except (errors.UndercroftError, sa.exc.SQLAlchemyError):
            seen = []  # refused, where the engine can tell
        assert seen == []


THEIRS = """
    SELECT relnamespace::regnamespace::text, relacl::text, xmin FROM pg_class
    WHERE relname = 'messages' AND relnamespace::regnamespace::text <> 'undercroft' ORDER BY 1
"""


@pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)
def test_a_schema_of_another_owner_is_left_alone(engine, colour, empty_database_url, open_store):
    with databases.administrator(empty_database_url) as run:
        run("CREATE SCHEMA legacy")
        run("CREATE TABLE legacy.messages (id bigint PRIMARY KEY, content text)")
        run("CREATE TABLE public.messages (id bigint PRIMARY KEY, content text)")
        run("INSERT INTO legacy.messages VALUES (81384788765712384, 'theirs')")
        before = run(THEIRS).fetchall()
    migrating = Store(empty_database_url)
    migrating.migrate()
    migrating.close()
    with databases.administrator(empty_database_url) as run:
        assert run(THEIRS).fetchall() == before
    store = open_store(colour, empty_database_url)
    store.tenants.ensure("slack:T1")
    tenant = store.tenant("slack:T1")
    tenant.users.ensure("U1")
    assert store.db.fetch("SELECT id, content FROM legacy.messages") == [(81384788765712384, "theirs")]
    with databases.administrator(empty_database_url) as run:  # and nobody needs them
        run("DROP TABLE legacy.messages")
        run("DROP TABLE public.messages")
    assert tenant.db.fetchval("SELECT count(*) FROM undercroft.messages") == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_file_of_another_owner(engine, colour, empty_database_url, open_store):
    path = empty_database_url.removeprefix("sqlite:///")
    with sa.create_engine(empty_database_url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("CREATE TABLE posts (id INTEGER PRIMARY KEY, content TEXT)"))
        connection.execute(sa.text("INSERT INTO posts VALUES (81384788765712384, 'theirs')"))
    store = open_store(colour, empty_database_url)
    store.tenants.ensure("slack:T1")
    assert store.db.fetch("SELECT * FROM posts") == [(81384788765712384, "theirs")]
    assert store.tenant("slack:T1").db.fetch("SELECT * FROM posts") == [(81384788765712384, "theirs")]

    taken = f"sqlite:///{path}.taken"
    with sa.create_engine(taken, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("CREATE TABLE messages (id INTEGER PRIMARY KEY, content TEXT)"))
    with pytest.raises(errors.SchemaConflict):
        open_store(colour, taken).tenants.ensure("slack:T1")
    with sa.create_engine(taken, poolclass=sa.NullPool).connect() as connection:
        assert connection.execute(sa.text("SELECT name FROM sqlite_master")).scalars().all() == ["messages"]
