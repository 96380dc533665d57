"""Which addresses belong together, and what names a secret without being one."""

import re
from collections.abc import Collection

import idna

from undercroft.core.canonical import check_text
from undercroft.errors import InvalidInput

_PUBLIC_MAIL = """
126.com 163.com aol.com fastmail.com free.fr gmail.com gmx.com gmx.de gmx.net googlemail.com hey.com hotmail.com
icloud.com laposte.net libero.it live.com mac.com mail.com mail.ru me.com msn.com naver.com orange.fr outlook.com
pm.me proton.me protonmail.com qq.com rediffmail.com rocketmail.com t-online.de web.de yahoo.co.jp yahoo.co.uk
yahoo.com yahoo.de yahoo.fr yandex.com yandex.ru ymail.com zoho.com
"""
PUBLIC_MAIL = frozenset(_PUBLIC_MAIL.split())
"""Domains that everybody writes from: whoever does so says nothing of where he works."""
SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})
"""What a country registers names under, as in ``co.uk``."""
LONGEST_DOMAIN = 253
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")

REFERENCE = re.compile(
    r"(aws-sm:|gcp-sm:|vault:|arn:aws[a-z-]*:secretsmanager:).+|env:[A-Za-z_][A-Za-z0-9_]*|file:/.+", re.DOTALL
)


def check_reference(credentials: str) -> str:
    """Return the name of a secret; raises InvalidInput for what may be the secret itself, and does not repeat it."""
    if not REFERENCE.fullmatch(check_text(credentials, "credentials")):
        message = "Credentials are named and not stored: where does the secret lie?"
        hint = "write env:NAME, file:/path, aws-sm:arn..., gcp-sm:... or vault:..."
        raise InvalidInput(message, field="credentials", hint=hint)
    return credentials


def normal_domain(domain: str, field: str = "domain") -> str:
    """Return a domain as it is compared: lower case, in ASCII (IDNA 2008), without a final dot.

    Raises:
        InvalidInput: it is none, or has one label only.
    """
    bare = check_text(domain, field).strip().removesuffix(".")
    try:
        name = bare.lower() if bare.isascii() else idna.encode(bare, uts46=True).decode()
    except UnicodeError as error:  # idna's own errors are such
        raise _no_domain(field) from error
    labels = name.split(".")
    if len(name) > LONGEST_DOMAIN or len(labels) == 1 or not all(map(_LABEL.fullmatch, labels)):
        raise _no_domain(field)
    return name


def normal_address(email: str, field: str = "email") -> str:
    """Return an address as it is compared: lower case, without what follows a plus, its domain as `normal_domain`.

    Raises:
        InvalidInput: it is none.
    """
    local, at, domain = check_text(email, field).strip().rpartition("@")
    name = local.partition("+")[0].lower()
    if not at or not name or any(character.isspace() for character in local):
        message = "An e-mail address is a name, an @ and a domain."
        raise InvalidInput(message, field=field)
    return f"{name}@{normal_domain(domain, field)}"


def candidates(email: str) -> list[str]:
    """Return what an address may be mapped by, the closest first: itself, its domain, the domains above that."""
    address = normal_address(email)
    labels = address.rpartition("@")[2].split(".")
    domains = (".".join(labels[first:]) for first in range(len(labels) - 1))
    return [address, *(domain for domain in domains if not is_shared(domain, PUBLIC_MAIL))]


def mappable(domain: str, public: Collection[str]) -> str:
    """Return a domain, or a whole address, as it is stored.

    Raises:
        InvalidInput: it is neither, or a domain that people share who have nothing to do with each other.
    """
    if "@" in domain.strip().removeprefix("@"):
        return normal_address(domain, "domain")
    name = normal_domain(domain.strip().removeprefix("@"))
    if is_shared(name, public):
        message = "People of many companies write from this domain."
        raise InvalidInput(message, field="domain", hint="map the whole address of one of them")
    return name


def is_shared(domain: str, public: Collection[str]) -> bool:
    """Tell whether a domain in its normal form belongs to no single company."""
    second, _, top = domain.rpartition(".")
    return domain in public or domain in PUBLIC_MAIL or (second in SECOND_LEVEL and len(top) == len("uk"))


def _no_domain(field: str) -> InvalidInput:
    message = "A domain is at least two labels of letters, digits and hyphens."
    return InvalidInput(message, field=field)
