"""Where keys come from, what is refused, and that a lost key breaks nothing but what it sealed."""

import os
import stat
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretBytes, SecretStr

from undercroft import Settings
from undercroft.core.seal import key_file
from undercroft.core.seal.envelope import Key
from undercroft.core.seal.keyring import Keyring
from undercroft.core.seal.providers import KeyProvider, LocalKeyProvider
from undercroft.core.seal.ring import Entry, entries, written
from undercroft.errors import AlreadyExists, ConfigurationError, KeysMissing, KeysUnavailable, KeyUnknown

SECRET = SecretStr("tell nobody")


class StandIn:
    """A key service of the tests', which can be out of order."""

    broken = False

    def wrap(self, key: bytes) -> bytes:
        return b"wrapped" + key[::-1]

    def unwrap(self, wrapped: bytes) -> bytes:
        if self.broken:
            raise ConnectionError
        return wrapped[7:][::-1]


stand_in = StandIn()
PROVIDER = f"{__name__}:stand_in"


def settings(tmp_path: Path, **given: Any) -> Settings:
    return Settings(database_url=SecretStr(f"sqlite:///{tmp_path / 'bot.db'}"), **given)


def text(*keys: Key) -> SecretStr:
    return written([Entry(is_wrapped=False, content=key.material) for key in keys])


def test_without_keys_nothing_is_sealed_and_nothing_breaks(tmp_path):
    ring = Keyring(settings(tmp_path))
    with pytest.raises(KeysMissing, match="undercroft keys init"):
        ring.seal(b"here", SECRET)


def test_keys_come_from_the_environment_the_first_one_seals(tmp_path):
    old, new = Key.new(), Key.new()
    sealed = Keyring(settings(tmp_path, keys=text(old))).seal(b"here", SECRET)
    both = Keyring(settings(tmp_path, keys=SecretStr(",".join(text(new, old).get_secret_value().split("\n")[1:3]))))
    assert both.ring.primary.id == new.id
    assert both.open(b"here", sealed) == SECRET
    with pytest.raises(KeyUnknown) as unknown:
        Keyring(settings(tmp_path, keys=text(new))).open(b"here", sealed)
    assert old.id.hex() in str(unknown.value)


def test_the_file_is_made_for_its_owner_alone_and_never_over_another(tmp_path):
    ring = Keyring(settings(tmp_path))
    key = ring.create()
    assert ring.path == tmp_path / "bot.db.keys"
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["bot.db.keys"]
    with pytest.raises(AlreadyExists):
        ring.create()
    assert Keyring(settings(tmp_path)).ring.primary == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666], ids=oct)
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    Keyring(settings(tmp_path)).create()
    (tmp_path / "bot.db.keys").chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Keyring(settings(tmp_path))
    (tmp_path / "bot.db.keys").chmod(0o400)
    assert Keyring(settings(tmp_path)).ring.primary


@pytest.mark.parametrize(
    "wrong", ["nokey", "uck1_", "uck1_short", "uck1_" + "a" * 44, "uck2_" + "a" * 43, "uck1_" + "*" * 43]
)
def test_what_is_no_key_is_named_by_its_number_and_not_shown(tmp_path, wrong):
    good = text(Key.new())
    given = settings(tmp_path, keys=SecretStr(f"{good.get_secret_value()}\n{wrong} # mine"))
    with pytest.raises(ConfigurationError, match="Key 2 in UNDERCROFT_KEYS is no key") as refused:
        Keyring(given)
    told = "".join(traceback.TracebackException.from_exception(refused.value, capture_locals=True).format())
    assert good.get_secret_value().split("uck1_")[1][:43] not in told


def test_a_key_that_stands_twice_is_refused(tmp_path):
    key = Key.new()
    with pytest.raises(ConfigurationError, match="twice"):
        Keyring(settings(tmp_path, keys=text(key, key)))


def test_a_running_process_learns_of_new_keys_from_the_file(tmp_path):
    first = Keyring(settings(tmp_path))
    first.create()
    second = Keyring(settings(tmp_path))
    old = first.ring.primary.id
    new = first.add(old)
    assert first.add(old) == new  # who comes second finds it done
    sealed = first.seal(b"here", SECRET)
    assert second.open(b"here", sealed) == SECRET
    assert second.seal(b"here", SECRET)[3:11] == new.id
    first.remove(old)
    assert len(entries(key_file.read(first.path), "", "")) == 1
    assert second.seal(b"here", SECRET)[3:11] == new.id


