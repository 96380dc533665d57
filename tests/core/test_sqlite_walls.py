"""The walls in a SQLite file: ways around them, one by one and at random, through the door and through a session."""

import random
import sqlite3
from contextlib import suppress
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from undercroft import Store, errors, models
from undercroft.core.dialects.sqlite_names import with_views
from undercroft.core.dialects.sqlite_views import APPEND_ONLY, MARKS, READ_ONLY
from undercroft.core.dialects.sqlite_walls import Walls
from undercroft.core.door import sqltext

SECRET = "FOREIGN"
MANY = 500  # rows of the other tenant: no count of one's own comes near, and no time is as small


class Base(models.Base):
    """Models of a user's own, in a metadata of his own."""

    __abstract__ = True
    metadata = sa.MetaData()


class Author(Base):
    __tablename__ = "wall_authors"
    id: Mapped[int] = mapped_column(primary_key=True, default=None)
    tenant_id: Mapped[UUID] = mapped_column(default=None)
    email: Mapped[str] = mapped_column(unique=True)
    rank: Mapped[int] = mapped_column(server_default="7", default=None)


class Poem(Base):
    __tablename__ = "wall_poems"
    id: Mapped[int] = mapped_column(primary_key=True, default=None)
    tenant_id: Mapped[UUID] = mapped_column(default=None)
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("wall_authors.id", ondelete="CASCADE"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "walls.db"


@pytest.fixture
def store(path):
    with Store(f"sqlite:///{path}") as store:
        Base.metadata.create_all(sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool))
        store.db.execute_script(
            """
            CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
            CREATE VIEW spies AS SELECT name FROM users;
            CREATE VIRTUAL TABLE found USING fts5(body, content='users');
            CREATE TRIGGER spying AFTER INSERT ON notes BEGIN DELETE FROM users; END;
            """
        )
        yield store


@pytest.fixture
def acme(store):
    """A tenant with two users, in a file where another one has many."""
    for name, count, text, author in (("slack:A", 2, "mine", 2), ("slack:B", MANY, SECRET, 77)):
        store.tenants.ensure(name, name=text)
        tenant = store.tenant(name)
        with tenant.transaction() as tx:
            tx.db.copy_records_to_table(
                "users",
                columns=["id", "platform", "native_id", "name", "email", "created_at", "updated_at"],
                records=[(uuid4(), "slack", f"{text}{n}", text, f"{text}{n}@x", 0, 0) for n in range(count)],
            )
            tx.audit.log(f"{text}.x", by=text)
            tx.db.execute("INSERT INTO wall_authors (id, email) VALUES ($1, $2)", author, f"{text}@x")
            tx.db.execute("INSERT INTO wall_poems (author_id) VALUES ($1)", author)
    return store.tenant("slack:A")


@pytest.fixture
def foreign(path, acme):
    """Everything of the other tenant, read past the walls; and with them, a table that shows the words of messages."""
    with sqlite3.connect(path) as file:
        file.execute("CREATE VIRTUAL TABLE terms USING fts5vocab('messages_fts', 'row')")
        file.execute(f"INSERT INTO messages_fts (rowid, tenant, body) VALUES (1, 'b', '{SECRET}')")
    file.close()

    def read():
        with sqlite3.connect(path) as file:
            tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            tables = [t for t in tables if any(c[1] == "tenant_id" for c in file.execute(f"PRAGMA table_info({t})"))]
            everything = {
                t: file.execute(f"SELECT * FROM {t} WHERE tenant_id <> ?", [acme.id.bytes]).fetchall() for t in tables
            }
            return everything, file.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()

    return read


