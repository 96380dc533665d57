"""The trail cannot be rewritten: events get their place in a chain, and whatever a superuser does to it is found."""

import asyncio
import random
import threading
import time

import pytest

from tests.audit import tampering
from tests.audit.superuser import as_owner, superuser
from tests.audit.tampering import IN_THE_DATABASE
from undercroft import AsyncStore, Settings, Store, errors
from undercroft.audit import checkpoints, sealing, verify_audit_files


@pytest.fixture
def key_file(tmp_path):
    """A key to sign with; its public half is beside it."""
    path = tmp_path / "audit.pem"
    checkpoints.generate_audit_key(path)
    return path


@pytest.fixture
def store(colour, database_url, open_store, key_file):
    return open_store(colour, settings=Settings.load(database_url, audit_key_file=str(key_file)))


@pytest.fixture
def root(engine, database_url):
    with superuser(engine.removeprefix("sealed-"), database_url) as one:
        yield one


def pending(root, tenant):
    return root.run("SELECT count(*) FROM undercroft.audit_pending WHERE tenant_id = ?", tenant.id)[0][0]


def test_every_event_has_its_place(tenant, root):
    events = [tenant.audit.log("a.b", data={"n": n}) for n in range(5)]
    with tenant.transaction() as tx:
        events += [tx.audit.log("in.transaction"), tx.audit.log("in.transaction")]
    tenant.users.ensure("U1", role="owner")
    tenant.users.ensure("U2")
    tenant.users.set_role("U2", "admin", by="U1")
    trail = root.read(tenant.id)
    assert [link.sequence for link in trail.links] == list(range(1, 9))
    assert [link.event_id for link in trail.links[:7]] == [event.id for event in events]
    assert not pending(root, tenant)
    report = tenant.audit.verify()
    assert (report.intact, report.verified, report.first, report.last) == (True, 8, 1, 8)
    assert report.head == trail.links[-1].hash


def test_what_is_rolled_back_leaves_no_gap(tenant):
    tenant.audit.log("a.b")
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.audit.log("undone")
        1 / 0  # noqa: B018
    with tenant.transaction() as tx:
        tx.audit.log("kept")
        with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
            inner.audit.log("undone")
            1 / 0  # noqa: B018
    tenant.audit.log("a.b")
    report = tenant.audit.verify()
    assert (report.damage, report.verified) == (None, 3)
    assert [event.event_type for event in tenant.audit.recent()] == ["a.b", "kept", "a.b"]


def test_an_empty_trail_is_intact_and_has_no_checkpoint(tenant):
    report = tenant.audit.verify()
    assert (report.intact, report.verified, report.last) == (True, 0, 0)
    with pytest.raises(errors.InvalidInput):
        tenant.audit.checkpoint()


def test_a_store_without_a_key_gives_no_checkpoint(colour, database_url, open_store, tenant):
    tenant.audit.log("a.b")
    with pytest.raises(errors.ConfigurationError) as refused:
        open_store(colour, database_url).tenant(tenant.key).audit.checkpoint()
    assert "keygen" in str(refused.value)


def test_everything_that_a_superuser_does_is_found_and_located(engine, colour, tenant, root, soak_share):
    """Every kind of tampering, on the real tables; `test_a_thousand_tamperings_in_a_database` does it at length."""
    tampered(tenant, root, random.Random(f"{engine}{colour}"), rounds=1)


@pytest.mark.soak
def test_a_thousand_tamperings_in_a_database(tenant, root, soak_share):
    tampered(tenant, root, random.Random("soak"), rounds=int(60 * soak_share))


def tampered(tenant, root, rng, *, rounds):
    for n in range(11):
        tenant.audit.log("config.set", by=f"U{n}", data={"n": n, "f": 0.1 * n, "t": "grüß 😀"})
    with tenant.transaction() as tx:
        tx.audit.log("in.transaction", ip="192.0.2.7", user_agent="bot")
    kept = tenant.audit.checkpoint()
    clean = root.read(tenant.id)
    assert len(clean.links) == 12
    for _ in range(rounds):
        for tamper in IN_THE_DATABASE:
            trail = clean.copy()
            finding = tamper(rng, trail)
            root.write(trail)
            report = tenant.audit.verify(checkpoints=[kept])
            if tamper is tampering.put_back:
                assert report.damage is not None, tamper
                assert report.damage.kind in finding.kinds
            else:
                assert finding.is_met_by(report.damage), (tamper, finding, report.damage)
    root.write(clean)
    assert tenant.audit.verify(checkpoints=[kept]).intact


