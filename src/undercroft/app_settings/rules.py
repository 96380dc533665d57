"""For whom a feature flag is on, decided without a database.

A user's bucket is the first eight bytes of the SHA-256 of the packed tuple (flag, user), as an unsigned big-endian
number, modulo 1,000,000. A tuple is packed as in `undercroft.core.ids`: for each element its length in bytes as an
unsigned 32-bit big-endian number, then its bytes as UTF-8. A share of p per cent has the buckets below p * 10,000, so
that raising it adds users and takes none away. Frozen; tests/app_settings/vectors.json has examples.
"""

from collections.abc import Collection
from decimal import Decimal
from hashlib import sha256
from typing import Any

from undercroft.core.values import check_name
from undercroft.errors import InvalidInput

BUCKETS = 1_000_000
MOST_USERS = 1000
_IN_A_PER_CENT = BUCKETS // 100


def bucket(flag: str, user: str) -> int:
    """Return the place of a user among those of a flag, 0 to 999,999; always the same."""
    parts = [part.encode() for part in (flag, user)]
    packed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return int.from_bytes(sha256(packed).digest()[:8], "big") % BUCKETS


def is_on(
    flag: str,
    user: str | None,
    *,
    enabled: bool,
    users: Collection[str],
    except_users: Collection[str],
    share: int | None,
) -> bool:
    """Decide whether a flag is on for a user, or for nobody in particular; ``share`` is in millionths.

    What is not enabled is off for everybody. Else, in this order: who is excepted has it off, who is listed has it on,
    a share has it on for the users in its buckets; and where neither users nor a share are named, it is on.
    """
    if not enabled or user in except_users:
        return False
    if user in users:
        return True
    if share is not None:
        return share >= BUCKETS or (user is not None and bucket(flag, user) < share)
    return not users


def check_enabled(enabled: Any) -> bool:
    """Return whether a flag is enabled; raises InvalidInput for what is no bool, which a text might be meant for."""
    if not isinstance(enabled, bool):
        message = "A flag is enabled or not."
        raise InvalidInput(message, field="enabled", hint="pass True or False")
    return enabled


def check_share(share: Any) -> int:
    """Return a share of per cent in millionths; raises InvalidInput outside 0 to 100, or finer than 0.0001."""
    if type(share) not in {int, float} or not 0 <= share <= 100:  # noqa: PLR2004 - per cent; NaN is refused as well
        message = "A share is a number of per cent, 0 to 100."
        raise InvalidInput(message, field="share")
    parts = Decimal(repr(share)) * _IN_A_PER_CENT
    if parts != int(parts):
        message = "A share has at most four decimals."
        raise InvalidInput(message, field="share", hint="such as 12.5 or 0.0001")
    return int(parts)


def per_cent(share: int | None) -> float | None:
    """Return a share in per cent, the number that was checked."""
    return None if share is None else share / _IN_A_PER_CENT


def check_users(users: Any, field: str) -> list[str]:
    """Return the platform's ids of users, each once, in order; raises InvalidInput for what are none."""
    if isinstance(users, str | bytes) or not isinstance(users, Collection):
        message = "Users are a list of the platform's ids."
        raise InvalidInput(message, field=field, hint='such as ["U1", "U2"]')
    if len(users) > MOST_USERS:
        message = f"A flag names at most {MOST_USERS:,} users."
        raise InvalidInput(message, field=field, hint="use a share, or ask a setting or preference of your own")
    return sorted({check_name(user, field) for user in users})