AROUND = [
    # another name for a table
    "SELECT * FROM 'users'",
    "SELECT name FROM main.'users'",
    "SELECT * FROM users, 'main'.'users'",
    "SELECT * FROM [main] . [users] UNION ALL SELECT * FROM 'users'",
    'SELECT * FROM "MAIN"."USERS" UNION SELECT * FROM `main`.\'Users\'',
    "SELECT name FROM main/**/.--\n'users'",
    "SELECT rowid, * FROM 'users'",
    "SELECT max(_rowid_) FROM 'users'",
    "SELECT 'users'.name FROM 'users'",
    # rows counted, no column read
    "SELECT count(*) FROM 'users'",
    "SELECT 1 FROM 'users'",
    "SELECT name FROM users WHERE EXISTS (SELECT 1 FROM 'users' LIMIT 1 OFFSET 400)",
    "SELECT (SELECT count(*) FROM 'users')",
    "SELECT CASE WHEN (SELECT count(*) FROM 'users') > 400 THEN 500 END",
    "SELECT sum(1) OVER () FROM 'users'",
    # names that the walls use, and names that look like them
    "WITH users AS (SELECT * FROM 'users') SELECT * FROM users",
    "WITH x AS (SELECT * FROM 'users'), users(n) AS (SELECT name FROM x) SELECT n FROM users",
    "WITH undercroft_0 AS (SELECT * FROM 'users') SELECT * FROM undercroft_0",
    "SELECT * FROM (SELECT * FROM 'users') AS users",
    "SELECT * FROM users AS u JOIN 'users' AS users ON u.id <> users.id",
    "WITH RECURSIVE r(n) AS (SELECT name FROM 'users' UNION SELECT n FROM r) SELECT * FROM r",
    "SELECT name FROM users WHERE id IN 'users'",
    # the schema, settings, other files
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM temp.sqlite_schema",
    "PRAGMA table_info(users)",
    "SELECT * FROM pragma_table_info('users')",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA journal_mode = DELETE",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '/tmp/undercroft-stolen.db'",
    "ANALYZE",
    "REINDEX",
    "SELECT * FROM dbstat",
    "SELECT count(*) FROM dbstat WHERE name = 'users'",
    "SELECT load_extension('x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT * FROM messages_fts",
    "SELECT * FROM messages_fts_data",
    "SELECT * FROM message_search",
    "SELECT * FROM undercroft_alembic_version WHERE 'FOREIGN' = version_num",
    # what would stay, and act where no walls are
    "CREATE TABLE stolen AS SELECT * FROM 'users'",
    "CREATE TEMP TABLE users (a)",
    "CREATE TEMP VIEW stolen AS SELECT * FROM main.users",
    "CREATE VIEW stolen AS SELECT * FROM main.users",
    "CREATE TRIGGER stolen AFTER INSERT ON notes BEGIN DELETE FROM users; END",
    "CREATE TEMP TRIGGER stolen AFTER INSERT ON notes BEGIN DELETE FROM users; END",
    "CREATE INDEX stolen ON notes (body)",
    "DROP TABLE 'users'",
    "DROP TABLE notes",
    "ALTER TABLE users RENAME TO stolen",
    "ALTER TABLE users ADD COLUMN stolen",
    # of the owner's own making, and reaching for us
    "SELECT * FROM spies",
    "SELECT * FROM found",
    "INSERT INTO found(found) VALUES ('rebuild')",
    "SELECT * FROM terms",
    "INSERT INTO notes (body) VALUES ('x')",
    # writing
    "INSERT INTO 'users' SELECT * FROM users",
    "INSERT INTO users SELECT * FROM 'users'",
    "INSERT INTO notes (body) SELECT name FROM 'users'",
    "INSERT INTO wall_authors (tenant_id, email) VALUES (x'42', 'x@x')",
    "INSERT OR REPLACE INTO users SELECT * FROM 'users'",
    "REPLACE INTO wall_authors (id, email) VALUES (77, 'x@x')",
    "INSERT OR REPLACE INTO wall_authors (id, email) VALUES (3, 'FOREIGN@x')",
    "INSERT OR IGNORE INTO wall_authors (id, email) VALUES (77, 'x@x')",
    "UPDATE OR REPLACE wall_authors SET id = 77",
    "UPDATE OR REPLACE wall_authors SET email = 'FOREIGN@x'",
    "INSERT INTO wall_authors (id, email) VALUES (77, 'x') ON CONFLICT (id) DO UPDATE SET email = 'x'",
    "UPDATE 'users' SET name = 'x'",
    "UPDATE users SET name = (SELECT group_concat(name) FROM 'users')",
    "UPDATE users SET name = u.name FROM 'users' AS u",
    "UPDATE users SET tenant_id = x'42'",
    "DELETE FROM 'users'",
    "DELETE FROM 'wall_poems'",
    "DELETE FROM users WHERE id IN (SELECT id FROM 'users')",
    "DELETE FROM users RETURNING (SELECT count(*) FROM 'users')",
    "UPDATE audit_events SET actor = 'x'",
    "DELETE FROM audit_events",
    "UPDATE tenants SET name = 'x'",
    "DELETE FROM tenants",
    "INSERT INTO tenants SELECT * FROM tenants",
    # the transaction
    "SAVEPOINT undercroft_1",
    "ROLLBACK TO job",
    "RELEASE undercroft_1",
    "EXPLAIN SELECT * FROM 'users'",
]


