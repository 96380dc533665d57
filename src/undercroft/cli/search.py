"""`undercroft search`: the archive, by words."""

import re
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from undercroft import TenantScope
from undercroft.cli import moments
from undercroft.cli.cells import Duration, harmless, plain, shown
from undercroft.cli.invocation import Invocation, command
from undercroft.cli.names import author_id, channel_id
from undercroft.errors import InvalidInput

_MARKED = re.compile(r"\[([^\[\]]+)\]")
_HAS = ("file", "link", "reaction")
_QUERY = 'Words, in any language. "Several in quotes" stand side by side, -word is left out, wor* is a beginning.'


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    command(app, "search")(search)


def search(
    call: Invocation,
    query: Annotated[str, typer.Argument(metavar="QUERY", help=_QUERY)],
    *,
    author: Annotated[str | None, typer.Option(metavar="WHO", help="Who wrote it, by id or name.")] = None,
    channel: Annotated[str | None, typer.Option(metavar="WHERE", help="The channel, by id or name.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not before, such as 2024-05-17 or 30d.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Not after; a day that is named is in.")] = None,
    has: Annotated[
        list[str] | None, typer.Option(metavar="WHAT", help="file, link, reaction: with commas, or repeated.")
    ] = None,
    order: Annotated[Literal["newest", "rank"], typer.Option(help="The latest first, or the best.")] = "newest",
    limit: Annotated[int, typer.Option(metavar="COUNT", help="How many at most.")] = 20,
) -> None:
    """Find messages by their words."""
    period = {
        "since": None if since is None else moments.since(since),
        "until": None if until is None else moments.until(until),
    }
    wanted = _has(has or [])
    with call.store() as store:
        scope = call.scope(store)
        found = find(
            scope,
            query,
            author=None if author is None else author_id(scope, author),
            channel=None if channel is None else channel_id(scope, channel),
            has=wanted,
            order=order,
            limit=limit,
            **period,
        )
    call.out.show({"tenant": scope.key, "query": query, "hits": [asdict(hit) for hit in found.hits]}, found)
    if len(found.hits) == limit:
        call.out.say(Text(f"\n  The first {limit}: --limit shows more.", style="dim"))


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found."""

    query: str
    hits: Sequence[Any]
    seconds: float

    def rich(self) -> RenderableType:
        """Return two lines a hit: where it stands, and what it says with the words that were asked for."""
        many = {0: "Nothing", 1: "One message"}.get(len(self.hits), f"{len(self.hits):,} messages")
        head = Text.assemble((f"{many} for {plain(self.query)}", "bold"), (f"  {shown(Duration(self.seconds))}", "dim"))
        return Group(head, *(part for hit in self.hits for part in self._lines(hit)))

    def lines(self) -> list[Sequence[Any]]:
        """Return time, channel, author and text."""
        return [
            [hit.sent_at, hit.channel_name, hit.author_name, marked(hit.snippet, self.query).plain] for hit in self.hits
        ]

    def _lines(self, hit: Any) -> list[RenderableType]:
        where = Text.assemble(
            (str(shown(hit.sent_at)), "dim"),
            "  ",
            (plain(hit.channel_name), "cyan"),
            "  ",
            (plain(hit.author_name), "bold"),
        )
        return [Padding(where, (0, 0, 0, 2)), Padding(marked(hit.snippet, self.query), (0, 0, 0, 4))]


def find(scope: TenantScope[Any], query: str, **filters: Any) -> Hits:
    """Search, and take the time."""
    start = time.perf_counter()
    hits = scope.archive.search(query, **filters)
    return Hits(query, hits, time.perf_counter() - start)


def marked(snippet: str, query: str) -> Text:
    """Return a snippet with what was asked for set off; brackets around anything else are the message's own."""
    snippet = harmless(snippet)
    words = re.findall(r"\w+", _folded(query))
    text, at = Text(), 0
    for found in _MARKED.finditer(snippet):
        inside = _folded(found[1])
        if any(word in inside or inside in word for word in words):
            text.append(snippet[at : found.start()]).append(found[1], "bold yellow")
            at = found.end()
    return text.append(snippet[at:])


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _has(given: Sequence[str]) -> list[str]:
    wanted = [part.strip() for one in given for part in one.split(",")]
    if set(wanted) - set(_HAS):
        raise InvalidInput("--has knows no such thing", hint=f"it takes {', '.join(_HAS)}")
    return wanted