def test_who_comes_while_the_file_is_read_again_waits_for_its_keys(tmp_path, monkeypatch):
    changing = Keyring(settings(tmp_path))
    old = changing.create()
    reading = Keyring(settings(tmp_path))
    changing.add(old.id)
    sealed = changing.seal(b"here", SECRET)
    entries, begun, go_on = reading.entries, threading.Event(), threading.Event()

    def slowly() -> list[Entry]:
        begun.set()
        assert go_on.wait(10)
        return entries()

    monkeypatch.setattr(reading, "entries", slowly)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(reading.refresh)
        assert begun.wait(10)
        second = threads.submit(reading.open, b"here", sealed)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        assert second.result(10) == SECRET
        first.result(10)


def test_a_process_that_dies_while_it_changes_the_file_leaves_the_old_keys(tmp_path, monkeypatch):
    ring = Keyring(settings(tmp_path))
    key = ring.create()
    with monkeypatch.context() as killed, pytest.raises(ZeroDivisionError):
        killed.setattr(Path, "replace", lambda *_: 1 / 0)
        ring.add(key.id)
    assert Keyring(settings(tmp_path)).ring.keys == (key,)
    ring.add(key.id)
    assert [path.name for path in tmp_path.iterdir()] == ["bot.db.keys"]


def test_a_file_in_no_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Keyring(settings(tmp_path, keys_file=str(tmp_path / "no" / "keys"))).create()


def test_a_file_that_breaks_later_leaves_the_keys_as_they_are(tmp_path, caplog):
    ring = Keyring(settings(tmp_path))
    ring.create()
    sealed = ring.seal(b"here", SECRET)
    ring.path.write_text("rubbish")
    assert ring.open(b"here", ring.seal(b"here", SECRET)) == SECRET
    assert "not read again" in caplog.text
    with pytest.raises(ConfigurationError):
        ring.reload()
    assert ring.open(b"here", sealed) == SECRET


def test_keys_that_a_service_has_wrapped(tmp_path, monkeypatch):
    given = settings(tmp_path, key_provider=PROVIDER)
    ring = Keyring(given)
    key = ring.create()
    assert key.material.get_secret_value() not in ring.path.read_bytes()
    assert ring.path.read_text().splitlines()[1].startswith("uckw1_")
    sealed = ring.seal(b"here", SECRET)
    assert Keyring(given).open(b"here", sealed) == SECRET

    monkeypatch.setattr(stand_in, "broken", True)
    assert ring.open(b"here", sealed) == SECRET  # it is asked once for each key
    away = Keyring(given)
    with pytest.raises(KeysUnavailable):
        away.seal(b"here", SECRET)
    with pytest.raises(KeyUnknown):
        away.open(b"here", sealed)
    monkeypatch.setattr(stand_in, "broken", False)
    monkeypatch.setattr("undercroft.core.seal.keyring.AGAIN", -1.0)
    assert away.open(b"here", sealed) == SECRET


def test_a_lost_key_breaks_nothing_that_others_sealed(tmp_path, monkeypatch):
    given = settings(tmp_path, key_provider=PROVIDER)
    ring = Keyring(given)
    first = ring.create()
    early = ring.seal(b"here", SECRET)
    ring.add(first.id)
    late = ring.seal(b"here", SECRET)
    unwrap = StandIn.unwrap
    lost = b"wrapped" + first.material.get_secret_value()[::-1]
    monkeypatch.setattr(StandIn, "unwrap", lambda self, wrapped: 1 / 0 if wrapped == lost else unwrap(self, wrapped))
    again = Keyring(given)
    assert again.open(b"here", late) == SECRET
    assert again.open(b"here", again.seal(b"here", SECRET)) == SECRET
    with pytest.raises(KeyUnknown, match=first.id.hex()):
        again.open(b"here", early)


def test_the_local_provider():
    local = LocalKeyProvider(os.urandom(32))
    assert isinstance(local, KeyProvider)
    wrapped = local.wrap(b"k" * 32)
    assert local.unwrap(wrapped) == b"k" * 32
    with pytest.raises(KeysUnavailable):
        LocalKeyProvider(os.urandom(32)).unwrap(wrapped)
    with pytest.raises(ConfigurationError):
        LocalKeyProvider(SecretBytes(b"short"))


@pytest.mark.parametrize("name", ["nowhere:nothing", "os:nothing", "os", "os:path", "os:getpid"])
def test_what_is_no_provider_is_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="no key provider"):
        Keyring(settings(tmp_path, key_provider=name)).new()


def test_a_wrapped_key_without_a_provider_is_refused(tmp_path):
    Keyring(settings(tmp_path, key_provider=PROVIDER)).create()
    with pytest.raises(ConfigurationError, match="no provider is named"):
        Keyring(settings(tmp_path))


def test_keys_in_the_environment_are_not_for_commands_to_change(tmp_path):
    with pytest.raises(ConfigurationError, match="UNDERCROFT_KEYS"):
        Keyring(settings(tmp_path, keys=text(Key.new()))).add(None)
    with pytest.raises(ConfigurationError, match="No key file is named"):
        Keyring(Settings(database_url=SecretStr("postgresql://db/bots"))).create()
