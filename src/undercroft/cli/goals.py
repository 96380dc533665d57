"""`undercroft goals`: what a team wants to reach."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing

_KEY = Annotated[str, typer.Argument(metavar="KEY", help="Of the goal, such as sales_q1_2025.")]
_AREA = Annotated[str | None, typer.Option(help="Such as sales.")]
_STATUS = Annotated[
    str | None, typer.Option(help="`not_started`, `in_progress`, `on_hold`, `completed` or `cancelled`.")
]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    goals = group("What the team wants to reach.")
    command(goals, "list")(list_)
    command(goals, "show")(show)
    command(goals, "set")(set_)
    app.add_typer(goals, name="goals")


def list_(call: Invocation, *, area: _AREA = None, status: _STATUS = None) -> None:
    """List goals."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.goals.list(area=area, status=status, limit=1000)
    rows = [[one.key, one.title, one.area, one.status, one.priority, one.progress] for one in found]
    listing = Listing(["key", "title", "area", "status", "priority", "%"], rows, empty="no goal yet", wide=["title"])
    call.out.show({"goals": [asdict(one) for one in found]}, listing)


def show(call: Invocation, key: _KEY) -> None:
    """Show a goal and how it came along."""
    with call.store() as store:
        scope = call.scope(store)
        _show(call, scope.goals.get(key), scope.goals.progress(key))


def set_(
    call: Invocation,
    key: _KEY,
    *,
    title: Annotated[str | None, typer.Option(help="A new goal needs one.")] = None,
    area: _AREA = None,
    status: _STATUS = None,
    priority: Annotated[int | None, typer.Option(metavar="1-5", help="5 is the highest.")] = None,
    progress: Annotated[int | None, typer.Option(metavar="0-100", help="How far it is, in per cent.")] = None,
) -> None:
    """Make a goal, or change what is given of one."""
    with call.store() as store:
        scope = call.scope(store)
        saved = scope.goals.save(
            key,
            title=title,
            area=area,
            status=status,
            priority=priority,
            progress=progress,
        )
        _show(call, saved, scope.goals.progress(key))


def _show(call: Invocation, goal: Any, history: list[Any]) -> None:
    facts = {
        "Key": goal.key,
        "Title": goal.title,
        "Area": goal.area,
        "Status": goal.status,
        "Priority": goal.priority,
        "Progress": f"{goal.progress} %",
        "Owner": goal.owner,
        "Every week": ", ".join(goal.weekly_actions) or None,
        "Success": ", ".join(f"{name}: {value}" for name, value in goal.success_metrics.items()) or None,
    }
    rows = [[one.recorded_at, one.progress, one.status, one.by] for one in history]
    answer = {"goal": asdict(goal), "history": [asdict(one) for one in history]}
    call.out.show(answer, Facts(facts), Listing(["when", "%", "status", "by"], rows))
