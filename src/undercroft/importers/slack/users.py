"""Entries of users.json, and what a message alone tells of its author."""

from undercroft.archive.records import UserRecord
from undercroft.importers.slack.fields import BadRecord, Raw, check_ids, mapping_of, rest_of, text_of

SLACKBOT = "USLACKBOT"

_MAPPED = ("id", "name", "deleted", "real_name", "tz", "is_bot", "profile")
_PROFILE_MAPPED = ("display_name", "display_name_normalized", "real_name", "real_name_normalized", "email")
_PICTURES = ("image_original", "image_512", "image_192", "image_72")


def user_record(raw: Raw) -> UserRecord:
    """Read one entry of users.json; raises BadRecord without an id."""
    native_id = text_of(raw, "id")
    if not native_id:
        raise BadRecord("has no id")
    profile = mapping_of(raw, "profile")
    check_ids(native_id, text_of(profile, "email"))
    described = rest_of(profile, _PROFILE_MAPPED)
    # One picture of eight sizes; the others differ in a number.
    kept = {key: value for key, value in described.items() if not key.startswith("image_")}
    if picture := text_of(profile, *_PICTURES):
        kept["image"] = picture
    return UserRecord(
        native_id=native_id,
        name=text_of(raw, "name"),
        display_name=text_of(profile, "display_name"),
        real_name=text_of(profile, "real_name") or text_of(raw, "real_name"),
        email=text_of(profile, "email") or None,
        is_bot=raw.get("is_bot") is True or native_id == SLACKBOT,
        is_deleted=raw.get("deleted") is True,
        timezone=text_of(raw, "tz") or None,
        profile={**kept, **rest_of(raw, _MAPPED)},
    )


def author_of(raw: Raw) -> str | None:
    """Return the native id of who wrote a message: a user, or a bot that has no user; None where nobody is named."""
    comment = mapping_of(raw, "comment")  # file_comment, until 2018, names nobody else
    profile = mapping_of(raw, "bot_profile")
    return text_of(raw, "user") or text_of(comment, "user") or text_of(raw, "bot_id") or text_of(profile, "id") or None


def posted_name(raw: Raw) -> str:
    """Return the name a message was posted under, where it tells one."""
    name = text_of(raw, "username")  # of a file share, until 2016, a mention of the user instead of a name
    profile = mapping_of(raw, "user_profile")
    return (
        (name if not name.startswith("<@") else "")
        or text_of(mapping_of(raw, "bot_profile"), "name")
        or text_of(profile, "display_name", "real_name", "name")
    )


def stub_record(native_id: str, raw: Raw) -> UserRecord:
    """Return what a message tells of an author whom users.json does not name."""
    profile = mapping_of(raw, "user_profile")
    is_slackbot = native_id == SLACKBOT
    return UserRecord(
        native_id=native_id,
        name="slackbot" if is_slackbot else text_of(profile, "name"),
        display_name="Slackbot" if is_slackbot else posted_name(raw),
        real_name=text_of(profile, "real_name"),
        is_bot=is_slackbot or native_id.startswith("B") or bool(text_of(raw, "bot_id")),
        is_stub=True,
        profile=rest_of({"team_id": text_of(profile, "team") or text_of(raw, "user_team", "team")}, ()),
    )
