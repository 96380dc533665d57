"""Secrets stand in clear nowhere: files, write-ahead logs, dumps, logs, tracebacks, errors, what the server shows."""

import base64
import json
import logging
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from pydantic import SecretStr

from tests import databases, servers
from undercroft import Settings, Store
from undercroft.errors import SealBroken, UndercroftError

MANY = 200
MARK = f"xoxb-/+ü{Random(20261124).getrandbits(96):024x}"
"""Stands at the beginning of every secret, so that one search finds any of them; JSON and URLs write it otherwise."""


def canaries() -> list[str]:
    """Secrets that nobody else makes."""
    return [f"{MARK} {number:x}" for number in range(MANY)]


def forms(secret: str) -> Iterable[bytes]:
    """What a secret may look like; base64 at each of the three places where it may begin."""
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    yield secret.encode("utf-16-le")
    yield secret.encode("utf-16-be")
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)[4 if shift else 0 : -4]
        yield encoded
        yield encoded.replace(b"+", b"-").replace(b"/", b"_")


def found(places: dict[str, bytes], secret: str = MARK) -> set[str]:
    """The places in which a secret stands in any form."""
    every = list(forms(secret))
    return {place for place, content in places.items() if any(form in content for form in every)}


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(store: Store, secrets: list[str], log: pytest.LogCaptureFixture) -> dict[str, bytes]:
    """Use secrets in every way, failing ones too; what was shown or logged meanwhile."""
    tenant, shown = store.default, []
    with log.at_level(logging.DEBUG):
        for number, secret in enumerate(secrets):
            shown.append(repr(tenant.secrets.set(f"s{number}", secret, by="U1")))
            shown += [repr(tenant.secrets.get(f"s{number}")), f"{tenant.secrets.get(f's{number}')}"]
        for number, secret in enumerate(secrets[:10]):  # each of them in nine calls
            shown += configured(tenant, f"c{number}", secret)
        shown += [repr(tenant.config.by_category("general")), repr(tenant.config.list())]
        shown += [repr(tenant.secrets.list()), repr(tenant.audit.recent(limit=500)), repr(store.keys.rotate())]
        shown += list(failures(store, secrets))
        told = [f"{record.getMessage()} {vars(record)}" for record in log.records]
    return {"shown": "\n".join(shown).encode(), "logged": "\n".join(told).encode()}


def configured(tenant: Any, key: str, secret: str) -> Iterable[str]:
    """What is shown of a sensitive configuration by each call that has to do with it."""
    yield repr(tenant.config.set(key, secret, is_sensitive=True, by="U1"))
    yield repr(tenant.config.set(key, {"deep": [secret]}, expected=1))
    yield repr(tenant.config.set_many({key: SecretStr(secret)}))
    yield f"{tenant.config.get(key)} {tenant.config.get(key)!r} {tenant.config.entry(key)}"
    yield f"{tenant.config.history(key)} {tenant.config.diff(key, 1)} {tenant.config.delete(key)}"
    yield repr(tenant.config.rollback(key, 2))
    yield repr(tenant.idempotent(key).config.set(key, secret))


def shown_of(error: UndercroftError, *, frames: int) -> str:
    """All that an error shows, with the variables of every frame but the test's own, which hold the secrets."""
    trace = error.__traceback__
    for _ in range(frames):
        trace = trace.tb_next
    told = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return f"{error!r} {error} {error.context} {''.join(told.format())}"