def leaked(rows):
    values = [value for row in rows for value in row]
    return any(MANY <= value < 10**9 if isinstance(value, int) else SECRET in str(value) for value in values)


def through_the_door(acme, sql):
    with suppress(errors.UndercroftError):
        assert not leaked(acme.db.fetch(sql)), sql


def through_a_session(acme, sql):
    with suppress(errors.UndercroftError, sa.exc.SQLAlchemyError), acme.session() as session:
        found = session.execute(sa.text(sql.replace(":", "\\:")))
        assert not (found.returns_rows and leaked(found.all())), sql


@pytest.mark.parametrize("way", [through_the_door, through_a_session])
def test_there_is_no_way_around(acme, foreign, way):
    before = foreign()
    for sql in AROUND:
        way(acme, sql)
        assert foreign() == before, sql


def test_without_the_authorizer_there_are_many(acme, foreign, monkeypatch):
    monkeypatch.setattr(Walls, "_authorize", lambda *_: sqlite3.SQLITE_OK)
    open_ways = []
    for sql in AROUND:
        if not sql.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):  # not what the file would not survive
            continue
        before = foreign()
        try:
            through_the_door(acme, sql)
            if foreign() != before:
                open_ways.append(sql)
        except AssertionError:
            open_ways.append(sql)
    assert len(open_ways) >= 18


def test_its_own_rows_are_within_reach(acme):
    door = acme.db
    assert door.fetchval("SELECT count(*) FROM users") == 2
    assert door.fetchval("SELECT count(*) FROM undercroft.users") == 2
    assert door.fetchval("SELECT count(u.name) FROM main.users u") == 2
    assert (
        door.fetchval("SELECT undercroft.users.name FROM undercroft.users ORDER BY undercroft.users.id LIMIT 1")
        == "mine"
    )
    assert door.fetch("SELECT users.native_id FROM users JOIN tenants ON users.tenant_id = tenants.tenant_id") != []
    assert door.fetchval("SELECT count(*) FROM users, tenants AS t, (SELECT 1) WHERE t.name = 'mine'") == 2
    assert door.fetch("WITH users AS (SELECT 5 AS n) SELECT users.n FROM users") == [(5,)]
    assert door.fetch(
        "WITH u AS (SELECT native_id FROM users), w(n) AS (SELECT native_id FROM u) SELECT n FROM w ORDER BY 1 LIMIT 1"
    ) == [("mine0",)]
    assert door.fetchval("SELECT count(*) FROM (SELECT 1 AS users) AS t WHERE t.users = 1") == 1
    assert door.fetchval("SELECT count(*) FROM json_each('[1, 2]')") == 2
    assert [*door.fetchrow("SELECT max(users.name), 1 AS one FROM users").keys()] == ["max(users.name)", "one"]
    plan = door.fetch("EXPLAIN QUERY PLAN SELECT name FROM users WHERE id = $1", b"x")
    assert "PRIMARY KEY" in str(plan) or "sqlite_autoindex" in str(plan)


def test_its_own_rows_can_be_written(acme, foreign):
    before = foreign()
    door = acme.db
    assert door.execute("UPDATE users SET display_name = name || '!'") == 2
    assert door.execute("INSERT INTO wall_authors (email) VALUES ('a@x'), ('b@x')") == 2
    assert door.fetchval("SELECT rank FROM wall_authors WHERE email = 'a@x'") == 7
    assert door.execute("INSERT OR IGNORE INTO wall_authors (email) VALUES ('a@x'), ('c@x')") == 1
    assert door.execute("INSERT OR REPLACE INTO wall_authors (id, email, rank) VALUES (2, 'd@x', 1)") == 1
    assert door.fetchval("SELECT count(*) FROM wall_poems") == 0  # the poem went with the author who was replaced
    assert door.execute("INSERT INTO wall_poems (author_id) SELECT id FROM wall_authors WHERE email = 'a@x'") == 1
    assert door.execute("DELETE FROM wall_authors WHERE email = 'a@x'") == 1
    assert door.fetchval("SELECT count(*) FROM wall_poems") == 0
    assert foreign() == before