def test_without_the_checkpoint_a_rewritten_tail_and_an_old_backup_are_missed(tenant, root):
    """The control of the checkpoint: nothing inside the database can tell of these."""
    for n in range(8):
        tenant.audit.log("a.b", data={"n": n})
    kept, clean = tenant.audit.checkpoint(), root.read(tenant.id)
    for tamper in (tampering.rewrite_the_tail, tampering.cut_off):
        trail = clean.copy()
        tamper(random.Random(1), trail)
        for link in trail.links:  # what people read agrees with it
            trail.events[link.event_id]["actor"] = trail.events[link.event_id]["actor"]
        root.write(trail)
        assert tenant.audit.verify(columns=False).intact
        assert not tenant.audit.verify(columns=False, checkpoints=[kept]).intact


def test_verification_may_begin_at_a_checkpoint(tenant, root):
    for n in range(6):
        tenant.audit.log("a.b", data={"n": n})
    kept = tenant.audit.checkpoint()
    tenant.audit.log("a.b")
    report = tenant.audit.verify(since=str(kept))
    assert (report.first, report.verified, report.damage) == (7, 1, None)
    trail = root.read(tenant.id)
    del trail.events[trail.links[2].event_id]
    root.write(trail)
    assert tenant.audit.verify(since=kept).intact  # what was before it was verified before
    assert tenant.audit.verify().damage.sequence == 3


def test_a_checkpoint_of_another_tenant_or_key_is_told(tenant, new_tenant, key_file, tmp_path):
    other = new_tenant()
    for one in (tenant, other):
        one.audit.log("a.b")
    theirs = other.audit.checkpoint()
    assert tenant.audit.verify(checkpoints=[theirs]).damage.kind == "foreign"
    public = checkpoints.public_path(key_file).read_bytes()
    mine = tenant.audit.checkpoint()
    assert tenant.audit.verify(checkpoints=[mine], public_keys=[public]).intact
    stranger = tmp_path / "other.pem"
    checkpoints.generate_audit_key(stranger)
    for document, key in (
        (mine, checkpoints.public_path(stranger).read_bytes()),
        (str(mine).replace('"sequence":1', '"sequence":2'), public),
        ("{}", public),
        (mine, b"no key"),
    ):
        with pytest.raises(errors.InvalidInput):
            tenant.audit.verify(checkpoints=[document], public_keys=[key])


def test_an_event_left_unsealed_by_a_crash_is_sealed_by_the_next_call(tenant, root, monkeypatch):
    """Whoever dies between the commit and the seal leaves a mark; it is never lost."""
    lost = [tampering.new_row(tenant.id, n) for n in range(3)]
    trail = root.read(tenant.id)
    trail.events = {row["id"]: row for row in lost}
    root.write(trail)
    for row in lost:
        root.run("INSERT INTO undercroft.audit_pending VALUES (?, ?, ?)", tenant.id, row["id"], row["event_hash"])
    tenant.audit.log("a.b")
    assert not pending(root, tenant)
    report = tenant.audit.verify()
    assert (report.damage, report.verified) == (None, 4)


def test_a_mark_keeps_the_hash_that_the_event_had(tenant, root):
    row = tampering.new_row(tenant.id, 1)
    trail = root.read(tenant.id)
    trail.events[row["id"]] = {**row, "canonical": row["canonical"].replace(b"U1", b"U2")}
    root.write(trail)
    root.run("INSERT INTO undercroft.audit_pending VALUES (?, ?, ?)", tenant.id, row["id"], row["event_hash"])
    assert tenant.audit.verify().damage.kind == "edited"


def test_sealing_that_fails_fails_no_call(tenant, root, monkeypatch):
    def refuse(tx, asked):
        raise errors.LockTimeout

    monkeypatch.setattr(sealing.SEAL.single, "fn", refuse)
    with tenant.transaction() as tx:
        tx.audit.log("a.b")
    monkeypatch.undo()
    assert tenant.audit.seal() == pending(root, tenant) or tenant.audit.verify().verified == 1
    assert tenant.audit.verify().verified == 1


