"""Buckets of feature flags: frozen, evenly filled, and growing with the share."""

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from undercroft.app_settings.rules import BUCKETS, bucket, check_share, is_on, per_cent

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
NAMES = st.text(min_size=1, max_size=20)
RULE = {"enabled": True, "users": (), "except_users": (), "share": None}


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_a_bucket_is_what_it_always_was(vector):
    assert bucket(vector["flag"], vector["user"]) == vector["bucket"]


def test_buckets_are_filled_evenly_and_flags_independently():
    users = [f"U{number:09}" for number in range(20_000)]
    for share in (1, 10, 50, 90):
        inside = {flag: {user for user in users if bucket(flag, user) < share * 10_000} for flag in ("one", "two")}
        for found in inside.values():
            assert abs(len(found) / len(users) - share / 100) < 0.02
        both = len(inside["one"] & inside["two"]) / len(users)
        assert abs(both - (share / 100) ** 2) < 0.02


@given(user=st.none() | NAMES, shares=st.tuples(st.integers(0, BUCKETS), st.integers(0, BUCKETS)))
def test_raising_a_share_takes_nobody_out(user, shares):
    low, high = (is_on("f", user, **RULE | {"share": share}) for share in sorted(shares))
    assert high or not low


@pytest.mark.parametrize(
    ("rule", "on", "off"),
    [
        ({}, [None, "U1"], []),
        ({"enabled": False, "users": ["U1"], "share": BUCKETS}, [], [None, "U1", "U2"]),
        ({"users": ["U1"]}, ["U1"], [None, "U2"]),
        ({"users": ["U1"], "except_users": ["U1"]}, [], [None, "U1", "U2"]),
        ({"except_users": ["U1"]}, [None, "U2"], ["U1"]),
        ({"share": 0}, [], [None, "U1", "U2"]),
        ({"share": 0, "users": ["U1"]}, ["U1"], [None, "U2"]),
        ({"share": BUCKETS, "users": ["U1"], "except_users": ["U3"]}, [None, "U1", "U2"], ["U3"]),
        ({"share": BUCKETS - 1}, ["U1", "U2"], [None]),
    ],
    ids=range(9),
)
def test_which_rule_comes_first(rule, on, off):
    assert [is_on("f", user, **RULE | rule) for user in on] == [True] * len(on)
    assert [is_on("f", user, **RULE | rule) for user in off] == [False] * len(off)


@given(parts=st.integers(0, BUCKETS))
def test_a_share_comes_back_as_the_number_it_was(parts):
    share = per_cent(parts)
    assert share is not None
    assert check_share(share) == parts
