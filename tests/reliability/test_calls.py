"""Another tenant's rows are out of reach through our own calls: every declared one, arguments made up or stolen."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from tests.colours import Driven, LoopThread
from tests.reliability import declarations
from tests.reliability.arguments import Arguments, shown
from tests.reliability.attacks import ATTACKS, Aim
from tests.reliability.canaries import tables
from tests.reliability.walls import House, Sums, house
from undercroft import AsyncStore, Settings, Store, errors, generate_audit_key, models
from undercroft.core import idempotency
from undercroft.core.live import feed
from undercroft.core.operation import operation, resource, stream
from undercroft.core.scope import FLEET, NOBODY
from undercroft.crm import Connection
from undercroft.meetings import Meeting
from undercroft.queries import Query
from undercroft.sessions import Session
from undercroft.store import TenantScope

SEED = 20261125
WORDS = ["U1", "C1", "1700000000.000100", "db", "key", "everybody"]
USUAL = {
    **dict.fromkeys(("author_id", "by", "user"), "U1"),
    **dict.fromkeys(("channel", "channel_id"), "C1"),
    **dict.fromkeys(("message", "native_id", "root"), "1700000000.000100"),
    "data_class": "queries",
    "database": "db",
    "permission": "read",
}
"""What a parameter or field of this name most often is, so that calls meet what other calls have stored."""

SENT_AT = datetime.fromtimestamp(1_700_000_000.0001, UTC)

REFUSED_HERE = {"audit.archive", "audit.export"}
"""The canaries that stand in every table make no trail, and a damaged one does not leave the database."""
MADE = {"session": Session, "query": Query, "connection": Connection, "meeting": Meeting}
"""What calls name by an id that another call returned."""

WAYS = ("foreign", "transaction", "keyed", "nobody", "fleet", "unknown", "deleted")


class Caller:
    """Calls what is declared on a store of either colour; the victim is served in between, on the same connections."""

    def __init__(self, house: House, store: Any, view: Callable[[Any], Any], seed: int) -> None:
        self.house = house
        self.store = store
        self.random = Random(seed)
        self.declared = declarations.every()
        self._made: dict[str, list[Any]] = {name: [] for name in MADE}
        self._view = view
        self._sums: Sums | None = None

    def arguments(self, path: str, said: list[str], *, hostile: bool = True) -> tuple[list[Any], dict[str, Any]]:
        """Arguments that name things of the victim; where SQL is run, it is an attack."""
        of, attack = self.house.victim, self._attack if hostile and path.startswith("db.") else lambda: ["SELECT 1"]
        words = [*WORDS, *map(str, self.random.sample(of.ids, 5))]
        named = {
            "sql": lambda: attack()[-1],
            "script": lambda: "; ".join(attack()),
            "statements": lambda: [(statement, []) for statement in attack()],
            "args": list,
            "path": lambda: f"/nowhere/{self.random.getrandbits(64)}.jsonl",
            "directory": lambda: "/nowhere",
            "records": list,
            "column": lambda: 0,
            "timeout": lambda: None,
            "counter": lambda: None,
            "sent_at": lambda: SENT_AT,
            **{name: partial(self.random.choice, [word] * 8 + words) for name, word in USUAL.items()},
        }
        if path.startswith("crm."):
            named |= {"credentials": lambda: "env:PATH", "email": lambda: "ada@acme.example"}
            named |= {"domain": partial(self.random.choice, ["acme.example", "ada@acme.example"])}
        if path.startswith(("crm.", "meetings.", "queries.", "sessions.")):
            named |= {name: partial(self.random.choice, [*of.ids[:3], *ids[-5:]]) for name, ids in self._made.items()}
        if path.startswith("config."):
            named["key"] = partial(self.random.choice, ["key"] * 8 + words)
        if path.startswith("secrets."):
            named["name"] = partial(self.random.choice, ["token"] * 8 + words)
        if path == "db.copy_records_to_table":
            return self._copied(hostile=hostile)
        return Arguments(self.random, words, of.ids, said, named).of(self.declared[path])

    def _aim(self) -> Aim:
        table, house = self.random.choice(tables()), self.house
        return Aim(
            table, house.victim, house.attacker.id, self.random, house.partitions.get(table.name, []), house.views
        )

    def _attack(self) -> list[str]:
        return self.random.choice(ATTACKS)(self._aim())

    def _copied(self, *, hostile: bool) -> tuple[list[Any], dict[str, Any]]:
        aim = self._aim()
        row = aim.row | aim.new_key()
        records = [[row[name] for name in aim.columns]] if hostile else []
        return [aim.table.name], {"schema": "undercroft", "columns": aim.columns, "records": records}

    def serve(self, path: str) -> Any:
        """Call for the victim itself; returns the answer, or the error."""
        args, kwargs = self.arguments(path, [f"{self.house.victim.secret} said", "everybody"], hostile=False)
        victim = self.store.tenant(self.house.victim.name)
        try:
            if path == "users.authorize_query":  # whom nothing is mapped for is always denied
                victim.users.map_database("U1", database_user="u", allowed_databases=["*"], permissions=["*"])
            if path == "limits.consume_all":  # what it takes of may never have been defined, or is removed again
                for name in args[0]:
                    victim.limits.define(name, 10**6, per="day")
            if path == "meetings.pushing":  # most meetings are not to be pushed
                ready = victim.meetings.start(str(self.random.random())).id
                args, kwargs = [victim.meetings.advance(ready, "summarised").id], {}
            answer = self.carry_out(victim, path, args, kwargs)
        except errors.UndercroftError as error:
            return error
        finally:
            self._sums = None
        for name, kind in MADE.items():
            self._made[name] += [answer.id] if isinstance(answer, kind) else []
        return answer

    def attempt(self, path: str, way: str) -> list[str]:
        """Call for the attacker, or for nobody, what names things of the victim; every leak and every effect."""
        args, kwargs = self.arguments(path, ["guess", "'; SELECT 1 --", "%", "everybody"])
        own = self.house.attacker if way in {"foreign", "transaction", "keyed"} else None
        said: list[Any] = []
        before = self._sums or self.house.sums()
        try:
            if way == "transaction":
                with self._scope(way).transaction() as tx:
                    said.append(self.carry_out(tx, path, args, kwargs))
            else:
                said.append(self.carry_out(self._scope(way), path, args, kwargs))
        except errors.UndercroftError as error:
            said += [str(error), error.context, str(error.__cause__)]
        except Exception as error:
            if own:
                raise
            said.append(str(error))
        self._sums = self.house.sums()
        watched = [self.house.victim] if own else [self.house.victim, self.house.attacker]
        found = self.house.leaks(said, of=watched)
        return found + self.house.effects(before, self._sums, but=own.id if own else None)

    def _scope(self, way: str) -> Any:
        if way in {"nobody", "fleet"}:
            inner = getattr(self.store, "_object", self.store)
            return self._view(TenantScope(inner._runner, FLEET if way == "fleet" else NOBODY))
        names = {"unknown": "slack:Tnobody", "deleted": self.house.gone.name}
        scope = self.store.tenant(names.get(way, self.house.attacker.name))
        return scope.idempotent(f"key {self.random.randrange(3)}") if way == "keyed" else scope

    def carry_out(self, scope: Any, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Make a call of any kind and return all it answers."""
        call, declaration = declarations.reached(scope, path), self.declared[path]
        if isinstance(declaration, stream):
            return list(itertools.islice(call(*args, **kwargs), 50))
        if isinstance(declaration, feed):  # which never ends: what it asks of the database at first
            inner = getattr(scope, "_object", scope)
            return self._view(inner._runner).run(inner._scope, declaration, None, *args, **kwargs)
        if isinstance(declaration, resource):
            with call(*args, **kwargs) as held:
                return shown(held)
        return call(*args, **kwargs)


