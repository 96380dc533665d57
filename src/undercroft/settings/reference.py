"""Settings as text: the .env.example file and docs/reference/settings.md."""

from dataclasses import dataclass
from itertools import groupby

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from undercroft.settings.environment import PREFIX
from undercroft.settings.model import Settings
from undercroft.settings.presets import PRESETS


@dataclass(frozen=True, slots=True)
class Line:
    """One setting as the reference tells it."""

    name: str
    group: str
    description: str
    aliases: tuple[str, ...]
    default: str
    is_secret: bool
    is_word: bool  # whether `default` is a value to write, and not a phrase

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name.upper()


def lines() -> list[Line]:
    """Return every setting in the order of the declaration."""
    return [_line(name, field) for name, field in Settings.model_fields.items()]


def _line(name: str, field: FieldInfo) -> Line:
    about = field.json_schema_extra
    assert isinstance(about, dict)  # noqa: S101 - `setting` wrote it
    assert isinstance(about["aliases"], list)  # noqa: S101 - as above
    default = str(about["shown"] or _as_text(field.default))
    return Line(
        name,
        str(about["group"]),
        field.description or "",
        tuple(str(alias) for alias in about["aliases"]),
        default,
        is_secret=field.annotation == SecretStr | None,
        is_word=" " not in default,
    )


def env_example() -> str:
    """Return the text of .env.example: every setting, commented out, with its default."""
    parts = [
        "# Undercroft reads these from the environment, or from a file named .env in the directory it is started in.",
        "# The environment goes first. Every line shows the default; take the # away and change the value.",
        "# Written by `python -m undercroft.settings`.",
    ]
    for group, members in groupby(lines(), key=lambda line: line.group):
        parts += ["", f"# {group}"]
        for line in members:
            parts += [
                "",
                f"# {line.description}{_notes(line)}",
                f"#{line.variable}={line.default if line.is_word else ''}",
            ]
    return "\n".join(parts) + "\n"


def markdown() -> str:
    """Return the text of docs/reference/settings.md."""
    parts = [_HEAD]
    for group, members in groupby(lines(), key=lambda line: line.group):
        parts += [
            f"## {group}",
            "",
            "| setting | variable | also read from | default | what it is |",
            "|---|---|---|---|---|",
        ]
        for line in members:
            aliases = ", ".join(f"`{alias}`" for alias in line.aliases)
            default = f"`{line.default}`" if line.is_word and line.default else line.default
            secret = " Secret." if line.is_secret else ""
            parts.append(f"| `{line.name}` | `{line.variable}` | {aliases} | {default} | {line.description}{secret} |")
        parts.append("")
    parts += ["## Presets", "", "| preset | changes |", "|---|---|"]
    for preset, values in PRESETS.items():
        changes = ", ".join(f"`{name}={_as_text(value)}`" for name, value in values.items())
        parts.append(f"| `{preset}` | {changes or 'nothing'} |")
    return "\n".join(parts) + "\n"


def _as_text(value: object) -> str:
    """Write a value as a variable has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _notes(line: Line) -> str:
    notes = " Secret." if line.is_secret else ""
    if line.default and not line.is_word:
        notes += f" Default: {line.default}."
    return notes + (f" Also read from {', '.join(line.aliases)}." if line.aliases else "")


_HEAD = """# Settings

Written by `python -m undercroft.settings --markdown`; a test keeps it true.

A setting is looked for in this order, and the first place that has it wins: the call
(`Settings.load(pool_size=5)`), its variable in the environment, the other names it is read from, the same two in
the file `.env`, the preset, the default. Two of the other names with different values are refused, and so is a
setting's name misspelt. An empty variable counts as unset. Times are in seconds unless the name says otherwise.

`database_url` takes `sqlite:///bot.db` (a path from the current directory) and `sqlite:////srv/bot.db` (from the
root), or `postgresql://user:password@host:5432/name`, also written `postgres://` or with a driver
(`postgresql+asyncpg://`, `sqlite+aiosqlite://`), which makes no difference. After `?` it takes libpq's `sslmode`,
`sslrootcert`, `sslcert`, `sslkey`, `connect_timeout`, `application_name`, `target_session_attrs`, `channel_binding`
and `host` (the directory of a Unix socket). A special character in a password is percent-encoded. Where a URL and a
setting say different things, the one found first wins; found in one place, they are refused.
"""
