"""Backup and restore: what comes back is what was there, and what cannot be trusted writes nothing."""

import random
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests import databases, servers
from tests.upkeep import shelves
from tests.upkeep.shelves import T1, T2, contents, damaged, fill, of_tenant, portable, programs
from undercroft import Store, errors
from undercroft.errors import BackupRefused, DatabaseNotEmpty
from undercroft.upkeep.backup import container, kinds


@dataclass(frozen=True)
class Shelf:
    """Where backups are put, the key that proves them, and the server's own programs."""

    path: Path
    key: dict[str, Any]
    tools: dict[str, Any]


@pytest.fixture
def shelf(tmp_path: Path, engine: str) -> Shelf:
    file = tmp_path / "backup.key"
    file.write_text("k" * 40)
    return Shelf(tmp_path, {"key_file": file}, programs(engine))


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], str]]:
    """Makes databases once that others are copies of: one that is migrated, one that holds two tenants."""
    made: dict[tuple[str, str], str] = {}
    with ExitStack() as lifetimes:

        def pattern(engine: str, kind: str) -> str:
            if (engine, kind) not in made:
                if engine == "sqlite":
                    url = f"sqlite:///{tmp_path_factory.mktemp(kind) / 'pattern.db'}"
                else:
                    url = lifetimes.enter_context(databases.created(servers.url(engine)))
                with Store(url) as store:
                    store.migrate()
                    if kind == "filled":
                        fill(store, T1, T2)
                made[engine, kind] = url
            return made[engine, kind]

        yield pattern


@pytest.fixture
def new_url(engine: str, tmp_path: Path, patterns: Callable[[str, str], str]) -> Iterator[Callable[[str], str]]:
    """Makes addresses of databases: in which nothing was ever created, or copies of a pattern."""
    with ExitStack() as made:
        count = 0

        def new(kind: str) -> str:
            nonlocal count
            count += 1
            like = None if kind == "empty" else patterns(engine, kind)
            if engine == "sqlite":
                path = tmp_path / f"{count}.db"
                if like is not None:
                    shutil.copy(like.removeprefix("sqlite:///"), path)
                return f"sqlite:///{path}"
            name = "template1" if like is None else make_url(like).database or ""
            return made.enter_context(databases.created(servers.url(engine), like=name))

        yield new


@pytest.fixture
def filled(new_url: Callable[[str], str], colour: str, open_store: Any) -> tuple[Any, str]:
    """A store of a database with two tenants, and its address."""
    url = new_url("filled")
    return open_store(colour, url), url


@pytest.fixture
def empty(new_url: Callable[[str], str], colour: str, open_store: Any) -> Callable[..., tuple[Any, str]]:
    def make(*, migrate: bool = False) -> tuple[Any, str]:
        url = new_url("migrated" if migrate else "empty")
        return open_store(colour, url), url

    return make


ONCE = pytest.mark.parametrize("colour", ["sync"])
"""What is read and written is the same code in both colours."""


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_the_whole_comes_back_identical(filled, empty, shelf, encrypt):
    store, url = filled
    told: list[Any] = []
    made = store.upkeep.backup(
        shelf.path / "a.backup", **shelf.key, encrypt=encrypt, **shelf.tools, progress=told.append
    )
    assert (shelf.path / "a.backup").stat().st_mode & 0o777 == 0o600
    assert not list(shelf.path.glob(".*"))
    assert told[-1].done > 0
    assert store.upkeep.verify_backup(shelf.path / "a.backup", **shelf.key) == made
    assert {table.name: table.rows for table in made.tables} == {
        name: len(rows) for name, rows in contents(url).items()
    }
    assert (b"hello 1 of" in (shelf.path / "a.backup").read_bytes()) is False  # compressed at the least
    other, there = empty()
    other.upkeep.restore(shelf.path / "a.backup", **shelf.key, **shelf.tools)
    assert contents(there) == contents(url)
    assert [of_tenant(other, name) for name in (T1, T2)] == [of_tenant(store, name) for name in (T1, T2)]
    other.tenant(T1).users.ensure("U9")  # and goes on


def test_the_whole_comes_back_portable(filled, empty, shelf):
    store, url = filled
    store.upkeep.backup(shelf.path / "a.backup", **shelf.key, portable=True)
    other, there = empty(migrate=True)
    other.upkeep.restore(shelf.path / "a.backup", **shelf.key)
    assert portable(there) == portable(url)
    assert of_tenant(other, T1) == of_tenant(store, T1)