@pytest.fixture(scope="module")
def standing() -> Iterator[House]:
    with house(SEED) as made:
        yield made


@pytest.fixture
def caller(standing: House, colour: str, loop_thread: LoopThread) -> Iterator[Callable[..., Caller]]:
    """Makes callers on a store with few connections."""
    with ExitStack() as stores:

        def make(seed: int, url: str = standing.url) -> Caller:
            settings = Settings.load(url, pool_size=2, max_overflow=0)
            if colour == "sync":
                store: Any = Store(settings=settings)
                view = lambda scope: scope  # noqa: E731
            else:
                store = Driven(AsyncStore, loop_thread)(settings=settings)
                view = lambda scope: Driven(scope, loop_thread)  # noqa: E731
            stores.callback(store.close)
            return Caller(standing, store, view, seed)

        yield make


def attempts(caller: Caller, number: int, *, skip: str = " ") -> list[str]:
    """Call that often, each declaration in turn, and return what was found."""
    paths = [path for path in sorted(caller.declared) if not path.startswith(skip)]
    found = []
    for one in range(number):
        path, way = paths[one % len(paths)], caller.random.choice(WAYS)
        if caller.random.random() < 0.3:
            caller.serve(path)
        found += [f"{path}, {way} (attempt {one}): {fault}" for fault in caller.attempt(path, way)]
    return found + caller.house.stolen()


