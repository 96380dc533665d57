"""Connections to CRMs, the one that is the default, and whose account an address belongs to."""

import asyncio
import multiprocessing
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest

from tests.reliability.own_calls import ours
from undercroft import Store, errors
from undercroft.core import ids
from undercroft.core.tx import Tx
from undercroft.crm import ops


@pytest.fixture
def hubspot(tenant: Any) -> Any:
    return tenant.crm.connect("hubspot", credentials="env:HUBSPOT_KEY", settings={"portal": 7})


def test_the_first_connection_is_the_default_until_another_is_chosen(tenant, hubspot):
    assert (hubspot.provider, hubspot.is_default, hubspot.settings) == ("hubspot", True, {"portal": 7})
    assert tenant.crm.default() == hubspot
    other = tenant.crm.connect("salesforce", credentials="file:/run/secrets/sf")
    assert (other.is_default, tenant.crm.default().id) == (False, hubspot.id)
    assert tenant.crm.connect("crono", credentials="aws-sm:arn:x", default=True).is_default
    assert tenant.crm.default().provider == "crono"
    assert tenant.crm.set_default(other.id).is_default
    assert tenant.crm.default().id == other.id
    assert [one.is_default for one in tenant.crm.list()] == [False, True, False]


def test_the_same_connection_again_replaces_what_it_was(tenant, hubspot):
    again = tenant.crm.connect("hubspot", credentials="env:OTHER")
    assert (again.id, again.credentials, again.settings, again.is_default) == (hubspot.id, "env:OTHER", {}, True)
    assert tenant.crm.connect("hubspot", name="second portal", credentials="env:THIRD").id != hubspot.id
    assert len(tenant.crm.list()) == 2


def test_what_is_disconnected_knows_no_secret_and_is_no_default(tenant, hubspot):
    tenant.crm.map_account("acme.example", "A1")
    assert tenant.crm.disconnect(hubspot.id) is True
    assert tenant.crm.disconnect(hubspot.id) is False
    assert tenant.crm.default() is None
    assert tenant.crm.list() == []
    [gone] = tenant.crm.list(include_disconnected=True)
    assert (gone.credentials, gone.is_default, gone.disconnected_at is not None) == ("", False, True)
    assert tenant.crm.find_account("ada@acme.example") is None
    for call in (
        tenant.crm.credentials,
        partial(tenant.crm.credentials, hubspot.id),
        partial(tenant.crm.set_default, hubspot.id),
        partial(tenant.crm.map_account, "b.example", "B1"),
    ):
        with pytest.raises(errors.NotFound):
            call()
    assert tenant.crm.connect("hubspot", credentials="env:HUBSPOT_KEY").is_default
    assert tenant.crm.find_account("ada@acme.example").account_id == "A1"


@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize(
    "wrong",
    ["", "pat-na1-53c237", "env:", "env:A B", "file:key", "aws-sm:", "sealed:name", "https://user:pw@vault"],
    ids=["empty", "a token", "no name", "no variable", "relative", "no arn", "sealed", "an address"],
)
def test_credentials_are_named_and_never_stored(tenant, wrong):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.crm.connect("hubspot", credentials=wrong)
    assert refused.value.field == "credentials"
    assert len(wrong) < 8 or wrong not in f"{refused.value} {refused.value.context}"
    assert tenant.crm.list() == []


def test_a_secret_is_fetched_from_where_it_lies_and_shown_to_nobody(tenant, hubspot, monkeypatch, tmp_path, caplog):
    caplog.set_level("DEBUG")
    monkeypatch.setenv("HUBSPOT_KEY", "s3cret")
    secret = tenant.crm.credentials()
    assert secret.get_secret_value() == "s3cret"
    assert "HUBSPOT_KEY" not in repr(hubspot)
    (tmp_path / "key").write_text("s3cret too\n")
    other = tenant.crm.connect("salesforce", credentials=f"file:{tmp_path / 'key'}")
    assert tenant.crm.credentials(other.id).get_secret_value() == "s3cret too"
    vaulted = tenant.crm.connect("crono", credentials="vault:crm/crono")
    assert tenant.crm.credentials(vaulted.id, resolve=str.upper).get_secret_value() == "VAULT:CRM/CRONO"
    with pytest.raises(errors.InvalidInput, match="resolve"):
        tenant.crm.credentials(vaulted.id)
    monkeypatch.delenv("HUBSPOT_KEY")
    with pytest.raises(errors.NotFound, match="HUBSPOT_KEY"):
        tenant.crm.credentials()
    told = f"{secret!r} {caplog.text} {[shown.data for shown in tenant.audit.recent()]}"
    assert "s3cret" not in told


def test_a_resolver_may_be_awaited_on_an_async_store(tenant, colour, hubspot):
    async def resolve(reference: str) -> str:
        await asyncio.sleep(0)
        return reference[::-1]

    if colour == "sync":
        with pytest.raises(errors.WrongColour):
            tenant.crm.credentials(resolve=resolve)
    else:
        assert tenant.crm.credentials(resolve=resolve).get_secret_value() == "YEK_TOPSBUH:vne"


