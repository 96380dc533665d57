"""The seal under which a tenant is entered: an HMAC that SQL of an attacker's choice cannot make.

A context is ``scope|expiry|mac``: the tenant's id or ``fleet``, seconds since 1970 by the server's clock, and the
HMAC-SHA256 of ``enter|scope|expiry`` in hexadecimal digits. ``undercroft.enter_sealed`` checks it and puts a
ticket of its own in its place, which is good for this transaction only.
"""

import hmac
import time
from hashlib import sha256
from uuid import UUID

from typing_extensions import override

_PURPOSE = b"undercroft tenant seal 1"
_BLOCK = 64
# Goes on while the machine sleeps, and is nobody's to set.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Context(str):
    """A context; its representation, in a log of parameters or in a traceback, opens nothing."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"{self.rpartition('|')[0]!r} under a seal"


class TenantSeal:
    """Makes contexts that hold for ``lifetime`` seconds; the key is derived: no database has the secret itself."""

    __slots__ = ("_ahead", "_key", "_lifetime")

    def __init__(self, secret: str, lifetime: float) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
        self._lifetime = lifetime
        self._ahead = time.time() - time.clock_gettime(_CLOCK)

    def set_clock(self, server: float) -> None:
        """Go by the server's clock, which says that so many seconds have passed since 1970."""
        self._ahead = server - time.clock_gettime(_CLOCK)

    def context(self, scope: UUID | str) -> Context:
        """Seal a tenant's id, or ``fleet``, for one transaction that begins now."""
        message = f"{scope}|{int(time.clock_gettime(_CLOCK) + self._ahead + self._lifetime)}"
        return Context(f"{message}|{hmac.digest(self._key, f'enter|{message}'.encode(), 'sha256').hex()}")

    @property
    def fingerprint(self) -> str:
        """What tells keys apart and gives none away."""
        return sha256(b"fingerprint" + self._key).hexdigest()[:12]

    @property
    def pads(self) -> tuple[bytes, bytes]:
        """The key as SQL needs it, which has sha256() and no HMAC: the inner block and the outer one."""
        key = self._key.ljust(_BLOCK, b"\0")
        return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)
