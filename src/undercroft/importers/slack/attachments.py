"""Files and embeds of a message, and the words in them that a search must find."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Literal

from undercroft.archive.records import AttachmentRecord, MentionRecord
from undercroft.importers.slack.fields import Raw, mapping_of, mappings_of, rest_of, text_of, whole_number
from undercroft.importers.slack.markup import links_in, plain_text, web_address

_WORDS_MAX = 32_000
_SIZE_MAX = 1 << 53

_FILE_MAPPED = ("id", "name", "title", "mimetype", "size", "url_private", "url_private_download")
# Needs a login or repeats the rest: an HTML form of `preview`, the viewer's stars, counters that change every day.
_FILE_DROPPED = (
    "preview_highlight",
    "is_starred",
    "num_stars",
    "comments_count",
    "updated",
    "last_read",
    "canvas_readtime",
)
_EMBED_LINKS = ("title_link", "from_url", "original_url", "image_url", "thumb_url")
_EMBED_WORDS = ("pretext", "author_name", "title", "text", "footer")
_FILE_WORDS = ("title", "name", "subject", "preview", "plain_text")
_MENTIONS: Mapping[object, tuple[str, Literal["user", "channel", "group", "everyone"]]] = {
    "user": ("user_id", "user"),
    "channel": ("channel_id", "channel"),
    "usergroup": ("usergroup_id", "group"),
    "broadcast": ("range", "everyone"),
}
_BLOCK_WORDS = frozenset({"text", "alt_text", "title", "fallback", "label", "description"})


def files_of(raw: Raw) -> list[dict[str, Any]]:
    """Return the file objects, each once: `file` until 2018, `files` since, or both."""
    found = mappings_of(raw, "files")
    single = raw.get("file")
    if isinstance(single, dict):
        found.append(single)
    if len(found) < 2:  # noqa: PLR2004
        return found
    return list({text_of(file, "id") or f"file-{place}": file for place, file in enumerate(found, 1)}.values())


def attachment_records(raw: Raw, files: Iterable[Raw]) -> Iterator[AttachmentRecord]:
    """Yield the ``files``, then the embeds."""
    for place, file in enumerate(files, 1):
        yield _file_record(file, place)
    for place, embed in enumerate(mappings_of(raw, "attachments"), 1):
        yield AttachmentRecord(
            native_id=str(place),  # Slack's own numbers are missing as often as not
            kind="embed",
            name=text_of(embed, "service_name", "author_name"),
            title=plain_text(text_of(embed, "title")),
            url=next(filter(None, (web_address(embed.get(key)) for key in _EMBED_LINKS)), None),
            extra=rest_of(embed, ("id", "service_name", "title")),
        )


def _file_record(file: Raw, place: int) -> AttachmentRecord:
    kept = {
        key: value for key, value in rest_of(file, _FILE_MAPPED + _FILE_DROPPED).items() if not key.startswith("thumb_")
    }
    return AttachmentRecord(
        native_id=text_of(file, "id") or f"file-{place}",
        kind="file",
        name=text_of(file, "name"),
        title=text_of(file, "title"),
        mimetype=text_of(file, "mimetype") or None,
        size=whole_number(file.get("size"), _SIZE_MAX),
        url=text_of(file, "url_private", "url_private_download", "permalink") or None,
        extra=kept,
    )


def search_words(raw: Raw, files: Iterable[Raw], elements: Iterable[Raw], shown: str, names: Mapping[str, str]) -> str:
    """Return the words of files, embeds and blocks that the ``shown`` text does not hold, at most 32,000 characters."""
    kept: list[str] = []
    seen = shown
    for piece in chain(_pieces(raw, files), _block_texts(elements), _texts(mapping_of(raw, "comment"), ("comment",))):
        words = plain_text(piece, names).strip()
        if words and words not in seen:
            kept.append(words)
            seen += "\n" + words
            if len(seen) - len(shown) > _WORDS_MAX:
                break
    return "\n".join(kept)[:_WORDS_MAX]


def _pieces(raw: Raw, files: Iterable[Raw]) -> Iterator[str]:
    for file in files:
        yield from _texts(file, _FILE_WORDS)
        yield text_of(mapping_of(file, "initial_comment"), "comment")
    for embed in mappings_of(raw, "attachments"):
        before = [piece for piece in _texts(embed, _EMBED_WORDS) if piece]
        yield from before
        for field in mappings_of(embed, "fields"):
            yield from _texts(field, ("title", "value"))
        yield from _block_texts(elements_of([embed.get("blocks"), embed.get("message_blocks")]))
        yield from _pieces({}, files_of(embed))
        if not before:
            yield text_of(embed, "fallback")


def _texts(raw: Raw, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        yield text_of(raw, key)


def elements_of(blocks: object) -> list[dict[str, Any]]:
    """Return every object in the blocks, outer ones first, however nested: new kinds of blocks come every year."""
    found: list[dict[str, Any]] = []
    _collect(blocks, found)
    return found


def _collect(value: object, found: list[dict[str, Any]]) -> None:
    if isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        found.append(value)
        for item in value.values():
            if isinstance(item, (dict, list)):
                _collect(item, found)


def _block_texts(elements: Iterable[Raw]) -> Iterator[str]:
    for element in elements:
        yield from (item for key, item in element.items() if key in _BLOCK_WORDS and isinstance(item, str))


def block_mentions(elements: Iterable[Raw]) -> Iterator[MentionRecord]:
    """Yield whom and what rich text calls by id."""
    for element in elements:
        named = _MENTIONS.get(element.get("type", ""))
        if named and (native_id := text_of(element, named[0])):
            yield MentionRecord(kind=named[1], native_id=native_id)


def links_beside(raw: Raw, elements: Iterable[Raw]) -> Iterator[str]:
    """Yield the web addresses in rich text and in embeds."""
    for element in elements:
        if element.get("type") == "link" and (address := web_address(element.get("url"))):
            yield address
    for embed in mappings_of(raw, "attachments"):
        yield from filter(None, (web_address(embed.get(key)) for key in _EMBED_LINKS[:3]))
        for piece in _texts(embed, ("pretext", "text")):
            yield from links_in(piece)
