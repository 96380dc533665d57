"""What is wrong with the keys that values are sealed under, and with sealed values; no message tells either."""

from undercroft.errors.root import UndercroftError


class KeysMissing(UndercroftError):
    """There is no key to seal this value under, and it is not stored in clear."""

    code = "keys.missing"
    hint = "run `undercroft keys init`, or set UNDERCROFT_KEYS"


class KeysUnavailable(UndercroftError):
    """The key service did not unwrap a key."""

    code = "keys.unavailable"
    hint = "see what the service says, and call again"


class KeyUnknown(UndercroftError):
    """The value is sealed under a key that this process does not have."""

    code = "keys.unknown"
    shown = ("key",)
    hint = "give it this key again, in UNDERCROFT_KEYS or in its key file; without the key the value is lost"


class KeyInUse(UndercroftError):
    """Values are still sealed under this key."""

    code = "keys.in-use"
    shown = ("key",)
    hint = "run `undercroft keys rotate` first"


class SealBroken(UndercroftError):
    """The sealed value was changed, or moved from another tenant, row, field or version."""

    code = "seal.broken"
    hint = "restore the row from a backup, or set the value anew"