def test_a_tenant_comes_back_alone(filled, empty, shelf):
    store, _ = filled
    store.upkeep.backup(shelf.path / "t1.backup", **shelf.key, tenant=T1)
    other, there = empty(migrate=True)
    fill(other, T2, messages=7)
    neighbour = of_tenant(other, T2)
    other.upkeep.restore(shelf.path / "t1.backup", **shelf.key, tenant=T1)
    assert of_tenant(other, T1) == of_tenant(store, T1)
    assert of_tenant(other, T2) == neighbour
    before = contents(there)
    with pytest.raises(DatabaseNotEmpty):
        other.upkeep.restore(shelf.path / "t1.backup", **shelf.key, tenant=T1)
    assert contents(there) == before


def test_a_tenant_is_replaced_only_when_asked_for(filled, shelf):
    store, _ = filled
    store.upkeep.backup(shelf.path / "t1.backup", **shelf.key, tenant=T1)
    before, neighbour = of_tenant(store, T1), of_tenant(store, T2)
    store.tenant(T1).users.ensure("U7")
    store.tenant(T1).archive.save_messages([shelves.message(99, "later")])
    store.upkeep.restore(shelf.path / "t1.backup", **shelf.key, tenant=T1, replace=True)
    assert (of_tenant(store, T1), of_tenant(store, T2)) == (before, neighbour)
    store.tenant(T1).upkeep.retention.hold("messages", reason="case")
    with pytest.raises(errors.UnderLegalHold):
        store.upkeep.restore(shelf.path / "t1.backup", **shelf.key, tenant=T1, replace=True)
    with pytest.raises(errors.TenantUnknown):
        store.upkeep.backup(shelf.path / "no.backup", **shelf.key, tenant="slack:TNOBODY")
    assert not (shelf.path / "no.backup").exists()


def test_a_table_comes_back(filled, empty, shelf):
    store, url = filled
    made = store.upkeep.backup(shelf.path / "q.backup", **shelf.key, tables=["query_history", "tenants"])
    assert made.partial
    other, there = empty(migrate=True)
    other.upkeep.restore(shelf.path / "q.backup", **shelf.key)
    for table in ("query_history", "tenants"):
        assert contents(there)[table] == contents(url)[table]
    with pytest.raises(errors.InvalidInput, match="no table"):
        store.upkeep.backup(shelf.path / "x.backup", **shelf.key, tables=["nowhere"])


@ONCE
def test_a_backup_never_lands_in_another_tenant(filled, empty, shelf, monkeypatch):
    store, _ = filled
    store.upkeep.backup(shelf.path / "t1.backup", **shelf.key, tenant=T1)
    other, there = empty(migrate=True)
    before = contents(there)
    for wrong in (T2, None):
        with pytest.raises(BackupRefused, match="tenant slack:T1"):
            other.upkeep.restore(shelf.path / "t1.backup", **shelf.key, tenant=wrong)
    # Whoever has the key, and a backup program that is broken, still cannot.
    known = store.tenant(T2).id
    monkeypatch.setattr("undercroft.tenants.ops.tenant_id", lambda _: known)
    store.upkeep.backup(shelf.path / "forged.backup", **shelf.key, tenant=T1)
    monkeypatch.undo()
    with pytest.raises(BackupRefused):
        other.upkeep.restore(shelf.path / "forged.backup", **shelf.key, tenant=T1)
    assert contents(there) == before


@ONCE
def test_only_its_own_key_opens_it(filled, empty, shelf):
    store, _ = filled
    other, _ = empty()
    wrong = shelf.path / "wrong.key"
    wrong.write_text("w" * 40)
    short = shelf.path / "short.key"
    short.write_text("short")
    store.upkeep.backup(shelf.path / "a.backup", **shelf.key, **shelf.tools)
    store.upkeep.backup(shelf.path / "b.backup", unauthenticated=True, **shelf.tools)
    for file, given in (
        ("a", {"key_file": wrong}),
        ("a", {"unauthenticated": True}),
        ("b", shelf.key),
    ):
        for call in (other.upkeep.verify_backup, other.upkeep.restore):
            with pytest.raises(BackupRefused):
                call(shelf.path / f"{file}.backup", **given)
    with pytest.raises(errors.InvalidInput, match="key"):
        store.upkeep.backup(shelf.path / "c.backup", **shelf.tools)
    with pytest.raises(errors.ConfigurationError, match="32"):
        store.upkeep.backup(shelf.path / "c.backup", key_file=short, **shelf.tools)
    with pytest.raises(errors.AlreadyExists):
        store.upkeep.backup(shelf.path / "a.backup", **shelf.key, **shelf.tools)
    other.upkeep.restore(shelf.path / "b.backup", unauthenticated=True, **shelf.tools)


