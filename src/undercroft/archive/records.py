"""What a chat platform hands over, in one shape for all platforms: the rows-to-be that importers and live bots give.

Ids are the platform's own, verbatim, always text: Discord's 64-bit ids and Slack's timestamps do not survive a float.
Texts are verbatim too, markup and entities included; what people read and search stands beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """One account of a workspace, a person or a bot.

    A stub (``is_stub``) is all that is known of an author whom the platform's user list does not name; it must never
    replace a record that came from such a list.
    """

    native_id: str
    name: str = ""
    """The account's handle; empty where the platform gave none."""
    display_name: str = ""
    real_name: str = ""
    email: str | None = None
    is_bot: bool = False
    is_deleted: bool = False
    is_stub: bool = False
    timezone: str | None = None
    """A name of the IANA database, such as Asia/Tokyo."""
    profile: JsonObject = field(default_factory=dict)

    @property
    def shown_name(self) -> str:
        """The name that people read beside a message."""
        return self.display_name or self.real_name or self.name or self.native_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRecord:
    """One conversation: a channel, a direct message, a thread that is a channel of its own (Discord)."""

    native_id: str
    name: str
    kind: Literal["public", "private", "dm", "group"]
    """``group`` is a direct message between more than two."""
    topic: str = ""
    purpose: str = ""
    created_at: datetime | None = None
    is_archived: bool = False
    creator: str | None = None
    members: tuple[str, ...] = ()
    """Native user ids, each once."""
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRecord:
    """A file that was shared, or an embed: a link's preview, a bot's card.

    ``native_id`` is unique within its message and kind. ``size`` is in bytes. ``url`` carries no token.
    """

    native_id: str
    kind: Literal["file", "embed"]
    name: str = ""
    title: str = ""
    mimetype: str | None = None
    size: int | None = None
    url: str | None = None
    extra: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRecord:
    """One emoji under a message and who chose it.

    ``emoji`` is the character itself or the platform's name of it (``thumbsup``, ``partyparrot:123`` for a custom one).
    ``count`` may exceed ``len(users)``: platforms cut the list.
    """

    emoji: str
    count: int
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MentionRecord:
    """Somebody or something that a message calls by id; for ``everyone`` the id is the word used (here, channel …)."""

    kind: Literal["user", "channel", "group", "everyone"]
    native_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """One message in one of its versions; (channel, native_id) is its identity.

    The same message may come more than once, from two files or two exports: `supersedes` says which copy to keep.
    """

    channel: str
    """The channel's native id."""
    native_id: str
    author: str | None = None
    """The author's native user id (a bot's own id where it has no user); None where the platform names nobody."""
    author_name: str = ""
    """The name it was posted under, as far as known: what a webhook has instead of an account."""
    kind: str = "message"
    """The platform's subtype, verbatim: channel_join, bot_message, thread_broadcast … and those not invented yet."""
    text: str = ""
    """Verbatim, with the platform's markup."""
    plain: str | None = None
    """The text as a reader sees it (names instead of ids, no entities); None where it equals ``text``."""
    search_words: str = ""
    """What a search must find beside the text: the words of attachments, blocks and files."""
    sent_at: datetime
    thread: str | None = None
    """Native id of the thread's root, which may be absent; a root names itself."""
    reply_to: str | None = None
    """Native id of the message this one answers; for a reply in a thread the root."""
    is_broadcast: bool = False
    """A reply that is shown in the channel as well as in its thread."""
    edited_at: datetime | None = None
    edited_by: str | None = None
    deleted_at: datetime | None = None
    """Set on a tombstone; the time the message was sent where the platform keeps no time of deletion."""
    attachments: tuple[AttachmentRecord, ...] = ()
    reactions: tuple[ReactionRecord, ...] = ()
    mentions: tuple[MentionRecord, ...] = ()
    links: tuple[str, ...] = ()
    """Web addresses in the text and in embeds, each once."""
    extra: JsonObject = field(default_factory=dict)
    """What else the platform said, such as a Discord jump URL or a Slack app id."""

    @property
    def shown_text(self) -> str:
        """The text as a reader sees it."""
        return self.text if self.plain is None else self.plain

    def supersedes(self, other: Self) -> bool:
        """Whether this copy of a message replaces ``other``: a deletion ends it, else the later edit wins."""
        return self._version > other._version

    @property
    def _version(self) -> tuple[bool, datetime]:
        return self.deleted_at is not None, self.edited_at or self.sent_at
