import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from uuid import NAMESPACE_URL, RFC_4122, UUID, uuid4, uuid5

import pytest
from hypothesis import given, strategies as st

from undercroft.core import ids
from undercroft.core.clock import from_micros
from undercroft.errors import InvalidInput

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("ids.json").read_text("utf-8"))
CHANNEL = ids.named("channel", "slack", "T123", "C123")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


def test_namespace_is_derived_from_its_documented_name():
    assert uuid5(NAMESPACE_URL, "https://undercroft.dev/ids/1") == ids.NAMESPACE == UUID(VECTORS["namespace"])


@pytest.mark.parametrize("vector", VECTORS["named"], ids=lambda vector: ascii("/".join(vector["name"])))
def test_named_ids_are_frozen(vector):
    assert ids.named(*vector["name"]) == UUID(vector["id"])


@pytest.mark.parametrize("vector", VECTORS["message"], ids=lambda vector: vector["sent_at"])
def test_message_ids_are_frozen(vector):
    sent_at = datetime.fromisoformat(vector["sent_at"])
    assert ids.message(UUID(vector["channel"]), vector["native_id"], sent_at) == UUID(vector["id"])


@given(st.lists(texts, min_size=2, max_size=5), st.lists(texts, min_size=2, max_size=5))
def test_two_names_have_one_id_only_if_they_are_equal(one, other):
    assert (ids.named(*one) == ids.named(*other)) == (one == other)


def test_elements_are_never_glued_together():
    cut_anywhere = {ids.named("user", *("T123U"[:at], "T123U"[at:])) for at in range(6)}
    assert len(cut_anywhere | {ids.named("user", "T123U")}) == 7


@pytest.mark.parametrize("native", [9007199254740993, 1.5, None, b"T123", "T\0", "T\ud800"])
def test_native_ids_are_text(native):
    with pytest.raises(InvalidInput) as refused:
        ids.named("tenant", "discord", native)
    assert refused.value.field == "id"
    with pytest.raises(InvalidInput):
        ids.message(CHANNEL, native, NOON)


@given(texts, moments)
def test_each_id_has_its_version_the_variant_and_its_time(native, moment):
    to_the_millisecond = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    sent, made = ids.message(CHANNEL, native, moment), ids.new(moment)
    assert (ids.named("user", "slack", native).version, made.version, sent.version) == (5, 7, 8)
    assert {ids.named("user", "slack", native).variant, made.variant, sent.variant} == {RFC_4122}
    assert ids.at(made) == ids.at(sent) == ids.at(ids.floor(moment)) == to_the_millisecond


def test_a_message_is_told_apart_by_channel_and_native_id():
    other = ids.named("channel", "slack", "T123", "C999")
    assert len({ids.message(channel, native, NOON) for channel in (CHANNEL, other) for native in ("1", "2", "12")}) == 6


def test_messages_sort_by_time():
    sent = [NOON + timedelta(milliseconds=step) for step in (-(10**9), -1, 0, 1, 10**9)]
    made = [ids.message(CHANNEL, str(number), moment) for number, moment in enumerate(sent)]
    assert made == sorted(made)
    assert [one.bytes for one in made] == sorted(one.bytes for one in made)


def test_new_ids_rise():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = [ids.new() for _ in range(20_000)]
    assert all(one < other for one, other in pairwise(made))
    assert before <= ids.at(made[0]) <= ids.at(made[-1])


def test_new_ids_rise_when_the_clock_stands_still_or_goes_back(monkeypatch):
    monkeypatch.setattr(ids, "_present", ids._Rising())
    hour = 3_600_000_000_000
    readings = iter([10 * hour, 10 * hour, 10 * hour, 9 * hour, 0, 11 * hour])
    monkeypatch.setattr(ids, "time_ns", lambda: next(readings))
    made = [ids.new() for _ in range(6)]
    assert made == sorted(set(made))
    assert [ids.at(one).hour for one in made] == [10, 10, 10, 10, 10, 11]


def test_a_counter_that_overflows_borrows_the_next_millisecond(monkeypatch):
    sequence = ids._Rising()
    sequence.rise((5 << 42) - 1)
    monkeypatch.setattr(ids, "_present", sequence)
    monkeypatch.setattr(ids, "time_ns", lambda: 4_000_000)
    assert ids.at(ids.new()) == datetime(1970, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)


def test_new_ids_rise_and_differ_in_threads():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [ids.new() for _ in range(2_000)], range(8)))
    assert all(one < other for row in made for one, other in pairwise(row))
    assert len({one for row in made for one in row}) == 16_000


