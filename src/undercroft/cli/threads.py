"""`undercroft threads`: conversations, and what was said in them."""

from dataclasses import asdict
from typing import Annotated

import typer

from undercroft.cli.invocation import Invocation, command, group
from undercroft.cli.output import Facts, Listing

_KEY = Annotated[str, typer.Argument(metavar="KEY", help="Of the conversation, such as C123:1700000000.000100.")]
_OWNER = Annotated[str | None, typer.Option(metavar="USER", help="Only those of a user, by the platform's id.")]
_LIMIT = Annotated[int, typer.Option(metavar="N", help="At most so many.")]


def add_to(app: typer.Typer) -> None:
    """Add the group to the program."""
    threads = group("Conversations of the bot.")
    command(threads, "list")(list_)
    command(threads, "show")(show)
    app.add_typer(threads, name="threads")


def list_(call: Invocation, *, owner: _OWNER = None, limit: _LIMIT = 50) -> None:
    """List conversations, that of the newest activity first."""
    with call.store() as store:
        scope = call.scope(store)
        found = scope.threads.list(owner=owner, limit=limit)
    rows = [[one.last_activity_at, one.key, one.messages, one.owner, one.title] for one in found]
    columns = ["last activity", "key", "messages", "owner", "title"]
    listing = Listing(columns, rows, empty="nobody has said anything", wide=["key", "title"])
    call.out.show({"threads": [_told(one) for one in found]}, listing)


def show(call: Invocation, key: _KEY, *, last: _LIMIT = 20) -> None:
    """Show the last messages of a conversation."""
    with call.store() as store:
        scope = call.scope(store)
        thread = scope.threads.get(key)
        said = scope.threads.messages(key, last=last)
    facts = {
        "Key": thread.key,
        "Title": thread.title,
        "Owner": thread.owner,
        "Messages": thread.messages,
        "Began": thread.created_at,
        "Last": thread.last_activity_at,
        "Forgotten": "never" if thread.expires_after is None else f"after {thread.expires_after} of silence",
    }
    rows = [[one.position, one.user or one.role, _text(one.content, one.tool_calls)] for one in said]
    listing = Listing(["", "who", "what"], rows, empty="no message", wide=["what"])
    answer = {"thread": _told(thread), "messages": [asdict(one) for one in said]}
    call.out.show(answer, Facts(facts), listing)


def _told(thread: object) -> dict[str, object]:
    told = asdict(thread)  # type: ignore[call-overload]  # a result of ours
    idle = told.pop("expires_after")
    return {**told, "expires_after_seconds": None if idle is None else int(idle.total_seconds())}


def _text(content: object, tool_calls: object) -> str:
    if isinstance(content, str) and content:
        return content
    parts = [part.get("text") or f"({part.get('type', 'part')})" for part in content or ()]  # type: ignore[attr-defined]
    calls = [f"(calls {call.get('function', call).get('name', 'a tool')})" for call in tool_calls or ()]  # type: ignore[attr-defined]
    return " ".join([*parts, *calls])