def test_a_session_writes_its_own_rows(acme, foreign):
    before = foreign()
    with acme.session() as session:
        author = Author(email="ada@x")
        session.add(author)
        session.flush()
        assert author.id is not None
        assert (author.tenant_id, author.rank) == (acme.id, 7)
        session.add(Poem(author_id=author.id))
        session.flush()
        author.email = "grace@x"
        session.flush()
        assert session.scalars(sa.select(sa.func.count()).select_from(Author)).one() == 2
        assert session.execute(sa.update(Author).values(rank=1)).rowcount == 2
        session.delete(author)
    assert acme.db.fetch("SELECT email, rank FROM wall_authors") == [("mine@x", 1)]
    assert acme.db.fetchval("SELECT count(*) FROM wall_poems") == 1
    assert foreign() == before


def test_a_session_refuses_another_tenants_row(acme, foreign):
    before = foreign()
    other = UUID(bytes=before[0]["tenants"][0][0])
    with pytest.raises(errors.TenantMismatch), acme.session() as session:
        session.add(Author(email="x@x", tenant_id=other))
        session.flush()
    with pytest.raises(errors.TenantMismatch), acme.session() as session:
        session.scalars(sa.select(models.User)).first().tenant_id = other
        session.flush()
    with pytest.raises(errors.PermissionDenied), acme.session() as session:
        session.execute(sa.insert(Author.__table__).values(email="x@x", tenant_id=other))
    with acme.session() as session:
        assert session.execute(sa.delete(models.User).where(models.User.tenant_id == other)).rowcount == 0
        assert session.execute(sa.update(models.User.__table__).values(name="x")).rowcount == 2
        assert session.scalars(sa.select(models.User.__table__.c.tenant_id)).all() == [acme.id] * 2
        assert session.get(models.User, (other, UUID(bytes=before[0]["users"][0][1]))) is None
    assert foreign() == before


def test_one_connection_serves_tenants_one_after_the_other(store, acme):
    other = store.tenant("slack:B")
    for _ in range(3):
        assert acme.db.fetchval("SELECT count(*) FROM users") == 2
        assert other.db.fetchval("SELECT count(*) FROM users") == MANY
        with pytest.raises(errors.PermissionDenied):
            store.db.fetchval("SELECT count(*) FROM users")
        for tenant, count in ((acme, 2), (other, MANY)):
            with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
                assert tx.db.fetchval("SELECT count(*) FROM users") == count
                tx.users.ensure("U")
                with tx.session() as session:
                    assert session.scalar(sa.text("SELECT count(*) FROM users")) == count + 1
                raise ZeroDivisionError


def test_a_cursor_ends_with_its_transaction(acme):
    with acme.session() as session:
        rows = session.connection().exec_driver_sql("SELECT name FROM users").cursor
    with pytest.raises(sqlite3.ProgrammingError):
        rows.fetchall()


def test_a_table_made_later_is_seen(store, acme):
    assert acme.db.execute("DELETE FROM users WHERE false") == 0
    store.db.execute("CREATE TABLE later (a)")
    assert acme.db.execute("INSERT INTO later VALUES (1)") == 1
    assert acme.db.fetch("SELECT * FROM later") == [(1,)]


def test_a_model_imported_later_walls_its_table(store, acme):
    store.db.execute("CREATE TABLE wall_late (id INTEGER PRIMARY KEY, tenant_id BLOB, text TEXT)")
    store.db.execute("INSERT INTO wall_late VALUES (1, $1, 'mine'), (2, x'42', 'FOREIGN')", acme.id)
    assert acme.db.fetchval("SELECT count(*) FROM wall_late") == 2

    class Late(Base):
        __tablename__ = "wall_late"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant_id: Mapped[UUID]
        text: Mapped[str]

    assert acme.db.fetch("SELECT text FROM wall_late") == [("mine",)]