def test_new_ids_of_one_given_moment_keep_their_order():
    made = [ids.new(NOON) for _ in range(2_000)]
    assert made == sorted(set(made))
    assert {ids.at(one) for one in made} == {NOON}


def test_given_moments_may_go_back_and_leave_the_present_alone():
    first, dated, second = ids.new(), [ids.new(NOON + timedelta(days=day)) for day in (40_000, -9, 3)], ids.new()
    assert [ids.at(one) - NOON for one in dated] == [timedelta(days=day) for day in (40_000, -9, 3)]
    assert first < second < dated[0]


def test_a_forked_child_makes_its_own_ids_though_a_thread_of_its_parent_was_making_one():
    program = """
import os
from undercroft.core import ids
latest = ids.new()
with ids._present._lock, ids._dated._lock:
    if os.fork() == 0:
        made = [ids.new() for _ in range(100)]
        ids.new(ids.at(latest))
        os._exit(0 if len({*made, latest}) == 101 else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


@given(st.integers(10**6, 10**17), st.integers(0, 10_000), st.integers(-5_000, 15_000))
def test_time_bounds_hold_every_id_of_the_period_and_no_other_millisecond(begin, length, offset):
    start, end, moment = map(from_micros, (begin, begin + length, begin + offset))
    low, high = ids.time_bounds(start, end)
    inside = low <= ids.message(CHANNEL, "1", moment) < high
    if start <= moment < end:
        assert inside
    elif moment < start - timedelta(milliseconds=1) or moment > end + timedelta(milliseconds=1):
        assert not inside
    assert (low <= ids.new(moment) < high) == inside


def test_time_bounds_are_half_open():
    low, high = ids.time_bounds(NOON, NOON + timedelta(seconds=1))
    assert low == ids.floor(NOON)
    assert high == ids.floor(NOON + timedelta(seconds=1))
    assert not ids.message(CHANNEL, "1", NOON + timedelta(seconds=1)) < high


def test_a_floor_lies_below_every_id_of_its_millisecond_and_above_all_before():
    floor = ids.floor(NOON + timedelta(microseconds=999))
    assert floor.int == 1714564800000 << 80
    assert floor < ids.new(NOON)
    assert floor < ids.message(CHANNEL, "1", NOON)
    assert ids.new(NOON - timedelta(microseconds=1)) < floor


MAKERS = {
    "new": ids.new,
    "message": lambda moment: ids.message(CHANNEL, "1", moment),
    "floor": ids.floor,
    "start": lambda moment: ids.time_bounds(moment, NOON),
    "end": lambda moment: ids.time_bounds(NOON, moment),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("moment", [BEFORE_1970 - timedelta(seconds=1), NOON.replace(tzinfo=None), "2024-05-01", 1.5])
def test_moments_that_no_id_can_hold_are_refused(make, moment):
    with pytest.raises(InvalidInput) as refused:
        make(moment)
    assert refused.value.field == "time"


def test_the_epoch_counts_in_utc():
    assert ids.floor(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))).int == 0
    with pytest.raises(InvalidInput):
        ids.floor(BEFORE_1970)


@pytest.mark.parametrize(
    "other",
    [
        uuid4(),
        CHANNEL,
        ids.named("user", "slack", "T123", "U42"),
        UUID(int=(1 << 128) - 1),
        UUID(int=0xFFFF_FFFF_FFFF << 80),
    ],
)
def test_an_id_without_a_time_has_no_moment(other):
    with pytest.raises(InvalidInput):
        ids.at(other)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("slack:T123", ("slack", "T123")),
        ("irc:libera:#python", ("irc", "libera:#python")),
        ("ms-teams_2: a\nb ", ("ms-teams_2", " a\nb ")),
        ("matrix:!ab:例え.jp", ("matrix", "!ab:例え.jp")),
    ],
)
def test_tenant_names_are_split_at_their_first_colon(name, parts):
    assert ids.parse_tenant_name(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        "slack",
        ":T123",
        "slack:",
        "Slack:T1",
        "2slack:T1",
        "sla ck:T1",
        "slack\n:T1",
        "släck:T1",
        "slack:T\0",
        "slack:\ud800",
        None,
        7,
        b"slack:T123",
    ],
)
def test_nonsense_names_no_tenant(name):
    with pytest.raises(InvalidInput) as refused:
        ids.parse_tenant_name(name)
    assert refused.value.field == "tenant"