def failures(store: Store, secrets: list[str]) -> Iterable[str]:
    """What our calls say when they fail, with the variables of our frames."""

    def said(call: Callable[[], Any]) -> str:
        try:
            call()
        except UndercroftError as error:
            return shown_of(error, frames=2)
        raise AssertionError("it did not fail")

    keyless = Store(settings=Settings.load(store.settings.database_url, keys="#"))
    gone = store.tenant("slack:Tnobody")
    for secret in secrets[:20]:
        yield said(lambda secret=secret: keyless.default.secrets.set("s", secret))
        yield said(lambda secret=secret: gone.secrets.set("s", secret))
        yield said(lambda secret=secret: store.default.secrets.set("", secret))
        yield said(lambda secret=secret: store.default.secrets.set("s" * 300, secret.encode()))
    for secret in secrets[:3]:
        yield said(lambda secret=secret: keyless.default.config.set("c", secret, is_sensitive=True))
        yield said(lambda secret=secret: gone.config.set("c", SecretStr(secret)))
        yield said(lambda secret=secret: store.default.config.set("", {"a": secret}, is_sensitive=True))
        yield said(lambda secret=secret: store.default.config.set("c0", [secret, b""]))
        yield said(lambda secret=secret: store.default.config.set("c0", secret, expected=99))
        yield said(lambda secret=secret: store.default.config.set_many({"c0": secret, "": 1}, is_sensitive=True))
        yield said(lambda secret=secret: store.default.config.set("c0", SecretStr(secret), is_sensitive=False))
    keyless.close()
    table = "secrets" if store.settings.database.path else "undercroft.secrets"
    with pytest.raises(SealBroken), store.default.transaction() as tx:
        tx.db.execute(f"UPDATE {table} SET version = version + 1")
        try:
            tx.secrets.get("s1")
        except SealBroken as error:
            yield shown_of(error, frames=1)
            raise


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key file that is not where the database is."""
    monkeypatch.delenv("UNDERCROFT_KEYS")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("UNDERCROFT_KEYS_FILE", str(tmp_path / "elsewhere" / "keys"))
    return tmp_path / "elsewhere" / "keys"


def test_in_a_file_they_stand_nowhere(tmp_path, keys, caplog):
    folder = tmp_path / "data"
    folder.mkdir()
    settings = Settings.load(f"sqlite:///{folder / 'bot.db'}", echo_sql=True, log_level="DEBUG", log_parameters=True)
    with Store(settings=settings) as store:
        store.keys.create()
        shown = everything(store, canaries(), caplog)
        places = files(folder) | shown
    assert {"bot.db", "bot.db-wal", "shown", "logged"} <= places.keys()
    assert b"UPDATE" in places["logged"]
    assert b"version = 2" in places["shown"]  # variables are shown
    assert found(places) == set()
    assert found(places, keys.read_text().split("uck1_")[1].strip()) == set()


def test_control_what_is_stored_unsealed_is_found(tmp_path, keys, caplog):
    settings = Settings.load(f"sqlite:///{tmp_path / 'data.db'}", echo_sql=True, log_parameters=True)
    with Store(settings=settings) as store, caplog.at_level(logging.DEBUG):
        for secret in canaries()[:3]:
            store.default.users.ensure("U1", name=secret)
        places = files(tmp_path) | {"logged": "\n".join(map(str, (vars(one) for one in caplog.records))).encode()}
    assert found(places) >= {"data.db-wal", "logged"}


@pytest.mark.parametrize("form", range(13))
def test_control_each_form_is_found(form):
    assert found({"here": b"before " + list(forms(MARK))[form] + b" after"}) == {"here"}


def test_on_a_server_they_stand_nowhere(tmp_path, keys, caplog):
    """With every statement and its parameters in the server's log, and one that is looked at while it runs."""
    with servers.own_postgresql(log_statement="all", log_min_duration_statement=0) as server:
        url = databases.migrated(server.url, server.url)
        given = {"echo_sql": True, "log_level": "DEBUG", "log_parameters": True, "migrate_url": server.url}
        seen: list[str] = []
        with Store(settings=Settings.load(url, **given)) as store, psycopg.connect(server.url, autocommit=True) as eye:
            store.keys.create()
            done = threading.Event()

            def watch() -> None:
                while not done.is_set():
                    seen.extend(str(row) for row in eye.execute("SELECT * FROM pg_stat_activity").fetchall())

            watching = threading.Thread(target=watch)
            watching.start()
            try:
                shown = everything(store, canaries(), caplog)
            finally:
                done.set()
                watching.join()
            eye.execute("CHECKPOINT")
        places = files(server._server / "data") | shown
        places["log"] = (server._server / "log").read_bytes()
        places["pg_stat_activity"] = "\n".join(seen).encode()
        dumping = [server._programs / "pg_dump", server.url]
        places["dump"] = subprocess.run(dumping, check=True, capture_output=True).stdout
    assert any(place.startswith("pg_wal/") for place in places)
    assert all(b"undercroft.config_audit" in places[place] for place in ("log", "dump"))
    assert all(b"undercroft.secrets" in places[place] for place in ("pg_stat_activity", "log", "dump"))
    assert found(places) == set()