def test_nothing_leaks_and_nothing_changes(caller):
    assert "\n".join(attempts(caller(SEED), 250)) == ""


def test_the_same_for_a_superusers_login(caller, standing):
    """Its raw SQL is not contained, and `doctor` says so; its calls are."""
    assert "\n".join(attempts(caller(SEED + 1, standing.admin_url), 250, skip="db.")) == ""


@pytest.mark.soak
def test_nothing_leaks_and_nothing_changes_at_length(caller, standing, soak_share):
    number = int(2500 * soak_share)
    assert "\n".join(attempts(caller(SEED + 2), number)) == ""
    assert "\n".join(attempts(caller(SEED + 3, standing.admin_url), number, skip="db.")) == ""


def test_control_a_runner_that_enters_the_wrong_tenant_is_caught(caller, standing, monkeypatch):
    made = caller(SEED + 4)
    monkeypatch.setattr(made, "_scope", lambda way: made.store.tenant(standing.victim.name))
    found = "\n".join(attempts(made, 2 * len(made.declared), skip="db."))
    assert "leak: the victim's secret" in found
    assert "effect: audit_events of the victim" in found


def _tries(repository: Any, model: type, row: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """What a caller can ask a repository of a row that is not his; an answer of a number must be none."""
    parts = [row[column.name] for column in sa.inspect(model).primary_key if column.name != "tenant_id"]
    key = parts[0] if len(parts) == 1 else tuple(parts)
    theirs = {"tenant_id": row["tenant_id"]}
    changed = {name: value for name, value in row.items() if name not in sa.inspect(model).primary_key}
    for ask in (repository.get_or_none, repository.get, repository.delete):
        yield partial(ask, key)
    for ask in (repository.list, repository.page, repository.count, repository.exists):
        yield partial(ask, theirs)
    yield lambda: list(repository.each(theirs))
    yield lambda: repository.query(sa.select(model).where(sa.inspect(model).c["tenant_id"] == row["tenant_id"]))
    yield partial(repository.update, key, **theirs)
    yield partial(repository.update, key, **dict(list(changed.items())[:1]))
    yield partial(repository.create, **row)
    yield partial(repository.create_many, [row], conflict="ignore")


def test_a_repository_shows_and_changes_nothing_of_others(caller, standing):
    made, found = caller(SEED + 6), []
    before = standing.sums()
    for mapper in models.Base.registry.mappers:
        if mapper.local_table not in tables():
            continue
        aim = Aim(mapper.local_table, standing.victim, standing.attacker.id, made.random, [], [])
        names = {column.key for column in mapper.column_attrs}
        row = {name: value for name, value in aim.row.items() if name in names}
        for as_orm in (False, True):
            repository = made.store.tenant(standing.attacker.name).repository(mapper.class_, as_orm=as_orm)
            for number, ask in enumerate(_tries(repository, mapper.class_, row)):
                answer: Any = None
                with suppress(errors.UndercroftError):
                    answer = ask()
                numbered = isinstance(answer, int) and answer > 0
                faults = standing.leaks(answer) + (["leak: by number"] if numbered else [])
                found += [f"{mapper.class_.__name__}, try {number}: {fault}" for fault in faults]
    found += standing.effects(before, standing.sums(), but=standing.attacker.id)
    assert "\n".join(found) == ""


def test_every_call_is_attacked():
    """A new call is found by itself; what is public and no declaration, or takes what cannot be made up, fails here."""
    assert declarations.not_declared() == []
    assert len(declarations.every()) > 10


def test_each_call_succeeds_for_its_owner_and_its_answer_can_be_kept(standing, tmp_path):
    """Calls that could only fail would show nothing; writes must come back from an idempotency key as they were."""
    generate_audit_key(key := tmp_path / "audit.pem")
    with Store(settings=Settings.load(standing.url, audit_key_file=str(key))) as store:
        caller = Caller(standing, store, lambda scope: scope, SEED + 5)
        missing = dict.fromkeys(caller.declared, 3)
        for path in itertools.chain.from_iterable(sorted(missing) for _ in range(100)):
            if path not in missing:
                continue
            answer = caller.serve(path)
            if not isinstance(answer, errors.UndercroftError):
                _can_be_kept(caller.declared[path], answer)
                missing[path] -= 1
            if not missing[path]:
                del missing[path]
    assert {path for path, times in missing.items() if times == 3} <= REFUSED_HERE


def _can_be_kept(declaration: Any, answer: Any) -> None:
    op = getattr(declaration, "keyed", declaration)
    if isinstance(op, operation) and op.access in {"write", "append"}:
        assert idempotency.read_answer(op, idempotency.answer(op, answer)) == answer
