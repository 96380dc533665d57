"""Changing the key: everything is under the new one at the end, whoever reads, writes, kills or has lost a key."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests import servers
from undercroft import Settings, Store
from undercroft.errors import ConfigurationError, KeyInUse, KeysMissing, KeyUnknown, PermissionDenied

WORKER = Path(__file__).with_name("worker.py")
SECRETS = 30
"""As many as the worker reads and writes."""


@pytest.fixture
def admin_url(empty_database_url: str) -> str:
    """A migrated database of one's own, as whoever migrates it reaches it."""
    with Store(empty_database_url) as store:
        store.migrate()
    return empty_database_url


@pytest.fixture
def open_keyed(admin_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Store]]:
    """Opens stores that have their keys from one file."""
    monkeypatch.delenv("UNDERCROFT_KEYS")
    stores = []

    def open_one(**given: Any) -> Store:
        stores.append(Store(settings=Settings.load(admin_url, keys_file=str(tmp_path / "keys"), **given)))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def test_everything_is_under_the_new_key_and_the_old_one_goes(open_keyed):
    store, other = open_keyed(), open_keyed()
    old = store.keys.create()
    for tenant in ("slack:T1", "slack:T2", "slack:Tgone"):
        store.tenants.ensure(tenant)
        for number in range(5):
            store.tenant(tenant).secrets.set(f"s{number}", f"{tenant} {number}")
    store.tenants.soft_delete("slack:Tgone")
    with pytest.raises(KeyInUse):
        store.keys.retire(old)
    done = store.keys.rotate()
    assert (done.is_new, done.values, done.left, done.broken) == (True, 15, {}, [])
    assert [(use.id, use.values) for use in store.keys.status()] == [(done.key, 15), (old, 0)]
    assert other.tenant("slack:T2").secrets.get("s4") == SecretStr("slack:T2 4")
    store.keys.retire(old)
    assert [use.id for use in store.keys.status()] == [done.key]
    store.tenants.restore("slack:Tgone")
    assert store.tenant("slack:Tgone").secrets.get("s0") == SecretStr("slack:Tgone 0")
    assert store.tenant("slack:T1").secrets.list()[0].version == 1


def test_every_version_of_a_sensitive_configuration_is_under_the_new_key(open_keyed):
    store = open_keyed()
    old = store.keys.create()
    config = store.default.config
    for version in (1, 2, 3):
        config.set("token", f"xoxb {version}", is_sensitive=True)
    done = store.keys.rotate()
    assert (done.values, done.left, done.broken) == (4, {}, [])  # what is set, and three versions
    store.keys.retire(old)
    assert config.rollback("token", 1).version == 4
    assert config.get("token") == SecretStr("xoxb 1")
    assert [one.kind for one in config.diff("token", 2, 3).differences] == ["changed"]


def test_a_run_that_was_killed_is_finished_without_another_key(open_keyed, monkeypatch):
    store = open_keyed()
    store.keys.create()
    store.tenants.ensure("slack:T1")
    for number in range(9):
        store.tenant("slack:T1").secrets.set(f"s{number}", "x")
    from undercroft.keys import resealing

    monkeypatch.setattr(resealing, "BATCH", 2)
    replace, calls = resealing.Resealing._value, []

    def killed(self: Any, *args: Any) -> None:
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        replace(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(resealing.Resealing, "_value", killed)
        with pytest.raises(KeyboardInterrupt):
            store.keys.rotate()
    with store.default.transaction():
        pass
    done = store.keys.rotate()
    assert (done.is_new, done.values, done.left) == (False, 4, {})
    assert len(store.keys.status()) == 2


def test_who_writes_meanwhile_wins(open_keyed, monkeypatch):
    store = open_keyed()
    store.keys.create()
    tenant = store.default
    for number in range(3):
        tenant.secrets.set(f"s{number}", "old")
    from undercroft.keys import resealing

    seal = resealing.seal
    monkeypatch.setattr(resealing, "seal", lambda *args: tenant.secrets.set("s1", "new") and seal(*args))
    done = store.keys.rotate()
    assert done.left == {}
    assert tenant.secrets.get("s1") == SecretStr("new")
    assert tenant.secrets.get("s0") == SecretStr("old")


def test_what_an_old_process_seals_meanwhile_is_done_as_well(open_keyed, monkeypatch, admin_url):
    store = open_keyed()
    store.keys.create()
    text = store.keys.path().read_text()
    old = Store(settings=Settings.load(admin_url, keys=text))  # it learns of no other key
    old.default.secrets.set("z", "x")
    from undercroft.keys import resealing

    left = resealing.Resealing._left
    once = iter([old.default])

    def counted(self: Any) -> Any:
        for tenant in once:
            tenant.secrets.set("a", "late")
        return left(self)

    monkeypatch.setattr(resealing.Resealing, "_left", counted)
    done = store.keys.rotate()
    assert (done.values, done.left) == (2, {})
    assert store.default.secrets.get("a") == SecretStr("late")
    old.close()


def test_a_broken_value_and_a_lost_key_stop_nothing_and_are_told(open_keyed, admin_url):
    store = open_keyed()
    first = store.keys.create()
    for number in range(4):
        store.default.secrets.set(f"s{number}", "x")
    stranger = Store(settings=Settings.load(admin_url, keys=store.keys.new()))
    stranger.default.secrets.set("lost", "x")
    lost = next(use.id for use in stranger.keys.status() if use.is_primary)
    stranger.close()
    table = "secrets" if admin_url.startswith("sqlite") else "undercroft.secrets"
    store.default.db.execute(f"UPDATE {table} SET version = 5 WHERE name = 's1'")
    done = store.keys.rotate()
    assert done.values == 3
    assert done.left == {first: 1, lost: 1}
    assert {(one.key[0], one.code) for one in done.broken} == {("s1", "seal.broken"), ("lost", "keys.unknown")}
    with pytest.raises(KeyInUse, match="1 values"):
        store.keys.retire(first)
    with pytest.raises(KeyUnknown):
        store.keys.retire(lost)
    assert store.default.secrets.get("s0") == SecretStr("x")


def test_control_retiring_without_the_count_loses_values(open_keyed, monkeypatch):
    store = open_keyed()
    old = store.keys.create()
    store.default.secrets.set("s", "x")
    monkeypatch.setattr("undercroft.keys.ops.Resealing.run", lambda self: {})
    store.keys.rotate()
    with pytest.raises(KeyInUse):
        store.keys.retire(old)
    monkeypatch.setattr("undercroft.keys.ops._everywhere", lambda ports, work: {})
    store.keys.retire(old)
    with pytest.raises(KeyUnknown):
        store.default.secrets.get("s")


def test_the_primary_is_never_retired_and_keys_in_the_environment_only_reseal(open_keyed, admin_url):
    store = open_keyed()
    with pytest.raises(KeysMissing):
        store.keys.rotate()
    only = store.keys.create()
    with pytest.raises(KeyInUse):
        store.keys.retire(only)
    store.default.secrets.set("s", "x")
    new = store.keys.new().get_secret_value()
    both = Store(settings=Settings.load(admin_url, keys=f"{new},{store.keys.path().read_text()}"))
    done = both.keys.rotate()
    assert (done.is_new, done.values, done.left) == (False, 1, {})
    with pytest.raises(ConfigurationError, match="UNDERCROFT_KEYS"):
        both.keys.rotate()
    with pytest.raises(ConfigurationError, match="take it out"):
        both.keys.retire(only)
    both.close()


@pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)
def test_an_applications_login_is_not_told_that_nothing_is_left(shared_database, engine):
    """Behind the walls it would count no value at all."""
    with Store(shared_database(engine)) as store, pytest.raises(PermissionDenied, match="UNDERCROFT_MIGRATE_URL"):
        store.keys.status()


