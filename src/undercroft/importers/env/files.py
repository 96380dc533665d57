"""Files of configuration, each of a format that its name tells, as settings with the line that each stands on."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Secret

from undercroft.errors import InvalidInput, SourceRefused
from undercroft.importers.env import dotenv_file, json_file
from undercroft.importers.env.tree import Block, Fault, plain

Format = Literal["env", "json", "yaml"]
LARGEST = 1 << 20
"""Bytes of a file."""
LONGEST_KEY = 200
_FORMATS: dict[str, Format] = {"env": "env", "json": "json", "yaml": "yaml", "yml": "yaml"}
_PART = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a file; the value is hidden, since most files hold secrets."""

    key: str
    value: Secret[Any] = field(repr=False)
    path: str
    line: int

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.path}, line {self.line}"


def read_files(paths: Sequence[Path], *, file_format: Format | None = None, prefix: str = "") -> list[Setting]:
    """Read files, of which no two may set the same key.

    Raises:
        SourceRefused: one cannot be read; file, line and reason are named, no value is.
        InvalidInput: the name of one does not tell its format.
    """
    found: dict[str, Setting] = {}
    for path in paths:
        for one in read_file(path, file_format=file_format, prefix=prefix):
            if one.key in found:
                raise SourceRefused(
                    f"{one.place}: {one.key} is set in {found[one.key].place} too",
                    hint="import the files one after the other, the one that is to win last",
                )
            found[one.key] = one
    return list(found.values())


def read_file(path: Path, *, file_format: Format | None = None, prefix: str = "") -> list[Setting]:
    """Read a file; nested names are joined by dots, and ``prefix`` goes before each key.

    What is nested stays one JSON value where its names cannot be parts of a key, and so does every list.

    Raises:
        SourceRefused: it cannot be read; file, line and reason are named, no value is.
        InvalidInput: its name does not tell its format.
    """
    chosen = file_format or format_of(path)
    name = str(path)
    try:
        return [_setting(name, prefix + key, line, value) for key, line, value in _parsed(_text(path), chosen)]
    except Fault as fault:
        at = name if fault.line is None else f"{name}, line {fault.line}"
        raise SourceRefused(f"{at}: {fault}", hint=fault.hint or "correct the file; nothing was written") from None


def format_of(path: Path) -> Format:
    """Return the format that a file's name tells: of `config.json.template`, JSON.

    Raises:
        InvalidInput: it tells none.
    """
    for part in reversed(path.name.lower().split(".")):
        if part in _FORMATS:
            return _FORMATS[part]
    message = f"The name of {path} does not tell whether it is .env, JSON or YAML"
    raise InvalidInput(message, hint="say it with --format env, json or yaml")


def _setting(path: str, key: str, line: int, value: Any) -> Setting:
    if len(key) > LONGEST_KEY or not all(map(_PART.fullmatch, key.split("."))):
        # Not named: in a key file that was taken for a .env it would be a piece of the key.
        message = f"its name cannot be a key: 1 to {LONGEST_KEY} letters, digits, _ and -, single dots between them"
        raise Fault(message, line)
    return Setting(key, Secret(value), path, line)


def _parsed(text: str, chosen: Format) -> Iterator[tuple[str, int, Any]]:
    if chosen == "env":
        yield from dotenv_file.parse(text)
        return
    if chosen == "json":
        block = json_file.parse(text)
    else:
        from undercroft.importers.env import yaml_file  # noqa: PLC0415 - PyYAML is an extra

        block = yaml_file.parse(text)
    seen: dict[str, int] = {}
    for key, line, value in _flat(block, ""):
        if key in seen:
            raise Fault(f"{key} is there twice, first on line {seen[key]}", line)
        seen[key] = line
        yield key, line, value


def _flat(block: Block, before: str) -> Iterator[tuple[str, int, Any]]:
    for name, (line, value) in block.items():
        key = f"{before}{name}"
        if isinstance(value, Block) and value and all(map(_PART.fullmatch, value)):
            yield from _flat(value, f"{key}.")
        else:
            yield key, line, plain(value)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise Fault(f"it cannot be read: {error.strerror}", hint="check the name and who may read it") from None
    if len(content) > LARGEST:
        message = f"it has more than {LARGEST:,} bytes, which is no file of configuration"
        raise Fault(message, hint="store files elsewhere, and their names here")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Fault("it is UTF-16", 1, hint="save it as UTF-8")
    if b"\0" in content:
        raise Fault("there is a NUL in it", content[: content.index(b"\0")].count(b"\n") + 1)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault("it is not UTF-8", content[: error.start].count(b"\n") + 1, hint="save it as UTF-8") from None
