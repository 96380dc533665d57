"""What a secret may be called, and how long it may be."""

from pydantic import SecretBytes, SecretStr

from undercroft.core.canonical import check_text
from undercroft.errors import InvalidInput

LONGEST_NAME = 255
LONGEST = 65_536
"""Characters or bytes of a value: room for a private key or a token of any kind, not for files."""


def check_name(name: str) -> str:
    """Return a secret's name; raises InvalidInput for an empty one, or one of more than 255 characters."""
    if not 1 <= len(check_text(name, "name")) <= LONGEST_NAME:
        message = f"A secret's name has 1 to {LONGEST_NAME} characters."
        raise InvalidInput(message, field="name")
    return name


def check_value(value: SecretStr | SecretBytes) -> SecretStr | SecretBytes:
    """Return a secret's value; raises InvalidInput for an empty one, or one that is too long."""
    if not 1 <= len(value) <= LONGEST:
        message = f"A secret has 1 to {LONGEST} characters or bytes."
        raise InvalidInput(message, field="value", hint="store files elsewhere, and their key here")
    return value