# -- While others read and write --------------------------------------------------------------------------------------


def rotation_under_load(url: str, keys: Path, *, readers: int, writers: int, kills: int) -> list[str]:
    """Rotate in a process that is killed that often while others read and write; the failures of all of them."""
    environment = {**os.environ, "UNDERCROFT_KEYS_FILE": str(keys), "UNDERCROFT_DATABASE_URL": url}
    environment.pop("UNDERCROFT_KEYS", None)

    def start(*arguments: str) -> subprocess.Popen[str]:
        line = [sys.executable, str(WORKER), *arguments]
        pipe = subprocess.PIPE  # what a superuser's login is warned of is no failure
        return subprocess.Popen(line, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    others = [start("read", str(readers)), start("write", str(writers))]
    failures = []
    try:
        for other in others:
            assert other.stdout.readline() == "ready\n"
        for number in range(kills):
            rotating = start("rotate")
            rotating.stdout.readline()  # it begins
            time.sleep(0.005 + 0.02 * (number % 10))
            rotating.kill()
            rotating.communicate()
        rotating = start("rotate")
        out, _ = rotating.communicate(timeout=100)
        failures += [] if out.endswith("left 0\n") else [out]
    finally:
        for other in others:
            out, _ = other.communicate("stop\n", timeout=60)
            failures += [] if re.fullmatch(r"done [1-9]\d*\n", out) else [out]
    return failures


def check_rotation(url: str, tmp_path: Path, *, kills: int, readers: int, writers: int) -> None:
    keys = tmp_path / "keys"
    with Store(settings=Settings.load(url, keys_file=str(keys), keys=None)) as store:
        old = store.keys.create()
        for number in range(SECRETS):
            store.default.secrets.set(f"s{number}", f"value {number}")
        assert rotation_under_load(url, keys, readers=readers, writers=writers, kills=kills) == []
        assert store.keys.rotate().left == {}  # what the last writers were at
        for use in store.keys.status()[1:]:
            assert use.values == 0
            store.keys.retire(use.id)
        assert old not in {use.id for use in store.keys.status()}
        assert len(store.keys.status()) == 1
        assert {store.default.secrets.get(f"s{n}").get_secret_value()[:6] for n in range(SECRETS)} == {"value "}


def test_nobody_notices_a_rotation_that_is_killed(admin_url, tmp_path, monkeypatch):
    monkeypatch.delenv("UNDERCROFT_KEYS")
    check_rotation(admin_url, tmp_path, kills=2, readers=2, writers=1)


@pytest.mark.soak
def test_nobody_notices_a_rotation_that_is_killed_at_length(admin_url, tmp_path, monkeypatch, soak_share):
    monkeypatch.delenv("UNDERCROFT_KEYS")
    check_rotation(admin_url, tmp_path, kills=int(50 * soak_share), readers=16, writers=8)
