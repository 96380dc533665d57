"""upkeep: policies, runs and schedules from the command line."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.cli.conftest import Ended
from undercroft import Store, errors, models
from undercroft.cli.upkeep import period, said
from undercroft.core import ids
from undercroft.core.clock import utc_now

Call = Callable[..., Ended]


def fill(*keys: str) -> None:
    """Make tenants with two queries of two years ago each."""
    with Store("sqlite:///undercroft.db") as store:
        store.migrate()
        for key in keys:
            store.tenants.ensure(key)
            tenant, then = store.tenant(key), utc_now() - timedelta(days=730)
            with tenant.session() as rows:
                rows.add_all(
                    models.QueryRun(
                        tenant_id=tenant.id, id=ids.new(then), question="?", status="success", started_at=then
                    )
                    for _ in range(2)
                )


def kept(ended: Ended) -> dict[str, tuple[object, str]]:
    return {one["data_class"]: (one["keep_seconds"], one["source"]) for one in ended.json["policies"]}


def test_a_policy_is_set_for_all_and_for_one_and_reset(undercroft: Call):
    fill("slack:T1", "slack:T2")
    assert kept(undercroft("upkeep", "retention", "list", "--json"))["queries"] == (365 * 86400, "default")
    assert undercroft("upkeep", "retention", "set", "queries", "12w", "--by", "me").code == 0
    one = ("--tenant", "slack:T1")
    assert kept(undercroft("upkeep", "retention", "set", "queries", "forever", *one, "--json"))["queries"] == (
        None,
        "tenant",
    )
    rows = {row[0]: row[1:3] for row in undercroft("upkeep", "retention", "list", "--tenant", "slack:T2").rows}
    assert rows["queries"] == ["84 d", "all tenants"]
    assert (rows["messages"], rows["audit"], rows["cache"]) == (
        ["for ever", "default"],
        ["for ever", "default"],
        ["till it expires", "default"],
    )
    assert kept(undercroft("upkeep", "retention", "reset", "queries", *one, "--json"))["queries"][1] == "fleet"


def test_a_run_counts_first_and_then_removes(undercroft: Call):
    fill("slack:T1", "slack:T2")
    dry = undercroft("upkeep", "run", "--dry-run", "--json").json
    assert (dry["dry_run"], dry["rows"]) == (True, 4)
    one = undercroft("upkeep", "run", "--tenant", "slack:T1")
    assert [row[:3] for row in one.rows] == [["slack:T1", "queries", "2"]]
    assert undercroft("upkeep", "run", "--json").json["rows"] == 2
    assert undercroft("upkeep", "run").out == ""
    stats = undercroft("stats", "--json").json
    assert stats["fleet"]["last_run"]["removed"] == 0
    assert stats["tenants"][0]["retention"][0]["data_class"] == "sessions"
    assert "last_upkeep" in undercroft("stats").out


def test_a_hold_keeps_rows_and_the_tenant(undercroft: Call):
    fill("slack:T1")
    held = undercroft("upkeep", "retention", "hold", "queries", "--reason", "case 17", "--json").json
    assert held["policies"][0]["hold"]["reason"] == "case 17"
    assert undercroft("upkeep", "run", "--json").json["removals"][0]["held"] is True
    assert ["under_legal_hold", "queries"] in undercroft("stats").rows
    undercroft("tenants", "delete", "slack:T1")
    refused = undercroft("tenants", "purge", "slack:T1", "--yes")
    assert (refused.code, "upkeep retention release" in refused.err) == (2, True)
    undercroft("tenants", "restore", "slack:T1")
    for released in (True, False):
        assert undercroft("upkeep", "retention", "release", "queries", "--json").json["released"] is released


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "queries", "soon"],
        ["set", "nothing", "30d"],
        ["set", "audit", "800d"],
        ["hold", "queries", "--reason", " "],
        ["hold", "queries"],
    ],
    ids=["period", "class", "audit", "blank", "no reason"],
)
def test_a_mistake_is_named_and_changes_nothing(undercroft: Call, arguments: list[str]):
    fill("slack:T1")
    before = undercroft("upkeep", "retention", "list", "--tenant", "slack:T1", "--json").out
    ended = undercroft("upkeep", "retention", *arguments, "--tenant", "slack:T1")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert undercroft("upkeep", "retention", "list", "--tenant", "slack:T1", "--json").out == before


def test_the_schedule_is_a_line_of_a_crontab(undercroft: Call):
    fill()
    assert undercroft("upkeep", "schedule", "--json").json["crontab"] == "17 * * * * undercroft upkeep run --quiet"
    refused = undercroft("upkeep", "schedule", "--pg-cron")
    assert (refused.code, "crontab" in refused.err) == (2, True)


@pytest.mark.parametrize("text", ["48h", "90d", "2w", "1y", "forever"])
def test_a_period_is_read_and_written(text: str):
    keep = period(text)
    wanted = {"48h": "2 d", "90d": "90 d", "2w": "14 d", "1y": "365 d", "forever": "for ever"}
    assert said(keep) == wanted[text]


def test_what_is_no_period_is_refused():
    for text in ("", "d", "90", "-1d", "9999999d", "1 d"):
        with pytest.raises(errors.InvalidInput):
            period(text)