# -- one default ------------------------------------------------------------------------------------------------------


def _choose(url: str, key: str, provider: str, count: int) -> None:
    with Store(url) as store:
        tenant = store.tenant(key)
        for number in range(count):
            made = tenant.crm.connect(provider, credentials="env:KEY", default=number % 2 == 0)
            tenant.crm.set_default(made.id)
            if number % 3 == 2:
                tenant.crm.disconnect(made.id)


def _defaults(tenant: Any) -> int:
    return sum(one.is_default for one in tenant.crm.list(include_disconnected=True))


@pytest.mark.parametrize("colour", ["sync"])
def test_processes_that_choose_at_once_leave_one_default(store, tenant, database_url):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_choose, args=(database_url, tenant.key, f"crm {number}", 9)) for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(tenant.crm.list(include_disconnected=True)) == 4
    assert _defaults(tenant) <= 1
    tenant.crm.connect("last", credentials="env:KEY", default=True)
    assert _defaults(tenant) == 1


def test_of_those_who_come_first_at_once_one_is_the_default(new_tenant):
    for _ in range(5):
        tenant = new_tenant()
        with ThreadPoolExecutor(4) as threads:
            names = [f"portal {number}" for number in range(4)]
            connect = partial(tenant.crm.connect, "hubspot", credentials="env:KEY")
            list(threads.map(lambda name, connect=connect: connect(name=name), names))
        assert (len(tenant.crm.list()), _defaults(tenant)) == (4, 1)


def _insert_default(tx: Tx) -> None:
    given = {"id": ids.new(), "provider": "hubspot", "name": "other", "credentials": "env:KEY", "settings": {}}
    tx.run(ops._NEW.values(is_default=True), {**given, "by": None, "now": tx.now})


def test_the_index_refuses_a_second_default_whoever_writes_it(tenant, hubspot):
    with pytest.raises(errors.UniqueViolation):
        ours(tenant, _insert_default)()
    assert _defaults(tenant) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_control_without_the_index_there_are_two(tenant, hubspot, database_url):
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("DROP INDEX uq_crm_connections_default")
    assert tenant.crm.connect("hubspot", name="other", credentials="env:KEY").is_default
    assert _defaults(tenant) == 2


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_an_account_is_found_by_the_closest_that_is_mapped(tenant, hubspot):
    for domain, account in (
        ("acme.example", "group"),
        ("EU.Acme.example.", "europe"),
        ("Boss@acme.example", "board"),
        ("ada@gmail.com", "consultant"),
        ("bücher.example", "books"),
    ):
        tenant.crm.map_account(domain, account, verified=True)
    for email, account in {
        "ada@acme.example": "group",
        "ADA@ACME.example": "group",
        "ada@us.acme.example": "group",
        "ada@eu.acme.example": "europe",
        "ada@paris.eu.acme.example": "europe",
        "boss@acme.example": "board",
        "BOSS+crm@acme.example": "board",
        "boss@eu.acme.example": "europe",
        "Ada+notes@gmail.com": "consultant",
        "x@BÜCHER.example": "books",
        "x@xn--bcher-kva.example": "books",
    }.items():
        assert tenant.crm.find_account(email).account_id == account, email
    for stranger in ("bob@gmail.com", "a@notacme.example", "a@example.com", "acme.example@other.org"):
        assert tenant.crm.find_account(stranger) is None


def test_a_suggestion_never_overrides_what_is_verified(tenant, hubspot):
    guess = tenant.crm.map_account("acme.example", "guess", account_name="Acme?")
    assert (guess.verified, guess.account_name, guess.mapped_by) == (False, "Acme?", None)
    assert tenant.crm.find_account("a@acme.example") == guess
    assert tenant.crm.find_account("a@acme.example", verified_only=True) is None
    assert tenant.crm.map_account("acme.example", "better guess").account_id == "better guess"
    known = tenant.crm.map_account("acme.example", "known", verified=True)
    assert tenant.crm.map_account("acme.example", "guess again") == known
    assert tenant.crm.find_account("a@acme.example", verified_only=True) == known
    tenant.crm.map_account("eu.acme.example", "a guess that is closer")
    assert tenant.crm.find_account("a@eu.acme.example") == known
    assert tenant.crm.map_account("acme.example", "corrected", verified=True).account_id == "corrected"
    assert [one.email_domain for one in tenant.crm.accounts()] == ["acme.example", "eu.acme.example"]
    assert [one.verified for one in tenant.crm.accounts(verified=False)] == [False]
    assert [one.account_id for one in tenant.crm.accounts(limit=1, after="acme.example")] == ["a guess that is closer"]
    assert tenant.crm.unmap_account("acme.example") is True
    assert tenant.crm.unmap_account("acme.example") is False