def test_the_owner_of_the_file_makes_tables_of_his_own(store):
    store.db.execute_script(
        """
        CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT);
        CREATE INDEX titles ON books (title);
        CREATE TRIGGER printed AFTER INSERT ON books BEGIN
            UPDATE books SET title = upper(title) WHERE id = NEW.id; SELECT 1;
        END;
        INSERT INTO books (title) VALUES ('a; b');
        ALTER TABLE books ADD COLUMN year INTEGER;
        ALTER TABLE books RENAME TO volumes;
        ALTER TABLE volumes RENAME COLUMN title TO name;
        ANALYZE volumes;
        CREATE VIRTUAL TABLE findings USING fts5(body);
        INSERT INTO findings VALUES ('one two');
        """
    )
    assert store.db.fetch("SELECT name, year FROM volumes") == [("A; B", None)]
    assert store.db.fetch("SELECT * FROM findings WHERE findings MATCH 'two'") == [("one two",)]
    assert [row["name"] for row in store.db.fetch("PRAGMA table_info(volumes)")] == ["id", "name", "year"]
    store.db.execute_script("DROP TABLE findings; DROP INDEX titles; DROP TABLE volumes")


CLOSED = [
    "CREATE TRIGGER t AFTER INSERT ON users BEGIN SELECT 1; END",
    "CREATE INDEX i ON users (name)",
    "ALTER TABLE users ADD COLUMN a",
    "DROP TABLE undercroft.users",
    "DROP INDEX ix_users_tenant_id_native_id",
    "SELECT * FROM messages_fts",
    "DROP TABLE undercroft_alembic_version",
    "CREATE TEMP TABLE t (a)",
    "CREATE VIRTUAL TABLE v USING fts5vocab('messages_fts', 'row')",
    "CREATE VIRTUAL TABLE v USING dbstat(main)",
    "ATTACH ':memory:' AS other",
    "PRAGMA writable_schema = ON",
    "SELECT * FROM wall_authors",
]


def test_to_the_owner_of_the_file_our_tables_are_closed(store, acme, foreign):
    before = foreign()
    for sql in CLOSED:
        with pytest.raises(errors.DatabaseError):
            store.db.execute(sql)
    assert foreign() == before


SPELLINGS = [
    "users",
    "main.users",
    "undercroft.users",
    '"users"',
    "[main].[users]",
    "'users'",
    "main.'users'",
    "USERS",
    "`Users`",
    "wall_authors",
    "'wall_authors'",
    "main.wall_poems",
    "tenants",
    "'tenants'",
    "audit_events",
    "'audit_events'",
]
COLUMNS = [
    "*",
    "count(*)",
    "1",
    "tenant_id",
    "rowid",
    "max(rowid)",
    "group_concat(tenant_id)",
    "id",
    "(SELECT count(*) FROM {t})",
]
WHOLE = [
    "SELECT {c} FROM {t}",
    "SELECT {c} FROM ({s}) AS {n}",
    "WITH {n} AS ({s}) SELECT {c} FROM {t}",
    "{s} UNION ALL {s}",
    "SELECT {c} FROM {t} AS a, {t} AS b",
    "SELECT {c} FROM {t} WHERE EXISTS ({s})",
    "SELECT {c} FROM {t} WHERE id IN ({s})",
    "SELECT ({s}), {c} FROM {t}",
    "EXPLAIN {s}",
]
WRITES = [
    "DELETE FROM {t}",
    "DELETE FROM {t} WHERE id IN ({s})",
    "UPDATE {t} SET {k} = ({s})",
    "UPDATE OR REPLACE {t} SET {k} = {v}",
    "INSERT INTO {t} {s}",
    "INSERT OR REPLACE INTO {t} {s}",
    "INSERT OR REPLACE INTO wall_authors (id, email) VALUES ({v}, {v})",
    "REPLACE INTO {t} ({k}) VALUES ({v})",
    "UPDATE {t} SET {k} = x.{k} FROM {t} AS x",
    "DELETE FROM {t} RETURNING {c}",
    "INSERT INTO {t} ({k}, tenant_id) VALUES ({v}, {v})",
]
KEYS = ["tenant_id", "id", "email", "name", "author_id", "actor"]


def attempt(random, depth=0):
    """Make up a statement that reaches for other rows than its own."""
    whole = random.choice(WHOLE + (WRITES if depth == 0 else []))
    if depth > 2:
        whole = "SELECT {c} FROM {t}"
    parts = {
        "c": lambda: random.choice(COLUMNS).replace("{t}", random.choice(SPELLINGS)),
        "t": lambda: random.choice(SPELLINGS),
        "s": lambda: attempt(random, depth + 1).removeprefix("EXPLAIN "),
        "n": lambda: random.choice(["users", "x", "'users'", "tenants"]),
        "k": lambda: random.choice(KEYS),
        "v": lambda: random.choice(
            ["77", "'FOREIGN@x'", "tenant_id", "x'42'", "NULL", "(SELECT max(id) FROM 'wall_authors')"]
        ),
    }
    text = ""
    while "{" in whole:
        before, _, rest = whole.partition("{")
        text, whole = text + before + parts[rest[0]](), rest[2:]
    return text + whole