def test_nothing_is_restored_over_a_database(filled, empty, shelf):
    store, url = filled
    store.upkeep.backup(shelf.path / "a.backup", **shelf.key, **shelf.tools)
    store.upkeep.backup(shelf.path / "p.backup", **shelf.key, portable=True)
    other, there = empty(migrate=True)
    fill(other, T2, messages=1)
    before = contents(there), contents(url)
    for target in (other, store):
        for file in ("a", "p"):
            with pytest.raises(DatabaseNotEmpty):
                target.upkeep.restore(shelf.path / f"{file}.backup", **shelf.key, **shelf.tools)
    with pytest.raises(errors.InvalidInput, match="replaced"):
        other.upkeep.restore(shelf.path / "p.backup", **shelf.key, replace=True)
    assert (contents(there), contents(url)) == before


@ONCE
@pytest.mark.parametrize("form", ["whole", "portable", "encrypted"])
def test_damage_is_refused_before_the_first_write(filled, empty, shelf, form):
    _damage_many(filled, empty, shelf, form, 24)


@ONCE
@pytest.mark.soak
@pytest.mark.parametrize("form", ["whole", "portable", "encrypted"])
def test_damage_is_refused_a_thousand_times(filled, empty, shelf, form, soak_share):
    _damage_many(filled, empty, shelf, form, int(1000 * soak_share))


def _damage_many(filled, empty, shelf, form, times) -> None:
    store, _ = filled
    more = {} if form == "whole" else {"portable": True, "encrypt": form == "encrypted"}
    store.upkeep.backup(shelf.path / "a.backup", **shelf.key, **more, **shelf.tools)
    whole = (shelf.path / "a.backup").read_bytes()
    other, there = empty(migrate=form != "whole")
    before = contents(there)
    bad = shelf.path / "bad.backup"
    dice = random.Random(form)
    for number in range(times):
        what, changed = damaged(whole, dice)
        bad.write_bytes(changed)
        with pytest.raises(BackupRefused):
            other.upkeep.restore(bad, **shelf.key, **shelf.tools)
            pytest.fail(what)
        if number % 8 == 0:
            assert contents(there) == before, what
    assert contents(there) == before
    bad.write_bytes(whole)
    other.upkeep.restore(bad, **shelf.key, **shelf.tools)  # the one that is not damaged


@ONCE
def test_without_verification_damage_gets_in(filled, empty, shelf, monkeypatch):
    """The control: with the hashes and the checksums taken out, a changed row is restored."""
    store, _ = filled
    with monkeypatch.context() as patch:
        patch.setattr(container, "LEVEL", 0)  # stored as it is, so that the row can be changed in place
        store.upkeep.backup(shelf.path / "a.backup", **shelf.key, portable=True)
    whole = (shelf.path / "a.backup").read_bytes()
    (shelf.path / "a.backup").write_bytes(whole.replace(b"hello 7 of slack:T1", b"HACKD 7 of slack:T1"))
    other, _ = empty(migrate=True)
    with pytest.raises(BackupRefused):
        other.upkeep.restore(shelf.path / "a.backup", **shelf.key)
    monkeypatch.setattr(container.Reader, "raw", _unproven)
    monkeypatch.setattr(kinds.rows, "check", lambda *_: None)
    monkeypatch.setattr(kinds.rows, "compare", lambda *_: None)
    other.upkeep.restore(shelf.path / "a.backup", **shelf.key)
    assert any("HACKD" in str(one) for one in other.tenant(T1).archive.messages("C0"))


@ONCE
def test_without_the_proof_another_key_would_do(filled, empty, shelf, monkeypatch):
    """The control: with the comparison of the HMAC taken out, a manifest that somebody else made is believed."""
    store, _ = filled
    forger = shelf.path / "forger.key"
    forger.write_text("f" * 40)
    store.upkeep.backup(shelf.path / "a.backup", key_file=forger, **shelf.tools)
    monkeypatch.setattr(container, "_check_key", lambda *_: None)
    with pytest.raises(BackupRefused, match="not the one"):
        store.upkeep.verify_backup(shelf.path / "a.backup", **shelf.key)
    monkeypatch.setattr(container.hmac, "compare_digest", lambda *_: True)
    store.upkeep.verify_backup(shelf.path / "a.backup", **shelf.key)


def _unproven(reader: Any, part: Any) -> Iterator[bytes]:
    parts = reader.backup.parts
    before = parts[: parts.index(part)]
    reader._file.seek(len(container.MAGIC) + container.SALT + sum(one.stored_bytes for one in before))
    yield zlib.decompressobj(-15).decompress(reader._file.read(part.stored_bytes)[2:])