def test_each_connection_has_mappings_of_its_own(tenant, hubspot):
    other = tenant.crm.connect("salesforce", credentials="env:SF")
    tenant.crm.map_account("acme.example", "H1")
    tenant.crm.map_account("acme.example", "S1", connection=other.id)
    assert tenant.crm.find_account("a@acme.example").account_id == "H1"
    assert tenant.crm.find_account("a@acme.example", connection=other.id).account_id == "S1"
    tenant.crm.set_default(other.id)
    assert tenant.crm.find_account("a@acme.example").account_id == "S1"
    assert [one.account_id for one in tenant.crm.accounts(connection=hubspot.id)] == ["H1"]


@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize(
    "call",
    [
        lambda crm: crm.connect("", credentials="env:KEY"),
        lambda crm: crm.map_account("gmail.com", "A"),
        lambda crm: crm.map_account("co.uk", "A"),
        lambda crm: crm.map_account("partner.example", "A", public={"partner.example"}),
        lambda crm: crm.map_account("com", "A"),
        lambda crm: crm.map_account("a b.example", "A"),
        lambda crm: crm.map_account("@", "A"),
        lambda crm: crm.map_account("acme.example", ""),
        lambda crm: crm.find_account("ada"),
        lambda crm: crm.find_account("@acme.example"),
        lambda crm: crm.find_account("ada@localhost"),
        lambda crm: crm.find_account("ada@acme.example\0"),
        lambda crm: crm.accounts(limit=0),
    ],
    ids=[
        *("no provider", "public mail", "a country's", "public by the caller", "top level", "space", "nothing"),
        *("no account", "no at", "no name", "one label", "NUL", "empty page"),
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(tenant, hubspot, call):
    with pytest.raises(errors.InvalidInput):
        call(tenant.crm)
    assert (tenant.crm.accounts(), len(tenant.crm.list())) == ([], 1)


# -- rights and walls -------------------------------------------------------------------------------------------------


def test_only_admins_and_owners_connect_choose_and_map(tenant, hubspot):
    for name in ("owner", "admin", "member", "viewer"):
        tenant.users.ensure(name, role=name)
    calls: dict[str, Callable[[str], Any]] = {
        "connect": lambda by: tenant.crm.connect("crono", credentials="env:KEY", by=by),
        "set_default": lambda by: tenant.crm.set_default(hubspot.id, by=by),
        "map_account": lambda by: tenant.crm.map_account("acme.example", "A", by=by),
        "unmap_account": lambda by: tenant.crm.unmap_account("acme.example", by=by),
        "disconnect": lambda by: tenant.crm.disconnect(hubspot.id, by=by),
    }
    before = tenant.crm.list()
    for call in calls.values():
        for by in ("member", "viewer", "stranger"):
            with pytest.raises(errors.AccessDenied):
                call(by)
    assert (tenant.crm.list(), tenant.crm.accounts()) == (before, [])
    assert len(tenant.audit.failures()) == 3 * len(calls)
    for by, (name, call) in zip(["admin", "owner", "admin", "owner", "admin"], calls.items(), strict=True):
        call(by)
        assert (tenant.audit.recent()[0].event_type, tenant.audit.recent()[0].actor) == (f"crm.{name}", by)
    assert [one.connected_by for one in tenant.crm.list()] == ["admin"]


def test_control_without_the_role_anybody_connects(tenant):
    tenant.users.ensure("viewer", role="viewer")
    with patch("undercroft.crm.connecting._allow"):
        assert tenant.crm.connect("crono", credentials="env:KEY", by="viewer").connected_by == "viewer"


def test_two_tenants_have_two_defaults_and_a_deleted_one_is_out_of_reach(store, new_tenant):
    one, other = new_tenant(), new_tenant()
    made = [tenant.crm.connect("hubspot", credentials="env:KEY") for tenant in (one, other)]
    one.crm.map_account("acme.example", "A1")
    assert [tenant.crm.default().id for tenant in (one, other)] == [connection.id for connection in made]
    assert other.crm.find_account("a@acme.example") is None
    assert other.crm.find_account("a@acme.example", connection=made[0].id) is None
    assert other.crm.disconnect(made[0].id) is False
    store.tenants.soft_delete(one.key)
    for call in (
        one.crm.default,
        one.crm.list,
        one.crm.credentials,
        one.crm.accounts,
        lambda: one.crm.find_account("a@acme.example"),
        lambda: one.crm.connect("hubspot", credentials="env:KEY"),
        lambda: one.crm.map_account("acme.example", "A2"),
        lambda: one.crm.disconnect(made[0].id),
    ):
        with pytest.raises(errors.TenantDeleted):
            call()
    store.tenants.restore(one.key)
    assert one.crm.find_account("a@acme.example").account_id == "A1"


def test_what_is_not_there_is_not_found(tenant, hubspot):
    nothing: UUID = uuid4()
    for call in (tenant.crm.set_default, tenant.crm.credentials):
        with pytest.raises(errors.NotFound):
            call(nothing)
    assert tenant.crm.disconnect(nothing) is False
    with pytest.raises(errors.NotFound):
        tenant.crm.map_account("acme.example", "A", connection=nothing)
