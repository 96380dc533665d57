"""Messages found by their words: the same hits on every engine."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select

from undercroft.archive.models import Channel, Message as Row
from undercroft.archive.ops.reading import shown_author
from undercroft.archive.results import Has, Hit, Order
from undercroft.archive.rows import searchable
from undercroft.core import ids
from undercroft.core.clock import require_aware
from undercroft.core.dialects.criteria import Criteria
from undercroft.core.pages import check_limit
from undercroft.core.schema import any_of
from undercroft.core.searchtext import parse_query, snippet
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput
from undercroft.users.models import User

_HAS = ("file", "link", "reaction")
_ORDERS = ("newest", "rank")
_HITS = (
    select(
        Row.id,
        Channel.native_id.label("channel"),
        Channel.name.label("channel_name"),
        Row.native_id,
        User.native_id.label("author"),
        shown_author.label("author_name"),
        Row.kind,
        Row.text,
        Row.plain,
        Row.search_words,
        Row.thread_id,
        Row.sent_at,
    )
    .join(Channel, (Channel.tenant_id == Row.tenant_id) & (Channel.id == Row.channel_id))
    .outerjoin(User, (User.tenant_id == Row.tenant_id) & (User.id == Row.author_id))
    .where(Row.tenant_id == bindparam("tenant_id"), any_of(Row.id, "ids"))
)

_FIELDS = tuple(column.name for column in _HITS.selected_columns)


def search(
    tx: Tx,
    query: str,
    *,
    author: str | None = None,
    channel: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    has: Sequence[Has] = (),
    order: Order = "newest",
    limit: int = 20,
    before: UUID | None = None,
) -> list[Hit]:
    """Find messages by the words of their text, attachments and blocks; every filter holds for every hit.

    Words are all wanted, "quotes" make a phrase, a leading ``-`` excludes, a trailing ``*`` is a prefix; case, width
    and punctuation do not matter. ``author`` and ``channel`` are native ids; ``since`` is included and ``until`` not,
    to the millisecond. ``before`` is the id of the last hit of the page before, newest first.

    Raises:
        InvalidInput: nothing is searched for, a naive moment, or a wrong word in ``has`` or ``order``.
    """
    parsed = parse_query(query)
    if parsed.empty:
        raise InvalidInput("There is no word to search for", field="query", hint="give at least one word or number")
    wanted = {has} if isinstance(has, str) else set(has)
    if wanted - set(_HAS):
        raise InvalidInput(f"A message can have {', '.join(_HAS)}", field="has")
    if order not in _ORDERS:
        raise InvalidInput(f"The order is one of {', '.join(_ORDERS)}", field="order")
    if before is not None and order == "rank":
        raise InvalidInput("Pages follow one another newest first only", field="before", hint="raise limit instead")
    found = tx.dialect.search_messages(
        tx,
        Criteria(
            query=parsed,
            ranked=order == "rank",
            limit=check_limit(limit),
            before=before,
            author=None if author is None else tx.named("user", author),
            channel=None if channel is None else tx.named("channel", channel),
            from_id=None if since is None else ids.floor(require_aware(since, "since")),
            to_id=None if until is None else ids.time_bounds(until, until)[1],
            **{f"has_{name}": True if name in wanted else None for name in _HAS},
        ),
    )
    if not found:
        return []
    rows = {row[0]: row for row in tx.rows(_HITS, {"ids": [id_ for id_, _ in found]})}
    hits: list[Hit] = []
    for id_, rank in found:
        if id_ in rows:  # else deleted since, in the moment between
            fields = dict(zip(_FIELDS, rows[id_], strict=True))
            text, plain, words = fields.pop("text"), fields.pop("plain"), fields.pop("search_words")
            shown = snippet(searchable(text, plain, words), parsed)
            hits.append(Hit(**fields, text=text if plain is None else plain, snippet=shown, rank=rank))
    return hits