@ONCE
@pytest.mark.parametrize("form", ["whole", "portable"])
def test_under_writes_it_is_of_one_moment(filled, empty, shelf, form):
    """Each transaction of the writers adds a user and an audit event: no backup has one without the other."""
    store, url = filled
    for name in ("slack:W0", "slack:W1"):
        store.tenants.ensure(name)
    stop, begun = threading.Event(), threading.Semaphore(0)
    failed: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with Store(url) as mine:
                tenant, number = mine.tenant(name), 0
                while not stop.is_set():
                    with tenant.transaction() as tx:
                        tx.users.ensure(f"U{number}", name="x" * 500)
                        tx.audit.log("user.added")
                    begun.release()
                    number += 1
        except BaseException as error:  # noqa: BLE001 - told in the main thread
            failed.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in ("slack:W0", "slack:W1")]
    for writer in writers:
        writer.start()
    try:
        more = shelf.tools if form == "whole" else {"portable": True}
        for number in range(3):
            assert begun.acquire(timeout=30)
            store.upkeep.backup(shelf.path / f"{number}.backup", **shelf.key, **more)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failed
    for number in range(3):
        other, _ = empty(migrate=form != "whole")
        other.upkeep.restore(shelf.path / f"{number}.backup", **shelf.key, **shelf.tools)
        stats = [other.tenant(name).stats() for name in ("slack:W0", "slack:W1")]
        assert [one.users for one in stats] == [one.audit_events for one in stats]
        assert sum(one.users for one in stats) > number


@ONCE
def test_killed_while_it_writes_it_leaves_no_backup(filled, shelf):
    """The parts are written, the manifest is not: what is left is hidden, and verifies no more than anything else."""
    store, url = filled
    program = (
        "import sys, os, signal\n"
        "from undercroft import Store\n"
        "from undercroft.upkeep.backup import container\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(*((container.Writer, 'finish') if sys.argv[4] == 'manifest' else (container, '_sync')), die)\n"
        "Store(sys.argv[1]).upkeep.backup(sys.argv[2], key_file=sys.argv[3], portable=True)\n"
    )
    target = shelf.path / "backups" / "a.backup"
    target.parent.mkdir()
    for moment in ("manifest", "rename"):
        line = [sys.executable, "-c", program, url, str(target), str(shelf.key["key_file"]), moment]
        ended = subprocess.run(line, capture_output=True, timeout=60, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert not target.exists()
        assert store.upkeep.list_backups(target.parent, **shelf.key) == []
    store.upkeep.backup(target, **shelf.key, portable=True)
    assert [one.problem for one in store.upkeep.list_backups(target.parent, **shelf.key)] == [""]


@ONCE
def test_rotation_removes_only_verified_backups_of_this_database(filled, empty, shelf):
    store, _ = filled
    folder = shelf.path / "shelf"
    folder.mkdir()
    for number in range(3):
        store.upkeep.backup(folder / f"whole{number}.backup", **shelf.key, **shelf.tools)
    for number in range(2):
        store.upkeep.backup(folder / f"t1-{number}.backup", **shelf.key, tenant=T1)
    other, _ = empty(migrate=True)
    other.upkeep.backup(folder / "other.backup", **shelf.key, portable=True)
    store.upkeep.backup(folder / "newest.backup", **shelf.key, portable=True)
    with (folder / "newest.backup").open("r+b") as file:
        file.seek(60)
        file.write(b"damage")
    (folder / "notes.txt").write_text("mine")
    done = store.upkeep.rotate_backups(folder, **shelf.key, keep=1)
    assert sorted(path.name for path in done.removed) == ["t1-0.backup", "whole0.backup", "whole1.backup"]
    assert sorted(path.name for path in done.kept) == ["t1-1.backup", "whole2.backup"]
    assert sorted(one.path.name for one in done.left) == ["newest.backup", "notes.txt", "other.backup"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [path.name for path in done.kept] + [one.path.name for one in done.left]
    )
    with pytest.raises(errors.InvalidInput):
        store.upkeep.rotate_backups(folder, **shelf.key)


@ONCE
def test_a_backup_of_another_engine_or_revision_is_refused(filled, shelf, monkeypatch):
    store, url = filled
    store.upkeep.backup(shelf.path / "a.backup", **shelf.key, portable=True)
    before = contents(url)
    for name, value in (("engine", "other"), ("revision", "9999")):
        with monkeypatch.context() as patch:
            patch.setattr(
                kinds, "changed", lambda told, name=name, value=value, **new: replace(told, **new | {name: value})
            )
            patch.setattr(kinds, "described", lambda connection, ports, told: told)
            store.upkeep.backup(shelf.path / f"{name}.backup", **shelf.key, portable=True)
        with pytest.raises(BackupRefused, match=name if name == "revision" else "other"):
            store.upkeep.restore(shelf.path / f"{name}.backup", **shelf.key)
    assert contents(url) == before
