"""TLS to PostgreSQL: libpq's six modes, said in each driver's own way.

Source: PostgreSQL documentation, "SSL Support", table of sslmode. Stricter than libpq in one point: a certificate that
the mode would leave unused is refused, because whoever names one expects it to be used.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from undercroft.errors import ConfigurationError

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
MODES: tuple[SslMode, ...] = get_args(SslMode)  # the weakest first
SYSTEM = "system"  # libpq's word for the certificate authorities that the machine trusts


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted and whose certificates it trusts and shows; paths of PEM files.

    Raises `ConfigurationError` for a combination that promises more than it does.
    """

    mode: SslMode = "prefer"
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigurationError("ssl_mode is none of libpq's", setting="ssl_mode", hint=f"use {', '.join(MODES)}")
        for name, path in (("ssl_ca", self.ca), ("ssl_cert", self.cert), ("ssl_key", self.key)):
            if path and not self.required:
                raise ConfigurationError(
                    f"{name} is not used when ssl_mode is {self.mode}",
                    setting=name,
                    hint=f"set ssl_mode to verify-full, or leave {name} out",
                )
        if (self.cert is None) != (self.key is None):
            missing = "ssl_key" if self.key is None else "ssl_cert"
            raise ConfigurationError(
                f"{missing} is missing", setting=missing, hint="give both ssl_cert and ssl_key, or neither"
            )
        if self.mode.startswith("verify") and self.ca is None:
            raise ConfigurationError(
                f"ssl_mode {self.mode} needs ssl_ca",
                setting="ssl_ca",
                hint="name the file of the certificate authority, or `system` with verify-full",
            )
        if self.ca == SYSTEM and self.mode != "verify-full":
            raise ConfigurationError(
                f"ssl_ca=system proves nothing with ssl_mode {self.mode}, as anybody can get such a certificate",
                setting="ssl_mode",
                hint="set ssl_mode to verify-full",
            )

    @property
    def required(self) -> bool:
        """Whether a connection without TLS is refused."""
        return MODES.index(self.mode) >= MODES.index("require")

    def for_psycopg(self) -> dict[str, str]:
        """Return libpq's keywords."""
        known = {"sslmode": self.mode, "sslrootcert": self.ca, "sslcert": self.cert, "sslkey": self.key}
        return {keyword: value for keyword, value in known.items() if value is not None}

    def for_asyncpg(self) -> ssl.SSLContext | str | bool:
        """Return asyncpg's `ssl`: False, a mode that may fall back to plain text, or a context, which may not.

        Raises `ConfigurationError` where a file is missing, unreadable or not what it should be.
        """
        if self.mode == "disable":
            return False  # None would let the variable PGSSLMODE decide
        return self.mode if not self.required else self._context()

    def check_files(self) -> None:
        """Read the files once, so that a wrong one is refused at the start and not at the first connection."""
        if self.required:
            self._context()

    def _context(self) -> ssl.SSLContext:
        for name, path in (("ssl_ca", self.ca), ("ssl_cert", self.cert), ("ssl_key", self.key)):
            if path and not (name == "ssl_ca" and path == SYSTEM):
                _check_file(name, path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # TLS 1.2 or newer
        context.check_hostname = self.mode == "verify-full"
        if self.ca == SYSTEM:
            context.load_default_certs()
        elif self.ca is not None:
            try:
                context.load_verify_locations(self.ca)
            except ssl.SSLError as error:
                raise ConfigurationError(
                    "ssl_ca holds no certificate", setting="ssl_ca", hint="name a PEM file"
                ) from error
        else:
            context.verify_mode = ssl.CERT_NONE  # libpq's `require`: encrypted, to whoever answers
        if self.cert is not None:
            try:
                # Without a password OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.cert, self.key, password="")
            except (ssl.SSLError, ValueError) as error:
                raise ConfigurationError(
                    "ssl_key does not belong to ssl_cert, or is encrypted",
                    setting="ssl_key",
                    hint="name two PEM files, the key without a passphrase",
                ) from error
        return context


def from_keywords(keywords: Mapping[str, str]) -> Tls:
    """Build it from libpq's keywords; those of other matters are left alone."""
    return Tls(
        mode=keywords.get("sslmode", "prefer"),  # type: ignore[arg-type]  # checked there
        ca=keywords.get("sslrootcert"),
        cert=keywords.get("sslcert"),
        key=keywords.get("sslkey"),
    )


def _check_file(name: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigurationError(
            f"the file of {name} cannot be opened: {reason}", setting=name, hint="correct the path or the file's rights"
        ) from error
    # libpq's rule; asked here so that both drivers give the same answer.
    others = 0o037 if status.st_uid == 0 else 0o077
    if name == "ssl_key" and status.st_mode & others:
        raise ConfigurationError("the file of ssl_key can be read by others", setting=name, hint="chmod 600 it")
