"""A message as Slack writes it, read as a neutral record.

Fields and subtypes: <https://docs.slack.dev/reference/events/message>; what exports hold beside them was learned from
real ones of 2015 to 2025.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from undercroft.archive.records import MessageRecord, ReactionRecord
from undercroft.importers.slack.attachments import (
    attachment_records,
    block_mentions,
    elements_of,
    files_of,
    links_beside,
    search_words,
)
from undercroft.importers.slack.fields import (
    BadRecord,
    Raw,
    check_ids,
    ids_of,
    mapping_of,
    mappings_of,
    moment,
    rest_of,
    text_of,
    whole_number,
)
from undercroft.importers.slack.markup import links_in, mentions_in, plain_text
from undercroft.importers.slack.users import SLACKBOT, author_of, posted_name

_MAPPED = (
    *("type", "subtype", "ts", "text", "user", "username", "edited", "reactions", "files", "file", "attachments"),
    *("thread_ts", "parent_user_id", "broadcast_thread_ts", "comment", "channel"),
    *("message", "previous_message", "deleted_ts"),
)
# What follows from other messages, or is the exporter's own view: kept, each export of the same message would differ.
_DERIVED = (
    *("reply_count", "reply_users", "reply_users_count", "replies", "latest_reply", "slackdump_thread_replies", "root"),
    *("subscribed", "last_read", "is_locked", "unread_count", "user_profile", "channel_name"),
    *("replace_original", "delete_original"),
)
# What a deletion leaves of a message: where it stood, and whose it was.
_PLACE = ("user", "bot_id", "username", "thread_ts")
_COUNT_MAX = (1 << 31) - 1
_DELETED_TEXT = "This message was deleted."


def message_versions(raw: Raw) -> Iterator[tuple[Raw, datetime | None]]:
    """Yield the versions that one entry holds, oldest first, each with the time it became so, where that is told.

    An entry is a message, or the event of its change: an export that keeps edits holds both texts.
    """
    changed, previous = raw.get("message"), raw.get("previous_message")
    if raw.get("subtype") == "message_changed" and isinstance(changed, dict):
        if isinstance(previous, dict):
            yield previous, None
        yield changed, moment(raw.get("ts"))
    elif raw.get("subtype") == "message_deleted" and raw.get("deleted_ts"):
        before = previous if isinstance(previous, dict) else {}
        placed = {key: before[key] for key in _PLACE if key in before}
        yield {**placed, **raw, "ts": raw["deleted_ts"]}, moment(raw.get("ts"))
    else:
        yield raw, None


def message_record(raw: Raw, became: datetime | None, channel: str, names: Mapping[str, str]) -> MessageRecord:
    """Read one version of a message; raises BadRecord where it has no usable `ts`, its identity."""
    native_id, sent_at = _identity(raw)
    kind = text_of(raw, "subtype") or "message"
    deleted_at = _deleted_at(raw, kind, became, sent_at)
    # A tombstone keeps nothing of the message but its place in the thread.
    text = text_of(raw, "text") if kind != "message_deleted" else ""
    shown = plain_text(text, names)
    edited = mapping_of(raw, "edited")
    named = text_of(raw, "thread_ts", "broadcast_thread_ts")
    thread = named if moment(named) else None
    author = author_of(raw)
    content = raw if deleted_at is None else {}
    files, elements = files_of(content), elements_of(content.get("blocks"))
    record = MessageRecord(
        channel=channel,
        native_id=native_id,
        author=author,
        author_name=posted_name(raw) or names.get(author or "", ""),
        kind=kind,
        text=text,
        plain=shown if shown != text else None,
        search_words=search_words(content, files, elements, shown, names),
        sent_at=sent_at,
        thread=thread,
        reply_to=thread if thread != native_id else None,
        is_broadcast=kind in ("thread_broadcast", "reply_broadcast"),
        edited_at=moment(edited.get("ts")) or (became if deleted_at is None else None),
        edited_by=text_of(edited, "user") or None,
        deleted_at=deleted_at,
        attachments=tuple(attachment_records(content, files)),
        reactions=_reactions(raw),
        mentions=tuple(dict.fromkeys((*mentions_in(text), *block_mentions(elements)))),
        links=tuple(dict.fromkeys((*links_in(text), *links_beside(content, elements)))),
        extra=_extra(raw, text, thread),
    )
    check_ids(author, kind, record.edited_by, *_ids_in(record))
    return record


def _ids_in(record: MessageRecord) -> Iterator[str]:
    yield from (attachment.native_id for attachment in record.attachments)
    yield from (mention.native_id for mention in record.mentions)
    for reaction in record.reactions:
        yield reaction.emoji
        yield from reaction.users


def _identity(raw: Raw) -> tuple[str, datetime]:
    ts = raw.get("ts")
    if isinstance(ts, (int, float)):
        raise BadRecord("its ts is a number, which has lost the digits that tell messages apart; Slack writes a text")
    sent_at = moment(ts) if isinstance(ts, str) else None
    if not isinstance(ts, str) or not sent_at:
        raise BadRecord("has no ts, or one that is no time")
    return ts, sent_at


def _deleted_at(raw: Raw, kind: str, became: datetime | None, sent_at: datetime) -> datetime | None:
    if kind == "message_deleted":
        return became or sent_at
    # A deleted root is signed by Slackbot so that its replies have something to hang on; some exports lose the subtype.
    if kind == "tombstone" or (raw.get("user") == SLACKBOT and raw.get("text") == _DELETED_TEXT):
        return moment(mapping_of(raw, "edited").get("ts")) or sent_at
    return None


def _reactions(raw: Raw) -> tuple[ReactionRecord, ...]:
    found: dict[str, ReactionRecord] = {}
    for reaction in mappings_of(raw, "reactions"):
        if emoji := text_of(reaction, "name"):
            users = ids_of(reaction, "users")
            count = max(whole_number(reaction.get("count"), _COUNT_MAX) or 0, len(users))
            found[emoji] = ReactionRecord(emoji=emoji, count=count, users=users)
    return tuple(found.values())


def _extra(raw: Raw, text: str, thread: str | None) -> dict[str, Any]:
    extra = rest_of(raw, (*_MAPPED, *_DERIVED))
    if text and all(block.get("type") == "rich_text" for block in mappings_of(raw, "blocks")):
        extra.pop("blocks", None)  # the form in which `text` was typed; it says the same
    for key in ("text", "thread_ts"):
        if raw.get(key) and not (text if key == "text" else thread):
            extra[key] = raw[key]  # of a type or shape it should not have
    if root := mapping_of(raw, "root"):
        extra["root"] = {key: root[key] for key in ("ts", "user", "text") if key in root}  # it may be absent itself
    return extra
