"""Finds the settings that are given: in the call, the environment and a .env file, in this order.

In each place a setting's own name goes before the names that other programs use for it (its aliases). Two aliases that
disagree are refused: no order between them would be the right one for everybody.
"""

import difflib
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Secret, SecretStr

from undercroft.errors import ConfigurationError

PREFIX = "UNDERCROFT_"
DEFAULT_FILE = ".env"
Sealed = Mapping[str, Secret[object]]  # sealed because some error reporters show the variables of every frame


class Rank(IntEnum):
    """Where a value was found; the lowest wins."""

    CALL = 0
    ENVIRONMENT = 1
    ENVIRONMENT_ALIAS = 2
    FILE = 3
    FILE_ALIAS = 4
    PRESET = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A value with the name it was given by, as a message calls it."""

    value: Secret[object]
    rank: Rank = Rank.CALL
    origin: str = ""

    def reveal(self) -> object:
        """Return the value itself."""
        return self.value.get_secret_value()


def find(aliases: Mapping[str, tuple[str, ...]], explicit: Sealed, env_file: str | Path | None) -> dict[str, Found]:
    """Find every setting that is given; raises `ConfigurationError` for an unknown name and for two that disagree."""
    _refuse_unknown(explicit, aliases)
    found: dict[str, Found] = {}
    for rank, place, given in ((Rank.FILE, f" in {env_file}", _file(env_file)), (Rank.ENVIRONMENT, "", _environment())):
        _refuse_near_misses(given, aliases)
        for setting, others in aliases.items():
            own = PREFIX + setting.upper()
            if own in given:
                found[setting] = Found(given[own], rank, own + place)
            elif names := [name for name in others if name in given]:
                if any(given[name] != given[names[0]] for name in names):
                    raise ConfigurationError(
                        f"{' and '.join(names)}{place} name the same setting with different values",
                        setting=setting,
                        hint=f"keep one of them, or set {own}",
                    )
                found[setting] = Found(given[names[0]], Rank(rank + 1), names[0] + place)
    return found | {setting: Found(value, Rank.CALL, setting) for setting, value in explicit.items()}


def sealed(values: Mapping[str, object]) -> dict[str, Secret[object]]:
    """Seal what is given; None stands for a setting that is not given."""
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()
    }
    return {name: Secret(value) for name, value in plain.items() if value is not None}


def _environment() -> Sealed:
    return sealed({name: value for name, value in os.environ.items() if value})  # an empty variable is an unset one


def _file(path: str | Path | None) -> Sealed:
    """Read a .env file; none at the default place is as good as an empty one."""
    if path is None or (path == DEFAULT_FILE and not Path(path).exists()):
        return {}
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        text = None
    if text is None:
        raise ConfigurationError(
            f"the settings file {path} cannot be read as UTF-8 text", hint="correct its path or its rights"
        )
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            line = binding.original.line
            del text, binding  # as for Sealed
            raise ConfigurationError(f"line {line} of {path} is no setting", hint="write it as NAME=value")
    return sealed({name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value})


def _refuse_unknown(explicit: Sealed, known: Iterable[str]) -> None:
    for name in explicit:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/reference/settings.md lists every setting"
            raise ConfigurationError(f"{name} is no setting", setting=name, hint=hint)


def _refuse_near_misses(given: Sealed, known: Iterable[str]) -> None:
    """Refuse UNDERCROFT_SSL_MOD, which would leave TLS off unnoticed; what resembles no setting is somebody else's."""
    own = [PREFIX + name.upper() for name in known]
    for name in given:
        if name.startswith(PREFIX) and name not in own:
            near = difflib.get_close_matches(name.removeprefix(PREFIX), [n.removeprefix(PREFIX) for n in own], 1, 0.85)
            if near:
                raise ConfigurationError(f"{name} is no setting", setting=name, hint=f"did you mean {PREFIX}{near[0]}?")
