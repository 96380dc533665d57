"""Goals: validated, changed in parts, and how they came along."""

import threading

import pytest

from undercroft import errors

GOAL = {
    "title": "Q1 Sales Target",
    "description": "Achieve $50k in Q1 sales",
    "area": "sales",
    "status": "in_progress",
    "priority": 4,
    "weekly_actions": ["Follow up with leads", "Send proposals"],
    "success_metrics": {"revenue": "$50000", "deals": {"won": 7}},
}


def test_a_goal_is_kept_as_it_was_said(tenant):
    saved = tenant.goals.save("sales_q1_2025", **GOAL, owner="U1")
    assert {name: getattr(saved, name) for name in GOAL} == GOAL
    assert (saved.key, saved.progress, saved.owner) == ("sales_q1_2025", 0, "U1")
    assert tenant.goals.get("sales_q1_2025") == saved


def test_what_is_not_said_stays(tenant):
    made = tenant.goals.save("g", title="Grow")
    assert (made.area, made.status, made.priority, made.weekly_actions) == ("general", "not_started", 3, [])
    tenant.goals.save("g", priority=5, weekly_actions=["Call"])
    changed = tenant.goals.save("g", weekly_actions=[], description="More")
    assert (changed.title, changed.priority, changed.weekly_actions, changed.description) == ("Grow", 5, [], "More")
    assert changed.created_at == made.created_at < changed.updated_at


def test_the_history_has_each_change_of_progress_and_no_other(tenant):
    tenant.goals.save("g", title="Grow", by="U1")
    for change in ({"progress": 20}, {"priority": 1}, {"progress": 20}, {"status": "in_progress"}):
        tenant.goals.save("g", **change, by="U2")
    done = tenant.goals.save("g", status="completed")
    assert done.progress == 100
    history = tenant.goals.progress("g")
    assert [(one.progress, one.status, one.by) for one in history] == [
        (100, "completed", None),
        (20, "in_progress", "U2"),
        (20, "not_started", "U2"),
        (0, "not_started", "U1"),
    ]
    assert tenant.goals.progress("g", limit=1, before=history[1].id) == history[2:3]
    assert tenant.goals.progress("other") == []


def test_goals_are_found_by_what_they_are(tenant):
    for number in range(6):
        tenant.goals.save(f"g{number}", title="t", area=f"a{number % 2}", priority=number % 5 + 1, owner=f"U{number}")
    tenant.goals.save("g3", status="on_hold")

    def found(**filters):
        return [goal.key for goal in tenant.goals.list(**filters)]

    assert found() == [f"g{number}" for number in range(6)]
    assert found(area="a1") == ["g1", "g3", "g5"]
    assert found(status="on_hold") == ["g3"]
    assert found(priority=4) == ["g3", "g4"]
    assert found(owner="U2") == ["g2"]
    assert found(area="a1", limit=1, after="g1") == ["g3"]


def test_what_is_deleted_is_gone_with_its_history(tenant):
    tenant.goals.save("g", title="Grow")
    assert (tenant.goals.delete("g"), tenant.goals.delete("g")) == (True, False)
    assert tenant.goals.progress("g") == []
    with pytest.raises(errors.NotFound):
        tenant.goals.get("g")


def test_many_at_once_make_one_goal_and_lose_no_progress(tenant):
    threads = [
        threading.Thread(target=tenant.goals.save, args=("g",), kwargs={"title": "Grow", "progress": number})
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.progress for one in tenant.goals.progress("g")) == list(range(8))
    assert tenant.goals.get("g").progress == tenant.goals.progress("g")[0].progress


def test_a_tenant_has_its_own_goals(new_tenant):
    one, other = new_tenant(), new_tenant()
    one.goals.save("g", title="Grow")
    assert other.goals.list() == []
    assert other.goals.delete("g") is False
    assert other.goals.save("g", title="Shrink").title == "Shrink"
    assert one.goals.get("g").title == "Grow"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", " "),
        ("area", ""),
        ("status", "done"),
        ("priority", 0),
        ("priority", 6),
        ("priority", True),
        ("progress", -1),
        ("progress", 101),
        ("progress", 49.5),
        ("weekly_actions", "Call"),
        ("weekly_actions", ["Call", ""]),
        ("weekly_actions", [7]),
        ("success_metrics", ["revenue"]),
        ("success_metrics", {"revenue": float("nan")}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_a_goal_cannot_be_is_refused_and_changes_nothing(tenant, field, value):
    made = tenant.goals.save("g", title="Grow")
    with pytest.raises(errors.InvalidInput):
        tenant.goals.save("g", **{field: value})
    with pytest.raises(errors.InvalidInput):
        tenant.goals.save("new", **{"title": "New", field: value})
    assert tenant.goals.list() == [made]


def test_a_new_goal_needs_a_title_and_a_key(tenant):
    for key, title in (("g", None), ("", "Grow"), ("x" * 201, "Grow")):
        with pytest.raises(errors.InvalidInput):
            tenant.goals.save(key, title=title)