def test_processes_that_append_at_once_make_one_chain(engine, database_url, root):
    """Two stores of each colour know nothing of each other; each remembers an end that the others have moved on."""
    key = f"slack:T{time.time_ns()}"
    with Store(database_url) as first:
        first.tenants.ensure(key)

    def block() -> None:
        with Store(database_url) as store:
            audit = store.tenant(key)
            for n in range(20):
                if n % 5:
                    audit.audit.log("a.b", data={"n": n})
                else:
                    with audit.transaction() as tx:
                        tx.audit.log("a.b", data={"n": n})

    async def wait() -> None:
        async with AsyncStore(database_url) as store:
            audit = store.tenant(key).audit
            for _ in range(5):
                await asyncio.gather(*(audit.log("a.b", data={"n": n}) for n in range(8)))

    threads = [threading.Thread(target=work) for work in (block, block, lambda: asyncio.run(wait()))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(database_url) as last:
        tenant = last.tenant(key)
        report = tenant.audit.verify()
        assert (report.damage, report.verified, report.last) == (None, 80, 80)


def test_threads_of_one_store_share_statements(database_url):
    key = f"slack:T{time.time_ns()}"
    with Store(database_url) as store:
        store.tenants.ensure(key)
        audit = store.tenant(key).audit
        said = []
        threads = [threading.Thread(target=lambda n=n: said.append(audit.log("a.b", by=str(n)))) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(int(event.actor) for event in said) == list(range(24))
        assert audit.verify().verified == 24


def test_a_trail_under_load_and_restarts_gives_no_false_alarm(database_url, soak_share):
    quiet(database_url, runs=4)


@pytest.mark.soak
def test_a_hundred_runs_under_load_give_no_false_alarm(database_url, soak_share):
    quiet(database_url, runs=int(100 * soak_share))


def quiet(database_url, *, runs):
    """Each run opens stores anew, writes from tasks and threads, and verifies while they write and after."""
    key = f"slack:T{time.time_ns()}"
    with Store(database_url) as store:
        store.tenants.ensure(key)

    def block() -> None:
        with Store(database_url) as store:
            for n in range(6):
                store.tenant(key).audit.log("a.b", data={"n": n})
                with store.tenant(key).transaction() as tx:
                    tx.audit.log("in.transaction")

    async def run() -> None:
        async with AsyncStore(database_url) as store:
            audit = store.tenant(key).audit
            thread = asyncio.create_task(asyncio.to_thread(block))
            writing = [asyncio.create_task(audit.log("a.b", data={"n": n})) for n in range(30)]
            while not thread.done():
                report = await audit.verify()
                assert report.intact, report
            await asyncio.gather(thread, *writing)
            assert (await audit.verify()).intact

    for _ in range(runs):
        asyncio.run(run())
    with Store(database_url) as store:
        report = store.tenant(key).audit.verify()
        assert (report.damage, report.verified) == (None, runs * 42)


def test_the_application_may_only_append(engine, tenant):
    """The walls of SQLite and the roles of PostgreSQL refuse the same."""
    tenant.audit.log("a.b")
    for table in ("audit_events", "audit_links", "audit_archives"):
        name = table if engine == "sqlite" else f"undercroft.{table}"
        for statement in (f"UPDATE {name} SET tenant_id = tenant_id", f"DELETE FROM {name}", f"TRUNCATE {name}"):
            with pytest.raises(errors.UndercroftError):
                tenant.db.execute(statement)
    assert tenant.audit.verify().verified == 1


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_the_login_of_the_migrations_archives_and_the_application_cannot(  # noqa: PLR0917 - fixtures
    engine, colour, database_url, open_store, key_file, tenant, tmp_path
):
    for n in range(4):
        tenant.audit.log("a.b", data={"n": n})
    if engine == "postgresql":
        with pytest.raises(errors.PermissionDenied):
            tenant.audit.archive(tmp_path, days=0)
        assert list(tmp_path.glob("audit-*")) == []
    owner = {} if engine == "sqlite" else {"migrate_url": as_owner(engine, database_url)}
    store = open_store(colour, settings=Settings.load(database_url, audit_key_file=str(key_file), **owner))
    moved = store.tenant(tenant.key).audit.archive(tmp_path, days=0)
    assert (moved.first, moved.last, moved.events) == (1, 3, 3)
    tenant.audit.log("a.b")
    kept = tenant.audit.checkpoint()
    tenant.audit.export(tmp_path / "rest.jsonl")
    report = verify_audit_files([moved.path, tmp_path / "rest.jsonl"], [kept])
    assert (report.damage, report.verified, report.first) == (None, 5, 1)
    inside = tenant.audit.verify(checkpoints=[kept])
    assert (inside.damage, inside.verified, inside.anchor) == (None, 2, 3)