@pytest.mark.parametrize("seed", range(4))
def test_attempts_at_random_get_nowhere(acme, foreign, seed):
    maker = random.Random(seed)
    before = foreign()
    for _ in range(500):
        sql = attempt(maker)
        random.Random(sql).choice([through_the_door, through_a_session])(acme, sql)
    assert foreign() == before


def test_the_attempts_would_find_an_open_door(acme, foreign, monkeypatch):
    monkeypatch.setattr(Walls, "_authorize", lambda *_: sqlite3.SQLITE_OK)
    maker, before = random.Random(0), foreign()
    with pytest.raises(AssertionError):
        for _ in range(500):
            through_the_door(acme, attempt(maker))
            assert foreign() == before


VIEWS = {"users": "V", "tenants": "W"}


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("SELECT users FROM users", "SELECT users FROM V"),
        ("SELECT users.a FROM users", "SELECT V.a FROM V"),
        ("SELECT u.a FROM users AS u, tenants", "SELECT u.a FROM V AS u, W"),
        ("SELECT f(a, users) FROM (users JOIN tenants)", "SELECT f(a, users) FROM (V JOIN W)"),
        ("SELECT main.users.a FROM main . users", "SELECT V.a FROM V"),
        ("SELECT x.users.a, undercroft.other.b", "SELECT x.users.a, other.b"),
        ("SELECT 'users' FROM \"Users\" -- users", "SELECT 'users' FROM V -- users"),
        ("INSERT INTO users (users) VALUES ('users')", "INSERT INTO V (users) VALUES ('users')"),
        ("UPDATE OR IGNORE users SET users = 1 WHERE users.a = 2", "UPDATE OR IGNORE V SET users = 1 WHERE V.a = 2"),
        (
            "DELETE FROM users WHERE a IN (SELECT b FROM tenants ORDER BY users, c)",
            "DELETE FROM V WHERE a IN (SELECT b FROM W ORDER BY users, c)",
        ),
        ("WITH users AS (SELECT 1) SELECT users.a FROM users", "WITH users AS (SELECT 1) SELECT users.a FROM users"),
        (
            "WITH a AS (SELECT 1), users (b) AS (SELECT 2) SELECT * FROM users, tenants",
            "WITH a AS (SELECT 1), users (b) AS (SELECT 2) SELECT * FROM users, W",
        ),
        ("SELECT users.a FROM people AS users", "SELECT users.a FROM people AS users"),
        ("SELECT users.a FROM main.users, people users", "SELECT users.a FROM V, people users"),
        ("SELECT 1; DELETE FROM users", "SELECT 1; DELETE FROM V"),
        (
            "INSERT INTO x VALUES (1) ON CONFLICT DO UPDATE SET users = 1",
            "INSERT INTO x VALUES (1) ON CONFLICT DO UPDATE SET users = 1",
        ),
    ],
)
def test_views_take_the_place_of_tables(written, becomes):
    assert with_views(sqltext.read(written, sqlite=True).tokens, VIEWS, {"main", "undercroft"}) == becomes


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_rights_are_those_of_postgresql(engine, database_url):
    with psycopg.connect(database_url) as connection:
        rights = dict(
            connection.execute(
                """
                SELECT relname, ARRAY(SELECT p FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS p
                                      WHERE has_table_privilege('undercroft_app', c.oid, p))
                FROM pg_class AS c WHERE relnamespace = 'undercroft'::regnamespace AND relkind IN ('r', 'p', 'v')
                AND NOT relispartition AND has_table_privilege('undercroft_app', c.oid, 'SELECT')
                """
            ).fetchall()
        )
    rights.pop("alembic_version")
    assert {name for name, may in rights.items() if not may} == READ_ONLY
    assert {name for name, may in rights.items() if may == ["INSERT"]} == APPEND_ONLY
    assert {name for name, may in rights.items() if may == ["INSERT", "DELETE"]} == MARKS
    assert {tuple(may) for name, may in rights.items() if name not in READ_ONLY | APPEND_ONLY | MARKS} == {
        ("INSERT", "UPDATE", "DELETE")
    }
