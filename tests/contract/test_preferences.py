"""Preferences: what a user wants stands before the tenant's setting, and leaves with him."""

from typing import Any

import pytest

from undercroft import errors


def test_what_a_user_prefers_stands_before_the_setting_and_that_before_the_default(tenant):
    ask = tenant.preferences.get
    assert (ask("U1", "lang"), ask("U1", "lang", default="en")) == (None, "en")
    tenant.settings.set("lang", "de")
    assert ask("U1", "lang", default="en") == "de"
    tenant.preferences.set("U1", "lang", "ja")
    assert (ask("U1", "lang"), ask("U2", "lang"), tenant.settings.get("lang")) == ("ja", "de", "de")
    assert (tenant.preferences.delete("U1", "lang"), tenant.preferences.delete("U1", "lang")) == (True, False)
    assert ask("U1", "lang") == "de"


def test_a_preference_of_none_is_a_preference_and_may_be_of_another_type(tenant):
    tenant.settings.set("limit", 3)
    tenant.preferences.set("U1", "limit", None)
    assert tenant.preferences.get("U1", "limit", default=7) is None
    tenant.preferences.set("U1", "limit", "none")
    assert tenant.preferences.effective("U1") == {"limit": "none"}


def test_what_counts_for_a_user_is_all_settings_and_all_he_prefers(tenant):
    for name in ("c", "a"):
        tenant.settings.set(name, "setting")
    tenant.preferences.set("U1", "c", "mine")
    tenant.preferences.set("U1", "b", "mine")
    tenant.preferences.set("U2", "a", "his")
    assert list(tenant.preferences.effective("U1").items()) == [("a", "setting"), ("b", "mine"), ("c", "mine")]
    assert tenant.preferences.effective("U3") == {"a": "setting", "c": "setting"}


def test_preferences_are_listed_a_page_at_a_time(tenant):
    made = [tenant.preferences.set("U1", name, 1) for name in ("a", "b", "c")]
    tenant.preferences.set("U2", "d", 1)
    assert tenant.preferences.list("U1") == made
    assert tenant.preferences.list("U1", limit=1, after="a") == made[1:2]
    assert (made[0].user, made[0].name, made[0].kind, made[0].value) == ("U1", "a", "int", 1)
    assert tenant.preferences.set("U1", "a", 2).updated_at > made[0].updated_at


def test_what_a_user_preferred_leaves_with_him_and_no_trail_of_it_stays(tenant):
    for name in ("a", "b"):
        tenant.preferences.set("U1", name, "private")
    tenant.preferences.set("U2", "a", "other")
    assert (tenant.preferences.clear("U1"), tenant.preferences.clear("U1")) == (2, 0)
    assert tenant.preferences.list("U1") == []
    assert tenant.preferences.get("U2", "a") == "other"
    assert tenant.audit.recent() == []


def test_a_purged_tenant_has_none(store, tenant):
    tenant.preferences.set("U1", "a", 1)
    tenant.settings.set("a", 1)
    tenant.settings.set_flag("f", enabled=True)
    store.tenants.soft_delete(tenant.key)
    assert store.tenants.purge(tenant.key) > 3
    store.tenants.ensure(tenant.key)
    assert (tenant.preferences.effective("U1"), tenant.settings.flags()) == ({}, [])


@pytest.mark.parametrize("user", ["", "x" * 201, "U\0", 7, None], ids=range(5))
def test_a_user_that_is_none_is_refused(tenant, user: Any):
    for call in (
        lambda: tenant.preferences.set(user, "a", 1),
        lambda: tenant.preferences.get(user, "a"),
        lambda: tenant.preferences.delete(user, "a"),
        lambda: tenant.preferences.clear(user),
        lambda: tenant.preferences.list(user),
        lambda: tenant.preferences.effective(user),
    ):
        with pytest.raises(errors.InvalidInput) as refused:
            call()
        assert refused.value.field == "user"


def test_preferences_of_one_transaction_are_there_together_or_not_at_all(tenant):
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.preferences.set("U1", "a", 1)
        assert tx.preferences.effective("U1") == {"a": 1}
        raise ZeroDivisionError
    assert tenant.preferences.effective("U1") == {}


def test_under_an_idempotency_key_it_is_set_once(tenant):
    keyed = tenant.idempotent("K1")
    made = keyed.preferences.set("U1", "a", -0.0)
    tenant.preferences.set("U1", "a", 2)
    assert keyed.preferences.set("U1", "a", -0.0) == made
    assert tenant.preferences.get("U1", "a") == 2
