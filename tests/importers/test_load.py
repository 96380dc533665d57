"""An export in a tenant's archive, in both colours on every engine."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli import workspaces
from tests.cli.workspaces import BROKEN, CHANNELS, USERS, export
from tests.colours import Driven
from undercroft.errors import SourceRefused, TenantUnknown, WrongColour
from undercroft.importers import load
from undercroft.importers.load import ImportReport, load_slack, load_slack_async


@pytest.fixture
def load_into(loop_thread: Any) -> Callable[..., ImportReport]:
    """Imports into a tenant of either colour."""

    def into(tenant: Any, path: Path, **options: Any) -> ImportReport:
        if isinstance(tenant, Driven):
            return loop_thread.run(lambda: load_slack_async(tenant._object, path, **options))
        return load_slack(tenant, path, **options)

    return into


def test_it_counts_what_it_read(tenant: Any, load_into: Callable[..., ImportReport], tmp_path: Path):
    report = load_into(tenant, export(tmp_path / "a.zip", 60))
    assert report.read == report.added + report.updated + report.unchanged + report.quarantined
    assert (report.added, report.updated, report.unchanged) == (60, 0, 0)
    assert report.quarantined == len(report.examples) == BROKEN
    assert (report.channels, report.users) == (len(CHANNELS), len(USERS) + 2)
    assert report.seconds > 0
    counted = tenant.stats()
    assert (counted.messages, counted.channels, counted.users) == (60, report.channels, report.users)
    assert {one.source for one in tenant.archive.quarantined()} == {"a.zip"}


def test_one_event_tells_of_it_and_none_where_nothing_changed(
    tenant: Any, load_into: Callable[..., ImportReport], tmp_path: Path
):
    path = export(tmp_path / "a.zip", 30)
    load_into(tenant, path)
    again = load_into(tenant, path)
    assert (again.added, again.updated, again.unchanged) == (0, 0, 30)
    [event] = tenant.audit.search(event_type="archive.import")
    assert event.resource_id == "a.zip"
    assert event.data == {"read": 30 + BROKEN, "added": 30, "updated": 0, "unchanged": 0, "quarantined": BROKEN}


def test_batches_are_stored_one_after_the_other_and_told_of(
    tenant: Any, load_into: Callable[..., ImportReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load, "_RECORDS", 7)
    told: list[ImportReport] = []
    whole = load_into(tenant, export(tmp_path / "a.zip", 60), progress=told.append)
    assert [one.read for one in told] == sorted(one.read for one in told)
    assert len({one.added for one in told}) > 8
    assert {**asdict(told[-1]), "seconds": 0} == {**asdict(whole), "seconds": 0}
    assert whole.added == 60


def test_a_batch_of_long_messages_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from undercroft.importers.slack import open_export

    monkeypatch.setattr(load, "_CHARACTERS", 200)
    with open_export(export(tmp_path / "a.zip", 60)) as opened:
        sizes = [len(records) + len(refused) for records, refused in load._batches(opened.messages())]
    assert sum(sizes) == 60 + BROKEN
    assert max(sizes) < 15


def test_what_is_refused_is_refused_before_anything_is_written(
    tenant: Any, load_into: Callable[..., ImportReport], tmp_path: Path
):
    path = export(tmp_path / "a.zip", 60)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceRefused):
        load_into(tenant, path)
    assert tenant.stats().users == 0
    with pytest.raises(SourceRefused):
        load_into(tenant, tmp_path / "nowhere.zip")


def test_an_unknown_tenant_is_not_made(store: Any, load_into: Callable[..., ImportReport], tmp_path: Path):
    with pytest.raises(TenantUnknown):
        load_into(store.tenant("slack:T0NOBODY"), export(tmp_path / "a.zip", 3))


def test_inside_a_transaction_it_is_all_or_nothing(tenant: Any, load_into: Callable[..., ImportReport], tmp_path: Path):
    with pytest.raises(RuntimeError, match="changed my mind"), tenant.transaction() as tx:
        load_into(tx, export(tmp_path / "a.zip", 30))
        raise RuntimeError("changed my mind")
    assert tenant.stats().messages == 0


@pytest.mark.parametrize("colour", ["async"], indirect=True)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_wrong_colour_is_named(tenant: Any, tmp_path: Path):
    with pytest.raises(WrongColour):
        load_slack(tenant._object, export(tmp_path / "a.zip", 3))


@pytest.mark.parametrize("colour", ["async"], indirect=True)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_loop_goes_on_while_an_export_is_read(
    tenant: Any, loop_thread: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = export(tmp_path / "a.zip", 60)
    readers: set[int] = set()
    really = load.SlackExport.messages

    def messages(self: Any) -> Any:
        for one in really(self):
            readers.add(threading.get_ident())
            yield one

    monkeypatch.setattr(load.SlackExport, "messages", messages)
    loop_thread.run(lambda: load_slack_async(tenant._object, path))
    assert readers
    assert loop_thread._thread.ident not in readers


@pytest.mark.parametrize("colour", ["async"], indirect=True)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_cancelled_it_closes_the_export_after_its_reader_has_stopped_and_may_be_repeated(
    tenant: Any,
    loop_thread: Any,
    load_into: Callable[..., ImportReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(load, "_RECORDS", 5)
    path = export(tmp_path / "a.zip", 60)

    async def cancelled() -> None:
        enough = asyncio.Event()
        task = asyncio.ensure_future(
            load_slack_async(tenant._object, path, progress=lambda so_far: enough.set() if so_far.added > 20 else None)
        )
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop_thread.run(cancelled)
    assert 20 < tenant.stats().messages <= 60
    assert load_into(tenant, path).unchanged >= 20
    assert tenant.stats().messages == 60


def test_years_are_made_ready_before_their_messages_come(
    tenant: Any,
    engine: str,
    load_into: Callable[..., ImportReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(workspaces, "_BEGIN", datetime(2009, 12, 31, 23, tzinfo=UTC))  # a year of no other test's
    load_into(tenant, export(tmp_path / "a.zip", 60))
    assert tenant.stats().messages == 60
    if engine != "sqlite":
        left = "SELECT count(*) FROM undercroft.messages WHERE tableoid = 'undercroft.messages_default'::regclass"
        assert tenant.db.fetchval(left) == 0
